"""How long a run will take on, by what it has done."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.estimating import left_ms


@pytest.mark.parametrize(
    ("completed", "frames", "left"),
    [
        (2, [], 10_000.0),  # half of four in 10 s
        (0, [{"done": 50, "total": 100}], 70_000.0),
        (3, [{"done": 5, "total": 0}, None], pytest.approx(10_000 / 3)),
        (0, [], None),
        (4, [], 0.0),
    ],
)
def test_what_is_left_takes_as_long_as_what_is_done(completed: int, frames: list[Any], left: float | None) -> None:
    progress = {"total": 5, "cached": 1, "completed": completed, "done": completed + 1}
    run = {"progress": progress, "steps": {"running": [{"frames": each} for each in frames]}}
    assert left_ms(run, 10_000.0) == left
    assert left_ms(run, 0.0) is None


def test_a_run_of_a_list_is_judged_by_its_steps_alone() -> None:
    assert left_ms({"progress": {"total": 3, "cached": 0, "completed": 1, "done": 1}}, 500.0) == 1000.0
