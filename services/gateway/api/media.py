"""The gallery: what people put in and got out that can be seen or heard."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.gateway.api.cache import FOUND, META, PREVIEW, Cursor, Limit, page_of
from services.gateway.api.documentation import answers
from services.gateway.api.shapes import Either
from services.gateway.contents import MEDIA, facts_views, meta_views, preview_view
from services.gateway.parts import Parts, Viewer, Whose
from services.gateway.problems import Json
from services.gateway.projections.objects import Filter
from services.gateway.views import page_view

router = APIRouter(tags=["cache"])

ITEM = META | {"kind": "video", "facts": Either(FOUND, {"status": "pending"}), "preview": PREVIEW}


@router.get(
    "/media",
    summary="Browse media, newest first",
    responses=answers({"media": [ITEM], "total": 1, "next": None}, 401, 422),
)
async def list_media(
    parts: Parts,
    viewer: Viewer,
    owner: Whose,
    limit: Limit = 50,
    cursor: Cursor = None,
    kind: Annotated[Literal["image", "video", "audio"] | None, Query(description="Only these")] = None,
    name: Annotated[str | None, Query(max_length=200, description="Part of a name")] = None,
    tag: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Uploads, imports, inputs and outputs of your runs, and what is published; with what they hold.

    Not what steps made on the way.
    """
    chosen = Filter((kind,) if kind else MEDIA, name or None, tag or None, owner=owner, kept=True)
    rows, total, following = await page_of(parts, viewer, limit, cursor, chosen)
    views, facts = await asyncio.gather(meta_views(parts, rows, viewer), facts_views(parts, rows))
    items = [
        view | {"kind": row.media_type.partition("/")[0], "facts": found, "preview": preview_view(row, found)}
        for row, view, found in zip(rows, views, facts, strict=True)
    ]
    return Json(page_view("media", items, total, following))
