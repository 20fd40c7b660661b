"""The page on which people look at the API and try it: Swagger UI, all of it from here."""

from __future__ import annotations

import base64
import hashlib
import re

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse

ASSETS = "/static-offline-docs"
"""Where :mod:`fastapi_offline` serves the files of Swagger UI."""

SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def page_of(app: FastAPI) -> APIRouter:
    """Return the route of the page. Of scripts it allows those files, and by its hash the one that begins."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=app.title,
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS}/favicon.png",
    )
    text = bytes(page.body).decode()
    hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in SCRIPT.findall(text)]
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    policy = (
        f"default-src 'none'; script-src 'self' {allowed}; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    return router
