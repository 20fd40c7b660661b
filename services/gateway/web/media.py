"""``/media``: the gallery."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.web import pages
from services.gateway.web.asking import ask
from services.gateway.web.pages import page

router = pages.router()

PAGE = 36
DATA = "data"
KINDS = (("", "All"), ("video", "Video"), ("audio", "Sound"), ("image", "Pictures"), (DATA, "Data"))
"""That people look for. The API's gallery holds what is seen and heard; other things are asked for beside."""


@router.get("/media")
async def media(
    request: Request, kind: str = "", name: str = "", tag: str = "", owner: str = "", cursor: str = ""
) -> Response:
    """One page of what people put in and got out."""
    asked: dict[str, Any] = {"name": name, "tag": tag, "owner": owner}
    here = {"limit": PAGE, "cursor": cursor, **asked}
    if kind == DATA:
        found = await ask(request, "/cache", here | {"type": "application", "kept": "true"})
        items = [each | {"facts": None, "preview": {}} for each in found["objects"]]
    else:
        found = await ask(request, "/media", here | {"kind": kind})
        items = found["media"]
    chosen = {key: value for key, value in ({"kind": kind} | asked).items() if value}
    kinds = [(each, label, {**chosen, "kind": each} if each else _without_kind(chosen)) for each, label in KINDS]
    following = {**chosen, "cursor": found["next"]} if found["next"] else {}
    shown = {"items": items, "total": found["total"], "following": following, "chosen": chosen}
    return await page(request, "media.html", kinds=kinds, kind=kind, **shown, **asked)


def _without_kind(chosen: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in chosen.items() if key != "kind"}
