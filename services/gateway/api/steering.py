"""Runs that people steer: cancel, pause, resume, do without a step, retry, run again with something changed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from artdag_common.commands import CancelRun, CancelStep, Command, PauseRun, ResumeRun
from artdag_common.domain.graph import Graph
from artdag_common.domain.recipe_changes import differences
from artdag_common.domain.run import FINISHED
from artdag_common.errors import InvalidInputsError, NothingToRetryError, StepNotFoundError
from services.gateway.api.documentation import CID, PLAN, RERUN, RUN, answers
from services.gateway.api.runs import Reference, RunId, own, wanted
from services.gateway.api.wishes import Changing, Timing
from services.gateway.issuing import patience_of
from services.gateway.launching import Wishes, begin, changed, created, planned, seen, step_seen
from services.gateway.naming import Sketch
from services.gateway.parts import Gateway, Parts, User
from services.gateway.problems import Json
from services.gateway.projections import runs
from services.gateway.projections.recipes import RecipeRow
from services.gateway.projections.runs import RunRow
from services.gateway.views import PRIORITY, run_url, run_view, step_view

router = APIRouter(tags=["runs"])

SECOND = 1000

StepNumber = Annotated[int, Path(description="The step's index in the run's plan", examples=[1], ge=0, le=2**31 - 1)]
STEP = PLAN["steps"][0] | {"status": "failed", "error": "the step was cancelled", "error_code": "step-cancelled"}


class Cancellation(BaseModel):
    """Why a run, or a step of it, is stopped."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"reason": "wrong music"}})

    reason: str = Field("", max_length=500)


class Retry(Timing):
    """What is different from the run that is tried again."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"priority": "batch"}})


class Rerun(Changing):
    """What is different from the run that is repeated; what is left out is as it was."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"inputs": {"audio": CID}, "parameters": {"sync_video": {"mode": "cut"}}}},
    )

    inputs: dict[Reference, Reference | list[Reference]] = Field(
        default_factory=dict, description="Only those that change: CIDs or asset names, by the names of the inputs"
    )
    output_name: str | None = Field(None, max_length=200, description="What the output is called", examples=[None])
    hold: bool = Field(
        False, description="Only plan it, as `POST /api/plan` does: it goes on by `POST /api/execute`", examples=[False]
    )


@router.post(
    "/runs/{run_id}/cancel",
    summary="Stop a run",
    responses=answers(RUN | {"status": "cancelled"}, 401, 404, 409, 422, pending=True),
)
async def cancel_run(
    request: Request, run_id: RunId, parts: Parts, user: User, body: Cancellation | None = None
) -> Response:
    """No further step starts. What runs is broken off within a second, unless another run needs it."""
    command = CancelRun(run_id, body.reason if body else "", user)
    return await _steer(parts, request, user, command, "cancel", lambda run: run.status in FINISHED)


@router.post(
    "/runs/{run_id}/pause",
    summary="Pause a run",
    responses=answers(RUN | {"status": "paused"}, 401, 404, 409, 422, pending=True),
)
async def pause_run(request: Request, run_id: RunId, parts: Parts, user: User) -> Response:
    """No further step is handed out until it is resumed; what executors have goes on. A paused run stays as it is."""
    return await _steer(parts, request, user, PauseRun(run_id, user), "pause", lambda run: not run.active)


@router.post(
    "/runs/{run_id}/resume",
    summary="Go on with a paused run",
    responses=answers(RUN | {"status": "running"}, 401, 404, 409, 422, pending=True),
)
async def resume_run(request: Request, run_id: RunId, parts: Parts, user: User) -> Response:
    """Go on where it was."""
    return await _steer(parts, request, user, ResumeRun(run_id, user), "resume", lambda run: run.status != "paused")


async def _steer(
    parts: Gateway,
    request: Request,
    user: str,
    command: CancelRun | PauseRun | ResumeRun,
    what: str,
    enough: Callable[[RunRow], bool],
) -> Response:
    """Send a command of the owner's, and answer with the run once it is as it should be."""
    run_id = command.run_id
    command_id = await parts.issuer.command_id(request, user, await request.body())
    await own(parts, run_id, user, what)
    await parts.issuer.issue(command, command_id, run_url(run_id), patience_of(request))
    run = await seen(parts, run_id, enough=enough)
    return Json(run_view(run or await wanted(parts, run_id, user)))


@router.post(
    "/runs/{run_id}/steps/{step}/cancel",
    summary="Do without a step of a run",
    responses=answers(RUN | {"status": "failed", "step": STEP}, 401, 404, 409, 422, pending=True),
)
async def cancel_step(
    request: Request,
    run_id: RunId,
    step: StepNumber,
    parts: Parts,
    user: User,
    body: Cancellation | None = None,
) -> Response:
    """The step fails for this run; others that need it get it.

    The run fails with it, or finishes the branches that do not need it, as its recipe's `on_failure` says.
    """
    command_id = await parts.issuer.command_id(request, user, await request.body())
    await own(parts, run_id, user, "change")
    command: Command = CancelStep(run_id, step, body.reason if body else "", user)
    await parts.issuer.issue(command, command_id, run_url(run_id), patience_of(request))
    row = await step_seen(parts, run_id, step)
    if row is None:
        raise StepNotFoundError(f"run {run_id} has no step {step}", step=step)
    return Json(run_view(await wanted(parts, run_id, user)) | {"step": step_view(row)})


@router.post(
    "/runs/{run_id}/retry",
    summary="Try a failed or cancelled run again",
    status_code=201,
    responses=answers(RERUN, 401, 404, 409, 422, 429, status=201, pending=True),
)
async def retry_run(request: Request, run_id: RunId, parts: Parts, user: User, body: Retry | None = None) -> Response:
    """A new run of the same recipe and inputs: only what failed, and what needs it, is computed.

    Priority and time-outs are those of the first, unless others are given; its deadline is not.
    """
    command_id = await parts.issuer.command_id(request, user, await request.body())
    run = await own(parts, run_id, user, "retry")
    if run.status not in ("failed", "cancelled"):
        raise NothingToRetryError(_instead_of_retrying(run), run=run_id, status=run.status)
    recipe = await parts.names.recipe(run.recipe_cid, user)
    # Without a whole plan there are not the steps that would say what was not computed again.
    forced = await runs.not_forced_yet(parts.pool, run_id) if run.output >= 0 else orjson.loads(run.forced)
    wishes = _wishes(run, body or Retry.model_validate({}), forced)
    new = await begin(parts, request, user, command_id, recipe, _bound(run), run.output_name, False, wishes)
    return await created(parts, new, {"differs": _differs(run, wishes)})


@router.post(
    "/runs/{run_id}/rerun",
    summary="Run again with something changed",
    status_code=201,
    responses=answers(RERUN, 401, 404, 409, 422, 429, status=201, pending=True),
)
async def rerun(request: Request, run_id: RunId, parts: Parts, user: User, body: Rerun | None = None) -> Response:
    """A new run like this one, but for what is named. Only what the changes reach is computed; `force` computes more.

    Changed parameters make another recipe, which gets a name of its own: that of the first, with `, changed`.
    """
    command_id = await parts.issuer.command_id(request, user, await request.body())
    run = await own(parts, run_id, user, "run again")
    asked = body or Rerun.model_validate({})
    row = await parts.names.recipe(run.recipe_cid, user)
    graph = await parts.names.graph(row.cid)
    recipe: RecipeRow | Sketch = row
    parameters: dict[str, dict[str, dict[str, Any]]] = {}
    if any(asked.parameters.values()):
        recipe = await changed(parts, graph, asked.parameters, user)
        parameters = differences(graph, recipe.graph)
        recipe = recipe if parameters else row
    wishes = _wishes(run, asked, asked.force)
    name = run.output_name if asked.output_name is None else asked.output_name
    inputs = _rebound(graph, _bound(run), asked.inputs)
    new = await begin(parts, request, user, command_id, recipe, inputs, name, asked.hold, wishes)
    differs = _differs(run, wishes, name) | {"parameters": parameters}
    started = await planned(parts, new) if asked.hold else await seen(parts, new)
    if started:
        differs["inputs"] = _changes(_bound(run), _bound(started))
        differs["recipe_cid"] = _change(run.recipe_cid, started.recipe_cid)
    return await created(parts, new, {"differs": differs})


def _instead_of_retrying(run: RunRow) -> str:
    """Return why there is nothing to retry, and what can be done."""
    name, url = f"run {run.run_id}", run_url(run.run_id)
    match run.status:
        case "completed":
            return f"{name} is completed: nothing of it failed. POST {url}/rerun runs it again with something changed"
        case "paused":
            return f"{name} is paused: POST {url}/resume goes on with it"
        case "planned":
            return f"{name} waits with its plan: POST /api/execute goes on with it"
    return f"{name} still goes on ({run.status}). Wait for its end, or POST {url}/cancel first"


def _bound(run: RunRow) -> dict[str, list[str]]:
    return {binding["name"]: list(binding["cids"]) for binding in orjson.loads(run.inputs)}


def _rebound(graph: Graph, bound: Mapping[str, list[str]], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's inputs with some of them changed.

    Raises:
        InvalidInputsError: the recipe has no input of a name; the nearest is named.
    """
    inputs: dict[str, Any] = dict(bound)
    for name, value in changes.items():
        variable = next((v for v in graph.variables if name in (v.name, v.node)), None)
        if variable is None:
            known = [v.name for v in graph.variables]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known) or 'none'}"
            problem = {"field": f"inputs.{name}", "value": name, "problem": f"the recipe has no such input; {hint}"}
            raise InvalidInputsError(f"inputs.{name}: {problem['problem']}", problems=[problem])
        inputs = {key: given for key, given in inputs.items() if key not in (variable.name, variable.node)}
        inputs[variable.name] = value
    return inputs


def _wishes(run: RunRow, asked: Timing, force: list[str] | bool) -> Wishes:
    """Return what a new run is asked for: as the first one, but for what is given. A deadline holds once."""
    wishes = asked.wishes(force)
    given = asked.model_fields_set
    return replace(
        wishes,
        priority=wishes.priority if "priority" in given else run.priority,
        rerun_of=run.run_id,
        wait_timeout_ms=wishes.wait_timeout_ms if "wait_timeout" in given else run.wait_timeout_ms,
        step_timeout_ms=wishes.step_timeout_ms if "step_timeout" in given else run.step_timeout_ms,
    )


def _differs(run: RunRow, wishes: Wishes, output_name: str | None = None) -> dict[str, Any]:
    """Return how a new run differs from the first one: each of these ``from`` and ``to``; None: it does not."""
    name = run.output_name if output_name is None else output_name
    return {
        "rerun_of": run.run_id,
        "recipe_cid": None,
        "inputs": {},
        "parameters": {},
        "force": list(wishes.force) if not isinstance(wishes.force, bool) else wishes.force,
        "output_name": _change(run.output_name, name),
        "priority": _change(run.priority or PRIORITY, wishes.priority or PRIORITY),
        "wait_timeout": _change(run.wait_timeout_ms / SECOND or None, wishes.wait_timeout_ms / SECOND or None),
        "step_timeout": _change(run.step_timeout_ms / SECOND or None, wishes.step_timeout_ms / SECOND or None),
    }


def _change(before: Any, after: Any) -> dict[str, Any] | None:
    return None if before == after else {"from": before, "to": after}


def _changes(before: Mapping[str, list[str]], after: Mapping[str, list[str]]) -> dict[str, Any]:
    names = sorted({*before, *after})
    return {name: change for name in names if (change := _change(before.get(name), after.get(name)))}
