"""Kinds of failure, and when a step is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artdag_common import errors
from artdag_common.domain.failure import (
    ADVICE,
    AWAY,
    BAD_INPUT,
    BUSY,
    DEFECT,
    KINDS,
    LONGEST_DELAY_S,
    LOST,
    MEMORY,
    POLICIES,
    STOPPED,
    STOPS,
    TIMEOUT,
    kind_of,
    next_attempt,
)

CODES = {
    cls.__new__(cls).code
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, errors.ArtdagError)
}
NO_ERRORS = {*STOPS, "cancelled", "deadline-passed"}
"""Codes that the domain gives: nothing raises them."""


def test_every_kind_has_a_policy_and_says_what_to_do() -> None:
    assert set(POLICIES) == set(ADVICE) == {BAD_INPUT, LOST, AWAY, TIMEOUT, MEMORY, BUSY, DEFECT, STOPPED}
    assert set(KINDS.values()) <= set(POLICIES)


def test_kinds_are_of_errors_that_exist() -> None:
    assert set(KINDS) - NO_ERRORS <= CODES


@pytest.mark.parametrize("code", ["step", "step-config", "invalid-inputs", "step-input", "nobody-knows"])
def test_what_is_not_chance_is_never_tried_again(code: str) -> None:
    assert kind_of(code) == BAD_INPUT
    assert next_attempt(kind_of(code), 1, "seed") is None


def test_what_a_person_stopped_is_not_tried_again() -> None:
    for code in NO_ERRORS:
        assert next_attempt(kind_of(code), 1, "seed") is None


def test_what_was_lost_is_tried_again_at_once() -> None:
    assert next_attempt(LOST, 1, "seed") == 0.0


@given(st.sampled_from(sorted(POLICIES)), st.integers(1, 20), st.text(max_size=20))
def test_delays_stay_in_their_bounds_and_come_to_an_end(kind: str, tries: int, seed: str) -> None:
    policy = POLICIES[kind]
    delay = next_attempt(kind, tries, seed)
    assert (delay is None) == (tries >= policy.attempts)
    if delay is not None:
        assert 0 <= delay <= min(policy.first_s * 2 ** (tries - 1), policy.most_s)
        assert next_attempt(kind, tries, seed) == delay, "a decision can be repeated"


def test_steps_that_were_refused_together_do_not_come_back_together() -> None:
    delays = {next_attempt(BUSY, 5, f"{i:064x}") for i in range(100)}
    assert len(delays) == 100


@pytest.mark.parametrize(("asked", "least"), [(30.0, 30.0), (86_400.0, LONGEST_DELAY_S)])
def test_whoever_is_busy_says_when_it_is_asked_again_within_reason(asked: float, least: float) -> None:
    delay = next_attempt(BUSY, 1, "seed", retry_after=asked)
    assert delay == least
