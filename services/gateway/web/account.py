"""``/auth/revoke``: what ends a sign-in. Who is signed in, and as whom, is on the pages of :mod:`..api.auth`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.web import pages
from services.gateway.web.pages import NO_STORE, page

router = pages.router()


@router.get("/auth/revoke")
async def revoke(request: Request) -> Response:
    """What can be revoked, and what that means. Programs send ``POST`` here."""
    return await page(request, "account_revoke.html", headers=NO_STORE)
