"""Step: one computation, named by its cache id and shared by every run that needs it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from eventsourcing.domain import CanInitAggregate, CanMutateAggregate

from artdag_common.domain.aggregate import Aggregate, Creation, aggregate
from artdag_common.domain.failure import HANDED_BACK, kind_of, next_attempt

MOST_DEATHS = 5
"""Executors that a step may take with it, or lose by chance, before it is the step that is to blame."""


@aggregate
class Step(Aggregate, created_event_name="Started"):
    """One computation and its attempts. Appended by executors only.

    A completion carries its attempt: an executor that was thought dead cannot complete what another took over, since
    its expected version is gone.
    """

    TOPIC = "step"

    class Event(Aggregate.Event):
        TOPIC: ClassVar[str] = "step.event"

    class Started(Event, Creation):
        """An executor began an attempt. The first one begins the stream."""

        TOPIC: ClassVar[str] = "step.started"
        attempt: int
        executor: str
        step_type: str = ""
        label: str = ""

        def mutate(self, step: Any) -> Any:
            init = CanInitAggregate.mutate if step is None else CanMutateAggregate.mutate
            return init(self, step)

        def apply(self, step: Step) -> None:
            step.attempt, step.status = self.attempt, "running"

    class Completed(Event):
        """The output is stored under its CID."""

        TOPIC: ClassVar[str] = "step.completed"
        attempt: int
        output_cid: str
        size_bytes: int
        media_type: str
        duration_ms: int

        def apply(self, step: Step) -> None:
            step.status, step.output_cid = "completed", self.output_cid
            step.settle()

    class AttemptFailed(Event):
        """An attempt gave no output; another follows, after ``retry_ms``. ``kind``: see :mod:`failure`."""

        TOPIC: ClassVar[str] = "step.attempt_failed"
        attempt: int
        error: str
        reason: str
        kind: str
        retry_ms: int

        def apply(self, step: Step) -> None:
            step.status, step.reason = "waiting", self.reason
            step._handed_back += self.kind == HANDED_BACK

    class Failed(Event):
        """An attempt gave no output, and trying again would not help. ``kind``: see :mod:`failure`."""

        TOPIC: ClassVar[str] = "step.failed"
        attempt: int
        error: str
        reason: str
        kind: str = ""

        def apply(self, step: Step) -> None:
            step.status, step.reason = "failed", self.reason
            step.settle()

    class Cancelled(Event):
        """An attempt was broken off, since nobody waited for the step any more. Whoever asks again begins another."""

        TOPIC: ClassVar[str] = "step.cancelled"
        attempt: int

        def apply(self, step: Step) -> None:
            step.status = "cancelled"
            step.settle()

    def __init__(self) -> None:
        self.attempt = 0
        self.status = "new"
        self.output_cid = ""
        self.reason = ""
        self._settled = 0  # the attempt that ended last
        self._handed_back = 0  # attempts since then that were no fault of the step's

    def settle(self) -> None:
        """Note that the step ended with the present attempt."""
        self._settled, self._handed_back = self.attempt, 0

    @property
    def tries(self) -> int:
        """Attempts since the step last ended: what happened in another life of it does not count.

        Nor does what an executor gave back when it was told to stop; what died with one does.
        """
        return self.attempt - self._settled - self._handed_back

    @property
    def deadly(self) -> bool:
        """True when the executors of all its attempts went away, as often as chance may have it."""
        return self.status == "running" and self.tries >= MOST_DEATHS

    def start(self, executor: str, step_type: str, label: str, now: datetime) -> int:
        """Begin the next attempt and return its number."""
        self.record(
            Step.Started,
            now,
            originator_topic=Step.TOPIC,
            attempt=self.attempt + 1,
            executor=executor,
            step_type=step_type,
            label=label,
        )
        return self.attempt

    @classmethod
    def begin(cls, cache_id: str, executor: str, step_type: str, label: str, now: datetime) -> Step:
        """Begin the first attempt of a step."""
        return cls.create(Step.Started, cache_id, now, attempt=1, executor=executor, step_type=step_type, label=label)

    def complete(self, output_cid: str, size_bytes: int, media_type: str, duration_ms: int, now: datetime) -> None:
        """Note the output of the running attempt."""
        self.record(
            Step.Completed,
            now,
            attempt=self.attempt,
            output_cid=output_cid,
            size_bytes=size_bytes,
            media_type=media_type,
            duration_ms=duration_ms,
        )

    def fail(self, error: str, reason: str, now: datetime) -> None:
        """Note that the running attempt failed for good."""
        self.record(Step.Failed, now, attempt=self.attempt, error=error, reason=reason, kind=kind_of(error))

    def fail_attempt(self, error: str, reason: str, now: datetime, retry_after: float = 0.0) -> float | None:
        """Note that the running attempt failed, and decide whether another follows.

        Args:
            retry_after: seconds that a server asked for.

        Returns:
            Seconds until the next attempt; None: the step failed for good.
        """
        kind = kind_of(error)
        delay = next_attempt(kind, self.tries, self.key, retry_after)
        if delay is None:
            tried = f" (the last of {self.tries} attempts)" if self.tries > 1 else ""
            self.fail(error, f"{reason}{tried}", now)
            return None
        milliseconds = round(delay * 1000)
        self.record(
            Step.AttemptFailed,
            now,
            attempt=self.attempt,
            error=error,
            reason=reason,
            kind=kind,
            retry_ms=milliseconds,
        )
        return delay

    def hand_back(self, now: datetime) -> None:
        """Note that the running attempt was given up, since its executor is told to stop; another follows at once."""
        self.record(
            Step.AttemptFailed,
            now,
            attempt=self.attempt,
            error="executor-stopping",
            reason="the executor was told to stop",
            kind=HANDED_BACK,
            retry_ms=0,
        )

    def cancel(self, now: datetime) -> None:
        """Note that the running attempt was broken off."""
        self.record(Step.Cancelled, now, attempt=self.attempt)
