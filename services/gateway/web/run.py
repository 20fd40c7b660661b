"""``/run/{id}``: one run, live: its result, plan, analysis, artifacts, provenance and events."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from artdag_common.errors import StepNotFoundError
from services.gateway.api.runs import wanted
from services.gateway.estimating import left
from services.gateway.parts import Gateway, Parts, Viewer
from services.gateway.problems import Json
from services.gateway.projections import runs
from services.gateway.views import step_view
from services.gateway.web import pages
from services.gateway.web.asking import ask, content, told, who
from services.gateway.web.pages import aliases, page

router = pages.router()
data = aliases(
    {
        "/run/{run_id}": "/runs/{run_id}",
        "/run/{run_id}/plan": "/api/run/{run_id}/plan",
        "/run/{run_id}/analysis": "/api/run/{run_id}/analysis",
        "/run/{run_id}/artifacts": "/api/run/{run_id}/plan",
    }
)

ACTIVE = ("requested", "analyzing", "running")
OVER = ("completed", "failed", "cancelled")
STEPS = 200
"""Of one page of the plan's table."""

MADE = 24
"""Of one page of artifacts."""

INPUTS = 12
"""That are shown beside the result."""

After = Annotated[int, Query(ge=0, le=1_000_000)]
"""How many come before those of this page."""

Position = Annotated[int, Query(ge=0, le=2**62)]
"""In the log of another system: what comes after it is shown."""

TABS = (
    ("", "Result"),
    ("/plan", "Plan"),
    ("/analysis", "Analysis"),
    ("/artifacts", "Artifacts"),
    ("/provenance", "Provenance"),
    ("/events", "Events"),
)


@router.get("/run/{run_id}")
async def result(request: Request, run_id: str) -> Response:
    """What it gave, or how far it is."""
    run = await ask(request, f"/runs/{run_id}")
    output = await content(request, run["output_cid"]) if run["output_cid"] else None
    given = [(each["name"], cid) for each in run["inputs"] for cid in each["cids"]]
    inputs = await asyncio.gather(*(content(request, cid) for _, cid in given[:INPUTS]))
    named = [(name, found) for (name, _), found in zip(given, inputs, strict=False)]
    return await tab(request, "run_result.html", run, output=output, inputs=named, more_inputs=len(given) - len(named))


@router.get("/run/{run_id}/standing")
async def standing(request: Request, run_id: str) -> Response:
    """What of its pages changes while it runs, and nothing else: ``static/live.js`` looks here."""
    return await tab(request, "run_standing.html", await ask(request, f"/runs/{run_id}"))


@router.get("/run/{run_id}/plan")
async def plan(request: Request, run_id: str, view: str = "graph", after: After = 0, status: str = "") -> Response:
    """Its steps: as a graph that moves while it runs, or as a table."""
    run = await ask(request, f"/runs/{run_id}")
    parts: Gateway = request.app.state.gateway
    rows = await runs.steps(parts.pool, run_id, status, after, STEPS + 1) if view == "table" else []
    shown = {
        "view": view,
        "steps": [step_view(row) for row in rows[:STEPS]],
        "after": after,
        "following": after + STEPS if len(rows) > STEPS else 0,
        "chosen": status,
    }
    return await tab(request, "run_plan.html", run, **shown)


@router.get("/run/{run_id}/steps/{step}")
async def step(request: Request, run_id: str, step: int) -> Response:
    """One step of its plan: for the panel beside the graph, and as a page."""
    run = await ask(request, f"/runs/{run_id}")
    parts: Gateway = request.app.state.gateway
    total = run["progress"]["total"]
    row = await runs.step(parts.pool, run_id, step) if 0 <= step < total else None
    if row is None:
        raise StepNotFoundError(f"run {run_id} has no step {step}; it has {total}", run=run_id, step=step)
    this = step_view(row)
    output = await content(request, this["output_cid"]) if this["output_cid"] else None
    reads, readers = await runs.neighbours(parts.pool, run_id, step)
    return await tab(request, "run_step.html", run, step=this, reads=reads, readers=readers, output=output)


@router.get("/run/{run_id}/artifacts")
async def artifacts(request: Request, run_id: str, after: After = 0) -> Response:
    """What its steps gave, in the order in which they did: what comes in while somebody looks comes in below."""
    run = await ask(request, f"/runs/{run_id}")
    parts: Gateway = request.app.state.gateway
    made = await runs.made(parts.pool, run_id, after, MADE + 1)
    here = made[:MADE]
    objects = await asyncio.gather(*(content(request, row["output_cid"]) for row in here))
    shown = {
        "made": list(zip(here, objects, strict=True)),
        "after": after,
        "following": after + MADE if len(made) > MADE else 0,
    }
    return await tab(request, "run_artifacts.html", run, **shown)


@router.get("/run/{run_id}/provenance")
async def provenance(request: Request, run_id: str) -> Response:
    """The record that anyone can check."""
    run = await ask(request, f"/runs/{run_id}")
    record = await told(request, run["provenance_url"]) if run["provenance_url"] else None
    return await tab(request, "run_provenance.html", run, record=record)


@router.get("/run/{run_id}/events")
async def events(request: Request, run_id: str, after: Position = 0) -> Response:
    """All that happened to it, as it happens; of an imported run also what was recorded where it was completed."""
    run = await ask(request, f"/runs/{run_id}")
    recorded = None
    if run["imported_from"]:
        recorded = await ask(request, run["imported_from"]["history_url"], {"after": after, "limit": STEPS})
    return await tab(request, "run_events.html", run, recorded=recorded)


@data.get("/run/{run_id}/graph")
async def graph(run_id: str, parts: Parts, viewer: Viewer) -> Response:
    """The plan as ``static/dag.js`` draws it: a list for each fact, and the position from where events go on.

    ``keys``, by which events name steps, and ``progress`` are there while the run goes on.
    """
    position = parts.hub.position  # before the rest: what happens meanwhile is heard again, and nothing is missed
    run = await wanted(parts, run_id, viewer)
    steps = await runs.steps(parts.pool, run_id)
    going = run.status not in OVER
    running = {row["step"] for row in steps if row["status"] == "running"}
    frames = await parts.ticks.frames(run_id) if running else {}
    return Json(
        {
            "position": position,
            "active": going,
            "output": run.output if run.output >= 0 else None,
            "names": [row["node"] for row in steps],
            "types": [row["type"] for row in steps],
            "levels": [row["level"] for row in steps],
            "states": [row["status"] for row in steps],
            "keys": [row["cache_id"] for row in steps] if going else [],
            "inputs": [row["inputs"] for row in steps],
            "progress": [
                [step, done["done"], done["total"]]
                for step, done in frames.items()
                if step in running and done["total"]
            ],
        }
    )


async def tab(request: Request, template: str, run: dict[str, Any], **shown: Any) -> Response:
    """Return a page of a run's.

    Args:
        request: what it answers.
        template: extends ``run.html``.
        run: as ``/runs/{run_id}`` gives it.
        shown: what the template takes beside the run.
    """
    base = f"/run/{run['run_id']}"
    parts: Gateway = request.app.state.gateway
    frame: dict[str, Any] = {
        "base": base,
        "tabs": [(f"{base}{suffix}", name) for suffix, name in TABS],
        "active": run["status"] in ACTIVE,
        "going": run["status"] not in OVER,
        "own": run["owner"] == await who(request),
        "left_ms": (await left(parts.pool, [run], datetime.now(UTC))).get(run["run_id"]),
        "position": parts.hub.position,
    }
    return await page(request, template, run=run, **frame, **shown)
