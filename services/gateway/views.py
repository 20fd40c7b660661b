"""Read models as JSON: the shapes that clients see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import orjson

from artdag_common.domain.failure import ADVICE, BAD_INPUT, STEP_OVERDUE, WAIT_TIMEOUT, kind_of
from artdag_common.domain.graph import Graph, Variable
from artdag_common.domain.run import EPOCH, STOP
from artdag_common.errors import InvalidRequestError
from services.gateway.issuing import errors_by_code
from services.gateway.problems import hint_of
from services.gateway.projections.recipes import RecipeRow
from services.gateway.projections.runs import RunRow

PRIORITY = "interactive"
"""How urgent a run is that says nothing of it."""


LIMITS = {
    WAIT_TIMEOUT: "No executor was free in time. Retry the run later, or with a longer wait_timeout.",
    STEP_OVERDUE: "Retry the run with a longer step_timeout, or give the step less to do.",
    "queue-full": "Wait for one of your runs to end, or cancel one; then retry this one.",
    "system-busy": "Others have all the room there is. Retry the run later.",
    "deadline-passed": "Retry the run: what is done is kept. Give it a deadline that it can meet, or none.",
}
"""What to do where a limit ended it: of the run's own, or of how many there may be."""


def raw_url(cid: str) -> str | None:
    """Return where content can be downloaded, or None for no content."""
    return f"/cache/{cid}/raw" if cid else None


def run_url(run_id: str) -> str:
    """Return where a run is found."""
    return f"/runs/{run_id}"


def run_view(run: RunRow) -> dict[str, Any]:
    """Return a run as lists show it."""
    done = run.cached + run.completed
    url = run_url(run.run_id)
    return {
        "run_id": run.run_id,
        "status": run.status,
        "owner": run.owner,
        "recipe": run.recipe_name,
        "recipe_cid": run.recipe_cid,
        "inputs": orjson.loads(run.inputs),
        "output_name": run.output_name,
        "output_cid": run.output_cid or None,
        "output_url": raw_url(run.output_cid),
        "provenance_cid": run.provenance_cid or None,
        "provenance_url": raw_url(run.provenance_cid),
        "plan_id": run.plan_id or None,
        "plan_cid": run.plan_cid or None,
        "priority": run.priority or PRIORITY,
        "on_failure": run.on_failure or STOP,
        "forced": orjson.loads(run.forced),
        "rerun_of": run.rerun_of or None,
        "imported_from": import_view(run),
        "deadline": time_view(EPOCH + timedelta(microseconds=run.deadline_us)) if run.deadline_us else None,
        "wait_timeout": run.wait_timeout_ms / 1000 or None,
        "step_timeout": run.step_timeout_ms / 1000 or None,
        "error": error_view(run),
        "progress": {
            "total": run.total,
            "cached": run.cached,
            "completed": run.completed,
            "done": done,
            "fraction": round(done / run.total, 4) if run.total else 0.0,
        },
        "created_at": time_view(run.created_at),
        "updated_at": time_view(run.updated_at),
        "duration_ms": round((run.updated_at - run.created_at).total_seconds() * 1000),
        "links": {
            "self": url,
            "events": f"{url}/events",
            "plan": f"/api/run/{run.run_id}/plan",
            "analysis": f"/api/run/{run.run_id}/analysis",
        },
    }


def import_view(run: RunRow) -> dict[str, Any] | None:
    """Return where a run was completed, if that was not here: its id there, and the content that tells of it."""
    if not run.imported_from:
        return None
    return {
        "run_id": run.imported_run,
        "manifest_cid": run.imported_from,
        "events_cid": run.imported_events,
        "history_url": f"/api/run/{run.run_id}/history",
    }


def error_view(run: RunRow) -> dict[str, Any] | None:
    """Return why a run gave no output, what to do, and where to go on from; or None."""
    if not run.error_code:
        return None
    step = run.error_step if run.error_step >= 0 else None
    return {
        "code": run.error_code,
        "kind": kind_of(run.error_code),
        "reason": run.error,
        "advice": advice(run.error_code, step),
        "step": step,
        "node": run.error_node or None,
        "links": {
            "log": log_url(run.run_id, step) if step is not None else None,
            "retry": f"{run_url(run.run_id)}/retry",
            "rerun": f"{run_url(run.run_id)}/rerun",
        },
    }


def advice(code: str, step: int | None) -> str:
    """Return what whoever asked for a run can do about this error: of a step, or of none."""
    if code in LIMITS:
        return LIMITS[code]
    cls = errors_by_code().get(code)
    if step is None and kind_of(code) == BAD_INPUT and cls is not None:
        return hint_of(cls)
    return ADVICE[kind_of(code)]


def log_url(run_id: str, step: int) -> str:
    """Return where a step's log is found."""
    return f"/api/run/{run_id}/steps/{step}/log"


def run_detail(
    run: RunRow,
    counts: Mapping[str, int],
    running: Sequence[asyncpg.Record],
    frames: Mapping[int, Mapping[str, int]],
    waiting: Sequence[asyncpg.Record] = (),
    failed: Sequence[asyncpg.Record] = (),
    artifacts: Sequence[asyncpg.Record] = (),
) -> dict[str, Any]:
    """Return a run with a summary of its steps.

    Args:
        counts: how many there are in each status.
        running: those being computed now; ``frames``: how far they are.
        waiting: those between two attempts.
        failed: those that failed.
        artifacts: those that gave something in a run that gave no output.
    """
    view = run_view(run)
    view["steps"] = {
        "by_status": dict(sorted(counts.items())),
        "running": [
            _placed(row)
            | {
                "attempt": row["attempt"],
                "started_at": time_view(row["started_at"]),
                "frames": frames.get(row["step"]),
            }
            for row in running
        ],
        "waiting": [
            _placed(row) | {"reason": row["error"], "attempts": attempts_view(row), "retry_at": retry_at(row)}
            for row in waiting
        ],
        "failed": [_placed(row) | failure_view(row) for row in failed],
    }
    if view["error"]:
        blamed = next((row for row in failed if row["step"] == run.error_step), None)
        view["error"] |= {
            "type": blamed["type"] if blamed else None,
            "label": blamed["label"] if blamed else None,
            "attempts": attempts_view(blamed) if blamed else [],
        }
    view["artifacts"] = [
        _placed(row) | {"cid": row["output_cid"], "url": raw_url(row["output_cid"])} for row in artifacts
    ]
    return view


def _placed(row: asyncpg.Record) -> dict[str, Any]:
    return {"step": row["step"], "node": row["node"], "type": row["type"], "label": row["label"]}


def failure_view(row: asyncpg.Record) -> dict[str, Any]:
    """Return why a step failed, what to do, and all its attempts."""
    code = row["error_code"]
    return {
        "code": code,
        "kind": kind_of(code),
        "reason": row["error"],
        "advice": advice(code, row["step"]),
        "attempts": attempts_view(row),
        "links": {"log": log_url(row["run_id"], row["step"])},
    }


def attempts_view(row: asyncpg.Record) -> list[dict[str, Any]]:
    """Return a step's attempts that are known here, in order: those that failed, and then the one that did not.

    On which machine they ran is the operator's matter, and stands in the events.
    """
    attempts: list[dict[str, Any]] = orjson.loads(row["attempts"]) if row["attempts"] else []
    for each in attempts:
        for moment in ("began_at", "ended_at", "retry_at"):
            each[moment] = each[moment].replace("+00:00", "Z") if each[moment] else None
    if row["started_at"] and (not attempts or attempts[-1]["attempt"] < row["attempt"]):
        ended = row["duration_ms"] is not None and row["status"] == "completed"
        attempts.append(
            {
                "attempt": row["attempt"],
                "began_at": time_view(row["started_at"]),
                "ended_at": time_view(row["started_at"] + timedelta(milliseconds=row["duration_ms"]))
                if ended
                else None,
                "status": row["status"] if row["status"] in ("completed", "cancelled") else "running",
                "code": None,
                "kind": None,
                "reason": None,
                "retry_at": None,
            }
        )
    return attempts


def retry_at(row: asyncpg.Record) -> str | None:
    """Return when a step that waits is tried again."""
    attempts = attempts_view(row)
    return attempts[-1]["retry_at"] if attempts else None


def step_view(row: asyncpg.Record) -> dict[str, Any]:
    """Return a step of a plan, with how it stands."""
    failed = row["status"] == "failed"
    return {
        "index": row["step"],
        "node": row["node"],
        "type": row["type"],
        "label": row["label"],
        "level": row["level"],
        "cache_id": row["cache_id"],
        "config": orjson.loads(row["config"]),
        "inputs": row["inputs"],
        "forced": row["forced"],
        "status": row["status"],
        "output_cid": row["output_cid"] or None,
        "output_url": raw_url(row["output_cid"]),
        "attempt": row["attempt"],
        "attempts": attempts_view(row),
        "started_at": time_view(row["started_at"]),
        "retry_at": retry_at(row) if row["status"] == "waiting" else None,
        "duration_ms": row["duration_ms"],
        "error": row["error"] or None,
        "error_code": row["error_code"] or None,
        "kind": kind_of(row["error_code"]) if row["error_code"] else None,
        "advice": advice(row["error_code"], row["step"]) if failed and row["error_code"] else None,
        "links": {"log": log_url(row["run_id"], row["step"])},
    }


def plan_view(run: RunRow, steps: Sequence[asyncpg.Record]) -> dict[str, Any]:
    """Return a run's plan with the steps as they stand now. ``levels``: indices of the steps, level by level."""
    levels: list[list[int]] = []
    for row in steps:
        while len(levels) <= row["level"]:
            levels.append([])
        levels[row["level"]].append(row["step"])
    return {
        "run_id": run.run_id,
        "status": run.status,
        "plan_id": run.plan_id or None,
        "plan_cid": run.plan_cid or None,
        "plan_url": raw_url(run.plan_cid),
        "recipe": run.recipe_name,
        "recipe_cid": run.recipe_cid,
        "output": run.output if run.output >= 0 else None,
        "levels": levels,
        "steps": [step_view(row) for row in steps],
    }


def recipe_view(recipe: RecipeRow) -> dict[str, Any]:
    """Return a recipe as lists show it."""
    return {
        "recipe_id": recipe.cid,
        "name": recipe.name,
        "version": recipe.version,
        "description": recipe.description,
        "owner": recipe.owner,
        "source_cid": recipe.source_cid,
        "source_url": raw_url(recipe.source_cid),
        "created_at": time_view(recipe.created_at),
        "links": {"self": f"/recipes/{recipe.cid}", "run": f"/recipes/{recipe.cid}/run"},
    }


def recipe_detail(recipe: RecipeRow, graph: Graph) -> dict[str, Any]:
    """Return a recipe with its inputs and its nodes."""
    view = recipe_view(recipe)
    view["inputs"] = [variable_view(each) for each in graph.variables]
    view["nodes"] = [{"id": n.id, "type": n.type, "config": n.config, "inputs": list(n.inputs)} for n in graph.nodes]
    view["output"] = graph.output
    view["on_failure"] = graph.on_failure or STOP
    return view


def variable_view(variable: Variable) -> dict[str, Any]:
    """Return an input of a recipe."""
    return {
        "name": variable.name,
        "node": variable.node,
        "type": variable.media,
        "description": variable.description,
        "default": variable.default or None,
        "list": variable.many,
    }


def time_view(moment: datetime | None) -> str | None:
    """Return a time as text, in UTC."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def page_view(name: str, items: Sequence[Any], total: int, next_cursor: int | None) -> dict[str, Any]:
    """Return one page of a list. ``next``: the cursor of the following page, or None."""
    return {name: items, "total": total, "next": str(next_cursor) if next_cursor is not None else None}


def read_cursor(cursor: str | None) -> int | None:
    """Return the position that a cursor stands for.

    Raises:
        InvalidRequestError: it is not one that a page named.
    """
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise InvalidRequestError(
            f"cursor: {cursor[:40]!r} is not a cursor; take it from 'next' of the page before",
            problems=[{"field": "cursor", "value": cursor[:40], "problem": "the value of 'next' of the page before"}],
        )
    return int(cursor)
