"""What planners count of plans, of which two may make the same one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from artdag_common import metrics
from tests.integration.events.test_planner import World, world  # noqa: F401  (fixture)


@pytest.fixture(autouse=True)
def counting() -> Iterator[None]:
    """Count, as a planner that is probed does."""
    metrics.begin("planner")
    yield
    metrics.end()


def planned() -> dict[str, float]:
    """Return how many steps were planned, by how."""
    family: Any = metrics.PLANNED._family
    return {how: child._value.get() for (how,), child in family._metrics.items()}


async def test_a_plan_that_two_planners_make_at_once_is_counted_once(world: World) -> None:  # noqa: F811
    planner, other = world.planner(), world.planner()
    await world.begin(planner)
    assert planned() == {"cached": 0, "needed": 3, "forced": 0}
    start = replace(world.start, run_id="run2")
    await asyncio.gather(*(each.commands.start_run(start, "start-2") for each in (planner, other)))
    assert planned() == {"cached": 0, "needed": 6, "forced": 0}
