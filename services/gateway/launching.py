"""From a request to a run: find the recipe, make it known where it is new, bind the inputs, ask for the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asyncpg import Record
from fastapi import Request
from starlette.responses import Response

from artdag_common.commands import RegisterRecipe, StartRun
from artdag_common.domain.graph import Graph
from artdag_common.domain.recipe_changes import Parameters, blame, changed_source, computing, differences
from artdag_common.domain.run import InputBinding
from artdag_common.errors import InvalidRecipeError, InvalidRequestError
from services.gateway.issuing import patience_of, run_id_of
from services.gateway.naming import Sketch, nearest
from services.gateway.parts import Gateway
from services.gateway.problems import Json
from services.gateway.projections import recipes, runs
from services.gateway.projections.recipes import RecipeRow
from services.gateway.projections.runs import RunRow
from services.gateway.views import run_url, run_view

OWN_WRITES_SECONDS = 5.0
"""How long an answer waits for the read models, so that a client finds what it just made."""

PLANNING_SECONDS = 30.0
"""How long an answer waits for the plan of a run that is not to go on without being told to."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a run is to be rendered; its attributes are those of :class:`StartRun`.

    ``force``: nodes whose steps are computed again; True: all of them.
    """

    priority: str = ""
    force: tuple[str, ...] | bool = ()
    rerun_of: str = ""
    deadline_us: int = 0
    wait_timeout_ms: int = 0
    step_timeout_ms: int = 0


NOTHING_SPECIAL = Wishes()
NOTHING_MORE: Mapping[str, Any] = {}


async def register(parts: Gateway, request: Request, sketch: Sketch, owner: str, command_id: str) -> str:
    """Store a recipe as content, make it known, and return its id."""
    graph = sketch.graph
    source, recipe = await asyncio.gather(parts.blobs.put(sketch.source), parts.blobs.put(graph.canonical()))
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
    wishes: Wishes = NOTHING_SPECIAL,
    parameters: Parameters = NOTHING_MORE,
) -> str:
    """Start a run and return its id.

    Args:
        reference: recipe id, recipe name, effect name, or the recipe itself as YAML.
        inputs: see :meth:`Names.bind`.
        parameters: those that are not as the recipe says; they make another recipe of it.
    """
    command_id = await parts.issuer.command_id(request, owner, await request.body())
    found = await parts.names.recipe_or_sketch(reference, owner)
    if any(parameters.values()):
        graph = found.graph if isinstance(found, Sketch) else await parts.names.graph(found.cid)
        other = await changed(parts, graph, parameters, owner)
        found = other if differences(graph, other.graph) else found
    return await begin(parts, request, owner, command_id, found, inputs, output_name, hold, wishes)


async def changed(parts: Gateway, graph: Graph, parameters: Parameters, owner: str) -> Sketch:
    """Return a recipe with these parameters changed.

    Raises:
        InvalidRequestError: a node or a parameter does not exist, or a value breaks a rule: all of them are named.
    """
    try:
        return await parts.names.sketch(changed_source(graph, parameters), owner)
    except InvalidRecipeError as error:
        raise blame(graph, error.problems) from error


async def begin(
    parts: Gateway,
    request: Request,
    owner: str,
    command_id: str,
    recipe: RecipeRow | Sketch,
    inputs: Any,
    output_name: str,
    hold: bool,
    wishes: Wishes,
) -> str:
    """Start a run of a recipe that was found, or is to be registered, and return the run's id.

    Raises:
        InvalidRequestError: a node is to be computed again that there is not, or that computes nothing; or the run
            had to be over by now.
    """
    graph = recipe.graph if isinstance(recipe, Sketch) else await parts.names.graph(recipe.cid)
    forced = _forced(graph, wishes.force)
    await _check_deadline(parts, command_id, wishes)
    bound: Sequence[InputBinding] = await parts.names.bind(graph, inputs, owner)
    if isinstance(recipe, Sketch):
        recipe_cid = await register(parts, request, recipe, owner, f"{command_id}-recipe")
    else:
        recipe_cid = recipe.cid
    run_id = run_id_of(command_id)
    command = StartRun(
        run_id,
        recipe_cid,
        owner,
        tuple(bound),
        output_name,
        hold,
        wishes.priority,
        forced,
        wishes.rerun_of,
        wishes.deadline_us,
        wishes.wait_timeout_ms,
        wishes.step_timeout_ms,
    )
    await parts.issuer.begin(command, command_id, run_url(run_id), patience_of(request))
    return run_id


def _forced(graph: Graph, force: tuple[str, ...] | bool) -> tuple[str, ...]:
    known = computing(graph)
    if isinstance(force, bool):
        return tuple(known) if force else ()
    every = {node.id for node in graph.nodes}
    for name in force:
        if name not in known:
            problem = "is an input, which nothing computes" if name in every else "is no node of the recipe"
            text = f"force: {name!r} {problem}{nearest(name, known)}"
            raise InvalidRequestError(text, problems=[{"field": "force", "value": name, "problem": problem}])
    return tuple(dict.fromkeys(force))


async def _check_deadline(parts: Gateway, command_id: str, wishes: Wishes) -> None:
    """Refuse a run that had to be over by now, unless it is one that was asked for before."""
    if not wishes.deadline_us or wishes.deadline_us > time.time() * 1e6:
        return
    if await parts.issuer.handled(command_id) is None:
        problem = {"field": "deadline", "problem": "a time that is still to come"}
        raise InvalidRequestError(
            "deadline: it has passed already; give a time that is still to come", problems=[problem]
        )


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


async def planned(parts: Gateway, run_id: str) -> RunRow | None:
    """Return a run that was asked for with ``hold`` as soon as it waits with its plan, or ended without one."""
    return await seen(parts, run_id, PLANNING_SECONDS, enough=lambda run: not run.active)


async def step_seen(parts: Gateway, run_id: str, step: int) -> Record | None:
    """Return a step that its run does without, as soon as the read models show that."""

    async def check() -> Record | None:
        row = await runs.step(parts.pool, run_id, step)
        return row if row is not None and row["status"] not in runs.UNFINISHED else None

    return await parts.projector.until(check, OWN_WRITES_SECONDS) or await runs.step(parts.pool, run_id, step)


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


async def created(
    parts: Gateway,
    run_id: str,
    more: Mapping[str, Any] = NOTHING_MORE,
    enough: Callable[[RunRow], bool] = lambda run: True,
) -> Response:
    """Return the answer to a request that started a run. ``more``: what it says besides; ``enough``: as of `seen`."""
    run = await seen(parts, run_id, enough=enough)
    body = run_view(run) if run else {"run_id": run_id, "status": "requested", "links": {"self": run_url(run_id)}}
    return Json({**body, **more}, 201 if run else 202, {"Location": run_url(run_id)})
