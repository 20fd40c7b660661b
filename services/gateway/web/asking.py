"""What a page shows: the API's own answer to whoever looks at the page."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import orjson
from pydantic import StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from services.gateway.parts import Gateway

KEPT = ("retry-after", "www-authenticate")
"""Headers of a refusal that mean the same on the page that shows it."""

Name = Annotated[str, StringConstraints(pattern=r"^[^/]*$")]
"""What names one thing in an address of the API; with a slash it would name something else, perhaps without an end."""

PASSED_ON = (b"cookie", b"authorization", b"host", b"x-request-id")


class RefusedError(Exception):
    """The API refused what a page asked it for; the page says why.

    Attributes:
        problem: the refusal (RFC 9457).
        headers: what it was sent with, and a page has to say too.
    """

    def __init__(self, problem: dict[str, Any], headers: dict[str, str]) -> None:
        super().__init__(problem["detail"])
        self.problem = problem
        self.headers = headers


async def ask(request: Request, path: str, query: Mapping[str, Any] | None = None) -> Any:
    """Return what ``GET path`` answers to whoever sent ``request``, as JSON terms.

    Args:
        request: the page's.
        path: of the API; not encoded.
        query: parameters; empty ones are left out.

    Raises:
        RefusedError: it answers with a problem.
    """
    asked = {name: value for name, value in (query or {}).items() if value not in (None, "")}
    return orjson.loads(_granted(await passed_on(request, path, urlencode(asked).encode())))


async def read(request: Request, path: str) -> str:
    """Return the text at ``GET path``, as :func:`ask` asks for it; what is no UTF-8 in it is shown as such."""
    return _granted(await passed_on(request, path, b"")).decode("utf-8", "replace")


def _granted(answer: Response) -> bytes:
    """Return the body of an answer that is no refusal."""
    body = bytes(answer.body)
    if answer.status_code >= HTTPStatus.BAD_REQUEST:
        kept = {name: answer.headers[name] for name in KEPT if name in answer.headers}
        raise RefusedError(orjson.loads(body), kept)
    return body


async def told(request: Request, path: str) -> dict[str, Any] | None:
    """Return what ``GET path`` answers, as :func:`ask`; None: it is not there, or not for whoever asks.

    Raises:
        RefusedError: the server cannot say.
    """
    try:
        found: dict[str, Any] = await ask(request, path)
    except RefusedError as error:
        if error.problem["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise
        return None
    return found


async def content(request: Request, cid: str) -> dict[str, Any]:
    """Return what is known of content, as ``/cache/{cid}`` says it; where nothing is, its CID alone."""
    known = await told(request, f"/cache/{cid}")
    return known or {
        "cid": cid,
        "name": "",
        "title": "",
        "media_type": "",
        "size_bytes": None,
        "facts": {},
        "preview": {},
    }


async def who(request: Request) -> str:
    """Return the user who is signed in, as owners are named; empty: nobody."""
    parts: Gateway = request.app.state.gateway
    session = await parts.access.present(request)
    return session.user if session else ""


async def passed_on(request: Request, path: str, query: bytes | None = None) -> Response:
    """Return the API's answer to ``GET path`` from whoever sent ``request``; ``query``: another than its own."""
    headers = [(name, value) for name, value in request.scope["headers"] if name in PASSED_ON]
    scope = {
        **{name: request.scope[name] for name in request.scope if name not in ("route", "endpoint", "path_params")},
        "method": "GET",
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": request.scope["query_string"] if query is None else query,
        "headers": [*headers, (b"accept", b"application/json")],
    }
    answer, body = Response(), bytearray()
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()  # whoever asks here stays until the answer is there
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status_code, answer.raw_headers = message["status"], list(message["headers"])
        else:
            body.extend(message.get("body", b""))

    await request.app.router(scope, receive, send)
    answer.body = bytes(body)
    return answer
