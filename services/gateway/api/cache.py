"""Content: upload, download, what is known of it, what it is called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from artdag_common.cid import parse_cid
from artdag_common.commands import ImportObject
from artdag_common.errors import InvalidRequestError
from artdag_common.media.types import extension, media_type_of
from services.gateway.api.documentation import CID, OBJECT, UPLOADED, answers
from services.gateway.downloads import ContentResponse
from services.gateway.issuing import patience_of
from services.gateway.launching import OWN_WRITES_SECONDS
from services.gateway.parts import Gateway, Parts, User
from services.gateway.problems import Json
from services.gateway.projections import objects
from services.gateway.projections.objects import ObjectRow
from services.gateway.uploads import Uploaded, receive_form, refused
from services.gateway.views import object_view, page_view, raw_url, read_cursor, time_view

router = APIRouter()

NAME_CHARACTERS = 200
Cid = Annotated[str, Path(description="CID, also as Qm…", examples=[CID], max_length=128)]
UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "Several are allowed"},
                        "name": {"type": "string", "description": "What you call it; for a single file"},
                    },
                },
                "example": {"file": "(bytes)", "name": "cat"},
            }
        },
    }
}


@router.post(
    "/cache/upload",
    tags=["cache"],
    summary="Upload a file",
    status_code=201,
    openapi_extra=UPLOAD_BODY,
    responses=answers(UPLOADED, 401, 413, 422, 507, status=201, pending=True),
)
async def upload(request: Request, parts: Parts, user: User) -> Response:
    """Store files. They are hashed while they come; what does not come whole leaves nothing.

    With several files the answer is `{"files": […]}`, each as in the example.
    """
    form = await receive_form(request, parts.blobs, parts.settings.max_upload_bytes)
    if not form.files:
        raise refused("file", "", "there: send at least one file in the form")
    name = form.fields.get("name", "").strip()
    _check_name(name, len(form.files))
    fingerprint = "\0".join([name, *(file.cid for file in form.files)])
    command_id = await parts.issuer.command_id(request, user, fingerprint.encode())
    stored = []
    for index, file in enumerate(form.files):
        stored.append(await _book(parts, request, file, user, name, f"{command_id}-{index}"))
    if len(stored) == 1:
        return Json(stored[0], 201, {"Location": f"/cache/{stored[0]['cid']}"})
    return Json({"files": stored}, 201)


async def _book(
    parts: Gateway, request: Request, file: Uploaded, owner: str, name: str, command_id: str
) -> dict[str, Any]:
    command = ImportObject(file.cid, file.size_bytes, file.media_type, "upload", owner, name)
    await parts.issuer.issue(command, command_id, f"/cache/{file.cid}", patience_of(request))

    async def check() -> bool:
        if name:
            return await objects.has_name(parts.pool, file.cid, owner, name)
        return await objects.find(parts.pool, file.cid) is not None

    await parts.projector.until(check, OWN_WRITES_SECONDS)
    return {
        "cid": file.cid,
        "size_bytes": file.size_bytes,
        "media_type": file.media_type,
        "name": name or None,
        "filename": file.filename or None,
        "links": {"raw": raw_url(file.cid), "meta": f"/cache/{file.cid}/meta"},
    }


def _check_name(name: str, files: int) -> None:
    rule = ""
    if name and files > 1:
        rule = "for a single file; upload several one by one to name them"
    elif len(name) > NAME_CHARACTERS:
        rule = f"at most {NAME_CHARACTERS} characters"
    elif not name.isprintable():
        rule = "made of printable characters only"
    if rule:
        raise InvalidRequestError(
            f"name: {name[:80]!r} has to be {rule}",
            problems=[{"field": "name", "value": name[:80], "problem": rule}],
        )


async def known(parts: Gateway, reference: str) -> tuple[ObjectRow, list[dict[str, str]]]:
    """Return what is known of content that is stored here, and its names.

    Raises:
        InvalidCidError: not a CID.
        ContentNotFoundError: it is not stored here.
    """
    cid = parse_cid(reference)
    path = await parts.blobs.path(cid)
    row = await objects.find(parts.pool, cid)
    if row is None:  # stored a moment ago: the books follow
        facts = path.stat()
        stored_at = datetime.fromtimestamp(facts.st_mtime, UTC)
        row = ObjectRow(cid, facts.st_size, media_type_of(path), "", stored_at)
    return row, await objects.names_of(parts.pool, cid)


@router.get("/cache/{cid}", tags=["cache"], summary="Get content details", responses=answers(OBJECT, 400, 404))
@router.get("/cache/{cid}/meta", tags=["cache"], summary="Get content metadata", responses=answers(OBJECT, 400, 404))
async def get_meta(cid: Cid, parts: Parts) -> Response:
    """Size, media type, where it came from and what it is called."""
    return Json(object_view(*await known(parts, cid)))


@router.get(
    "/cache/{cid}/raw",
    tags=["cache"],
    summary="Download raw content",
    responses=answers("(bytes)", 400, 404, 416, media_type="application/octet-stream"),
)
@router.head("/cache/{cid}/raw", tags=["cache"], summary="Ask for size and type", responses=answers("", 400, 404, 416))
async def get_raw(request: Request, cid: Cid, parts: Parts) -> Response:
    """The bytes, whole or a range of them (`Range`, `If-Range`); the CID is the `ETag` (`If-None-Match`)."""
    row, names = await known(parts, cid)
    end = extension(row.media_type)
    name = names[0]["name"] if names else row.cid
    filename = name if name.endswith(f".{end}") else f"{name}.{end}"
    return ContentResponse(request, await parts.blobs.path(row.cid), row.cid, row.media_type, filename)


@router.get(
    "/assets",
    tags=["cache"],
    summary="List known assets",
    responses=answers({"assets": [OBJECT | {"name": "cat", "owner": "owner"}], "total": 1, "next": None}, 422),
)
async def list_assets(
    parts: Parts,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """Content that has a name, named last first. Recipes and runs may use these names instead of CIDs."""
    rows, total = await objects.named(parts.pool, limit + 1, read_cursor(cursor))
    page = rows[:limit]
    following = page[-1]["position"] if len(rows) > limit else None
    items = [
        {
            "name": row["name"],
            "owner": row["owner"],
            "cid": row["cid"],
            "size_bytes": row["size_bytes"],
            "media_type": row["media_type"],
            "origin": row["origin"],
            "stored_at": time_view(row["stored_at"]),
            "links": {"raw": raw_url(row["cid"]), "meta": f"/cache/{row['cid']}/meta"},
        }
        for row in page
    ]
    return Json(page_view("assets", items, total, following))
