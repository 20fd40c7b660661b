"""Copies, as sentences."""

from __future__ import annotations

import pytest

from artdag_common.domain.copy import Copy, parts_of
from artdag_common.testing.scenario import Scenario, fact

AGAIN = fact(Copy.Failed, attempt=1, code="service-unavailable", reason="away", again=True)
FOR_GOOD = fact(Copy.Failed, attempt=1, code="storage-refused", reason="no", again=False)


@pytest.fixture
def copy() -> Scenario[Copy]:
    return Scenario(Copy, Copy.Requested, key="s_bafy")


def test_a_key_names_provider_and_content() -> None:
    assert parts_of(Copy.key_of("2b1f6f0e-5d0c", "bafy")) == ("2b1f6f0e-5d0c", "bafy")


def test_a_copy_is_made_once(copy: Scenario[Copy]) -> None:
    copy.when(Copy.make, "s3://b/x", 7).then(fact(Copy.Made, location="s3://b/x", size_bytes=7))
    copy.when(Copy.make, "s3://b/x", 7).nothing()
    assert copy.state.state == "made"


def test_attempts_are_counted_while_it_waits(copy: Scenario[Copy]) -> None:
    copy.given(AGAIN).when(Copy.fail, "service-unavailable", "away", True).then(fact(Copy.Failed, attempt=2))
    assert (copy.state.state, copy.state.reason) == ("waiting", "away")


def test_a_failure_for_good_waits_for_being_asked_again(copy: Scenario[Copy]) -> None:
    copy.given(AGAIN, FOR_GOOD).when(Copy.ask_again).then(Copy.Requested)
    assert (copy.state.state, copy.state.attempt, copy.state.code) == ("waiting", 0, "")


def test_what_waits_or_is_made_is_not_asked_for_again(copy: Scenario[Copy]) -> None:
    copy.when(Copy.ask_again).nothing()
    copy.given(Copy.Made).when(Copy.ask_again).nothing()


def test_an_attempt_that_ends_late_does_not_undo_a_copy(copy: Scenario[Copy]) -> None:
    copy.given(Copy.Made).when(Copy.fail, "service-unavailable", "away", True).nothing()
    assert copy.state.state == "made"


def test_a_copy_that_was_removed_can_be_asked_for_again(copy: Scenario[Copy]) -> None:
    copy.given(Copy.Made).when(Copy.remove).then(Copy.Removed)
    copy.when(Copy.remove).nothing()
    copy.when(Copy.ask_again).then(Copy.Requested)
