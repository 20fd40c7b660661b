"""Small bodies of named strings: JSON for programs, a form for browsers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request

from artdag_common.errors import InvalidRequestError, UnsupportedContentTypeError
from services.gateway.uploads import receive_text

BODY_BYTES = 16 * 1024
MOST_FIELDS = 32
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


async def read_fields(request: Request) -> dict[str, str]:
    """Return the fields of a request's body; of an empty one, none.

    Raises:
        ContentTooLargeError: it has more than 16 KiB.
        UnsupportedContentTypeError: it is neither JSON nor a form.
        InvalidRequestError: it is not what it says, or a field is no string.
    """
    return fields_of(request, await receive_text(request, BODY_BYTES))


def fields_of(request: Request, raw: bytes) -> dict[str, str]:
    """Return the fields of a body that was read already; raises as :func:`read_fields`. No value is in any message."""
    if not raw:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        try:
            return dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
        except ValueError as error:
            raise _wrong("body", "a form of at most 32 fields in UTF-8") from error
    if kind != JSON:
        raise UnsupportedContentTypeError(f"Content-Type is {kind[:100] or 'missing'}; send {JSON} or {FORM}")
    try:
        said = orjson.loads(raw)
    except ValueError as error:
        raise _wrong("body", "JSON") from error
    if not isinstance(said, dict):
        raise _wrong("body", "a JSON object")
    for name, value in said.items():
        if not isinstance(value, str):
            raise _wrong(name[:40], "a string")
    return said


def _wrong(field: str, rule: str) -> InvalidRequestError:
    problem = {"field": field, "problem": f"has to be {rule}"}
    return InvalidRequestError(f"{field} has to be {rule}", problems=[problem])


def takes(fields: Mapping[str, str], example: Mapping[str, str]) -> dict[str, Any]:
    """Return what OpenAPI says of such a body. ``fields``: name → description."""
    properties = {name: {"type": "string", "description": said} for name, said in fields.items()}
    shown = {"schema": {"type": "object", "properties": properties}, "example": dict(example)}
    return {"requestBody": {"content": {JSON: shown, FORM: shown}}}
