"""Run: one rendering of a recipe, from the request to the output. The whole truth about runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import ClassVar

from artdag_common.domain.aggregate import Aggregate, Creation, aggregate
from artdag_common.domain.failure import STEP_CANCELLED, STEP_OVERDUE, WAIT_TIMEOUT
from artdag_common.domain.plan import PlannedStep
from artdag_common.errors import (
    RunActiveError,
    RunAlreadyFinishedError,
    RunNotFoundError,
    RunNotPausedError,
    RunNotPlannedError,
    StepNotActiveError,
    StepNotFoundError,
)

FINISHED = frozenset({"completed", "failed", "cancelled"})
STOP, CONTINUE = "stop", "continue"
"""What a run does when a step fails: end, or finish the branches that can still finish and end then."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EVENT_BYTES = 100_000
EVENT_STEPS = 500


@dataclass(frozen=True, slots=True)
class InputBinding:
    """What a variable input of the recipe stands for in one run: its name and the CIDs bound to it."""

    name: str
    cids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """The analysis of one input: the recipe's node, the analysed content, and the CID of the result."""

    node: str
    input_cid: str
    cid: str


@dataclass(frozen=True, slots=True)
class ScheduledStep:
    """A step that goes to the executors.

    Attributes:
        step: its index in the run.
        after: the last version of the step's stream known then: what happened before does not concern this run.
    """

    step: int
    node: str
    cache_id: str
    after: int = 0


@dataclass(frozen=True, slots=True)
class SatisfiedStep:
    """A step, by its index in the run, whose output exists."""

    step: int
    node: str
    output_cid: str


@dataclass(frozen=True, slots=True)
class FailedStep:
    """A step, by its index in the run, that gives this run no output: the error's code, and the reason for people."""

    step: int
    node: str
    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sign:
    """What is known last of a step that a run waits for.

    Attributes:
        version: of the step's stream.
        at: since when an executor works on it, or since when it waits for one.
        running: whether an executor works on it.
    """

    version: int
    at: datetime
    running: bool


@aggregate
class Run(Aggregate, created_event_name="Requested"):
    """One rendering of a recipe. Appended by the planner only.

    ``status`` goes requested → analyzing → planned (only when held) → running → completed, failed or cancelled; before
    it is over a run may be paused, and goes on where it was.
    """

    TOPIC = "run"

    class Event(Aggregate.Event):
        TOPIC: ClassVar[str] = "run.event"

    class Requested(Event, Creation):
        """Somebody asked for a rendering. ``hold``: stop after planning, until the run is released.

        Attributes:
            priority: one of :data:`scheduling.PRIORITIES`; empty: the first.
            on_failure: ``continue``, or empty for ``stop``.
            forced: nodes whose steps are computed again, with all that follows them, whatever was computed before.
            rerun_of: the run that this one repeats.
            deadline_us: microseconds since 1970-01-01T00:00:00Z by which it has to be over; 0: none.
            wait_timeout_ms, step_timeout_ms: how long a step may wait for an executor, and run; 0: as long as it takes.
            traceparent: the trace that all that is done for it belongs to; empty: none.
            imported_from: CID of the manifest of a run that was completed elsewhere, of which this one is the record:
                nothing of it is executed here. Empty: it is this system's own.
            imported_events: CID of that run's events, as the other system stored them.
            imported_run: the id that it has there.
        """

        TOPIC: ClassVar[str] = "run.requested"
        recipe_cid: str
        recipe_name: str
        owner: str
        inputs: tuple[InputBinding, ...]
        output_name: str = ""
        hold: bool = False
        priority: str = ""
        on_failure: str = ""
        forced: tuple[str, ...] = ()
        rerun_of: str = ""
        deadline_us: int = 0
        wait_timeout_ms: int = 0
        step_timeout_ms: int = 0
        traceparent: str = ""
        imported_from: str = ""
        imported_events: str = ""
        imported_run: str = ""

    class StepsPlanned(Event):
        """Steps joined the run: those that analyse its inputs first, later all others. Large plans take several."""

        TOPIC: ClassVar[str] = "run.steps_planned"
        steps: tuple[PlannedStep, ...]

        def apply(self, run: Run) -> None:
            for step in self.steps:
                run.add(step)

    class InputsAnalyzed(Event):
        """Every analysis that the plan depends on is there."""

        TOPIC: ClassVar[str] = "run.inputs_analyzed"
        analyses: tuple[AnalysisResult, ...]

        def apply(self, run: Run) -> None:
            run.analyses = self.analyses

    class Planned(Event):
        """The plan is complete and stored as content."""

        TOPIC: ClassVar[str] = "run.planned"
        plan_cid: str
        plan_id: str
        output: int
        total: int
        cached: int

        def apply(self, run: Run) -> None:
            run.plan_cid, run.plan_id, run.output = self.plan_cid, self.plan_id, self.output
            run.status = "planned" if run.hold else "running"

    class Released(Event):
        """A held run may execute."""

        TOPIC: ClassVar[str] = "run.released"

        def apply(self, run: Run) -> None:
            run.hold = False
            run.status = "running"

    class StepsScheduled(Event):
        """All inputs of these steps exist: they go to the executors."""

        TOPIC: ClassVar[str] = "run.steps_scheduled"
        steps: tuple[ScheduledStep, ...]

        def apply(self, run: Run) -> None:
            for scheduled in self.steps:
                run.leave(scheduled.step, "scheduled")
                run.asked += 1
                if run.timed:
                    run.scheduled_at[scheduled.step] = self.timestamp
                if scheduled.after:
                    run.after[scheduled.step] = scheduled.after

    class StepsSatisfied(Event):
        """The outputs of these steps exist."""

        TOPIC: ClassVar[str] = "run.steps_satisfied"
        steps: tuple[SatisfiedStep, ...]

        def apply(self, run: Run) -> None:
            for satisfied in self.steps:
                run.satisfy(satisfied.step, satisfied.output_cid)

    class StepsFailed(Event):
        """These steps failed; the run goes on with the branches that do not need them."""

        TOPIC: ClassVar[str] = "run.steps_failed"
        steps: tuple[FailedStep, ...]

        def apply(self, run: Run) -> None:
            for failed in self.steps:
                run.lose(failed)

    class Paused(Event):
        """No further step starts until the run is resumed. ``by``: the user who asked for it."""

        TOPIC: ClassVar[str] = "run.paused"
        by: str = ""

        def apply(self, run: Run) -> None:
            run.status = "paused"

    class Resumed(Event):
        """A paused run goes on. ``by``: the user who asked for it."""

        TOPIC: ClassVar[str] = "run.resumed"
        by: str = ""

        def apply(self, run: Run) -> None:
            run.status = "running" if run.planned else "analyzing" if run.steps else "requested"
            run.scheduled_at = dict.fromkeys(run.scheduled_at, self.timestamp)  # nobody could take them meanwhile

    class Completed(Event):
        """The output and its provenance record exist."""

        TOPIC: ClassVar[str] = "run.completed"
        output_cid: str
        provenance_cid: str
        computed: int
        cached: int

        def apply(self, run: Run) -> None:
            run.status, run.output_cid, run.provenance_cid = "completed", self.output_cid, self.provenance_cid

    class Failed(Event):
        """A step, or the planning, failed for good. ``step`` is -1 where no step is to blame."""

        TOPIC: ClassVar[str] = "run.failed"
        step: int
        node: str
        error: str
        reason: str

        def apply(self, run: Run) -> None:
            run.status, run.error = "failed", self.reason
            if self.step >= 0:
                run.leave(self.step, "failed")

    class Cancelled(Event):
        """Its owner, or the operator (``by``), stopped the run: no further step starts."""

        TOPIC: ClassVar[str] = "run.cancelled"
        reason: str
        by: str = ""

        def apply(self, run: Run) -> None:
            run.status, run.error = "cancelled", self.reason

    class Deleted(Event):
        """The run is gone from every list. Its history stays. ``by``: the user who deleted it."""

        TOPIC: ClassVar[str] = "run.deleted"
        by: str = ""

        def apply(self, run: Run) -> None:
            run.deleted = True

    def __init__(
        self,
        recipe_cid: str,
        recipe_name: str,
        owner: str,
        inputs: tuple[InputBinding, ...],
        output_name: str,
        hold: bool,
        priority: str = "",
        on_failure: str = "",
        forced: tuple[str, ...] = (),
        rerun_of: str = "",
        deadline_us: int = 0,
        wait_timeout_ms: int = 0,
        step_timeout_ms: int = 0,
        traceparent: str = "",
        imported_from: str = "",
        imported_events: str = "",
        imported_run: str = "",
    ) -> None:
        self.recipe_cid = recipe_cid
        self.recipe_name = recipe_name
        self.owner = owner
        self.inputs = inputs
        self.output_name = output_name
        self.hold = hold
        self.priority = priority
        self.on_failure = on_failure or STOP
        self.forced = forced
        self.rerun_of = rerun_of
        self.deadline_us = deadline_us
        self.wait_timeout_ms = wait_timeout_ms
        self.step_timeout_ms = step_timeout_ms
        self.traceparent = traceparent
        self.imported_from = imported_from
        self.imported_events = imported_events
        self.imported_run = imported_run
        self.status = "requested"
        self.steps: list[PlannedStep] = []
        self.states: list[str] = []
        self.outputs: list[str] = []
        self.missing: list[int] = []  # inputs of each step that do not exist yet
        self.readers: list[list[int]] = []  # steps that read each step's output
        self.places: dict[str, list[int]] = {}  # cache id → steps
        self.unsatisfied = 0
        self.startable: dict[int, None] = {}  # pending steps whose inputs all exist, as they came to be
        self.asked = 0  # steps that are scheduled
        self.after: dict[int, int] = {}  # step → version of its stream when it was scheduled, where it was tried before
        self.scheduled_at: dict[int, datetime] = {}  # only where the clock can end a step
        self.failures: list[FailedStep] = []
        self.analyses: tuple[AnalysisResult, ...] = ()
        self.plan_cid = self.plan_id = self.output_cid = self.provenance_cid = self.error = ""
        self.output = -1
        self.deleted = False

    # --- evolution, used by the events above ---

    def add(self, step: PlannedStep) -> None:
        """Take a planned step in; its inputs are in the run already."""
        index = len(self.steps)
        self.steps.append(step)
        self.states.append("cached" if step.output_cid else "pending")
        self.outputs.append(step.output_cid)
        self.readers.append([])
        self.places.setdefault(step.cache_id, []).append(index)
        missing = 0
        for source in step.inputs:
            if not self.outputs[source]:
                self.readers[source].append(index)
                missing += 1
        self.missing.append(missing)
        if not step.output_cid:
            self.unsatisfied += 1
            if not missing:
                self.startable[index] = None
        if self.status == "requested":
            self.status = "analyzing"

    def satisfy(self, index: int, output_cid: str) -> None:
        """Note a step's output and count it at those that read it."""
        self.outputs[index] = output_cid
        self.leave(index, "completed")
        self.unsatisfied -= 1
        for reader in self.readers[index]:
            self.missing[reader] -= 1
            if not self.missing[reader] and self.states[reader] == "pending":
                self.startable[reader] = None

    def leave(self, index: int, state: str) -> None:
        """Put a step that was pending or scheduled into another state."""
        self.startable.pop(index, None)
        self.asked -= self.states[index] == "scheduled"
        self.states[index] = state

    def lose(self, failed: FailedStep) -> None:
        """Note a step that fails, and give up whatever needs its output."""
        self.failures.append(failed)
        self.leave(failed.step, "failed")
        self.unsatisfied -= 1
        left = list(self.readers[failed.step])
        while left:
            reader = left.pop()
            if self.states[reader] == "pending":
                self.states[reader] = "skipped"
                self.unsatisfied -= 1
                left += self.readers[reader]

    # --- questions ---

    @property
    def finished(self) -> bool:
        """True once nothing more can happen but deletion."""
        return self.status in FINISHED

    @property
    def executing(self) -> bool:
        """True while steps may be scheduled: not held, not paused, not finished."""
        return not self.finished and self.status not in ("planned", "paused")

    @property
    def timed(self) -> bool:
        """True where the clock can end one of its steps."""
        return bool(self.wait_timeout_ms or self.step_timeout_ms)

    @property
    def deadline(self) -> datetime | None:
        """When the run has to be over."""
        return EPOCH + timedelta(microseconds=self.deadline_us) if self.deadline_us else None

    @property
    def planned(self) -> bool:
        """True once the whole plan is known."""
        return self.output >= 0

    def outstanding(self) -> list[int]:
        """Return the steps that were scheduled and have no output yet."""
        return [i for i, state in enumerate(self.states) if state == "scheduled"]

    def awaits(self, cache_id: str) -> bool:
        """Return whether a step was scheduled and has no output yet."""
        return any(self.states[i] == "scheduled" for i in self.places.get(cache_id, ()))

    def asked_after(self, cache_id: str, version: int) -> bool:
        """Return whether this run asked for a step when its stream was at ``version``, or later."""
        return any(self.after.get(i, 0) >= version for i in self.places.get(cache_id, ()))

    def forces(self, cache_id: str) -> bool:
        """Return whether a step is to be computed again, even where its output exists."""
        return any(self.steps[i].forced for i in self.places.get(cache_id, ()))

    # --- decisions ---

    def plan_steps(self, steps: Sequence[PlannedStep], now: datetime) -> None:
        """Add steps, in events that stay far below the bus's message limit."""
        chunk: list[PlannedStep] = []
        size = 0
        for step in steps:
            chunk.append(step)
            size += len(step.config) + len(step.label) + 2 * len(step.inputs) + 200
            if size > EVENT_BYTES:
                self.record(Run.StepsPlanned, now, steps=tuple(chunk))
                chunk, size = [], 0
        if chunk:
            self.record(Run.StepsPlanned, now, steps=tuple(chunk))

    def complete_plan(self, plan_cid: str, plan_id: str, output: int, now: datetime) -> None:
        """Close the plan, after the analyses that shaped it were noted."""
        cached = sum(1 for step in self.steps if step.output_cid and not step.is_source)
        self.record(
            Run.Planned, now, plan_cid=plan_cid, plan_id=plan_id, output=output, total=len(self.steps), cached=cached
        )

    def schedule(self, now: datetime, heads: Mapping[str, int], most: int | None = None) -> None:
        """Schedule the steps whose inputs all exist.

        Args:
            heads: versions of the streams of steps that were tried before, by cache id.
            most: how many may be scheduled at once; the others follow as these end. None: all.
        """
        if not self.executing:
            return
        room = None if most is None else max(0, most - self.asked)
        due = [
            ScheduledStep(i, self.steps[i].node, self.steps[i].cache_id, heads.get(self.steps[i].cache_id, 0))
            for i in islice(self.startable, room)
        ]
        for start in range(0, len(due), EVENT_STEPS):
            self.record(Run.StepsScheduled, now, steps=tuple(due[start : start + EVENT_STEPS]))

    def take(
        self, outputs: Mapping[str, str], now: datetime, heads: Mapping[str, int], most: int | None = None
    ) -> None:
        """Note outputs by cache id and schedule what there is room for then, as :meth:`schedule` does."""
        if self.finished:
            return
        there = [
            SatisfiedStep(i, self.steps[i].node, cid)
            for cache, cid in outputs.items()
            for i in self.places.get(cache, ())
            if self.states[i] in ("pending", "scheduled")
        ]
        for start in range(0, len(there), EVENT_STEPS):
            self.record(Run.StepsSatisfied, now, steps=tuple(there[start : start + EVENT_STEPS]))
        if there:
            self.schedule(now, heads, most)

    def take_failures(self, failed: Mapping[str, tuple[int, str, str]], now: datetime) -> None:
        """Take failures of steps in, but none that is older than this run's wish for the step.

        Args:
            failed: by cache id the version of the step's stream, the code of the error, and the reason.
        """
        self.fail_steps(
            [
                FailedStep(i, self.steps[i].node, error, reason)
                for cache_id, (version, error, reason) in failed.items()
                for i in self.places.get(cache_id, ())
                if self.states[i] == "scheduled" and version > self.after.get(i, 0)
            ],
            now,
        )

    def fail_steps(self, failed: Sequence[FailedStep], now: datetime) -> None:
        """Go on without steps that failed, where the recipe wants that and the plan is known; else fail."""
        if not failed or self.finished:
            return
        if self.on_failure != CONTINUE or not self.planned:
            self.fail(failed[0].step, failed[0].error, failed[0].reason, now)
            return
        chunk: list[FailedStep] = []
        size = 0
        for each in failed:
            chunk.append(each)
            size += len(each.reason.encode()) + 200
            if size > EVENT_BYTES:
                self.record(Run.StepsFailed, now, steps=tuple(chunk))
                chunk, size = [], 0
        if chunk:
            self.record(Run.StepsFailed, now, steps=tuple(chunk))

    def conclude_failure(self, now: datetime) -> None:
        """Fail, since steps failed and everything that did not need them is done."""
        first = self.failures[0]
        others = [failed.node for failed in self.failures[1:]]
        more = (
            f"; {len(others)} more failed: {', '.join(others[:5])}{', …' if len(others) > 5 else ''}" if others else ""
        )
        self.fail(first.step, first.error, first.reason + more, now)

    def pass_time(self, signs: Mapping[str, Sign], now: datetime) -> None:
        """End what takes longer than this run allows: the run at its deadline, a step that waits or runs for too long.

        Args:
            signs: of the steps that the run waits for, by cache id, as far as there are any.
        """
        if self.finished:
            return
        if self.deadline and now >= self.deadline:
            self.fail(-1, "deadline-passed", f"the run was not over by {self.deadline:%Y-%m-%d %H:%M:%S} UTC", now)
            return
        if self.executing and self.timed:
            late = [self._late(i, signs.get(self.steps[i].cache_id), now) for i in self.outstanding()]
            self.fail_steps([each for each in late if each], now)

    def _late(self, step: int, sign: Sign | None, now: datetime) -> FailedStep | None:
        """Return why a step takes too long, if it does."""
        since = self.scheduled_at.get(step, now)
        # An executor that began before this run asked may have died long ago: its time counts from the wish.
        if sign and not (sign.running and sign.version > self.after.get(step, 0)):
            since = max(since, sign.at)
        elif sign:
            since = sign.at
        if sign and sign.running:
            limit_ms, error = self.step_timeout_ms, STEP_OVERDUE
            reason = f"the step took longer than the {limit_ms / 1000:g} s that this run allows"
        else:
            limit_ms, error = self.wait_timeout_ms, WAIT_TIMEOUT
            reason = f"no executor took the step within {limit_ms / 1000:g} s"
        if not limit_ms or now - since < timedelta(milliseconds=limit_ms):
            return None
        return FailedStep(step, self.steps[step].node, error, reason)

    def complete(self, provenance_cid: str, now: datetime) -> None:
        """Finish: the output exists."""
        computed = sum(1 for state in self.states if state == "completed")
        self.record(
            Run.Completed,
            now,
            output_cid=self.outputs[self.output],
            provenance_cid=provenance_cid,
            computed=computed,
            cached=sum(1 for step in self.steps if not step.is_source) - computed,
        )

    def fail(self, step: int, error: str, reason: str, now: datetime) -> None:
        """Give up because of ``step`` (-1: because of no step)."""
        if not self.finished:
            node = self.steps[step].node if step >= 0 else ""
            self.record(Run.Failed, now, step=step, node=node, error=error, reason=reason)

    def release(self, now: datetime) -> None:
        """Let a held run execute.

        Raises:
            RunNotPlannedError: there is no plan that waits.
        """
        if self.status != "planned":
            raise RunNotPlannedError(f"run {self.key} is {self.status}, so no plan waits for execution", run=self.key)
        self.record(Run.Released, now)

    def pause(self, now: datetime, by: str = "") -> None:
        """Start no further step; what executors work on goes on. A paused run stays as it is.

        Raises:
            RunAlreadyFinishedError: it is over.
            RunNotPausedError: it is held, so nothing of it goes on that could be paused.
        """
        if self.finished:
            raise RunAlreadyFinishedError(f"run {self.key} is already {self.status}", run=self.key)
        if self.status == "planned":
            raise RunNotPausedError(f"run {self.key} waits with its plan: nothing runs that could pause", run=self.key)
        if self.status != "paused":
            self.record(Run.Paused, now, by=by)

    def resume(self, now: datetime, by: str = "") -> None:
        """Go on with a paused run.

        Raises:
            RunAlreadyFinishedError: it is over.
            RunNotPausedError: it is not paused.
        """
        if self.finished:
            raise RunAlreadyFinishedError(f"run {self.key} is already {self.status}", run=self.key)
        if self.status != "paused":
            raise RunNotPausedError(f"run {self.key} is {self.status}, not paused", run=self.key)
        self.record(Run.Resumed, now, by=by)

    def cancel_step(self, step: int, reason: str, now: datetime) -> None:
        """Do without a step: the run fails, or goes on without what needs it, as the recipe says.

        Raises:
            RunAlreadyFinishedError: the run is over.
            StepNotFoundError: the run has no such step.
            StepNotActiveError: the step is over.
        """
        if self.finished:
            raise RunAlreadyFinishedError(f"run {self.key} is already {self.status}", run=self.key)
        if not 0 <= step < len(self.steps):
            raise StepNotFoundError(f"run {self.key} has no step {step}: it has {len(self.steps)} so far", step=step)
        if self.states[step] not in ("pending", "scheduled"):
            raise StepNotActiveError(f"step {step} of run {self.key} is already {self.states[step]}", step=step)
        why = reason or "the step was cancelled"
        self.fail_steps([FailedStep(step, self.steps[step].node, STEP_CANCELLED, why)], now)

    def cancel(self, reason: str, now: datetime, by: str = "") -> None:
        """Stop a run: no further step starts, and what nobody else waits for is broken off.

        Raises:
            RunAlreadyFinishedError: it is over.
        """
        if self.finished:
            raise RunAlreadyFinishedError(f"run {self.key} is already {self.status}", run=self.key)
        self.record(Run.Cancelled, now, reason=reason, by=by)

    def delete(self, now: datetime, by: str = "") -> None:
        """Delete a finished run.

        Raises:
            RunActiveError: it still goes on.
            RunNotFoundError: it was deleted before.
        """
        if self.deleted:
            raise RunNotFoundError(f"no run {self.key}", run=self.key)
        if not self.finished:
            raise RunActiveError(f"run {self.key} is still {self.status}; cancel it first", run=self.key)
        self.record(Run.Deleted, now, by=by)
