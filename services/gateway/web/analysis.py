"""``/run/{id}/analysis``: what was heard and seen in a run's inputs, over their time."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.web import pages
from services.gateway.web.asking import ask, told
from services.gateway.web.moments import CURVES, facts_of, moments_of
from services.gateway.web.run import tab

router = pages.router()

SHOWN = 6
"""Analyses of one page."""

MOMENTS = 1000
"""Rows of a table; whoever wants more reads the document itself."""


@router.get("/run/{run_id}/analysis")
async def analysis(request: Request, run_id: str, after: int = 0) -> Response:
    """Each analysis drawn, with its medium to be played along, and as a table."""
    run, found = await asyncio.gather(ask(request, f"/runs/{run_id}"), ask(request, f"/api/run/{run_id}/analysis"))
    after = max(0, after)
    here = found["analyses"][after : after + SHOWN]
    inputs = await asyncio.gather(*(told(request, f"/cache/{each['input_cid']}") for each in here))
    shown = [_shown(each, medium, after + place) for place, (each, medium) in enumerate(zip(here, inputs, strict=True))]
    following = after + SHOWN if len(found["analyses"]) > after + SHOWN else 0
    return await tab(request, "analysis.html", run, analyses=shown, following=following, curves=CURVES)


def _shown(found: dict[str, Any], medium: dict[str, Any] | None, place: int) -> dict[str, Any]:
    result = found["result"]
    moments = moments_of(result)
    return {
        "place": place,
        "node": found["node"],
        "cid": found["cid"],
        "url": found["url"],
        "medium": medium,
        "facts": facts_of(result),
        "errors": result.get("errors") or {},
        "beats": bool(((result.get("audio") or {}).get("beats") or {}).get("beat_times")),
        "moments": moments[:MOMENTS],
        "more_moments": max(0, len(moments) - MOMENTS),
        "read": [place for place in range(len(CURVES)) if any(each.readings[place] is not None for each in moments)],
    }
