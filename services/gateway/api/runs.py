"""Runs: start, look, delete."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from artdag_common.commands import DeleteRun
from artdag_common.domain.recipe_document import MAX_BYTES
from artdag_common.domain.run import Run
from artdag_common.errors import NotYoursError, RunNotFoundError
from services.gateway.api.documentation import CID, PLAN, RUN, RUN_DETAIL, RUN_ID, answers
from services.gateway.api.shapes import ByName
from services.gateway.api.wishes import Changing
from services.gateway.issuing import patience_of
from services.gateway.launching import created, gone, launch
from services.gateway.parts import Gateway, Parts, User, Viewer, Whose
from services.gateway.problems import Json
from services.gateway.projections import runs
from services.gateway.projections.runs import RunRow
from services.gateway.publications import run_publication
from services.gateway.views import page_view, plan_view, raw_url, read_cursor, run_detail, run_url, run_view
from services.gateway.visibility import sees_run

router = APIRouter(tags=["runs"])

BEHIND_SECONDS = 10.0
"""How far the read models may be behind the events before a run that exists is denied."""

Reference = Annotated[str, Field(min_length=1, max_length=256)]
"""A CID, or the name of content."""

Inputs = list[Reference | list[Reference]] | dict[str, Reference | list[Reference]]
RunId = Annotated[str, Path(description="The run's id", examples=[RUN_ID], max_length=64, pattern="^[0-9A-Za-z-]+$")]


class NewRun(Changing):
    """What to render."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"recipe": "dog", "inputs": [CID], "output_name": "my-output"}},
    )

    recipe: str = Field(
        min_length=1, max_length=MAX_BYTES, description="Recipe id, recipe name, effect name, or the recipe as YAML"
    )
    inputs: Inputs = Field(
        default_factory=list,
        description="CIDs or asset names: a list in the order of the recipe's inputs, or by the inputs' names",
    )
    output_name: str = Field("", max_length=200, description="What the output is called in the provenance record")


async def wanted(parts: Gateway, run_id: str, viewer: str) -> RunRow:
    """Return a run that a viewer sees. One that was just accepted is waited for: what is shown follows the events.

    Raises:
        RunNotFoundError: there is none, it was deleted, or it is not for this viewer to see.
    """
    run = await runs.find(parts.pool, run_id)
    if run is None:
        stream = Run.stream(run_id)
        last = (await parts.store.latest([stream])).get(stream)
        if last and last.type != Run.Deleted.type_name:
            run = await parts.projector.until(lambda: runs.find(parts.pool, run_id), BEHIND_SECONDS)
    if run is None or not await sees_run(parts.pool, viewer, run, parts.settings.shared):
        raise RunNotFoundError(f"no run {run_id}", run=run_id)
    return run


async def own(parts: Gateway, run_id: str, user: str, what: str) -> RunRow:
    """Return a run of a user's. ``what`` the user wants to do with it, for the message.

    Raises:
        RunNotFoundError: as :func:`wanted`.
        NotYoursError: it is somebody else's, who published what it gave.
    """
    run = await wanted(parts, run_id, user)
    if run.owner != user:
        raise NotYoursError(f"run {run_id} is not yours to {what}", run=run_id)
    return run


@router.post(
    "/runs",
    summary="Start a rendering run",
    status_code=201,
    responses=answers(RUN, 401, 404, 409, 422, status=201, pending=True),
)
async def start_run(request: Request, body: NewRun, parts: Parts, user: User) -> Response:
    """Render a recipe, or apply one effect. With an `Idempotency-Key`, repeating the request gives the same run."""
    wishes = body.wishes(body.force)
    asked = (body.recipe, body.inputs, body.output_name)
    run_id = await launch(parts, request, user, *asked, wishes=wishes, parameters=body.parameters)
    return await created(parts, run_id)


@router.get(
    "/runs",
    summary="List all runs, newest first",
    responses=answers({"runs": [RUN], "total": 1, "next": None}, 401, 422),
)
async def list_runs(
    parts: Parts,
    viewer: Viewer,
    owner: Whose,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
    status: Annotated[str | None, Query(description="Only runs in this status", max_length=20)] = None,
    published: Annotated[bool, Query(description="Only runs that gave what is published")] = False,
) -> Response:
    """One page of your runs, and of those that gave what their owners published; `next`: cursor of the next page."""
    rows, total = await runs.newest(parts.pool, viewer, limit + 1, read_cursor(cursor), status, owner, published)
    page = rows[:limit]
    following = page[-1].position if len(rows) > limit else None
    return Json(page_view("runs", [run_view(row) for row in page], total, following))


@router.get("/runs/{run_id}", summary="Get run status", responses=answers(RUN_DETAIL, 401, 404))
@router.get("/api/run/{run_id}", summary="Get run as JSON", responses=answers(RUN_DETAIL, 401, 404))
async def get_run(run_id: RunId, parts: Parts, viewer: Viewer) -> Response:
    """Status, progress, output, and the steps being computed now with the frames they have done.

    Where steps fail: which, why, after which attempts, what to do about it, and what was finished all the same.
    """
    run = await wanted(parts, run_id, viewer)
    pool = parts.pool
    counts, running = await asyncio.gather(runs.counts(pool, run_id), runs.running(pool, run_id))
    frames = await parts.ticks.frames(run_id) if running else {}
    waiting = await runs.waiting(pool, run_id) if "waiting" in counts else []
    failed = await runs.failed(pool, run_id) if "failed" in counts else []
    artifacts = await runs.last_outputs(pool, run_id) if run.error_code else []
    published = await run_publication(parts, run_id, run.owner, viewer)
    detail = run_detail(run, counts, running, frames, waiting, failed, artifacts)
    return Json(detail | {"published": published})


@router.get("/api/run/{run_id}/plan", summary="Get execution plan JSON", responses=answers(PLAN, 401, 404))
async def get_plan(run_id: RunId, parts: Parts, viewer: Viewer) -> Response:
    """The run's steps, level by level, with their cache ids and how they stand."""
    run = await wanted(parts, run_id, viewer)
    return Json(plan_view(run, await runs.steps(parts.pool, run_id)))


@router.get(
    "/api/run/{run_id}/analysis",
    summary="Get analysis data JSON",
    responses=answers(
        {
            "run_id": RUN_ID,
            "status": "completed",
            "analyses": [
                {
                    "node": "analyze_audio",
                    "input_cid": CID,
                    "cid": CID,
                    "url": f"/cache/{CID}/raw",
                    "result": ByName(cid=CID, audio={"duration": 12.0, "beats": {"tempo": 120.0}}),
                }
            ],
        },
        401,
        404,
    ),
)
async def get_analysis(run_id: RunId, parts: Parts, viewer: Viewer) -> Response:
    """The analyses that shaped the plan; empty until they are there, or where the recipe asks for none."""
    run = await wanted(parts, run_id, viewer)
    analyses: list[dict[str, Any]] = []
    for found in orjson.loads(run.analyses):
        result = orjson.loads(await parts.blobs.read(found["cid"]))
        analyses.append({**found, "url": raw_url(found["cid"]), "result": result})
    return Json({"run_id": run_id, "status": run.status, "analyses": analyses})


@router.delete(
    "/runs/{run_id}",
    summary="Delete a run",
    responses=answers({"run_id": RUN_ID, "deleted": True}, 401, 404, 409, pending=True),
)
async def delete_run(request: Request, run_id: RunId, parts: Parts, user: User) -> Response:
    """Take a finished run off every list. One that still goes on has to be cancelled first."""
    command_id = await parts.issuer.command_id(request, user, b"")
    if await parts.issuer.handled(command_id) is None:  # else it is gone, and the same is answered again
        await own(parts, run_id, user, "delete")
    await parts.issuer.issue(DeleteRun(run_id, user), command_id, run_url(run_id), patience_of(request))
    await gone(parts, run_id)
    return Json({"run_id": run_id, "deleted": True})
