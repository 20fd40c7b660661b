"""What an executor counts of its steps: each thing once, and for how long the oldest has gone on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from artdag_common import metrics
from artdag_common.commands import ExecuteStep
from tests.integration.events.appends import eventually
from tests.integration.executor.conftest import CACHE_ID, Bench
from tests.integration.executor.test_executor import started_elsewhere
from tests.integration.executor.trial import NAME


@pytest.fixture(autouse=True)
def counting() -> Iterator[None]:
    """Count, as an executor that is probed does."""
    metrics.begin("executor")
    yield
    metrics.end()


def value(metric: metrics.Metric, *labels: str) -> float:
    """Return a number as it is shown."""
    child: Any = metric._family.labels(*labels) if labels else metric._family
    return float(child.collect()[0].samples[0].value)


async def test_a_failure_is_counted_once_however_often_its_end_is_decided(bench: Bench) -> None:
    await started_elsewhere(bench)  # so that the first decision conflicts: the message knows of no attempt
    async with bench.executor():
        await bench.send(ExecuteStep(CACHE_ID, "SEGMENT", '{"offset":-1}', "t", ()))
        await bench.reaches("StepStarted", "StepStarted", "StepFailed")
        await bench.empty()
        assert value(metrics.FAILURES, "bad-input") == value(metrics.ATTEMPTS, "SEGMENT", "failed") == 1


async def test_a_failure_of_a_step_that_is_another_executors_by_now_is_not_counted(
    bench: Bench, impatient: None
) -> None:
    async with bench.executor():
        await bench.send(bench.trial("wait"))
        (worker,) = await bench.begun(1)
        await started_elsewhere(bench)
        os.kill(worker, signal.SIGKILL)
        await bench.begun(2)  # not acknowledged, so it came again
        assert value(metrics.ATTEMPTS, NAME, "taken-over") == 1
        assert value(metrics.FAILURES, "lost") == 0
        bench.let_go()
        await bench.empty()


async def test_how_long_the_oldest_step_has_gone_on_is_shown_until_it_ends(bench: Bench) -> None:
    async with bench.executor(ARTDAG_STEP_TIMEOUT=77):
        assert (value(metrics.STEPS_OLDEST), value(metrics.STEP_LIMIT)) == (0, 77)
        await bench.send(bench.trial("wait"))
        await bench.begun(1)
        first = value(metrics.STEPS_OLDEST)
        assert first > 0

        async def older() -> bool:
            return value(metrics.STEPS_OLDEST) > first

        await eventually(older, "it grows")
        bench.let_go()
        await bench.empty()
        assert value(metrics.STEPS_OLDEST) == 0
