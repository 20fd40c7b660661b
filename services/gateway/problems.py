"""Problem responses (RFC 9457, ``application/problem+json``): what every refusal and failure looks like."""

from __future__ import annotations

import inspect
from http import HTTPStatus
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from artdag_common import tracing
from artdag_common.errors import ArtdagError

MEDIA_TYPE = "application/problem+json"
RESERVED = frozenset({"type", "title", "status", "detail", "instance", "code", "hint", "trace_id"})


class Json(Response):
    """A JSON answer."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return ``content`` as JSON."""
        return orjson.dumps(content)


def problem_type(code: str) -> str:
    """Return the URI that identifies a kind of problem."""
    return f"urn:artdag:problem:{code}"


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    hint: str = "",
    values: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return a problem response. ``values`` join it as members of their own, for programs."""
    body: dict[str, Any] = {
        "type": problem_type(code),
        "title": code.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "code": code,
    }
    if hint:
        body["hint"] = hint
    if trace := tracing.trace_id():
        body["trace_id"] = trace
    body |= {name: value for name, value in (values or {}).items() if name not in RESERVED}
    return Response(orjson.dumps(body, default=str), status, media_type=MEDIA_TYPE, headers=headers)


def hint_of(cls: type[ArtdagError]) -> str:
    """Return what the docstring of an error says: when it happens, and what to do."""
    return " ".join(inspect.getdoc(cls).split()).replace("``", "") if cls.__doc__ else ""  # type: ignore[union-attr]


def example(code: str, status: int, detail: str) -> dict[str, Any]:
    """Return a problem as documentation shows it."""
    return {
        "type": problem_type(code),
        "title": code.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": "/…",
        "code": code,
    }


def reason(status: int) -> str:
    """Return the kebab-case name of an HTTP status: 405 → ``method-not-allowed``."""
    return HTTPStatus(status).phrase.lower().replace(" ", "-")
