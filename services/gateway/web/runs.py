"""``/runs``: all runs, newest first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.estimating import left
from services.gateway.parts import Gateway
from services.gateway.web import pages, words
from services.gateway.web.asking import ask, who
from services.gateway.web.pages import page

router = pages.router()

PAGE = 30
STATES = ("running", "completed", "failed", "cancelled", "paused", "planned")
"""That people look for."""


@router.get("/runs")
async def runs(
    request: Request, status: str = "", owner: str = "", published: bool = False, cursor: str = ""
) -> Response:
    """One page of runs, which keeps itself up to date."""
    parts: Gateway = request.app.state.gateway
    asked = {"status": status, "owner": owner, "published": "true" if published else ""}
    found = await ask(request, "/runs", {"limit": PAGE, "cursor": cursor, **asked})
    return await page(
        request,
        "runs.html",
        found=found,
        left=await left(parts.pool, found["runs"], datetime.now(UTC)),
        user=await who(request),
        states=[(each, _address(asked | {"status": each}), each == status) for each in ("", *STATES)],
        whose=[
            ("Everybody's", _address(asked | {"owner": "", "published": ""}), not (owner or published)),
            ("Mine", _address(asked | {"owner": "me", "published": ""}), owner == "me"),
            ("Published", _address(asked | {"owner": "", "published": "true"}), published),
        ],
        narrowed=bool(status or owner or published),
        status=status,
        address=_address({**asked, "cursor": cursor}),
        following=_address({**asked, "cursor": found["next"]}) if found["next"] else "",
    )


def _address(query: dict[str, Any]) -> str:
    """Return where runs are listed that are chosen so."""
    text = words.address(query)
    return f"/runs?{text}" if text else "/runs"
