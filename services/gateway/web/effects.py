"""``/effects``: what changes pictures: built in, or brought by people; each with a form to try it."""

from __future__ import annotations

import mimetypes
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from services.gateway.web import pages
from services.gateway.web.asking import ask, read, told, who
from services.gateway.web.controls import parameters
from services.gateway.web.pages import page
from services.gateway.web.recipe import run_form

router = pages.router()
pictures = APIRouter(include_in_schema=False)

PAGE = 60
PICTURES = Path(__file__).resolve().parents[3] / "docs" / "effects"
"""In the repository: what each built-in effect makes of one picture."""

SIZE: dict[str, Any] = {"width": 774, "height": 216}
"""Of these."""

KEPT = {"Cache-Control": "public, max-age=86400"}
APPLY = "apply"
"""The node that applies an effect which is run by itself (:func:`artdag_common.domain.recipe_yaml.effect_recipe`)."""


@router.get("/effects")
async def effects(request: Request, name: str = "", owner: str = "", cursor: str = "") -> Response:
    """One page of effects: those that people brought, then the built-in ones."""
    asked = {"limit": PAGE, "name": name, "owner": owner, "cursor": cursor}
    found = await ask(request, "/effects", asked)
    shown = {"found": found, "name": name, "owner": owner, "shown_as": _pictures()}
    return await page(request, "effects.html", **shown, **SIZE)


@router.get("/effects/{effect}")
async def effect(request: Request, effect: str) -> Response:
    """What it does, what it can be given, its source, and a form that applies it."""
    found = await ask(request, f"/effects/{effect}")
    picture = _pictures().get(found["name"]) if found["builtin"] else None
    own = not found["builtin"] and found["owner"] == await who(request)
    publication = await told(request, f"/cache/{found['cid']}/publish") if own else None
    shown = {
        "effect": found,
        "parameters": parameters(found["params"]),
        "source": await read(request, f"/effects/{found['cid']}/source"),
        "picture": picture,
        "own": own,
        "published": publication["published"] if publication else None,
        "form": await _trial(request, found),
    }
    return await page(request, "effect.html", **shown, **SIZE)


@pictures.get("/effects/{effect}/picture")
async def picture(effect: str) -> Response:
    """What a built-in effect makes of a picture."""
    if effect not in _pictures():
        raise HTTPException(404)
    file = PICTURES / f"{effect}.jpg"
    return FileResponse(file, media_type=mimetypes.guess_type(file.name)[0], headers=KEPT)


async def _trial(request: Request, effect: dict[str, Any]) -> dict[str, Any] | None:
    """Return the form that runs an effect by itself; None: it cannot be, one of its parameters has to be given."""
    properties = effect["params"]["properties"]
    if effect["params"]["required"]:
        return None
    config = {"effect": effect["cid"], "params": {name: each.get("default") for name, each in properties.items()}}
    kind = "any" if effect["kind"] == "media" else "video"
    reads = [{"name": "input", "type": kind, "description": "", "default": None, "list": False, "node": "input"}]
    return await run_form(request, effect["cid"], reads, [{"id": APPLY, "type": "EFFECT", "config": config}])


@cache
def _pictures() -> dict[str, str]:
    return {file.stem: f"/effects/{quote(file.stem)}/picture" for file in sorted(PICTURES.glob("*.jpg"))}
