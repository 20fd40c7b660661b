"""``/download/client``: how the command line client is got and used."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.api.client import NAME, client_for
from services.gateway.parts import Gateway
from services.gateway.web import pages
from services.gateway.web.pages import page

router = pages.router()


@router.get("/download/client")
async def download(request: Request) -> Response:
    """What it does, and the button that fetches it."""
    parts: Gateway = request.app.state.gateway
    url = parts.settings.public_url.rstrip("/")
    size_bytes = len(client_for(parts.settings.public_url).encode())
    return await page(request, "client.html", url=url, name=NAME, size_bytes=size_bytes)
