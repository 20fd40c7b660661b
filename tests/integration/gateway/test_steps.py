"""What pages read of a run's steps: by pages, with their neighbours, and how long the run will take on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from services.gateway.estimating import left
from services.gateway.projections import projector, runs
from services.gateway.projections.runs import RUN_COLUMNS, RunRow

ASKED = datetime(2026, 1, 7, 12, tzinfo=UTC)
NOTHING = {"node": "n", "type": "NOOP", "level": 0, "label": "", "config": "{}", "output_cid": "", "error": ""} | {
    "attempt": 1,
    "error_code": "",
    "lost": False,
    "attempts": "",
    "forced": False,
    "started_at": None,
    "duration_ms": None,
}


def after(seconds: float) -> datetime:
    """Return so many seconds after the run was asked for."""
    return ASKED + timedelta(seconds=seconds)


@pytest.fixture
async def rows(pool: asyncpg.Pool) -> asyncpg.Pool:
    """Read models, and in them a run without steps."""
    await projector.prepare(pool)
    row = asdict(RunRow("run", 1, "o", "c", "r", "[]", "", False, "running", ASKED, ASKED))
    await insert(pool, "rm_runs", {name: row[name] for name in RUN_COLUMNS})
    return pool


async def insert(pool: asyncpg.Pool, table: str, row: dict[str, Any]) -> None:
    """Insert a row."""
    places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
    await pool.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *row.values())


async def add(
    pool: asyncpg.Pool, step: int, status: str = "completed", inputs: Sequence[int] = (), **facts: Any
) -> None:
    """Add a step."""
    given = {"run_id": "run", "step": step, "cache_id": f"c{step}", "status": status, "inputs": list(inputs)}
    await insert(pool, "rm_run_steps", NOTHING | given | facts)


async def spans(pool: asyncpg.Pool, *times: tuple[float, float | None]) -> None:
    """Add steps that began so many seconds after the run was asked for, and took so many; None: they go on."""
    for step, (began, took) in enumerate(times):
        status, lasted = ("running", None) if took is None else ("completed", round(took * 1000))
        await add(pool, step, status, started_at=after(began), duration_ms=lasted)


async def left_at(pool: asyncpg.Pool, seconds: float, done: int, total: int) -> float | None:
    """Return how long the run will take on, so many seconds after it was asked for."""
    progress = {"completed": done, "cached": 0, "done": done, "total": total}
    shown: list[dict[str, Any]] = [
        {"run_id": "run", "status": "running", "progress": progress},
        {"run_id": "over", "status": "completed"},
    ]
    found = await left(pool, shown, after(seconds))
    assert not found.keys() - {"run"}
    return found.get("run")


async def test_steps_are_read_by_pages_and_by_status(rows: asyncpg.Pool) -> None:
    for step in range(5):
        await add(rows, step, "completed" if step % 2 else "pending")
    assert [row["step"] for row in await runs.steps(rows, "run")] == [0, 1, 2, 3, 4]
    assert [row["step"] for row in await runs.steps(rows, "run", after=1, limit=2)] == [1, 2]
    assert [row["step"] for row in await runs.steps(rows, "run", "pending", 1)] == [2, 4]


async def test_what_was_made_comes_in_the_order_in_which_it_was(rows: asyncpg.Pool) -> None:
    await add(rows, 0, "cached", output_cid="there")
    for step, began in ((1, 30), (2, 10), (3, 20)):
        await add(rows, step, output_cid=f"o{step}", started_at=after(began), duration_ms=1)
    await add(rows, 4, "running", started_at=after(1))
    assert [row["step"] for row in await runs.made(rows, "run", 0, 9)] == [0, 2, 3, 1]
    assert [row["step"] for row in await runs.made(rows, "run", 1, 2)] == [2, 3]


async def test_a_step_knows_what_it_reads_and_who_reads_it(rows: asyncpg.Pool) -> None:
    for step, inputs in enumerate(([], [0], [1, 0], [2])):
        await add(rows, step, inputs=inputs, node=f"n{step}")
    reads, readers = await runs.neighbours(rows, "run", 2)
    assert [row["node"] for row in reads] == ["n1", "n0"]
    assert [row["step"] for row in readers] == [3]


async def test_steps_one_after_the_other_and_side_by_side_take_the_time_that_passes(rows: asyncpg.Pool) -> None:
    await spans(rows, (0, 10), (0, 4), (10, None))
    assert await left_at(rows, 20, done=2, total=4) == pytest.approx(20_000)


async def test_the_time_before_a_plan_is_let_go_does_not_count(rows: asyncpg.Pool) -> None:
    await spans(rows, (3600, 10), (3610, 10))
    assert await left_at(rows, 3620, done=2, total=4) == pytest.approx(20_000)


async def test_the_time_of_a_pause_does_not_count_but_for_a_moment(rows: asyncpg.Pool) -> None:
    await spans(rows, (0, 10), (1800, 10))
    assert await left_at(rows, 1810, done=2, total=4) == pytest.approx(25_000)


async def test_what_another_run_began_earlier_counts_from_when_this_one_was_asked_for(rows: asyncpg.Pool) -> None:
    await spans(rows, (-500, 510))
    assert await left_at(rows, 10, done=1, total=2) == pytest.approx(10_000)


async def test_of_a_run_that_has_done_nothing_nobody_can_say(rows: asyncpg.Pool) -> None:
    assert await left_at(rows, 10, done=0, total=4) is None
