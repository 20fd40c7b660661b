"""Run: one rendering of a recipe, from the request to the output. The whole truth about runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from artdag_common.domain.aggregate import Aggregate, Creation, aggregate
from artdag_common.domain.plan import PlannedStep
from artdag_common.errors import RunActiveError, RunAlreadyFinishedError, RunNotFoundError, RunNotPlannedError

FINISHED = frozenset({"completed", "failed", "cancelled"})
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


@aggregate
class Run(Aggregate, created_event_name="Requested"):
    """One rendering of a recipe. Appended by the planner only.

    ``status`` goes requested → analyzing → planned (only when held) → running → completed, failed or cancelled.
    """

    TOPIC = "run"

    class Event(Aggregate.Event):
        TOPIC: ClassVar[str] = "run.event"

    class Requested(Event, Creation):
        """Somebody asked for a rendering. ``hold``: stop after planning, until the run is released."""

        TOPIC: ClassVar[str] = "run.requested"
        recipe_cid: str
        recipe_name: str
        owner: str
        inputs: tuple[InputBinding, ...]
        output_name: str = ""
        hold: bool = False

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
                run.states[scheduled.step] = "scheduled"
                if scheduled.after:
                    run.after[scheduled.step] = scheduled.after

    class StepsSatisfied(Event):
        """The outputs of these steps exist."""

        TOPIC: ClassVar[str] = "run.steps_satisfied"
        steps: tuple[SatisfiedStep, ...]

        def apply(self, run: Run) -> None:
            for satisfied in self.steps:
                run.satisfy(satisfied.step, satisfied.output_cid)

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
                run.states[self.step] = "failed"

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
    ) -> None:
        self.recipe_cid = recipe_cid
        self.recipe_name = recipe_name
        self.owner = owner
        self.inputs = inputs
        self.output_name = output_name
        self.hold = hold
        self.status = "requested"
        self.steps: list[PlannedStep] = []
        self.states: list[str] = []
        self.outputs: list[str] = []
        self.missing: list[int] = []  # inputs of each step that do not exist yet
        self.readers: list[list[int]] = []  # steps that read each step's output
        self.places: dict[str, list[int]] = {}  # cache id → steps
        self.unsatisfied = 0
        self.after: dict[int, int] = {}  # step → version of its stream when it was scheduled, where it was tried before
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
        if self.status == "requested":
            self.status = "analyzing"

    def satisfy(self, index: int, output_cid: str) -> None:
        """Note a step's output and count it at those that read it."""
        self.outputs[index], self.states[index] = output_cid, "completed"
        self.unsatisfied -= 1
        for reader in self.readers[index]:
            self.missing[reader] -= 1

    # --- questions ---

    @property
    def finished(self) -> bool:
        """True once nothing more can happen but deletion."""
        return self.status in FINISHED

    @property
    def executing(self) -> bool:
        """True while steps may be scheduled: not held, not finished."""
        return not self.finished and self.status != "planned"

    @property
    def planned(self) -> bool:
        """True once the whole plan is known."""
        return self.output >= 0

    def ready(self) -> list[int]:
        """Return the steps whose inputs all exist and that nobody was asked for yet, in order."""
        return [i for i, state in enumerate(self.states) if state == "pending" and not self.missing[i]]

    def outstanding(self) -> list[int]:
        """Return the steps that were scheduled and have no output yet."""
        return [i for i, state in enumerate(self.states) if state == "scheduled"]

    def awaits(self, cache_id: str) -> bool:
        """Return whether a step was scheduled and has no output yet."""
        return any(self.states[i] == "scheduled" for i in self.places.get(cache_id, ()))

    def asked_after(self, cache_id: str, version: int) -> bool:
        """Return whether this run asked for a step when its stream was at ``version``, or later."""
        return any(self.after.get(i, 0) >= version for i in self.places.get(cache_id, ()))

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

    def schedule(self, now: datetime, heads: Mapping[str, int], among: Sequence[int] | None = None) -> None:
        """Schedule every ready step.

        Args:
            heads: versions of the streams of steps that were tried before, by cache id.
            among: look only at these steps (those just freed).
        """
        if not self.executing:
            return
        due = [
            ScheduledStep(i, self.steps[i].node, self.steps[i].cache_id, heads.get(self.steps[i].cache_id, 0))
            for i in (self.ready() if among is None else among)
            if self.states[i] == "pending" and not self.missing[i]
        ]
        for start in range(0, len(due), EVENT_STEPS):
            self.record(Run.StepsScheduled, now, steps=tuple(due[start : start + EVENT_STEPS]))

    def take(self, outputs: Mapping[str, str], now: datetime, heads: Mapping[str, int]) -> None:
        """Note outputs by cache id and schedule what they free."""
        if not self.executing:
            return
        there = [
            SatisfiedStep(i, self.steps[i].node, cid)
            for cache, cid in outputs.items()
            for i in self.places.get(cache, ())
            if not self.outputs[i]
        ]
        for start in range(0, len(there), EVENT_STEPS):
            self.record(Run.StepsSatisfied, now, steps=tuple(there[start : start + EVENT_STEPS]))
        self.schedule(now, heads, sorted({reader for each in there for reader in self.readers[each.step]}))

    def take_failure(self, cache_id: str, version: int, error: str, reason: str, now: datetime) -> None:
        """Fail because of a step, unless its failure is older than this run's wish for it."""
        for i in self.places.get(cache_id, ()):
            if self.states[i] == "scheduled" and version > self.after.get(i, 0):
                self.fail(i, error, reason, now)

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

    def cancel(self, reason: str, now: datetime, by: str = "") -> None:
        """Stop a run. Steps already running finish; no further step starts.

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
