"""What storage providers are added and changed by: JSON for programs, a form for browsers."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile
from starlette.requests import Request

from artdag_common.domain.storage_kinds import KINDS
from artdag_common.errors import InvalidRequestError
from services.gateway.uploads import is_form

MOST_FIELDS = 64
NAME_CHARACTERS = 100
MOST_BYTES = 2**62
URLENCODED = "application/x-www-form-urlencoded"

NEW_EXAMPLE: dict[str, Any] = {
    "type": "s3",
    "name": "my bucket",
    "settings": {
        "endpoint": "https://s3.eu-central-1.amazonaws.com",
        "bucket": "my-art",
        "region": "eu-central-1",
        "access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "secret_access_key": "(secret)",
    },
    "capacity_bytes": 100_000_000_000,
}
CHANGE_EXAMPLE: dict[str, Any] = {"name": "my other bucket", "settings": {"prefix": "art/"}, "enabled": True}


class NewStorage(BaseModel):
    """A place that is to get copies. `GET /storage/type/{type}` tells its settings; secrets are among them."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": NEW_EXAMPLE})

    type: str = Field(max_length=40, description=f"One of {', '.join(KINDS)}")
    name: str = Field(min_length=1, max_length=NAME_CHARACTERS, description="What you call it")
    settings: dict[str, Any] = Field(default_factory=dict, description="Its settings, secrets included")
    capacity_bytes: int | None = Field(None, ge=1, le=MOST_BYTES, description="What it may hold; null: no limit")


class StorageChange(BaseModel):
    """What is to change. Settings and secrets that are not named stay; null: back to the default, or not set."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": CHANGE_EXAMPLE})

    name: str | None = Field(None, min_length=1, max_length=NAME_CHARACTERS)
    settings: dict[str, Any] = Field(default_factory=dict)
    capacity_bytes: int | None = Field(None, ge=1, le=MOST_BYTES, description="What it may hold; null: no limit")
    enabled: bool | None = Field(None, description="Whether it gets copies")


FORM_FIELDS: dict[str, Any] = {
    "type": {"type": "string"},
    "name": {"type": "string"},
    "capacity_bytes": {"type": "string", "description": "Empty: no limit"},
}
FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "name"],
    "properties": FORM_FIELDS,
    "additionalProperties": {"type": "string", "description": "The settings of the type, each as a field"},
}
FORM_EXAMPLE = {"type": "local", "name": "disk", "path": "/mnt/backup"}
FORM_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": FORM_SCHEMA, "example": FORM_EXAMPLE} for kind in (URLENCODED, "multipart/form-data")
        },
    }
}


async def form_fields(request: Request, raw: bytes) -> dict[str, str]:
    """Return the fields of a form; those that were left empty are not there."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    pairs: list[tuple[str, Any]]
    if kind == URLENCODED:
        try:
            pairs = list(parse_qsl(raw.decode(), strict_parsing=bool(raw), max_num_fields=MOST_FIELDS))
        except (ValueError, UnicodeDecodeError):
            raise _not("a form", "body") from None
    elif is_form(request):

        async def replay() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async with Request(request.scope, replay).form(max_files=0, max_fields=MOST_FIELDS) as form:
            pairs = form.multi_items()
    else:
        raise _not(f"{URLENCODED} or multipart/form-data", "Content-Type", kind)
    return {name: value for name, value in pairs if value and not isinstance(value, UploadFile)}


def _not(what: str, field: str, value: str = "") -> InvalidRequestError:
    return InvalidRequestError(
        f"{field} is not {what}", problems=[{"field": field, "value": value[:80], "problem": what}]
    )
