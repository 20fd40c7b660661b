"""Steps a second, counted from events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.failure import HANDED_BACK
from artdag_common.domain.run import Run
from artdag_common.domain.step import Step
from artdag_common.eventstore.port import Recorded
from services.gateway.projections.fact import Fact
from services.gateway.throughput import SPAN_SECONDS, SPANS, Throughput

NOW = 1_800_000_000.0 + SPAN_SECONDS - 1


class Counting:
    def __init__(self) -> None:
        self.now = NOW
        self.throughput = Throughput(lambda: self.now)

    async def take(self, event: type[DomainEvent], ago: float = 0.0, count: int = 1, **told: str) -> None:
        at = datetime.fromtimestamp(self.now - ago, UTC)
        recorded = Recorded("step-c1", 2, uuid4(), event.__name__, b"", 1, at)
        made: Any = event.__new__(event)  # only this is looked at
        made.__dict__.update(told)
        await self.throughput.follow([Fact(recorded, made, "step", "c1")] * count)


@pytest.fixture
def counting() -> Counting:
    return Counting()


async def test_ends_are_counted_in_the_span_in_which_they_were_recorded(counting: Counting) -> None:
    await counting.take(Step.Completed, ago=SPAN_SECONDS, count=4)
    await counting.take(Step.Completed, ago=2 * SPAN_SECONDS, count=6)
    await counting.take(Step.Completed, count=90)
    await counting.take(Step.Failed)
    await counting.take(Step.AttemptFailed, ago=SPAN_SECONDS, kind="bad-input")
    await counting.take(Step.Started)
    await counting.take(Run.Completed)
    rates = counting.throughput.rates()
    assert rates.completed[-4:] == (0, 6, 4, 90)
    assert rates.failed[-3:] == (0, 1, 1)
    assert rates.per_second == 1.0, "of whole spans: the last one is not over"
    assert len(rates.completed) == len(rates.failed) == SPANS
    assert rates.ends_at == 1_800_000_000 + SPAN_SECONDS


async def test_what_an_executor_hands_back_when_it_is_told_to_stop_did_not_fail(counting: Counting) -> None:
    await counting.take(Step.AttemptFailed, kind=HANDED_BACK)
    await counting.take(Step.AttemptFailed, kind="lost")
    assert sum(counting.throughput.rates().failed) == 1


async def test_what_is_long_past_does_not_count_and_is_not_kept(counting: Counting) -> None:
    await counting.take(Step.Completed, ago=SPANS * SPAN_SECONDS)
    await counting.take(Step.Completed, ago=(SPANS - 1) * SPAN_SECONDS)
    assert sum(counting.throughput.rates().completed) == 1
    assert counting.throughput.rates().completed[0] == 1
    counting.now += SPAN_SECONDS
    assert sum(counting.throughput.rates().completed) == 0


async def test_it_says_for_how_long_it_has_counted(counting: Counting) -> None:
    counting.now += 12.5
    assert counting.throughput.rates().known_seconds == 12.5
