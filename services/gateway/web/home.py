"""``/``: what this server is, what it works on now, what came last, and where to begin."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.parts import Gateway
from services.gateway.web import pages
from services.gateway.web.asking import ask
from services.gateway.web.pages import page, signed_in

router = pages.router()

GOING = ("running", "analyzing", "requested", "paused")
"""States of runs that are worked on, or will be."""

RUNS = 5
MEDIA = 8
"""How many of the newest are shown."""


@router.get("/")
async def home(request: Request) -> Response:
    """The server, what goes on, the newest; to whoever is new here, the first three things to do."""
    parts: Gateway = request.app.state.gateway
    me = await signed_in(request)
    info, effects, media, recipes, newest, *going = await asyncio.gather(
        ask(request, "/"),
        ask(request, "/effects", {"limit": 1}),
        ask(request, "/media", {"limit": MEDIA}),
        ask(request, "/recipes", {"limit": 1}),
        ask(request, "/runs", {"limit": RUNS}),
        *(ask(request, "/runs", {"limit": RUNS, "status": status}) for status in GOING),
    )
    now = [run for found in going for run in found["runs"]]
    over = [run for run in newest["runs"] if run["status"] not in GOING]
    return await page(
        request,
        "home.html",
        info=info,
        l2_server=parts.settings.l2_server,
        totals={"recipes": recipes["total"], "effects": effects["total"], "runs": newest["total"]},
        media=media,
        now=now,
        going=sum(found["total"] for found in going),
        over=over,
        steps=await _steps(request) if me else None,
        user=(await ask(request, "/auth"))["user"],
    )


async def _steps(request: Request) -> dict[str, bool]:
    """Return which of the first things somebody has done here."""
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "media": ("/cache", {"origin": "upload"}),
        "recipe": ("/recipes", {}),
        "run": ("/runs", {"status": "completed"}),
    }
    found = await asyncio.gather(
        *(ask(request, path, {"owner": "me", "limit": 1, **query}) for path, query in asked.values())
    )
    return {name: bool(each["total"]) for name, each in zip(asked, found, strict=True)}
