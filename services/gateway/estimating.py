"""How long a plan may take: by how long steps of the same kind took the same person lately."""

from __future__ import annotations

from collections.abc import Sequence
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

Kind = tuple[str, str]
"""A step type, and the effect that it applies, or nothing."""


async def typical(pool: asyncpg.Pool, owner: str) -> dict[Kind, float]:
    """Return how many milliseconds a step takes, by its kind; of those that the owner's latest runs computed."""
    return {(row["type"], row["effect"]): row["typical_ms"] for row in await pool.fetch(TYPICAL, owner)}


def estimate(steps: Sequence[dict[str, Any]], known: dict[Kind, float]) -> float | None:
    """Return how many milliseconds the steps of a plan that are not cached take together.

    None: nothing is to be computed, or of some kind of step nobody knows.
    """
    left = [step for step in steps if step["status"] not in ("cached", "completed") and step["type"] != "SOURCE"]
    found = [known.get((step["type"], step["config"].get("effect", ""))) for step in left]
    times = [each for each in found if each is not None]
    return sum(times) if times and len(times) == len(found) else None
