"""``/recipes/new`` and ``/recipe/{id}/edit``: a recipe is written, checked while it is, and its DAG drawn.

Saving never changes a recipe: it makes another, under its own id. Without scripts the text is there to be read.
"""

from __future__ import annotations

import secrets
from typing import Any

import orjson
import yaml
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.headers import PAGE_POLICY
from services.gateway.web import pages
from services.gateway.web.asking import RefusedError, ask, passed_on
from services.gateway.web.pages import page
from services.gateway.web.recipes import examples

router = pages.router()

STYLES = "style-src 'self'"
FIRST = """name: my-recipe
version: "1.0"
description: ""

inputs:
  video:
    type: video
    description: "The footage"

steps:
  - id: result
    type: EFFECT
    inputs: [video]
    config:
      effect: bloom

output: result
"""
"""What a new recipe begins with."""


@router.get("/recipes/new")
async def new(request: Request, example: str = "") -> Response:
    """A recipe that is not there yet; ``example`` names one to begin with."""
    begun = next((each.source for each in examples() if each.name == example), FIRST)
    return await _editor(request, begun, None, example)


@router.get("/recipe/{recipe}/edit")
async def edit(request: Request, recipe: str) -> Response:
    """A recipe that is there, to make another of it."""
    found = await ask(request, f"/recipes/{recipe}")
    source = await passed_on(request, found["source_url"])
    if source.status_code >= 400:
        raise RefusedError(orjson.loads(source.body), {})
    return await _editor(request, readable(bytes(source.body).decode("utf-8", "replace")), found, "")


def readable(source: str) -> str:
    """Return a recipe as people write it: one that a program wrote in JSON as the same YAML in lines."""
    if not source.lstrip().startswith("{"):
        return source
    try:
        document = orjson.loads(source)
    except ValueError:
        return source
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


async def _editor(request: Request, source: str, recipe: dict[str, Any] | None, example: str) -> Response:
    if request.headers.get("hx-request") == "true":  # the page has a policy of its own, so it has to be loaded whole
        where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return Response(None, 204, {"HX-Redirect": where})
    nonce = secrets.token_urlsafe(16)
    policy = PAGE_POLICY.replace(STYLES, f"{STYLES} 'nonce-{nonce}'")
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    shown: dict[str, Any] = {
        "source": source,
        "recipe": recipe,
        "examples": examples(),
        "example": example,
        "nonce": nonce,
    }
    return await page(request, "editor.html", headers=headers, **shown)
