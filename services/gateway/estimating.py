"""How long a plan may take, by how long steps of the same kind took the same person lately; and a run, by its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

RUNS = 30
"""Whose steps are looked at: the newest of the person's."""

TYPICAL = f"""
SELECT s.type, coalesce(s.config::jsonb ->> 'effect', '') AS effect,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY s.duration_ms) AS typical_ms
FROM rm_run_steps s JOIN (
    SELECT run_id FROM rm_runs WHERE owner = $1 AND NOT deleted ORDER BY position DESC LIMIT {RUNS}
) r USING (run_id)
WHERE s.status = 'completed' AND s.duration_ms IS NOT NULL GROUP BY 1, 2"""

TOLD_FROM = 0.02
"""What share of a step has to be done before it says something about the time that the others take."""

REST = "5 seconds"
"""Between two steps; from then on a run rests: it was planned and not let go, or paused."""

SPENT = f"""
SELECT run_id, extract(epoch FROM sum(least(next - began, last + interval '{REST}' - began))) * 1000 AS spent_ms FROM (
    SELECT run_id, began, max(ended) OVER earlier AS last, lead(began, 1, $2) OVER earlier AS next FROM (
        SELECT run_id, greatest(s.started_at, r.created_at) AS began,
            greatest(coalesce(s.started_at + s.duration_ms * interval '1 ms', $2), r.created_at) AS ended
        FROM rm_run_steps s JOIN rm_runs r USING (run_id) WHERE run_id = ANY ($1::text[]) AND s.started_at IS NOT NULL
    ) AS step WINDOW earlier AS (PARTITION BY run_id ORDER BY began)
) AS span GROUP BY run_id"""

Kind = tuple[str, str]
"""A step type, and the effect that it applies, or nothing."""


async def typical(pool: asyncpg.Pool, owner: str) -> dict[Kind, float]:
    """Return how many milliseconds a step takes, by its kind; of those that the owner's latest runs computed."""
    return {(row["type"], row["effect"]): row["typical_ms"] for row in await pool.fetch(TYPICAL, owner)}


async def left(pool: asyncpg.Pool, runs: Sequence[Mapping[str, Any]], now: datetime) -> dict[str, float]:
    """Return how many milliseconds runs will take on, by their ids; without those of which nobody can say.

    Args:
        pool: of the read models.
        runs: as the API shows them.
        now: until when those that run have run.
    """
    running = [run for run in runs if run["status"] == "running"]
    if not running:
        return {}
    rows = await pool.fetch(SPENT, [run["run_id"] for run in running], now)
    spent = {row["run_id"]: float(row["spent_ms"]) for row in rows}
    found = {run["run_id"]: left_ms(run, spent.get(run["run_id"], 0.0)) for run in running}
    return {run_id: each for run_id, each in found.items() if each is not None}


def left_ms(run: Mapping[str, Any], spent_ms: float) -> float | None:
    """Return how long a run will take on, as if all steps took as long as those that it computed.

    Args:
        run: as the API shows it; where ``steps`` are there, what of the running ones is done is counted, too.
        spent_ms: how long it computed, without rests.

    Returns:
        None: nobody can say, it has hardly done anything yet.
    """
    progress = run["progress"]
    frames = [each["frames"] for each in run.get("steps", {}).get("running", ())]
    under_way = sum(min(1.0, each["done"] / each["total"]) for each in frames if each and each["total"])
    done = progress["completed"] + under_way
    if done < TOLD_FROM or not spent_ms:
        return None
    return float(spent_ms / done * max(0.0, progress["total"] - progress["done"] - under_way))


def estimate(steps: Sequence[dict[str, Any]], known: dict[Kind, float]) -> float | None:
    """Return how many milliseconds the steps of a plan that are not cached take together.

    None: nothing is to be computed, or of some kind of step nobody knows.
    """
    left = [step for step in steps if step["status"] not in ("cached", "completed") and step["type"] != "SOURCE"]
    found = [known.get((step["type"], step["config"].get("effect", ""))) for step in left]
    times = [each for each in found if each is not None]
    return sum(times) if times and len(times) == len(found) else None
