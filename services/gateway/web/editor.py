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
from services.gateway.web import pages, reference
from services.gateway.web.asking import ask, read
from services.gateway.web.pages import here, page
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
    chosen = next((each for each in examples() if each.name == example), None)
    return await _editor(request, chosen.source if chosen else FIRST, None, chosen.name if chosen else "")


@router.get("/recipe/{recipe}/edit")
async def edit(request: Request, recipe: str) -> Response:
    """A recipe that is there, to make another of it."""
    found = await ask(request, f"/recipes/{recipe}")
    return await _editor(request, readable(await read(request, found["source_url"])), found, "")


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
        return Response(None, 204, {"HX-Redirect": here(request)})
    nonce = secrets.token_urlsafe(16)
    policy = PAGE_POLICY.replace(STYLES, f"{STYLES} 'nonce-{nonce}'")
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    shown: dict[str, Any] = {
        "source": source,
        "recipe": recipe,
        "examples": examples(),
        "example": example,
        "nonce": nonce,
        "here": here(request),
        "step_types": reference.step_types(),
        "effects": reference.effects(),
    }
    return await page(request, "editor.html", headers=headers, **shown)
