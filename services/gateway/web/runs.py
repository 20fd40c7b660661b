"""``/runs``: all runs, newest first."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.web import pages
from services.gateway.web.asking import ask
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
    asked = {"status": status, "owner": owner, "published": "true" if published else ""}
    found = await ask(request, "/runs", {"limit": PAGE, "cursor": cursor, **asked})
    return await page(
        request,
        "runs.html",
        found=found,
        user=(await ask(request, "/auth"))["user"],
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
    text = urlencode({name: value for name, value in query.items() if value})
    return f"/runs?{text}" if text else "/runs"
