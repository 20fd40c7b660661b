"""Run, as sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from artdag_common.domain.plan import PlannedStep
from artdag_common.domain.run import (
    EVENT_BYTES,
    EVENT_STEPS,
    AnalysisResult,
    InputBinding,
    Run,
    SatisfiedStep,
    ScheduledStep,
)
from artdag_common.errors import RunActiveError, RunAlreadyFinishedError, RunNotFoundError, RunNotPlannedError
from artdag_common.testing.scenario import NOW, Fact, Scenario, fact

SOURCE, FIRST, SECOND = "a" * 64, "b" * 64, "c" * 64
STEPS = (
    PlannedStep("video", "SOURCE", SOURCE, '{"cid":"v"}', (), "r.video.source", 0, output_cid="v"),
    PlannedStep("cut", "SEGMENT", FIRST, "{}", (0,), "r.cut.segment", 1),
    PlannedStep("fit", "RESIZE", SECOND, "{}", (1, 1), "r.fit.resize", 2),
)
PLANNED = (fact(Run.StepsPlanned, steps=STEPS), fact(Run.Planned, output=2, total=3, cached=1))
CUT = ScheduledStep(1, "cut", FIRST)
CUT_SCHEDULED = fact(Run.StepsScheduled, steps=(CUT,))


def satisfied(*steps: SatisfiedStep) -> Fact:
    return fact(Run.StepsSatisfied, steps=steps)


@pytest.fixture
def run() -> Scenario[Run]:
    return Scenario(Run, Run.Requested)


@pytest.mark.parametrize("end", [Run.Completed, Run.Failed, Run.Cancelled])
def test_a_finished_run_cannot_be_cancelled(run: Scenario[Run], end: type[Run.Event]) -> None:
    error = run.given(*PLANNED, end).when(Run.cancel, "enough").raises(RunAlreadyFinishedError)
    assert f"already {run.state.status}" in error.message


def test_a_run_that_goes_on_can_be_cancelled(run: Scenario[Run]) -> None:
    run.given(*PLANNED).when(Run.cancel, "enough").then(fact(Run.Cancelled, reason="enough"))
    assert (run.state.status, run.state.finished, run.state.executing) == ("cancelled", True, False)


def test_a_run_that_goes_on_cannot_be_deleted(run: Scenario[Run]) -> None:
    run.given(*PLANNED).when(Run.delete).raises(RunActiveError)


def test_a_held_run_cannot_be_deleted(run: Scenario[Run]) -> None:
    run.given(fact(Run.Requested, hold=True), *PLANNED).when(Run.delete).raises(RunActiveError)


@pytest.mark.parametrize("end", [Run.Completed, Run.Failed, Run.Cancelled])
def test_a_finished_run_can_be_deleted_once(run: Scenario[Run], end: type[Run.Event]) -> None:
    run.given(*PLANNED, end).when(Run.delete).then(Run.Deleted)
    run.when(Run.delete).raises(RunNotFoundError)


def test_only_steps_with_all_inputs_are_scheduled(run: Scenario[Run]) -> None:
    run.given(*PLANNED).when(Run.schedule, heads={}).then(CUT_SCHEDULED)
    assert run.state.outstanding() == [1]


def test_no_more_steps_are_scheduled_than_there_is_room_for(run: Scenario[Run]) -> None:
    other = PlannedStep("other", "SEGMENT", "e" * 64, "{}", (0,), "r.other.segment", 1)
    run.given(fact(Run.StepsPlanned, steps=(*STEPS, other)), fact(Run.Planned, output=2))
    run.when(Run.schedule, heads={}, most=1).then(CUT_SCHEDULED)
    run.when(Run.schedule, heads={}, most=1).nothing()
    run.when(Run.take, {FIRST: "out"}, heads={}, most=1).then(
        satisfied(SatisfiedStep(1, "cut", "out")),
        fact(Run.StepsScheduled, steps=(ScheduledStep(3, "other", "e" * 64),)),
    )


def test_a_scheduled_step_is_not_scheduled_again(run: Scenario[Run]) -> None:
    run.given(*PLANNED, CUT_SCHEDULED).when(Run.schedule, heads={}).nothing()


def test_a_step_that_was_tried_before_carries_the_version_it_stopped_at(run: Scenario[Run]) -> None:
    run.given(*PLANNED).when(Run.schedule, heads={FIRST: 7}).then(
        fact(Run.StepsScheduled, steps=(replace(CUT, after=7),))
    )


def test_an_output_satisfies_its_step_and_schedules_what_it_frees(run: Scenario[Run]) -> None:
    run.given(*PLANNED, CUT_SCHEDULED).when(Run.take, {FIRST: "out"}, heads={}).then(
        satisfied(SatisfiedStep(1, "cut", "out")),
        fact(Run.StepsScheduled, steps=(ScheduledStep(2, "fit", SECOND),)),
    )
    assert run.state.states == ["cached", "completed", "scheduled"]


def test_an_output_is_taken_once(run: Scenario[Run]) -> None:
    run.given(*PLANNED, CUT_SCHEDULED, satisfied(SatisfiedStep(1, "cut", "out")))
    run.when(Run.take, {FIRST: "out"}, heads={}).nothing()


def test_an_output_that_no_step_waits_for_changes_nothing(run: Scenario[Run]) -> None:
    run.given(*PLANNED, CUT_SCHEDULED).when(Run.take, {"d" * 64: "out"}, heads={}).nothing()


def test_steps_with_one_cache_id_are_satisfied_together(run: Scenario[Run]) -> None:
    twin = PlannedStep("twin", "SEGMENT", FIRST, "{}", (0,), "r.twin.segment", 1)
    run.given(fact(Run.StepsPlanned, steps=(*STEPS, twin)), fact(Run.Planned, output=2), CUT_SCHEDULED)
    run.when(Run.take, {FIRST: "out"}, heads={}).then(
        satisfied(SatisfiedStep(1, "cut", "out"), SatisfiedStep(3, "twin", "out")),
        fact(Run.StepsScheduled, steps=(ScheduledStep(2, "fit", SECOND),)),
    )


def test_after_the_end_no_output_is_taken_and_no_step_starts(run: Scenario[Run]) -> None:
    run.given(*PLANNED, CUT_SCHEDULED, Run.Cancelled).when(Run.take, {FIRST: "out"}, heads={}).nothing()
    run.when(Run.schedule, heads={}).nothing()


def test_a_failed_step_fails_its_run(run: Scenario[Run]) -> None:
    run.given(*PLANNED, CUT_SCHEDULED).when(Run.take_failures, {FIRST: (2, "step", "it broke")}).then(
        fact(Run.Failed, step=1, node="cut", error="step", reason="it broke")
    )
    assert (run.state.status, run.state.states[1], run.state.error) == ("failed", "failed", "it broke")


def test_a_failure_older_than_the_wish_for_the_step_does_not_concern_the_run(run: Scenario[Run]) -> None:
    scheduled = fact(Run.StepsScheduled, steps=(replace(CUT, after=4),))
    run.given(*PLANNED, scheduled).when(Run.take_failures, {FIRST: (4, "step", "it broke")}).nothing()
    run.when(Run.take_failures, {FIRST: (6, "step", "it broke again")}).then(fact(Run.Failed, reason="it broke again"))


def test_a_failure_of_a_step_that_the_run_did_not_ask_for_does_not_concern_it(run: Scenario[Run]) -> None:
    run.given(*PLANNED).when(Run.take_failures, {SECOND: (2, "step", "it broke")}).nothing()


def test_a_run_fails_once(run: Scenario[Run]) -> None:
    run.given(*PLANNED, CUT_SCHEDULED, Run.Failed).when(Run.fail, -1, "late", "late").nothing()


def test_a_failure_without_a_step_blames_none(run: Scenario[Run]) -> None:
    run.given().when(Run.fail, -1, "invalid-inputs", "why").then(fact(Run.Failed, step=-1, node=""))


def test_a_held_run_waits_after_planning(run: Scenario[Run]) -> None:
    run.given(fact(Run.Requested, hold=True), *PLANNED).when(Run.schedule, heads={}).nothing()
    assert run.state.status == "planned"
    run.when(Run.release).then(Run.Released)
    run.when(Run.schedule, heads={}).then(CUT_SCHEDULED)


@pytest.mark.parametrize("history", [(), PLANNED, (*PLANNED, Run.Cancelled)])
def test_only_a_held_and_planned_run_can_be_released(run: Scenario[Run], history: tuple[type[Run.Event]]) -> None:
    run.given(*history).when(Run.release).raises(RunNotPlannedError)


def test_a_plan_counts_what_is_there_already(run: Scenario[Run]) -> None:
    run.given(fact(Run.StepsPlanned, steps=STEPS)).when(Run.complete_plan, "plan-cid", "plan", 2).then(
        fact(Run.Planned, plan_cid="plan-cid", plan_id="plan", output=2, total=3, cached=0)
    )
    assert run.state.planned


def test_a_completed_run_names_its_output_and_counts_its_work(run: Scenario[Run]) -> None:
    done = satisfied(SatisfiedStep(1, "cut", "x"), SatisfiedStep(2, "fit", "y"))
    run.given(*PLANNED, done).when(Run.complete, "record").then(
        fact(Run.Completed, output_cid="y", provenance_cid="record", computed=2, cached=0)
    )


def test_large_plans_take_several_events_that_fit_the_bus(run: Scenario[Run]) -> None:
    steps = [
        PlannedStep(f"n{i}", "NOOP", f"{i:064x}", '{"salt":"%s"}' % ("s" * 500), (i - 1,) if i else (), "label", i)
        for i in range(500)
    ]
    run.given().when(Run.plan_steps, steps).then(*[Run.StepsPlanned] * 4)
    assert run.state.steps == steps
    assert EVENT_BYTES < 1_000_000


def test_many_steps_at_once_take_several_events(run: Scenario[Run]) -> None:
    steps = [PlannedStep(f"n{i}", "NOOP", f"{i:064x}", "{}", (), "label", 0) for i in range(EVENT_STEPS + 1)]
    run.given(fact(Run.StepsPlanned, steps=tuple(steps)), fact(Run.Planned, output=0))
    run.when(Run.schedule, heads={}).then(*[Run.StepsScheduled] * 2)
    run.when(Run.take, {s.cache_id: "out" for s in steps}, heads={}).then(*[Run.StepsSatisfied] * 2)
    assert run.state.unsatisfied == 0


def test_bindings_and_analyses_survive_being_stored(run: Scenario[Run]) -> None:
    bindings = (InputBinding("video", ("v",)), InputBinding("clips", ("a", "b")))
    run.given(fact(Run.Requested, inputs=bindings, hold=True))
    results = (AnalysisResult("beats", "v", "w"),)
    run.when(lambda run, now: run.record(Run.InputsAnalyzed, now, analyses=results)).then(Run.InputsAnalyzed)
    assert (run.state.inputs, run.state.analyses, run.state.modified_on) == (bindings, results, NOW)
