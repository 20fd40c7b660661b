"""Copies at storage providers: how it stands with each content there, and what failed is tried again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from artdag_common.cid import parse_cid
from artdag_common.commands import CopyObject
from artdag_common.errors import ContentNotFoundError, InvalidRequestError
from services.gateway.api.documentation import answers
from services.gateway.api.storage import StorageId, shown, wanted
from services.gateway.api.storage_views import COPY, STORAGE, copy_view, storage_url
from services.gateway.issuing import patience_of
from services.gateway.parts import Parts, User
from services.gateway.problems import Json
from services.gateway.projections import storage
from services.gateway.projections.storage import STATES
from services.gateway.views import page_view, read_cursor

router = APIRouter(prefix="/storage", tags=["storage"])


@router.get(
    "/{storage_id}/copies",
    summary="List copies at a provider",
    responses=answers({"copies": [COPY], "total": 1, "next": None}, 401, 404, 422),
)
async def list_copies(
    storage_id: StorageId,
    parts: Parts,
    user: User,
    state: Annotated[str, Query(description=f"Only these: {', '.join(STATES)}", max_length=20)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """How it stands with each content there: made, waiting (with why, if an attempt failed), or failed and why.

    `progress`, while it is being made: how many bytes the place has taken so far, and of how many. Where a pinning
    service fetches the content by itself, `status` says whether it has begun: `queued` or `pinning`.
    """
    if state and state not in STATES:
        raise InvalidRequestError(
            f"state: {state!r} is not one of {', '.join(STATES)}",
            problems=[{"field": "state", "value": state, "problem": f"one of {', '.join(STATES)}"}],
        )
    row = await wanted(parts, storage_id, user)
    rows, total = await storage.copies(parts.pool, storage_id, limit + 1, read_cursor(cursor), state)
    page = rows[:limit]
    following = page[-1].position if len(rows) > limit else None
    now = parts.copying.now(row.storage_id)
    return Json(page_view("copies", [copy_view(each, now.get(each.cid)) for each in page], total, following))


@router.post(
    "/{storage_id}/retry",
    summary="Copy again what failed",
    responses=answers(STORAGE, 400, 401, 404, 409, pending=True),
)
async def retry(
    request: Request,
    storage_id: StorageId,
    parts: Parts,
    user: User,
    cid: Annotated[str, Query(description="Only this content", max_length=128)] = "",
) -> Response:
    """Ask again for all copies that failed there, or for one; and try at once what waits."""
    only = parse_cid(cid) if cid else ""
    command_id = await parts.issuer.command_id(request, user, b"")
    await wanted(parts, storage_id, user)
    if only and await storage.copy(parts.pool, storage_id, only) is None:
        raise ContentNotFoundError(f"{only} is not among the copies of this provider", cid=only)
    command = CopyObject(storage_id, user, only)
    await parts.issuer.issue(command, command_id, f"{storage_url(storage_id)}/copies", patience_of(request))
    return await shown(parts, await wanted(parts, storage_id, user))
