"""From a request to a run: find the recipe, make it known where it is new, bind the inputs, ask for the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request
from starlette.responses import Response

from artdag_common.commands import RegisterRecipe, StartRun
from artdag_common.domain.graph import Graph
from services.gateway.issuing import patience_of, run_id_of
from services.gateway.naming import Sketch
from services.gateway.parts import Gateway
from services.gateway.problems import Json
from services.gateway.projections import recipes, runs
from services.gateway.projections.runs import RunRow
from services.gateway.views import run_url, run_view

OWN_WRITES_SECONDS = 1.0
"""How long an answer waits for the read models, so that a client finds what it just made."""


async def register(parts: Gateway, request: Request, sketch: Sketch, owner: str, command_id: str) -> str:
    """Store a recipe as content, make it known, and return its id."""
    graph = sketch.graph
    source = await parts.blobs.put(sketch.source)
    recipe = await parts.blobs.put(graph.canonical())
    command = RegisterRecipe(recipe.cid, source.cid, graph.name, graph.version, graph.description, owner)
    await parts.issuer.issue(command, command_id, f"/recipes/{recipe.cid}", patience_of(request))
    return recipe.cid


async def launch(
    parts: Gateway,
    request: Request,
    owner: str,
    reference: str,
    inputs: Any,
    output_name: str,
    hold: bool = False,
) -> str:
    """Start a run and return its id.

    Args:
        reference: recipe id, recipe name, effect name, or the recipe itself as YAML.
        inputs: see :meth:`Names.bind`.
    """
    command_id = await parts.issuer.command_id(request, owner, await request.body())
    found = await parts.names.recipe_or_sketch(reference, owner)
    if isinstance(found, Sketch):
        graph: Graph = found.graph
        bound = await parts.names.bind(graph, inputs, owner)
        recipe_cid = await register(parts, request, found, owner, f"{command_id}-recipe")
    else:
        recipe_cid = found.cid
        bound = await parts.names.bind(await parts.names.graph(recipe_cid), inputs, owner)
    run_id = run_id_of(command_id)
    command = StartRun(run_id, recipe_cid, owner, bound, output_name, hold)
    await parts.issuer.issue(command, command_id, run_url(run_id), patience_of(request))
    return run_id


async def seen(
    parts: Gateway,
    run_id: str,
    timeout: float = OWN_WRITES_SECONDS,
    enough: Callable[[RunRow], bool] = lambda run: True,
) -> RunRow | None:
    """Return a run as soon as the read models show it, and it is as it should be; else as it is after the time-out."""

    async def check() -> RunRow | None:
        run = await runs.find(parts.pool, run_id)
        return run if run is not None and enough(run) else None

    return await parts.projector.until(check, timeout) or await runs.find(parts.pool, run_id)


async def gone(parts: Gateway, run_id: str) -> None:
    """Wait until the read models show that a run is deleted."""

    async def check() -> bool:
        return await runs.find(parts.pool, run_id) is None

    await parts.projector.until(check, OWN_WRITES_SECONDS)


async def recipe_seen(parts: Gateway, owner: str, cid: str, present: bool = True) -> None:
    """Wait until the read models show that an owner has a recipe, or has it no more."""

    async def check() -> bool:
        row = await recipes.find(parts.pool, owner, cid)
        return (row is not None and row.owner == owner) is present

    await parts.projector.until(check, OWN_WRITES_SECONDS)


async def created(parts: Gateway, run_id: str) -> Response:
    """Return the answer to a request that started a run."""
    run = await seen(parts, run_id)
    body = run_view(run) if run else {"run_id": run_id, "status": "requested", "links": {"self": run_url(run_id)}}
    return Json(body, 201 if run else 202, {"Location": run_url(run_id)})
