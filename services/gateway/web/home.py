"""``/``: what this server is, what it works on now, what came last, and where to begin."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.estimating import left
from services.gateway.parts import Gateway
from services.gateway.web import pages
from services.gateway.web.asking import ask, who
from services.gateway.web.pages import page, signed_in

router = pages.router()

GOING = ("running", "analyzing", "requested", "paused")
"""States of runs that are worked on, or will be."""

Runs = list[dict[str, Any]]
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
    now, over = parted(newest["runs"], [found["runs"] for found in going])
    return await page(
        request,
        "home.html",
        info=info,
        l2_server=parts.settings.l2_server,
        totals={"recipes": recipes["total"], "effects": effects["total"], "runs": newest["total"]},
        media=media,
        now=now,
        left=await left(parts.pool, now, datetime.now(UTC)),
        going=sum(found["total"] for found in going),
        over=over,
        steps=await _steps(request) if me else None,
        user=await who(request),
    )


def parted(newest: Runs, going: Sequence[Runs]) -> tuple[Runs, Runs]:
    """Return the runs that go on, and those that are over; none twice, though all were asked for at the same time.

    Args:
        newest: of all runs.
        going: those in each of the states of :data:`GOING`.
    """
    over = [run for run in newest if run["status"] not in GOING]
    told = {run["run_id"] for run in over}
    now = {run["run_id"]: run for runs in going for run in runs if run["run_id"] not in told}
    return list(now.values()), over


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
