"""Step, as sentences."""

from __future__ import annotations

import pytest

from artdag_common.domain.step import MOST_DEATHS, Step
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


def test_an_attempt_that_was_lost_is_followed_by_another(step: Scenario[Step]) -> None:
    step.given(FIRST).when(Step.fail_attempt, "media-worker-lost", "it was killed").then(
        fact(Step.AttemptFailed, attempt=1, error="media-worker-lost", kind="lost", retry_ms=0)
    )
    assert step.state.status == "waiting"
    step.when(Step.start, "two", "SEGMENT", "label").then(fact(Step.Started, attempt=2))


def test_the_last_attempt_fails_the_step_and_says_that_it_was(step: Scenario[Step]) -> None:
    step.given(FIRST, fact(Step.Started, attempt=2), fact(Step.Started, attempt=3))
    step.when(Step.fail_attempt, "media-worker-lost", "it was killed").then(
        fact(Step.Failed, attempt=3, kind="lost", reason="it was killed (the last of 3 attempts)")
    )


def test_what_is_bad_fails_at_once(step: Scenario[Step]) -> None:
    step.given(FIRST).when(Step.fail_attempt, "step-input", "too short").then(
        fact(Step.Failed, attempt=1, kind="bad-input", reason="too short")
    )


@pytest.mark.parametrize("end", [Step.Completed, Step.Failed, Step.Cancelled])
def test_attempts_of_another_life_do_not_count(step: Scenario[Step], end: type[Step.Event]) -> None:
    before = [fact(Step.Started, attempt=number) for number in (2, 3)]
    step.given(FIRST, *before, fact(end, attempt=3), fact(Step.Started, attempt=4))
    assert step.state.tries == 1
    step.when(Step.fail_attempt, "media-worker-lost", "killed").then(fact(Step.AttemptFailed, attempt=4))


def test_what_an_executor_hands_back_does_not_count(step: Scenario[Step]) -> None:
    step.given(FIRST).when(Step.hand_back).then(fact(Step.AttemptFailed, attempt=1, kind="handed-back", retry_ms=0))
    step.when(Step.start, "two", "SEGMENT", "label").then(fact(Step.Started, attempt=2))
    assert (step.state.attempt, step.state.tries) == (2, 1)


def test_a_step_that_takes_its_executors_along_is_found_out(step: Scenario[Step]) -> None:
    step.given(FIRST, *(fact(Step.Started, attempt=number) for number in range(2, MOST_DEATHS)))
    assert not step.state.deadly
    step.when(Step.start, "last", "SEGMENT", "label").then(fact(Step.Started, attempt=MOST_DEATHS))
    assert step.state.deadly


def test_a_server_that_is_busy_is_asked_when_it_says(step: Scenario[Step]) -> None:
    step.given(FIRST).when(Step.fail_attempt, "provider-busy", "later", retry_after=90.0).then(
        fact(Step.AttemptFailed, kind="busy", retry_ms=90_000)
    )


def test_a_zombie_and_its_successor_want_the_same_version(step: Scenario[Step]) -> None:
    """Both append as version 2 of the stream: the store lets one of them in."""
    zombie = Step.begin("c" * 64, "one", "SEGMENT", "label", NOW)
    successor = replay(zombie.collect_events())  # type: ignore[arg-type]
    successor.start("two", "SEGMENT", "label", NOW)
    zombie.complete("cid", 7, "video/mp4", 12, NOW)
    assert [e.originator_version for e in (*zombie.pending_events, *successor.pending_events)] == [2, 2]
