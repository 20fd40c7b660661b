"""``/storage``: places of one's own that get a copy of what is one's own; and what the server may forget."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from artdag_common.domain.retention import OPERATOR
from artdag_common.domain.storage_kinds import KINDS
from services.gateway.web import pages
from services.gateway.web.asking import ask, who
from services.gateway.web.pages import aliases, page
from services.gateway.web.words import address

router = pages.router()
data = aliases({"/storage/{storage_id}/edit": "/storage/{storage_id}"})

PAGE = 25
STATES = ("made", "waiting", "failed")
STANDING = {
    "ready": "It works.",
    "away": "It does not answer. Its copies wait, and are tried again by themselves.",
    "refused": "It answers and says no. Nothing is tried before you test it, change it, or have it try again.",
    "disabled": "It is turned off: nothing new is copied there.",
}
"""What the status of a place means."""

KINDS_TOLD = [(kind.name, kind.label, kind.description) for kind in KINDS.values()]


@router.get("/storage")
async def places(request: Request, cursor: str = "") -> Response:
    """All places of whoever looks, what they take here, and what kinds of places there are."""
    found, usage = await asyncio.gather(
        ask(request, "/storage", {"limit": PAGE, "cursor": cursor}), ask(request, "/api/usage")
    )
    return await page(
        request,
        "storage.html",
        found=found,
        usage=usage,
        kinds=KINDS_TOLD,
        operator=await who(request) == OPERATOR,
        here=_list(cursor),
        following=_list(found["next"]) if found["next"] else "",
    )


def _list(cursor: str) -> str:
    """Return where this page of the list is."""
    return f"/storage?{address({'cursor': cursor})}" if cursor else "/storage"


@router.get("/storage/type/{kind}")
async def new(request: Request, kind: str) -> Response:
    """The form for a place of this kind."""
    form = await ask(request, f"/storage/type/{kind}")
    return await page(request, "storage_new.html", form=form, kinds=KINDS_TOLD, place=None)


@router.get("/storage/{storage_id}")
async def place(request: Request, storage_id: str, state: str = "", cursor: str = "") -> Response:
    """One place: how it stands, and each copy there."""
    found, copies = await asyncio.gather(
        ask(request, f"/storage/{storage_id}"),
        ask(request, f"/storage/{storage_id}/copies", {"limit": PAGE, "state": state, "cursor": cursor}),
    )
    base = f"/storage/{storage_id}"
    return await page(
        request,
        "storage_place.html",
        place=found,
        form=await ask(request, f"/storage/type/{found['type']}"),
        copies=copies,
        base=base,
        standing=STANDING.get(found["status"], ""),
        states=[(each, _copies(base, each), each == state) for each in ("", *STATES)],
        state=state,
        address=_copies(base, state, cursor),
        following=_copies(base, state, copies["next"]) if copies["next"] else "",
    )


def _copies(base: str, state: str, cursor: str = "") -> str:
    """Return where the page of a place lists its copies in this state."""
    query = address({"state": state, "cursor": cursor})
    return f"{base}?{query}" if query else base


@router.get("/storage/{storage_id}/edit")
async def edit(request: Request, storage_id: str) -> Response:
    """The form that changes it."""
    found = await ask(request, f"/storage/{storage_id}")
    form = await ask(request, f"/storage/type/{found['type']}")
    return await page(request, "storage_edit.html", place=found, form=form)


@router.get("/cache/gc")
async def garbage(request: Request, older_than_days: str = "") -> Response:
    """What nobody needs. For the operator."""
    report = await ask(request, "/cache/gc", {"older_than_days": older_than_days})
    return await page(request, "garbage.html", report=report, days=older_than_days)
