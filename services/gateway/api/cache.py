"""Content: upload, import, list, look, download, describe, publish."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field, StringConstraints, field_validator
from starlette.responses import Response

from artdag_common.cid import parse_cid
from artdag_common.commands import DescribeObject
from artdag_common.errors import PreconditionFailedError
from artdag_common.federation.documents import ACTIVITY_JSON, LD_JSON, prefers_activity
from artdag_common.media.types import SIGNATURE_BYTES, extension, media_type
from services.gateway.api.documentation import (
    CID,
    OBJECT,
    PUBLICATION,
    RANGED,
    RUN_ID,
    SAME,
    TIME,
    UPLOADED,
    answers,
)
from services.gateway.api.federation import GONE, object_of
from services.gateway.api.federation import OBJECT as PUBLISHED_OBJECT
from services.gateway.api.shapes import ByName, Either
from services.gateway.api.storage_views import PROGRESS
from services.gateway.booking import NAME_CHARACTERS, book, check_name
from services.gateway.contents import (
    Addressed,
    Cid,
    copies_view,
    entity_tag,
    facts_views,
    known,
    meta_views,
    own,
    preview_view,
    title_of,
    uses_view,
    version_of,
)
from services.gateway.deriving import FACTS, has, look_into
from services.gateway.downloads import ContentResponse, check_unchanged, matches
from services.gateway.importing import FILES, Found, opened
from services.gateway.issuing import patience_of
from services.gateway.parts import Gateway, Parts, User, Viewer, Whose
from services.gateway.problems import Json
from services.gateway.projections import objects
from services.gateway.projections.objects import Filter, ObjectRow
from services.gateway.quota import check_room, within_quota
from services.gateway.uploads import FORM_OVERHEAD, Uploaded, receive_form, refused, too_large
from services.gateway.views import page_view, raw_url, read_cursor, time_view

router = APIRouter(tags=["cache"])

DESCRIPTION_CHARACTERS = 10_000
TAGS = 50
ATTEMPTS = 5
READ_BYTES = 1 << 20
BYTES_ONLY = re.compile(r"^\s*application/octet-stream\s*(;|$)")
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
ASSET: dict[str, Any] = {"name": "cat", "owner": "owner"} | {
    name: value for name, value in OBJECT.items() if name != "names"
}
META: dict[str, Any] = OBJECT | {
    "name": "cat",
    "title": "cat",
    "description": "A cat, dancing",
    "tags": ["animal", "dance"],
    "descriptions": [{"owner": "owner", "description": "A cat, dancing", "tags": ["animal", "dance"]}],
    "published": [PUBLICATION],
}
FOUND: dict[str, Any] = {
    "status": "known",
    "duration": 12.0,
    "video": {
        "width": 1280,
        "height": 720,
        "frame_rate": 30.0,
        "frames": 360,
        "codec": "h264",
        "profile": "High",
        "pix_fmt": "yuv420p",
    },
    "audio": {"sample_rate": 48000, "channels": 2, "codec": "aac"},
    "playable": True,
}
PREVIEW = ByName(thumbnail=f"/cache/{CID}/thumbnail", mp4=f"/cache/{CID}/mp4")
DETAIL: dict[str, Any] = META | {
    "facts": Either(FOUND, {"status": "pending"}),
    "preview": PREVIEW,
    "used": {
        "runs": [
            {
                "run_id": RUN_ID,
                "as": ["output"],
                "owner": "owner",
                "recipe": "beat-sync",
                "recipe_cid": CID,
                "status": "completed",
                "provenance_cid": CID,
                "links": {"self": f"/runs/{RUN_ID}"},
            }
        ],
        "recipes": [{"recipe_id": CID, "name": "beat-sync", "links": {"self": f"/recipes/{CID}"}}],
    },
    "copies": [
        {
            "storage_id": "7d0f…",
            "name": "my bucket",
            "kind": "s3",
            "state": "made",
            "location": f"s3://bucket/{CID}",
            "reason": None,
            "progress": PROGRESS,
            "updated_at": TIME,
            "links": {"storage": "/storage/7d0f…"},
        }
    ],
}
DETAILS = answers(DETAIL, 400, 401, 404, 412, 416) | RANGED | GONE
DETAILS[200]["content"]["application/octet-stream"] = {"example": "(bytes)"}
for _kind in (ACTIVITY_JSON, LD_JSON.partition(";")[0]):
    DETAILS[200]["content"][_kind] = {"example": PUBLISHED_OBJECT}
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(description="`next` of the page before")]


class Description(Addressed):
    """What you say of content: JSON merge patch (RFC 7396). What is left out stays, null takes away."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"name": "cat", "description": "A cat, dancing", "tags": ["animal", "dance"]}},
    )

    name: str | None = Field(None, max_length=NAME_CHARACTERS)
    description: str | None = Field(None, max_length=DESCRIPTION_CHARACTERS)
    tags: list[Tag] | None = Field(None, max_length=TAGS, description="Replaces all of them")

    @field_validator("tags")
    @classmethod
    def _printable(cls, value: list[str] | None) -> list[str] | None:
        if wrong := [tag for tag in value or () if not tag.isprintable()]:
            raise ValueError(f"{wrong[0]!r} has to be made of printable characters only")
        return value


# --- in -------------------------------------------------------------------------------------------------------------


@router.post(
    "/cache/upload",
    summary="Upload a file",
    status_code=201,
    openapi_extra=UPLOAD_BODY,
    responses=answers(Either(UPLOADED, {"files": [UPLOADED]}), 401, 413, 422, 507, status=201, pending=True),
)
async def upload(request: Request, parts: Parts, user: User) -> Response:
    """Store files. They are hashed while they come; what does not come whole leaves nothing.

    With several files the answer is `{"files": […]}`, each as in the example. For uploads that go on after an
    interruption see `/cache/uploads`.
    """
    announced = request.headers.get("content-length", "")
    least = max(0, int(announced) - FORM_OVERHEAD) if announced.isdigit() else 0
    async with within_quota(parts, user, least) as limit:
        form = await receive_form(request, parts.blobs, limit)
    if not form.files:
        raise refused("file", "", "there: send at least one file in the form")
    name = form.fields.get("name", "").strip()
    check_name(name, len(form.files))
    fingerprint = "\0".join([name, *(file.cid for file in form.files)])
    command_id = await parts.issuer.command_id(request, user, fingerprint.encode())
    stored = [
        await book(parts, request, file, "upload", user, name, f"{command_id}-{index}")
        for index, file in enumerate(form.files)
    ]
    if len(stored) == 1:
        return Json(stored[0], 201, {"Location": f"/cache/{stored[0]['cid']}"})
    return Json({"files": stored}, 201)


@router.post(
    "/cache/import",
    summary="Import local files",
    status_code=201,
    responses=answers(Either({"files": [UPLOADED]}, UPLOADED), 401, 404, 413, 422, 507, status=201, pending=True),
)
async def import_files(
    request: Request,
    parts: Parts,
    user: User,
    path: Annotated[str, Query(max_length=4096, description="Of a file or folder on the server's machine")],
    name: Annotated[str, Query(max_length=NAME_CHARACTERS, description="What you call it; for a single file")] = "",
) -> Response:
    """Store a file that the server can see, or all files in a folder. Only below `ARTDAG_IMPORT_DIRS`, through no link.

    With a folder the answer is `{"files": […]}`, `filename` being the path in the folder; else it is that of the file.
    Where one of them is refused, those before it stay.
    """
    command_id = await parts.issuer.command_id(request, user, b"")
    check_name(name)
    stored: list[dict[str, Any]] = []
    with opened(path, parts.settings.import_dirs) as (folder, found):
        if folder and name:
            raise refused("name", name, "for a single file; a folder's files are named one by one")
        while file := await asyncio.to_thread(_next, found):
            if len(stored) == FILES:
                raise refused("path", path[:200], f"a folder of at most {FILES} files")
            await check_room(parts, user, file.size_bytes)
            kept = await _keep(parts, file)
            stored.append(await book(parts, request, kept, "import", user, name, f"{command_id}-{kept.cid}"))
    if not folder:
        return Json(stored[0], 201, {"Location": f"/cache/{stored[0]['cid']}"})
    return Json({"files": stored}, 201)


def _next(found: Iterator[Found]) -> Found | None:
    return next(found, None)


async def _keep(parts: Gateway, file: Found) -> Uploaded:
    most = parts.settings.max_upload_bytes
    if file.size_bytes > most:
        raise too_large(most)
    head, size = b"", 0
    async with parts.blobs.writer() as writer:
        while data := await asyncio.to_thread(os.read, file.descriptor, READ_BYTES):
            head = head or data[:SIGNATURE_BYTES]
            size += len(data)
            if size > most:  # it grows while it is read
                raise too_large(most)
            await writer.write(data)
        blob = await writer.commit()
    return Uploaded("path", file.name, blob.cid, blob.size_bytes, media_type(head))


# --- lists ----------------------------------------------------------------------------------------------------------


@router.get(
    "/cache",
    summary="List content, newest first",
    responses=answers({"objects": [META], "total": 1, "next": None}, 401, 422),
)
async def list_objects(
    parts: Parts,
    viewer: Viewer,
    owner: Whose,
    limit: Limit = 50,
    cursor: Cursor = None,
    type: Annotated[  # noqa: A002  (the name of the parameter)
        str | None, Query(max_length=100, description="Media type, or its first half", examples=["video"])
    ] = None,
    name: Annotated[str | None, Query(max_length=NAME_CHARACTERS, description="Part of a name")] = None,
    tag: Annotated[str | None, Query(max_length=64)] = None,
    origin: Annotated[str | None, Query(max_length=40, description="upload, import, step, plan …")] = None,
    kept: Annotated[bool, Query(description="Only what came in, and what runs gave in the end")] = False,
) -> Response:
    """One page of your content and of published content, what came last first; `next`: cursor of the next page."""
    chosen = Filter((type,) if type else None, name or None, tag or None, origin or None, owner, kept)
    rows, total, following = await page_of(parts, viewer, limit, cursor, chosen)
    return Json(page_view("objects", await meta_views(parts, rows, viewer), total, following))


async def page_of(
    parts: Gateway, viewer: str, limit: int, cursor: str | None, chosen: Filter
) -> tuple[list[ObjectRow], int, int | None]:
    """Return a page of the content that a viewer sees, how much that is, and the cursor of the following page."""
    rows, total = await objects.newest(parts.pool, viewer, limit + 1, read_cursor(cursor), chosen)
    return rows[:limit], total, rows[limit - 1].position if len(rows) > limit else None


@router.get(
    "/assets",
    summary="List known assets",
    responses=answers({"assets": [ASSET], "total": 1, "next": None}, 401, 422),
)
async def list_assets(parts: Parts, viewer: Viewer, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Content that you gave a name, or that is published under one; named last first.

    Recipes and runs may use these names instead of CIDs. Yours come before others'.
    """
    rows, total = await objects.named(parts.pool, viewer, limit + 1, read_cursor(cursor))
    page = rows[:limit]
    following = page[-1]["place"] if len(rows) > limit else None
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


# --- one ------------------------------------------------------------------------------------------------------------


@router.get("/cache/{cid}", summary="Get content details", responses=DETAILS)
async def get_details(request: Request, cid: Cid, parts: Parts, viewer: Viewer) -> Response:
    """All that is known: what it is and is called, what it holds, where it can be seen, which runs and recipes use it.

    `copies`: at your storage providers; `progress`, as in `/storage/{storage_id}/copies`, while one is being made.

    Asked for as `application/octet-stream`, the bytes themselves, as this address gave them earlier. Asked for as
    `application/activity+json`, the object that it is published as; 410 with a `Tombstone` if it is so no longer.
    """
    if BYTES_ONLY.match(request.headers.get("accept", "")):
        return await get_raw(request, cid, parts, viewer)
    if activity_type := prefers_activity(request.headers.get("accept", "")):
        return await object_of(parts, parse_cid(cid), activity_type)
    row = await known(parts, cid, viewer)
    (meta,), (facts,), used, copies = await asyncio.gather(
        meta_views(parts, [row], viewer),
        facts_views(parts, [row]),
        uses_view(parts, row.cid, viewer),
        copies_view(parts, row.cid, viewer),
    )
    if facts is None and row.media_type.partition("/")[0] in FACTS.of and has(row, FACTS):
        await look_into(parts, request, row.cid, row.media_type)
        facts = {"status": "pending"}
    return Json(meta | {"facts": facts, "preview": preview_view(row, facts), "used": used, "copies": copies})


@router.get("/cache/{cid}/meta", summary="Get content metadata", responses=answers(META, 400, 401, 404) | SAME)
async def get_meta(request: Request, cid: Cid, parts: Parts, viewer: Viewer) -> Response:
    """What it is, where it came from, and what is said of it. The `ETag` is what `If-Match` of a change takes."""
    return await _meta(request, parts, await known(parts, cid, viewer), viewer)


async def _meta(request: Request, parts: Gateway, row: ObjectRow, viewer: str) -> Response:
    (meta,) = await meta_views(parts, [row], viewer)
    tag = entity_tag(meta)
    headers = {"ETag": tag, "Vary": "Authorization, Cookie", "Cache-Control": "no-cache"}
    if request.method == "GET" and matches(request.headers.get("if-none-match", ""), tag):
        return Response(None, 304, headers)
    return Json(meta, 200, headers)


@router.patch(
    "/cache/{cid}/meta",
    summary="Update metadata",
    responses=answers(META, 400, 401, 404, 412, 422, pending=True),
)
async def patch_meta(request: Request, cid: Cid, body: Description, parts: Parts, user: User) -> Response:
    """Name, description and tags are yours: others keep theirs. With `If-Match`, only if nothing changed since."""
    command_id = await parts.issuer.command_id(request, user, await request.body())
    row = await own(parts, cid, user, "describe")
    body.check(row.cid)
    name = (body.name or "").strip()
    check_name(name)
    fields = tuple(each for each in ("name", "description", "tags") if each in body.model_fields_set)
    said = (fields, name, body.description or "", tuple(sorted(set(body.tags or ()))))
    resource, conditional = f"/cache/{row.cid}/meta", request.headers.get("if-match", "*").strip() != "*"
    for attempt in range(ATTEMPTS):
        each_id = f"{command_id}-{attempt}" if attempt else command_id
        if conditional and await parts.issuer.handled(each_id) is None:  # else this very request changed it
            check_unchanged(request.headers, entity_tag((await meta_views(parts, [row], user))[0]))
        command = DescribeObject(row.cid, user, *said, row.version if conditional else 0)
        try:
            done = await parts.issuer.issue(command, each_id, resource, patience_of(request))
            break
        except PreconditionFailedError as error:  # perhaps by another, who says other things of the same content
            row = await version_of(parts, row, int(error.values["version"]))
    else:
        raise PreconditionFailedError(f"{row.cid} changed {ATTEMPTS} times meanwhile", cid=row.cid)
    return await _meta(request, parts, await version_of(parts, row, int(done.get("version", 0))), user)


@router.get(
    "/cache/{cid}/raw",
    summary="Download raw content",
    responses=answers("(bytes)", 400, 401, 404, 412, 416, media_type="*/*") | RANGED,
)
@router.head("/cache/{cid}/raw", summary="Ask for size and type", responses=answers("", 400, 401, 404, 412) | SAME)
async def get_raw(request: Request, cid: Cid, parts: Parts, viewer: Viewer) -> Response:
    """The bytes, whole or a range of them (`Range`, `If-Range`); the CID is the `ETag` (`If-None-Match`)."""
    row = await known(parts, cid, viewer)
    end = extension(row.media_type)
    name = await title_of(parts, row, viewer)
    filename = name if name.endswith(f".{end}") else f"{name}.{end}"
    return ContentResponse(request, await parts.blobs.path(row.cid), row.cid, row.media_type, filename)
