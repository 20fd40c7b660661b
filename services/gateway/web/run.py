"""``/run/{id}``: one run, live: its result, plan, analysis, artifacts, provenance and events."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.api.runs import wanted
from services.gateway.parts import Gateway, Parts, Viewer
from services.gateway.problems import Json
from services.gateway.projections import runs
from services.gateway.views import step_view
from services.gateway.web import pages
from services.gateway.web.asking import RefusedError, ask
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

TOLD_FROM = 0.02
"""What share of a step has to be done before it says something about the time that the others take."""

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
async def plan(request: Request, run_id: str, view: str = "graph", after: int = 0, status: str = "") -> Response:
    """Its steps: as a graph that moves while it runs, or as a table."""
    run = await ask(request, f"/runs/{run_id}")
    steps: list[dict[str, Any]] = []
    following = 0
    if view == "table":
        rows = [row for row in await _rows(request, run_id) if row["step"] >= after and status in ("", row["status"])]
        steps, following = [step_view(row) for row in rows[:STEPS]], rows[STEPS]["step"] if len(rows) > STEPS else 0
    shown = {"view": view, "steps": steps, "following": following, "chosen": status}
    return await tab(request, "run_plan.html", run, **shown)


@router.get("/run/{run_id}/steps/{step}")
async def step(request: Request, run_id: str, step: int) -> Response:
    """One step of its plan: for the panel beside the graph, and as a page."""
    run = await ask(request, f"/runs/{run_id}")
    rows = await _rows(request, run_id)
    if not 0 <= step < len(rows):
        detail = f"run {run_id} has no step {step}; it has {len(rows)}"
        raise RefusedError({"status": 404, "title": "Step not found", "detail": detail}, {})
    this = step_view(rows[step])
    output = await content(request, this["output_cid"]) if this["output_cid"] else None
    readers = [row for row in rows if step in row["inputs"]]
    shown = {"step": this, "reads": [rows[i] for i in this["inputs"]], "readers": readers, "output": output}
    return await tab(request, "run_step.html", run, **shown)


@router.get("/run/{run_id}/artifacts")
async def artifacts(request: Request, run_id: str, after: int = 0) -> Response:
    """What its steps gave."""
    run = await ask(request, f"/runs/{run_id}")
    made = [row for row in await _rows(request, run_id) if row["output_cid"] and row["step"] >= after]
    here = made[:MADE]
    objects = await asyncio.gather(*(content(request, row["output_cid"]) for row in here))
    following = made[MADE]["step"] if len(made) > MADE else 0
    shown = {"made": list(zip(here, objects, strict=True)), "output_cid": run["output_cid"], "following": following}
    return await tab(request, "run_artifacts.html", run, **shown)


@router.get("/run/{run_id}/provenance")
async def provenance(request: Request, run_id: str) -> Response:
    """The record that anyone can check."""
    run = await ask(request, f"/runs/{run_id}")
    record = await ask(request, run["provenance_url"]) if run["provenance_url"] else None
    return await tab(request, "run_provenance.html", run, record=record)


@router.get("/run/{run_id}/events")
async def events(request: Request, run_id: str) -> Response:
    """All that happened to it, as it happens."""
    return await tab(request, "run_events.html", await ask(request, f"/runs/{run_id}"))


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
        "left_ms": left_ms(run, datetime.now(UTC)),
        "position": parts.hub.position,
    }
    return await page(request, template, run=run, **frame, **shown)


def left_ms(run: dict[str, Any], now: datetime) -> float | None:
    """Return how many milliseconds a run will take on, as if all steps took as long as those that it computed.

    Returns:
        None: nobody can say, since it does not run, or has not done anything yet.
    """
    progress = run["progress"]
    frames = [each["frames"] for each in run["steps"]["running"]]
    under_way = sum(min(1.0, each["done"] / each["total"]) for each in frames if each and each["total"])
    done = progress["completed"] + under_way
    if run["status"] != "running" or done < TOLD_FROM:
        return None
    spent = (now - datetime.fromisoformat(run["created_at"].replace("Z", "+00:00"))).total_seconds() * 1000
    return float(spent / done * max(0.0, progress["total"] - progress["done"] - under_way))


async def content(request: Request, cid: str) -> dict[str, Any]:
    """Return what is known of content; where nothing is, its CID alone."""
    try:
        found: dict[str, Any] = await ask(request, f"/cache/{cid}")
    except RefusedError:
        return {"cid": cid, "name": "", "media_type": "", "size_bytes": None, "facts": {}, "preview": {}}
    return found


async def _rows(request: Request, run_id: str) -> list[asyncpg.Record]:
    """Return the steps of a run that whoever asks was found to see; only some of a long plan are shown."""
    parts: Gateway = request.app.state.gateway
    return await runs.steps(parts.pool, run_id)
