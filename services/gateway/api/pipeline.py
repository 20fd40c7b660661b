"""The three phases one by one: plan, execute, or all at once; and what became of a command."""

from __future__ import annotations

from typing import Annotated, Self

import orjson
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from artdag_common.commands import ExecuteRun
from artdag_common.errors import RunNotFoundError, RunNotPlannedError
from services.gateway.api.documentation import CID, PLAN, RUN, RUN_ID, answers
from services.gateway.api.runs import NewRun, own, wanted
from services.gateway.api.shapes import ByName, Either
from services.gateway.issuing import patience_of, refusal
from services.gateway.launching import created, launch, planned, seen
from services.gateway.parts import Gateway, Parts, User, Viewer
from services.gateway.problems import Json
from services.gateway.projections import runs
from services.gateway.views import plan_view, run_url, run_view

router = APIRouter(prefix="/api", tags=["pipeline"])


class Execution(BaseModel):
    """Which plan to execute: the run that holds it, or the plan itself."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"run_id": RUN_ID}})

    run_id: str = Field("", max_length=64)
    plan_id: str = Field("", max_length=128)
    plan_cid: str = Field("", max_length=128, examples=[CID])

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(map(bool, (self.run_id, self.plan_id, self.plan_cid))) != 1:
            raise ValueError("give one of run_id, plan_id and plan_cid")
        return self


@router.post(
    "/plan",
    summary="Generate an execution plan",
    status_code=201,
    responses=answers(PLAN, 401, 404, 409, 422, status=201, pending=True),
)
async def plan(request: Request, body: NewRun, parts: Parts, user: User) -> Response:
    """Analyse the inputs and plan; nothing else is rendered until `/api/execute`."""
    wishes = body.wishes(body.force)
    asked = (body.recipe, body.inputs, body.output_name)
    run_id = await launch(parts, request, user, *asked, hold=True, wishes=wishes, parameters=body.parameters)
    run = await planned(parts, run_id)
    if run is None or run.active:
        links = {"self": run_url(run_id), "plan": f"/api/run/{run_id}/plan", "events": f"/runs/{run_id}/events"}
        return Json({"run_id": run_id, "status": run.status if run else "requested", "links": links}, 202)
    view = plan_view(run, await runs.steps(parts.pool, run_id)) | {"error": run_view(run)["error"]}
    return Json(view, 201, {"Location": run_url(run_id)})


@router.post(
    "/execute",
    summary="Execute a plan",
    responses=answers(RUN | {"status": "running"}, 401, 404, 409, 422, pending=True),
)
async def execute(request: Request, body: Execution, parts: Parts, user: User) -> Response:
    """Let a run that `/api/plan` made go on."""
    command_id = await parts.issuer.command_id(request, user, await request.body())
    run_id = body.run_id or await _meant(parts, user, body.plan_id or body.plan_cid, command_id)
    await own(parts, run_id, user, "execute")
    await parts.issuer.issue(ExecuteRun(run_id, user), command_id, run_url(run_id), patience_of(request))
    run = await seen(parts, run_id, enough=lambda run: run.status != "planned")
    return Json(run_view(run or await wanted(parts, run_id, user)))


async def _meant(parts: Gateway, user: str, plan: str, command_id: str) -> str:
    """Return the run that waits with a plan; asked again by a command that was handled, the run that did then."""
    outcome = await parts.issuer.handled(command_id)
    if outcome is not None and outcome.accepted:
        return str(orjson.loads(outcome.values)["run_id"])
    return await _holder(parts, user, plan)


async def _holder(parts: Gateway, user: str, plan: str) -> str:
    run_id = await runs.held(parts.pool, user, plan)
    if run_id is not None:
        return run_id
    if await runs.plan_known(parts.pool, user, plan):
        raise RunNotPlannedError(f"no run waits with plan {plan}: it was executed, or its run is over", plan=plan)
    raise RunNotFoundError(f"no run has the plan {plan}", plan=plan)


@router.post(
    "/run-recipe",
    summary="Full pipeline (analyze+plan+execute)",
    status_code=201,
    responses=answers(RUN, 401, 404, 409, 422, status=201, pending=True),
)
async def run_recipe(request: Request, body: NewRun, parts: Parts, user: User) -> Response:
    """Render a recipe given by id, by name, or as YAML in `recipe`."""
    wishes = body.wishes(body.force)
    asked = (body.recipe, body.inputs, body.output_name)
    run_id = await launch(parts, request, user, *asked, wishes=wishes, parameters=body.parameters)
    return await created(parts, run_id)


@router.get(
    "/commands/{command_id}",
    summary="What became of a command",
    responses=answers(
        Either(
            {"command_id": "1f6e…", "status": "accepted", "values": ByName(stream=f"run-{RUN_ID}", version=1)},
            {"command_id": "1f6e…", "status": "pending"},
        ),
        401,
        422,
    ),
)
async def get_command(command_id: Annotated[str, Path(max_length=128)], parts: Parts, viewer: Viewer) -> Response:
    """For requests of yours that were answered with 202: `pending`, `accepted` or `refused`."""
    outcome = await parts.issuer.outcome(command_id, viewer)
    if outcome is None:
        return Json({"command_id": command_id, "status": "pending"})
    if outcome.accepted:
        return Json({"command_id": command_id, "status": "accepted", "values": orjson.loads(outcome.values)})
    error = refusal(outcome)
    return Json({"command_id": command_id, "status": "refused", "code": error.code, "detail": error.message})
