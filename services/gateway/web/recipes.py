"""``/recipes``: what can be run, newest first; where there is nothing yet, the examples."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from artdag_common.domain.recipe_yaml import parse_recipe
from services.gateway.web import pages
from services.gateway.web.asking import Name, ask, told
from services.gateway.web.pages import page

router = pages.router()

PAGE = 24
Chosen = Annotated[list[Name], Query(default_factory=list, max_length=50)]
"""CIDs of media that a recipe is to be run on."""

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "recipes"
"""In the repository; a server that was installed without it has none to offer."""


@dataclass(frozen=True, slots=True)
class Example:
    """A recipe to begin with: its YAML, and what that says of itself."""

    name: str
    description: str
    source: str


@cache
def examples() -> tuple[Example, ...]:
    """Return the recipes that come with the server, by name."""
    found = []
    for file in sorted(EXAMPLES.glob("*.yaml")):
        source = file.read_text()
        said = parse_recipe(source)
        found.append(Example(said.name, said.description, source))
    return tuple(found)


@router.get("/recipes")
async def recipes(request: Request, media: Chosen, name: str = "", owner: str = "", cursor: str = "") -> Response:
    """One page of recipes, with their inputs at a glance; ``media``: what one is looked for to be used with."""
    asked = {"limit": PAGE, "name": name, "owner": owner, "cursor": cursor}
    found = await ask(request, "/recipes", asked)
    details = await asyncio.gather(*(detail(request, each) for each in found["recipes"]))
    shown = {"found": found, "recipes": details, "name": name, "owner": owner, "examples": examples(), "media": media}
    return await page(request, "recipes.html", **shown)


@router.get("/recipes/{recipe}")
async def elsewhere(recipe: str) -> Response:
    """Pages of one recipe have addresses of their own; those of data lead there too."""
    return RedirectResponse(f"/recipe/{quote(recipe, safe='')}")


async def detail(request: Request, recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe of a list with its inputs and nodes; where its content is gone, without nodes."""
    return await told(request, f"/recipes/{recipe['recipe_id']}") or recipe | {"inputs": [], "nodes": []}
