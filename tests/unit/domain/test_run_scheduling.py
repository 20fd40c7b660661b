"""Any DAG, any order of completion: every step is scheduled once, after its inputs, and the run ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.plan import PlannedStep, cache_id
from artdag_common.domain.run import Run
from artdag_common.testing.scenario import NOW, replay


@st.composite
def plans(draw: st.DrawFn) -> list[PlannedStep]:
    """Steps in topological order. Few configs, so that some steps are the same; some are computed already."""
    steps: list[PlannedStep] = []
    known: dict[str, str] = {}
    for i in range(draw(st.integers(1, 14))):
        inputs = draw(st.lists(st.integers(0, i - 1), max_size=4)) if i else []
        config = draw(st.sampled_from(["{}", '{"a":1}', '{"a":2}']))
        identity = cache_id("", "NOOP", "1", config, [steps[j].cache_id for j in inputs])
        if identity not in known:
            known[identity] = f"cid-{i}" if draw(st.integers(0, 3)) == 0 else ""
        level = 1 + max((steps[j].level for j in inputs), default=-1)
        label = f"r.n{i}.noop"
        steps.append(PlannedStep(f"n{i}", "NOOP", identity, config, tuple(inputs), label, level, known[identity]))
    return steps


@given(plans(), st.booleans(), st.none() | st.integers(1, 4), st.data())
def test_every_step_is_scheduled_once_and_after_its_inputs(
    steps: list[PlannedStep], hold: bool, most: int | None, data: st.DataObject
) -> None:
    run = Run.create(
        Run.Requested, "1", NOW, recipe_cid="r", recipe_name="r", owner="o", inputs=(), output_name="", hold=hold
    )
    front = data.draw(st.integers(0, len(steps)))
    run.plan_steps(steps[:front], NOW)
    _complete_in_any_order(run, most, data)
    run.plan_steps([_with_output(step, run) for step in steps[front:]], NOW)
    run.complete_plan("plan", "plan", len(steps) - 1, NOW)
    if hold:
        run.schedule(NOW, {}, most)
        assert not run.outstanding()
        run.release(NOW)
    _complete_in_any_order(run, most, data)
    assert not run.unsatisfied
    run.complete("provenance", NOW)

    assert run.status == "completed"
    assert run.output_cid == run.outputs[-1] != ""
    events = cast("Sequence[DomainEvent]", run.collect_events())
    _check_order(steps, events, most)
    assert replay(events) == run


def _with_output(step: PlannedStep, run: Run) -> PlannedStep:
    """Do as the planner does: a step that was computed meanwhile joins with its output."""
    outputs = {s.cache_id: cid for s, cid in zip(run.steps, run.outputs, strict=True) if cid}
    output_cid = outputs.get(step.cache_id, step.output_cid)
    return PlannedStep(
        step.node, step.type, step.cache_id, step.config, step.inputs, step.label, step.level, output_cid
    )


def _complete_in_any_order(run: Run, most: int | None, data: st.DataObject) -> None:
    run.schedule(NOW, {}, most)
    while outstanding := sorted({run.steps[i].cache_id for i in run.outstanding()}):
        ended = data.draw(st.lists(st.sampled_from(outstanding), min_size=1, unique=True))
        assert run.asked == len(run.outstanding())
        assert most is None or run.asked <= most
        run.take({cache: f"out-{cache[:8]}" for cache in ended}, NOW, {}, most)
        assert not {run.steps[i].cache_id for i in run.outstanding()}.intersection(ended), "an output was not taken"
        before = run.version
        run.take(dict.fromkeys(ended, "another"), NOW, {}, most)
        assert run.version == before, "an output was taken twice"


def _check_order(steps: list[PlannedStep], events: Sequence[DomainEvent], most: int | None) -> None:
    present: set[int] = set()
    scheduled: list[int] = []
    satisfied: list[int] = []
    joined = 0
    for event in events:
        if isinstance(event, Run.StepsPlanned):
            present |= {joined + i for i, step in enumerate(event.steps) if step.output_cid}
            joined += len(event.steps)
        elif isinstance(event, Run.StepsScheduled):
            for each in event.steps:
                assert present.issuperset(steps[each.step].inputs), f"step {each.step} was scheduled too early"
                scheduled.append(each.step)
        elif isinstance(event, Run.StepsSatisfied):
            for done in event.steps:
                alike = {i for i, step in enumerate(steps) if step.cache_id == steps[done.step].cache_id}
                assert done.step in scheduled or (most and alike.intersection(scheduled)), "nobody asked for it"
                satisfied.append(done.step)
                present.add(done.step)
    assert len(scheduled) == len(set(scheduled)), "a step was scheduled twice"
    assert sorted(scheduled) == sorted(satisfied) or (most and set(scheduled) < set(satisfied))
    assert present == set(range(len(steps)))
