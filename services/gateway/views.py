"""Read models as JSON: the shapes that clients see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from artdag_common.domain.graph import Graph
from artdag_common.errors import InvalidRequestError
from services.gateway.projections.recipes import RecipeRow
from services.gateway.projections.runs import RunRow

SATISFIED = ("cached", "completed")


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


def error_view(run: RunRow) -> dict[str, Any] | None:
    """Return why a run gave no output, or None."""
    if not run.error_code:
        return None
    return {
        "code": run.error_code,
        "reason": run.error,
        "step": run.error_step if run.error_step >= 0 else None,
        "node": run.error_node or None,
    }


def run_detail(
    run: RunRow,
    counts: Mapping[str, int],
    running: Sequence[asyncpg.Record],
    frames: Mapping[int, Mapping[str, int]],
) -> dict[str, Any]:
    """Return a run with a summary of its steps: how many in each status, and those being computed now."""
    view = run_view(run)
    view["steps"] = {
        "by_status": dict(sorted(counts.items())),
        "running": [
            {
                "step": row["step"],
                "node": row["node"],
                "type": row["type"],
                "label": row["label"],
                "attempt": row["attempt"],
                "started_at": time_view(row["started_at"]),
                "frames": frames.get(row["step"]),
            }
            for row in running
        ],
    }
    return view


def step_view(row: asyncpg.Record) -> dict[str, Any]:
    """Return a step of a plan, with how it stands."""
    return {
        "index": row["step"],
        "node": row["node"],
        "type": row["type"],
        "label": row["label"],
        "level": row["level"],
        "cache_id": row["cache_id"],
        "config": orjson.loads(row["config"]),
        "inputs": row["inputs"],
        "status": row["status"],
        "output_cid": row["output_cid"] or None,
        "output_url": raw_url(row["output_cid"]),
        "attempt": row["attempt"],
        "started_at": time_view(row["started_at"]),
        "duration_ms": row["duration_ms"],
        "error": row["error"] or None,
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
    view["inputs"] = [
        {
            "name": v.name,
            "node": v.node,
            "type": v.media,
            "description": v.description,
            "default": v.default or None,
            "list": v.many,
        }
        for v in graph.variables
    ]
    view["nodes"] = [{"id": n.id, "type": n.type, "config": n.config, "inputs": list(n.inputs)} for n in graph.nodes]
    view["output"] = graph.output
    return view


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
