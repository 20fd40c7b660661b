"""Effects: upload, list, look, read. Built-in ones and those that users brought stand side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from artdag_common.cid import is_cid, parse_cid
from artdag_common.commands import DeleteEffect, RegisterEffect
from artdag_common.effects.registry import EFFECTS, Effect, find_effect
from artdag_common.effects.uploaded import MAX_BYTES, parse
from artdag_common.errors import EffectNotFoundError, NotYoursError, UnknownEffectError
from services.gateway.api.documentation import CID, TIME, answers
from services.gateway.api.shapes import ByName
from services.gateway.downloads import ContentResponse
from services.gateway.issuing import patience_of
from services.gateway.launching import OWN_WRITES_SECONDS
from services.gateway.naming import NAMED_AT_MOST, nearest
from services.gateway.parts import Gateway, Parts, User, Viewer, Whose
from services.gateway.problems import Json
from services.gateway.projections import effects
from services.gateway.projections.effects import EffectRow
from services.gateway.uploads import is_form, receive_form, receive_text, refused
from services.gateway.views import page_view, read_cursor, time_view

router = APIRouter(prefix="/effects", tags=["effects"])

SOURCE_TYPE = "text/x-python"
FIELDS = ("effect", "source", "file")
Reference = Annotated[
    str, Path(description="CID of an effect, also as Qm…, or its name", examples=["dog"], max_length=256)
]
SOURCE_EXAMPLE = """# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy"]
#
# [tool.artdag]
# name = "fade"
# version = "1.0.0"
# author = "me"
# description = "Makes the picture darker."
#
# [tool.artdag.params.amount]
# type = "float"
# default = 0.5
# min = 0
# max = 1
# description = "0: as it is; 1: black"
# ///
import numpy as np


def process_frame(frame, params, state):
    return (frame * (1 - params.amount)).astype(np.uint8), state
"""
UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            SOURCE_TYPE: {"schema": {"type": "string"}, "example": SOURCE_EXAMPLE},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
            },
        },
    }
}
EFFECT: dict[str, Any] = {
    "cid": CID,
    "name": "fade",
    "version": "1.0.0",
    "author": "me",
    "description": "Makes the picture darker.",
    "kind": "frame",
    "builtin": False,
    "owner": "owner",
    "created_at": TIME,
    "links": {"self": f"/effects/{CID}", "source": f"/effects/{CID}/source"},
}
EFFECT_DETAIL = EFFECT | {
    "dependencies": ["numpy"],
    "params": {
        "type": "object",
        "properties": ByName(
            amount={
                "type": "number",
                "default": 0.5,
                "minimum": 0,
                "maximum": 1,
                "description": "0: as it is; 1: black",
                "title": "Amount",
            }
        ),
        "additionalProperties": False,
    },
}


@router.post(
    "/upload",
    summary="Upload an effect",
    status_code=201,
    openapi_extra=UPLOAD_BODY,
    responses=answers(EFFECT, 401, 413, 422, 507, status=201, pending=True),
)
async def upload_effect(request: Request, parts: Parts, user: User) -> Response:
    """Make an effect known, from its Python file as the body or as a form's file. Nothing in it is run.

    All its problems are reported at once. The same bytes have the same CID: uploading them again changes nothing.
    """
    source = await _source(request, parts)
    command_id = await parts.issuer.command_id(request, user, source)
    found = await asyncio.to_thread(parse, source, FilePath())
    stored = await parts.blobs.put(source)
    command = RegisterEffect(stored.cid, user)
    await parts.issuer.issue(command, command_id, f"/effects/{stored.cid}", patience_of(request))

    async def check() -> EffectRow | None:
        row = await effects.find(parts.pool, user, stored.cid)
        return row if row and row.owner == user else None

    row = await parts.projector.until(check, OWN_WRITES_SECONDS)
    return Json(effect_view(found, row), 201 if row else 202, {"Location": f"/effects/{stored.cid}"})


async def _source(request: Request, parts: Gateway) -> bytes:
    if not is_form(request):
        return await receive_text(request, MAX_BYTES)
    form = await receive_form(request, parts.blobs, MAX_BYTES)
    texts = [form.fields[name] for name in FIELDS if name in form.fields]
    if form.files:
        return await parts.blobs.read(form.files[0].cid)
    if texts:
        return texts[0].encode()
    raise refused("file", "", "an effect: send it as the form's file")


@router.get(
    "",
    summary="List effects",
    responses=answers({"effects": [EFFECT], "total": 1, "next": None}, 401, 422),
)
async def list_effects(
    parts: Parts,
    viewer: Viewer,
    owner: Whose,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
    name: Annotated[str | None, Query(max_length=200, description="Part of a name")] = None,
) -> Response:
    """One page of effects: yours and published ones, newest first, then the built-in ones by name."""
    wanted = (name or "").lower()
    builtin = [] if owner else [EFFECTS[each] for each in sorted(EFFECTS) if wanted in each.lower()]
    before = read_cursor(cursor)
    # A place for each in one descending order: built-in ones have 0 … n-1, uploaded ones n and their position.
    shift = len(builtin)
    position = None if before is None else max(0, before - shift)
    rows, total = await effects.newest(parts.pool, viewer, limit + 1, position, owner, name)
    places = [(row.position + shift, row_view(row)) for row in rows]
    places += [(place, effect_view(each, None)) for place, each in _placed(builtin) if before is None or place < before]
    page = places[:limit]
    following = page[-1][0] if len(places) > limit else None
    return Json(page_view("effects", [view for _, view in page], total + shift, following))


def _placed(builtin: Sequence[Effect]) -> list[tuple[int, Effect]]:
    return [(len(builtin) - 1 - index, each) for index, each in enumerate(builtin)]


@router.get("/{effect}", summary="Get effect details", responses=answers(EFFECT_DETAIL, 401, 404))
async def get_effect(effect: Reference, parts: Parts, viewer: Viewer) -> Response:
    """What it says of itself, and its parameters as a JSON schema.

    A name means the built-in one, else your newest, else what was published last.
    """
    found, row = await _find(parts, effect, viewer)
    view = effect_view(found, row)
    view["dependencies"] = list(found.uploaded.modules) if found.uploaded else []
    schema = found.params.model_json_schema()
    view["params"] = {
        "type": "object",
        "properties": schema.get("properties", {}),
        "required": schema.get("required", []),
        "additionalProperties": False,
    }
    return Json(view)


@router.get(
    "/{effect}/source",
    summary="Get an effect's source",
    responses=answers(SOURCE_EXAMPLE, 404, media_type=SOURCE_TYPE),
)
async def get_source(request: Request, effect: Reference, parts: Parts, viewer: Viewer) -> Response:
    """The Python file itself, byte for byte."""
    found, _ = await _find(parts, effect, viewer)
    return ContentResponse(request, found.source, found.cid, SOURCE_TYPE, f"{found.name}.py")


@router.delete(
    "/{effect}",
    summary="Delete an effect",
    responses=answers({"cid": CID, "name": "fade", "deleted": True}, 401, 404, pending=True),
)
async def delete_effect(request: Request, effect: Reference, parts: Parts, user: User) -> Response:
    """Take an effect off your list. Recipes and runs that use it keep it, and so does whoever else has it."""
    command_id = await parts.issuer.command_id(request, user, b"")
    found, row = await _find(parts, effect, user)
    if row is None or row.owner != user:
        whose_it_is = "it is built in" if row is None else "somebody else published it"
        raise NotYoursError(f"effect {found.cid} is not yours to delete: {whose_it_is}", effect=found.cid)
    deleted = {"cid": found.cid, "name": found.name, "deleted": True}
    await parts.issuer.keys.foretell(request, deleted)
    command = DeleteEffect(found.cid, user)
    await parts.issuer.issue(command, command_id, f"/effects/{found.cid}", patience_of(request))

    async def gone() -> bool:
        left = await effects.find(parts.pool, user, found.cid)
        return left is None or left.owner != user

    await parts.projector.until(gone, OWN_WRITES_SECONDS)
    return Json(deleted)


async def _find(parts: Gateway, reference: str, viewer: str) -> tuple[Effect, EffectRow | None]:
    """Return an effect that a viewer sees, by CID or name.

    Raises:
        EffectNotFoundError: there is none; the message names the nearest.
    """
    if reference in EFFECTS:
        return EFFECTS[reference], None
    if is_cid(reference):
        cid = parse_cid(reference)
        row = await effects.find(parts.pool, viewer, cid)
        if row or any(each.cid == cid for each in EFFECTS.values()):
            try:
                return await asyncio.to_thread(find_effect, cid), row
            except UnknownEffectError as error:  # its content is gone
                raise EffectNotFoundError(error.message, effect=cid) from error
        known: list[str] = []
    else:
        row = await effects.find_named(parts.pool, viewer, reference)
        if row:
            return await _find(parts, row.cid, viewer)
        known = [*sorted(EFFECTS), *await effects.names(parts.pool, viewer)]
    shown = reference if len(reference) <= 80 else reference[:77] + "…"
    raise EffectNotFoundError(f"no effect {shown!r}{nearest(reference[:NAMED_AT_MOST], known)}", effect=shown)


def effect_view(effect: Effect, row: EffectRow | None) -> dict[str, Any]:
    """Return an effect as lists show it."""
    return {
        "cid": effect.cid,
        "name": effect.name,
        "version": effect.version,
        "author": effect.author,
        "description": effect.description,
        "kind": effect.kind,
        "builtin": effect.uploaded is None,
        "owner": row.owner if row else None,
        "created_at": time_view(row.created_at) if row else None,
        "links": {"self": f"/effects/{effect.cid}", "source": f"/effects/{effect.cid}/source"},
    }


def row_view(row: EffectRow) -> dict[str, Any]:
    """Return an uploaded effect as lists show it, without reading its file."""
    return {
        "cid": row.cid,
        "name": row.name,
        "version": row.version,
        "author": row.author,
        "description": row.description,
        "kind": row.kind,
        "builtin": False,
        "owner": row.owner,
        "created_at": time_view(row.created_at),
        "links": {"self": f"/effects/{row.cid}", "source": f"/effects/{row.cid}/source"},
    }
