"""Run, as sentences: paused and resumed, without some of its steps, and against the clock."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from artdag_common.domain.failure import STEP_CANCELLED, STEP_OVERDUE, WAIT_TIMEOUT
from artdag_common.domain.plan import PlannedStep
from artdag_common.domain.run import EPOCH, EVENT_BYTES, FailedStep, Run, SatisfiedStep, ScheduledStep, Sign
from artdag_common.errors import (
    RunAlreadyFinishedError,
    RunNotPausedError,
    StepNotActiveError,
    StepNotFoundError,
)
from artdag_common.testing.scenario import NOW, Fact, Scenario, fact

LEFT, RIGHT, NEXT, OUT = "b" * 64, "c" * 64, "d" * 64, "e" * 64
STEPS = (
    PlannedStep("video", "SOURCE", "a" * 64, '{"cid":"v"}', (), "r.video.source", 0, output_cid="v"),
    PlannedStep("left", "NOOP", LEFT, "{}", (0,), "r.left.noop", 1),
    PlannedStep("right", "NOOP", RIGHT, "{}", (0,), "r.right.noop", 1),
    PlannedStep("next", "NOOP", NEXT, "{}", (1,), "r.next.noop", 2),
    PlannedStep("out", "NOOP", OUT, "{}", (3, 2), "r.out.noop", 3),
)
PLANNED = (fact(Run.StepsPlanned, steps=STEPS), fact(Run.Planned, output=4, total=5, cached=0))
SIDES = fact(Run.StepsScheduled, steps=(ScheduledStep(1, "left", LEFT), ScheduledStep(2, "right", RIGHT)))
BROKE = FailedStep(1, "left", "step", "it broke")
LEFT_FAILED = fact(Run.StepsFailed, steps=(BROKE,))
LEFT_BREAKS = {LEFT: (2, "step", "it broke")}


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def run() -> Scenario[Run]:
    return Scenario(Run, Run.Requested)


@pytest.fixture
def going_on(run: Scenario[Run]) -> Scenario[Run]:
    """Of a recipe that goes on where it can; both sides are with the executors."""
    return run.given(fact(Run.Requested, on_failure="continue"), *PLANNED, SIDES)


# --- pause and resume -----------------------------------------------------------------------------------------------


def test_a_paused_run_schedules_nothing_but_takes_what_comes(run: Scenario[Run]) -> None:
    run.given(*PLANNED, SIDES).when(Run.pause, by="o").then(fact(Run.Paused, by="o"))
    run.when(Run.take, {LEFT: "l"}, heads={}).then(fact(Run.StepsSatisfied, steps=(SatisfiedStep(1, "left", "l"),)))
    run.when(Run.schedule, heads={}).nothing()
    run.when(Run.resume, by="o").then(fact(Run.Resumed, by="o"))
    run.when(Run.schedule, heads={}).then(fact(Run.StepsScheduled, steps=(ScheduledStep(3, "next", NEXT),)))


def test_a_paused_run_is_paused_once(run: Scenario[Run]) -> None:
    run.given(*PLANNED, Run.Paused).when(Run.pause).nothing()


@pytest.mark.parametrize(
    ("history", "status"),
    [
        ((), "requested"),
        ((fact(Run.StepsPlanned, steps=STEPS[:2]),), "analyzing"),
        (PLANNED, "running"),
        ((*PLANNED, SIDES), "running"),
    ],
)
def test_a_resumed_run_is_where_it_was(run: Scenario[Run], history: tuple[Fact, ...], status: str) -> None:
    for _ in range(2):
        run.given(*history).when(Run.pause).then(Run.Paused)
        history = ()
        run.when(Run.resume).then(Run.Resumed)
        assert run.state.status == status


def test_a_run_that_was_held_runs_on_after_its_release_and_a_pause(run: Scenario[Run]) -> None:
    run.given(fact(Run.Requested, hold=True), *PLANNED).when(Run.pause).raises(RunNotPausedError)
    run = Scenario(Run, Run.Requested).given(fact(Run.Requested, hold=True), *PLANNED, Run.Released, Run.Paused)
    run.when(Run.resume).then(Run.Resumed)
    assert run.state.status == "running"


def test_a_run_paused_before_its_plan_waits_with_it_where_it_is_held(run: Scenario[Run]) -> None:
    run.given(fact(Run.Requested, hold=True), Run.Paused).when(Run.resume).then(Run.Resumed)
    run.given(*PLANNED)
    assert run.state.status == "planned"


def test_only_a_paused_run_can_be_resumed(run: Scenario[Run]) -> None:
    run.given(*PLANNED).when(Run.resume).raises(RunNotPausedError)


@pytest.mark.parametrize("decision", [Run.pause, Run.resume])
@pytest.mark.parametrize("end", [Run.Completed, Run.Failed, Run.Cancelled])
def test_a_finished_run_is_neither_paused_nor_resumed(run: Scenario[Run], decision: object, end: type) -> None:
    assert callable(decision)
    run.given(*PLANNED, end).when(decision).raises(RunAlreadyFinishedError)


def test_a_paused_run_can_be_cancelled(run: Scenario[Run]) -> None:
    run.given(*PLANNED, Run.Paused).when(Run.cancel, "enough").then(Run.Cancelled)


def test_a_step_that_fails_while_its_run_is_paused_fails_it(run: Scenario[Run]) -> None:
    run.given(*PLANNED, SIDES, Run.Paused).when(Run.take_failures, LEFT_BREAKS).then(fact(Run.Failed, step=1))


# --- a step fails, and the run goes on ------------------------------------------------------------------------------


def test_whatever_needs_a_failed_step_is_skipped_and_the_rest_goes_on(going_on: Scenario[Run]) -> None:
    going_on.when(Run.take_failures, LEFT_BREAKS).then(LEFT_FAILED)
    assert going_on.state.states == ["cached", "failed", "scheduled", "skipped", "skipped"]
    assert going_on.state.unsatisfied == 1
    going_on.when(Run.take, {RIGHT: "r"}, heads={}).then(Run.StepsSatisfied)
    assert going_on.state.unsatisfied == 0
    going_on.when(Run.conclude_failure).then(fact(Run.Failed, step=1, node="left", error="step", reason="it broke"))
    assert going_on.state.states == ["cached", "failed", "completed", "skipped", "skipped"]


def test_two_branches_that_fail_at_once_are_one_event_and_skip_what_both_feed_once(going_on: Scenario[Run]) -> None:
    going_on.when(Run.take_failures, {**LEFT_BREAKS, RIGHT: (2, "step", "this too")}).then(
        fact(Run.StepsFailed, steps=(BROKE, FailedStep(2, "right", "step", "this too")))
    )
    assert going_on.state.unsatisfied == 0
    going_on.when(Run.conclude_failure).then(fact(Run.Failed, step=1, reason="it broke; 1 more failed: right"))


def test_what_comes_after_a_step_was_given_up_changes_nothing(going_on: Scenario[Run]) -> None:
    going_on.given(LEFT_FAILED).when(Run.take, {LEFT: "l"}, heads={}).nothing()
    going_on.when(Run.take_failures, {LEFT: (4, "step", "again")}).nothing()


def test_a_failure_before_the_plan_is_known_ends_the_run_all_the_same(run: Scenario[Run]) -> None:
    run.given(fact(Run.Requested, on_failure="continue"), fact(Run.StepsPlanned, steps=STEPS[:3]), SIDES)
    run.when(Run.take_failures, LEFT_BREAKS).then(fact(Run.Failed, step=1))


def test_a_failure_while_paused_is_noted_and_the_end_waits(going_on: Scenario[Run]) -> None:
    going_on.given(Run.Paused).when(Run.take_failures, LEFT_BREAKS).then(LEFT_FAILED)
    assert not going_on.state.finished


def test_a_step_that_thousands_read_fails_in_one_small_event(run: Scenario[Run]) -> None:
    readers = tuple(PlannedStep(f"r{i}", "NOOP", f"{i:064x}", "{}", (1,), "l", 2) for i in range(5000))
    chain = tuple(PlannedStep(f"c{i}", "NOOP", f"{i:064d}", "{}", (i + 5001,), "l", i + 3) for i in range(3000))
    run.given(fact(Run.Requested, on_failure="continue"), fact(Run.StepsPlanned, steps=(*STEPS[:2], *readers, *chain)))
    run.given(fact(Run.Planned, output=1), fact(Run.StepsScheduled, steps=(ScheduledStep(1, "left", LEFT),)))
    run.when(Run.take_failures, LEFT_BREAKS).then(LEFT_FAILED)
    assert run.state.unsatisfied == 0


def test_thousands_of_failures_at_once_fit_the_bus(run: Scenario[Run]) -> None:
    steps = tuple(PlannedStep(f"n{i}", "NOOP", f"{i:064x}", "{}", (), "l", 0) for i in range(300))
    sent = tuple(ScheduledStep(i, s.node, s.cache_id) for i, s in enumerate(steps))
    run.given(fact(Run.Requested, on_failure="continue"), fact(Run.StepsPlanned, steps=steps))
    run.given(fact(Run.Planned, output=0), fact(Run.StepsScheduled, steps=sent))
    run.when(Run.take_failures, {s.cache_id: (2, "step", "x" * 1000) for s in steps}).then(*[Run.StepsFailed] * 4)
    assert EVENT_BYTES < 500_000


# --- a step is cancelled --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 3])
def test_a_run_that_stops_at_failures_ends_when_a_step_is_cancelled_be_it_pending(
    run: Scenario[Run], step: int
) -> None:
    run.given(*PLANNED, SIDES).when(Run.cancel_step, step, "").then(
        fact(Run.Failed, step=step, error=STEP_CANCELLED, reason="the step was cancelled")
    )


def test_a_run_that_goes_on_does_without_the_step(going_on: Scenario[Run]) -> None:
    going_on.when(Run.cancel_step, 3, "no longer wanted").then(
        fact(Run.StepsFailed, steps=(FailedStep(3, "next", STEP_CANCELLED, "no longer wanted"),))
    )
    assert going_on.state.states == ["cached", "scheduled", "scheduled", "failed", "skipped"]
    going_on.when(Run.take, {LEFT: "l"}, heads={}).then(Run.StepsSatisfied)  # and ``next`` is not scheduled


@pytest.mark.parametrize(("step", "error"), [(0, StepNotActiveError), (5, StepNotFoundError), (-1, StepNotFoundError)])
def test_a_step_that_is_over_or_unknown_cannot_be_cancelled(
    run: Scenario[Run], step: int, error: type[StepNotActiveError | StepNotFoundError]
) -> None:
    run.given(*PLANNED).when(Run.cancel_step, step, "").raises(error)


def test_a_step_that_completed_first_cannot_be_cancelled(going_on: Scenario[Run]) -> None:
    going_on.when(Run.take, {LEFT: "l"}, heads={}).then(Run.StepsSatisfied, Run.StepsScheduled)
    going_on.when(Run.cancel_step, 1, "").raises(StepNotActiveError)


def test_a_twin_of_a_cancelled_step_goes_on(run: Scenario[Run]) -> None:
    twin = PlannedStep("twin", "NOOP", LEFT, "{}", (0,), "r.twin.noop", 1)
    right = ScheduledStep(2, "right", RIGHT)
    all_of_them = (ScheduledStep(1, "left", LEFT), ScheduledStep(5, "twin", LEFT), right)
    run.given(fact(Run.Requested, on_failure="continue"), fact(Run.StepsPlanned, steps=(*STEPS, twin)))
    run.given(fact(Run.Planned, output=4), fact(Run.StepsScheduled, steps=all_of_them))
    run.when(Run.cancel_step, 1, "").then(Run.StepsFailed)
    assert run.state.awaits(LEFT)
    run.when(Run.take, {LEFT: "l"}, heads={}).then(fact(Run.StepsSatisfied, steps=(SatisfiedStep(5, "twin", "l"),)))
    assert run.state.states[1] == "failed"


# --- the clock ------------------------------------------------------------------------------------------------------


def timed(**limits: int) -> Scenario[Run]:
    return Scenario(Run, Run.Requested).given(
        fact(Run.Requested, **limits), *PLANNED, fact(Run.StepsScheduled, steps=(ScheduledStep(1, "left", LEFT, 4),))
    )


@pytest.mark.parametrize("history", [(), (*PLANNED, Run.Paused), PLANNED], ids=["requested", "paused", "held"])
def test_a_run_ends_at_its_deadline_wherever_it_is(history: tuple[type[Run.Event], ...]) -> None:
    deadline_us = (at(60) - EPOCH) // timedelta(microseconds=1)
    run = Scenario(Run, Run.Requested).given(fact(Run.Requested, deadline_us=deadline_us, hold=True), *history)
    run.when(Run.pass_time, {}, now=at(59.999)).nothing()
    run.when(Run.pass_time, {}, now=at(60)).then(fact(Run.Failed, step=-1, error="deadline-passed"))
    run.when(Run.pass_time, {}, now=at(61)).nothing()


def test_a_step_that_nobody_takes_in_time_is_given_up() -> None:
    run = timed(wait_timeout_ms=5000)
    run.when(Run.pass_time, {}, now=at(4.999)).nothing()
    run.when(Run.pass_time, {}, now=at(5)).then(
        fact(Run.Failed, step=1, error=WAIT_TIMEOUT, reason="no executor took the step within 5 s")
    )


def test_a_step_that_runs_does_not_wait() -> None:
    timed(wait_timeout_ms=5000).when(Run.pass_time, {LEFT: Sign(5, at(1), True)}, now=at(3600)).nothing()


def test_a_step_waits_anew_after_an_attempt_that_failed() -> None:
    """Its executor had taken it in time."""
    run = timed(wait_timeout_ms=5000)
    run.when(Run.pass_time, {LEFT: Sign(6, at(100), False)}, now=at(104.9)).nothing()
    run.when(Run.pass_time, {LEFT: Sign(6, at(100), False)}, now=at(105)).then(fact(Run.Failed, error=WAIT_TIMEOUT))


def test_a_step_that_runs_for_too_long_is_given_up() -> None:
    run = timed(step_timeout_ms=5000)
    running = {LEFT: Sign(5, at(10), True)}
    run.when(Run.pass_time, {}, now=at(3600)).nothing()
    run.when(Run.pass_time, running, now=at(14.9)).nothing()
    run.when(Run.pass_time, running, now=at(15)).then(fact(Run.Failed, step=1, error=STEP_OVERDUE))


def test_an_executor_that_began_before_the_run_asked_counts_from_then_on() -> None:
    """It may have died long ago, for a run that is over."""
    run = timed(step_timeout_ms=5000)
    old = {LEFT: Sign(4, at(-86_400), True)}
    run.when(Run.pass_time, old, now=at(4.9)).nothing()
    run.when(Run.pass_time, old, now=at(5)).then(fact(Run.Failed, error=STEP_OVERDUE))


def test_a_paused_run_has_time() -> None:
    run = timed(wait_timeout_ms=5000).given(Run.Paused)
    run.when(Run.pass_time, {}, now=at(3600)).nothing()
    run.when(Run.resume, now=at(3600)).then(Run.Resumed)
    run.when(Run.pass_time, {}, now=at(3604.9)).nothing()
    run.when(Run.pass_time, {}, now=at(3605)).then(fact(Run.Failed, error=WAIT_TIMEOUT))


def test_all_that_is_late_is_given_up_at_once_where_the_run_goes_on(run: Scenario[Run]) -> None:
    run.given(fact(Run.Requested, on_failure="continue", wait_timeout_ms=1), *PLANNED, SIDES)
    run.when(Run.pass_time, {}, now=at(1)).then(Run.StepsFailed)
    assert run.state.states[1:3] == ["failed", "failed"]


def test_forcing_one_of_two_equal_steps_forces_both(run: Scenario[Run]) -> None:
    """They have one cache id, and so one computation."""
    twin = PlannedStep("twin", "NOOP", LEFT, "{}", (0,), "r.twin.noop", 1, forced=True)
    run.given(fact(Run.StepsPlanned, steps=(*STEPS[:2], twin)))
    assert run.state.forces(LEFT)
    assert not run.state.forces(RIGHT)
