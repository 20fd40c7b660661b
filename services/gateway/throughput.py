"""How many steps ended lately: counted by each gateway from the events that its read models take in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from artdag_common.domain.failure import HANDED_BACK
from artdag_common.domain.step import Step
from services.gateway.projections.fact import Fact

SPAN_SECONDS = 5
SPANS = 60
NOW_SPANS = 2
"""What is called now: so many whole spans."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Steps that ended in the last minutes.

    Attributes:
        completed, failed: for each span, the oldest first; the last one is not over yet. ``failed`` counts attempts.
        ends_at: unix seconds: of the last span.
        per_second: steps completed a second, now.
        known_seconds: how long this gateway has counted; what was before is not known.
    """

    completed: tuple[int, ...]
    failed: tuple[int, ...]
    ends_at: int
    per_second: float
    known_seconds: float


class Throughput:
    """Counts ends of steps by when they were recorded, which an event that is read again does not change."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._began = clock()
        self._completed: dict[int, int] = {}
        self._failed: dict[int, int] = {}

    async def follow(self, facts: Sequence[Fact]) -> None:
        """Take events in. A listener of the projector, which tells of each event once."""
        oldest = self._span() - SPANS
        for fact in facts:
            if isinstance(fact.event, Step.Completed):
                counts = self._completed
            elif _failed(fact.event):
                counts = self._failed
            else:
                continue
            span = int(fact.recorded.recorded_at.timestamp()) // SPAN_SECONDS
            if span > oldest:
                counts[span] = counts.get(span, 0) + 1
        for counts in (self._completed, self._failed):
            for span in [each for each in counts if each <= oldest]:
                del counts[span]

    def rates(self) -> Rates:
        """Return what was counted."""
        last = self._span()
        spans = range(last - SPANS + 1, last + 1)
        completed = tuple(self._completed.get(span, 0) for span in spans)
        return Rates(
            completed=completed,
            failed=tuple(self._failed.get(span, 0) for span in spans),
            ends_at=(last + 1) * SPAN_SECONDS,
            per_second=sum(completed[-1 - NOW_SPANS : -1]) / (NOW_SPANS * SPAN_SECONDS),
            known_seconds=max(0.0, self._clock() - self._began),
        )

    def _span(self) -> int:
        return int(self._clock()) // SPAN_SECONDS


def _failed(event: object) -> bool:
    """Return whether an attempt failed. Where its executor was told to stop, as in every upgrade, nothing did."""
    return isinstance(event, Step.Failed) or (isinstance(event, Step.AttemptFailed) and event.kind != HANDED_BACK)
