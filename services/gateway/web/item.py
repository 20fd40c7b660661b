"""``/cache/{cid}``: one thing of content, shown as what it is, with all that is known and can be done about it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from artdag_common.errors import ArtdagError
from services.gateway.parts import Gateway
from services.gateway.visibility import is_own
from services.gateway.web import pages
from services.gateway.web.asking import ask, passed_on, who
from services.gateway.web.beginnings import READ_BYTES, Beginning, beginning_of
from services.gateway.web.pages import page

router = pages.router()

PLAYED = ("video", "audio", "image")
DERIVED = (
    ("thumbnail", "Thumbnail", "?width=1280"),
    ("poster", "Strip of frames", ""),
    ("waveform", "Waveform", ""),
    ("spectrogram", "Spectrogram", ""),
)


@router.get("/cache/{cid}")
async def item(request: Request, cid: str) -> Response:
    """Seen, described, downloaded, published, deleted."""
    it = await ask(request, f"/cache/{cid}")
    here = f"/cache/{it['cid']}"
    own = await _own(request, it["cid"])
    meta, standing, beginning = await asyncio.gather(
        passed_on(request, f"{here}/meta"), _standing(request, here, own), _beginning(request, it)
    )
    pictures = [(label, f"{it['preview'][kind]}{query}") for kind, label, query in DERIVED if kind in it["preview"]]
    return await page(
        request,
        "item.html",
        it=it,
        here=here,
        own=own,
        etag=meta.headers.get("etag", "*"),
        standing=standing,
        beginning=beginning,
        pictures=pictures,
    )


async def _own(request: Request, cid: str) -> bool:
    """Return whether whoever looks may describe, publish and delete it."""
    parts: Gateway = request.app.state.gateway
    user = await who(request)
    return bool(user) and await is_own(parts.pool, user, cid)


async def _standing(request: Request, here: str, own: bool) -> dict[str, Any]:
    found: dict[str, Any] = await ask(request, f"{here}/publish") if own else {"state": "none", "published": None}
    return found


async def _beginning(request: Request, it: dict[str, Any]) -> Beginning | None:
    """Return what data begins with; None for what is seen or heard, and where its bytes are out of reach."""
    if it["media_type"].partition("/")[0] in PLAYED:
        return None
    parts: Gateway = request.app.state.gateway
    try:
        path = await parts.blobs.path(it["cid"])
        return await asyncio.to_thread(_read, path, it["size_bytes"])
    except (ArtdagError, FileNotFoundError):
        return None


def _read(path: Path, size: int) -> Beginning:
    with path.open("rb") as file:
        return beginning_of(file.read(READ_BYTES), size)
