"""What a page shows: the API's own answer to whoever looks at the page."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

KEPT = ("retry-after", "www-authenticate")
"""Headers of a refusal that mean the same on the page that shows it."""

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
    answer = await passed_on(request, path, urlencode(asked).encode())
    said = orjson.loads(answer.body)
    if answer.status_code >= 400:
        raise RefusedError(said, {name: answer.headers[name] for name in KEPT if name in answer.headers})
    return said


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
