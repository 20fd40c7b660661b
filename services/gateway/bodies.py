"""Bodies of requests before anybody reads them: not too large, not packed, and JSON that means one thing."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from artdag_common.errors import (
    ArtdagError,
    ContentTooLargeError,
    InvalidRequestError,
    UnsupportedContentTypeError,
)

BODY_BYTES = 2 << 20
"""Of JSON, YAML in JSON, and small forms."""

BARE_BYTES = 64 * 1024
"""Of what comes with a request that takes no body."""

BARE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
UPLOADS = "/cache/uploads/"
STREAMED = frozenset({"/cache/upload", "/recipes/upload", "/configs/upload", "/effects/upload"})
"""Routes that read their bodies piece by piece, each within a limit of its own."""

PACKINGS = {b"content-encoding": b"identity", b"transfer-encoding": b"chunked"}
"""Fields that may say that a body is packed, and what they say where it is not."""

THREAD_BYTES = 128 * 1024
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
LONG_NUMBER = re.compile(rb"\d{19,}")
LARGEST = 2**63
JSON_TYPE = re.compile(r"application/(?:[\w.!#$&^+-]+\+)?json\s*(?:;|$)", re.IGNORECASE)


def read_json(data: bytes) -> Any:
    """Return what JSON means, where it can be only one thing, and one that can be stored.

    Raises:
        InvalidRequestError: it is not JSON in UTF-8 (RFC 8259); it is nested too deeply, names a member twice, has a
            number beyond 64 bits, or text with NUL or half a surrogate pair in it.
    """
    try:
        found = orjson.loads(data)
    except ValueError as error:
        raise _not(f"JSON: {str(error)[:100]}") from error
    try:
        orjson.dumps(found)
    except TypeError as error:
        raise _not("JSON of at most 254 levels") from error
    if NUL.search(data):
        raise _not("free of NUL (\\u0000)")
    bounded = _bounded if LONG_NUMBER.search(data) else int
    try:
        json.loads(data, object_pairs_hook=_distinct, parse_int=bounded)
    except RecursionError as error:
        raise _not("JSON of at most 254 levels") from error
    return found


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise _not(f"JSON with distinct names: {twice[:80]!r} comes twice")
    return found


def _bounded(text: str) -> int:
    if len(text) > 20 or not -LARGEST <= int(text) < 2 * LARGEST:
        raise _not("JSON whose whole numbers fit in 64 bits")
    return int(text)


def _not(rule: str) -> InvalidRequestError:
    return InvalidRequestError(f"body is not {rule}", problems=[{"field": "body", "value": "", "problem": rule}])


class BoundedBodies:
    """Middleware: reads bodies that are to be read whole, up to a limit, and refuses what no route has to see."""

    def __init__(self, app: ASGIApp, refuse: Callable[[Request, ArtdagError], Awaitable[Response]]) -> None:
        self._app = app
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            comes = _check_head(scope)
            if not comes or _streamed(scope):
                await self._app(scope, receive, send)
                return
            body = await _whole(scope, receive)
            if body is None:  # whoever asked has gone
                return
            if JSON_TYPE.match(Headers(scope=scope).get("content-type", "")) and body:
                await (asyncio.to_thread(read_json, body) if len(body) > THREAD_BYTES else _at_once(body))
        except ArtdagError as error:
            response = await self._refuse(Request(scope), error)
            if isinstance(error, UnsupportedContentTypeError):
                response.headers["Accept-Encoding"] = "identity"
            await response(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)


async def _at_once(body: bytes) -> None:
    read_json(body)


def _check_head(scope: Scope) -> bool:
    """Return whether a body comes.

    Raises:
        InvalidRequestError: NUL in the address.
        UnsupportedContentTypeError: the body is packed.
    """
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        pairs = scope["query_string"].decode("latin-1").split("&")
        field = next((pair.partition("=")[0][:80] for pair in pairs if "%00" in pair), "address")
        problems = [{"field": field, "value": "%00", "problem": "free of NUL"}]
        raise InvalidRequestError(f"{field} is not free of NUL (%00)", problems=problems)
    comes = False
    for name, value in scope["headers"]:
        if name == b"content-length":
            comes = comes or int(value) > 0
        elif name in PACKINGS:
            packing = value.strip().lower()
            if packing and packing != PACKINGS[name]:
                raise UnsupportedContentTypeError(
                    f"the body is packed ({packing.decode('latin-1')[:40]}); send it as it is"
                )
            comes = comes or name == b"transfer-encoding"
    return comes


def _streamed(scope: Scope) -> bool:
    path = scope["path"]
    return scope["method"] not in BARE_METHODS and (path in STREAMED or f"{path}/".startswith(UPLOADS))


async def _whole(scope: Scope, receive: Receive) -> bytes | None:
    """Return the body; None: it did not come to its end.

    Raises:
        ContentTooLargeError: it is too large for any such request.
    """
    limit = BARE_BYTES if scope["method"] in BARE_METHODS else BODY_BYTES
    if int(Headers(scope=scope).get("content-length", "0")) > limit:
        raise _too_large(scope, limit)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(scope, limit)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(scope: Scope, limit: int) -> ContentTooLargeError:
    return ContentTooLargeError(
        f"the body of {scope['method']} {scope['path'][:80]} has more than {limit} bytes, the limit here",
        limit_bytes=limit,
    )


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives the whole body first."""
    given = False

    async def replay() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
