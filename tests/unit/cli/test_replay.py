"""A run folded from the log: its own events and its steps', in the order of positions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from artdag_cli.replay import Replayed, rebuild
from artdag_common.application import new_events
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.step import Step
from artdag_common.errors import RunNotFoundError
from artdag_common.eventstore.port import Recorded
from artdag_common.eventstore.postgres import PostgresEventStore

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "history"
NOW = datetime(2026, 11, 21, tzinfo=UTC)


class Log:
    """A log in memory: events get positions in the order in which they come."""

    def __init__(self, first: int = 1) -> None:
        self.events: list[Recorded] = []
        self._next = first

    def golden(self, name: str) -> str:
        """Take the events of a run that was recorded, up to its end, and return its id."""
        document = json.loads((GOLDEN / f"{name}.json").read_text())
        for event in document["events"]:
            if event["type"] != "RunDeleted":
                self._add(document["stream"], event["version"], event["type"], bytes.fromhex(event["data"]))
        return str(document["stream"]).removeprefix("run-")

    def take(self, step: Step) -> None:
        """Take what an executor decided."""
        events = cast("Sequence[DomainEvent]", step.collect_events())
        for event, new in zip(events, new_events(events, "test"), strict=True):
            self._add(step.id, event.originator_version, new.type, new.data)

    async def load(self, stream: str, at: int | None = None) -> list[Recorded]:
        """As the event store does."""
        return [r for r in self.events if r.stream == stream and (at is None or r.position <= at)]

    def forget_after(self, kind: str) -> None:
        """Forget all that came after the first event of a type."""
        first = next(i for i, recorded in enumerate(self.events) if recorded.type == kind)
        del self.events[first + 1 :]

    def _add(self, stream: str, version: int, kind: str, data: bytes) -> None:
        self.events.append(Recorded(stream, version, UUID(int=self._next), kind, data, self._next, NOW))
        self._next += 1


async def replayed(log: Log, run_id: str, at: int | None = None) -> Replayed:
    """Fold."""
    return await rebuild(cast(PostgresEventStore, log), run_id, at)


def states(statuses: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Status by node."""
    return {step["node"]: step["status"] for step in statuses}


async def scheduled_step(log: Log) -> tuple[str, str, str]:
    """Have a run hand out its first step; return the run's id, the step's cache id and its node."""
    run_id = log.golden("run_completed")
    log.forget_after("RunStepsScheduled")
    run = (await replayed(log, run_id)).run
    index = run.states.index("scheduled")
    return run_id, run.steps[index].cache_id, run.steps[index].node


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
async def test_every_event_is_a_line_of_the_history(status: str) -> None:
    log = Log(first=10)
    run_id = log.golden(f"run_{status}")
    it = await replayed(log, run_id)
    assert it.summary()["status"] == status
    assert [(c.position, c.type) for c in it.history] == [(r.position, r.type) for r in log.events]
    assert f"→ {status}" in next(change for change in it.history[-1].changes if change.startswith("status"))
    assert not {"pending", "scheduled", "running"} & set(it.states()), "nothing goes on in a run that is over"
    # Each change begins where the one before it ended.
    known: dict[str, str] = {}
    for change in it.history:
        for name, _, value in (text.partition(": ") for text in change.changes):
            before, arrow, after = value.rpartition(" → ")
            assert known.get(name, "") == before if arrow else not known.get(name)
            known[name] = after


async def test_a_run_as_it_was_at_a_position() -> None:
    log = Log(first=10)
    run_id = log.golden("run_completed")
    last = log.events[-1].position
    earlier = await replayed(log, run_id, last - 1)
    assert earlier.summary()["status"] != "completed"
    assert [c.position for c in earlier.history] == list(range(10, last))
    with pytest.raises(RunNotFoundError, match="up to position 9"):
        await replayed(log, run_id, 9)


async def test_a_run_that_never_was() -> None:
    with pytest.raises(RunNotFoundError, match="no-such-run"):
        await replayed(Log(), "no-such-run")


async def test_an_executors_news_refine_what_was_scheduled() -> None:
    log = Log()
    run_id, cache_id, node = await scheduled_step(log)
    assert states((await replayed(log, run_id)).summary()["steps"])[node] == "scheduled"
    step = Step.begin(cache_id, "executor-1", "EFFECT", "label", NOW)
    log.take(step)
    running = await replayed(log, run_id)
    assert states(running.summary()["steps"])[node] == "running"
    assert (running.history[-1].type, running.history[-1].changes) == ("StepStarted", ["attempt: 1", "status: running"])
    earlier = Step.begin(cache_id, "executor-1", "EFFECT", "label", NOW)
    earlier.fail("step", "no video", NOW)
    before = Log()
    assert (before.golden("run_completed"), before.forget_after("RunStepsScheduled")) == (run_id, None)
    before.take(earlier)
    was = await replayed(before, run_id)
    assert states(was.summary()["steps"])[node] == "scheduled", "a failure of before is no answer to this run's wish"
    while step.version < max(running.run.after.values()):
        step.start("executor-1", "EFFECT", "label", NOW)
    step.fail("step", "no video", NOW)
    log.take(step)
    failed = await replayed(log, run_id)
    assert states(failed.summary()["steps"])[node] == "failed"
    assert failed.history[-1].changes == ["status: running → failed"]


async def test_what_happened_to_a_shared_step_before_the_run_is_not_the_runs() -> None:
    later = Log(first=3)
    run_id, cache_id, node = await scheduled_step(later)
    before = Log(first=1)
    step = Step.begin(cache_id, "executor-1", "EFFECT", "label", NOW)
    before.take(step)
    step.start("executor-2", "EFFECT", "label", NOW)
    before.take(step)
    before.events += later.events
    it = await replayed(before, run_id)
    assert [c.position for c in it.history] == [r.position for r in later.events]
    assert states(it.summary()["steps"])[node] == "running", "it is folded all the same"
    assert it.steps[cache_id].attempt == 2
