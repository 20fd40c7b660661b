"""How steps ended, and their attempts, counted: by the kind of failure. For metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import asyncpg

from artdag_common.domain.failure import kind_of
from artdag_common.domain.step import Step
from services.gateway.projections.fact import Fact

KINDS = (Step.TOPIC,)
TABLES = ("rm_step_ends",)

DDL = """
CREATE TABLE IF NOT EXISTS rm_step_ends (
    what  text   NOT NULL,
    kind  text   NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (what, kind)
);
"""

ADD = """INSERT INTO rm_step_ends AS known (what, kind, count)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
ON CONFLICT (what, kind) DO UPDATE SET count = known.count + EXCLUDED.count"""

COMPLETED, FAILED, CANCELLED, ATTEMPT_FAILED = "completed", "failed", "cancelled", "attempt-failed"


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in."""
    counts: Counter[tuple[str, str]] = Counter()
    for fact in facts:
        match fact.event:
            case Step.Completed():
                counts[COMPLETED, ""] += 1
            case Step.Cancelled():
                counts[CANCELLED, ""] += 1
            case Step.Failed() as event:
                counts[FAILED, event.kind or kind_of(event.error)] += 1
            case Step.AttemptFailed() as event:
                counts[ATTEMPT_FAILED, event.kind] += 1
    if counts:
        ordered = sorted(counts.items())
        columns = ([what for (what, _), _ in ordered], [kind for (_, kind), _ in ordered], [n for _, n in ordered])
        await connection.execute(ADD, *columns)


# --- questions ------------------------------------------------------------------------------------------------------


async def ends(pool: asyncpg.Pool) -> list[tuple[str, str, int]]:
    """Return how often steps, and attempts at them, ended how: what, kind of failure (empty: none), count."""
    rows = await pool.fetch("SELECT what, kind, count FROM rm_step_ends ORDER BY what, kind")
    return [(row["what"], row["kind"], row["count"]) for row in rows]
