"""Step, as sentences."""

from __future__ import annotations

import pytest

from artdag_common.domain.step import Step
from artdag_common.testing.scenario import NOW, Scenario, fact, replay

FIRST = fact(Step.Started, attempt=1, executor="one", step_type="SEGMENT", label="r.cut.segment")


@pytest.fixture
def step() -> Scenario[Step]:
    return Scenario(Step, Step.Started, key="c" * 64)


def test_the_first_attempt_begins_the_stream() -> None:
    step = Step.begin("c" * 64, "one", "SEGMENT", "r.cut.segment", NOW)
    assert (step.key, step.attempt, step.status, step.version) == ("c" * 64, 1, "running", 1)
    assert replay(step.collect_events()) == step  # type: ignore[arg-type]


def test_another_attempt_takes_the_next_number(step: Scenario[Step]) -> None:
    step.given(FIRST).when(Step.start, "two", "SEGMENT", "r.cut.segment").then(
        fact(Step.Started, attempt=2, executor="two")
    )
    assert step.state.version == 2


def test_a_completion_carries_its_attempt_and_its_output(step: Scenario[Step]) -> None:
    step.given(FIRST, fact(Step.Started, attempt=2)).when(Step.complete, "cid", 7, "video/mp4", 12).then(
        fact(Step.Completed, attempt=2, output_cid="cid", size_bytes=7, media_type="video/mp4", duration_ms=12)
    )
    assert (step.state.status, step.state.output_cid) == ("completed", "cid")


def test_a_failure_carries_its_attempt_and_its_reason(step: Scenario[Step]) -> None:
    step.given(FIRST).when(Step.fail, "step-input", "too short").then(
        fact(Step.Failed, attempt=1, error="step-input", reason="too short")
    )
    assert (step.state.status, step.state.reason) == ("failed", "too short")


def test_a_failed_step_can_be_tried_again(step: Scenario[Step]) -> None:
    step.given(FIRST, Step.Failed).when(Step.start, "two", "SEGMENT", "label").then(fact(Step.Started, attempt=2))
    assert step.state.status == "running"


def test_a_zombie_and_its_successor_want_the_same_version(step: Scenario[Step]) -> None:
    """Both append as version 2 of the stream: the store lets one of them in."""
    zombie = Step.begin("c" * 64, "one", "SEGMENT", "label", NOW)
    successor = replay(zombie.collect_events())  # type: ignore[arg-type]
    successor.start("two", "SEGMENT", "label", NOW)
    zombie.complete("cid", 7, "video/mp4", 12, NOW)
    assert [e.originator_version for e in (*zombie.pending_events, *successor.pending_events)] == [2, 2]
