"""The sentences themselves can be wrong, and then say so."""

from __future__ import annotations

import pytest

from artdag_common.domain.run import Run
from artdag_common.errors import RunActiveError, RunAlreadyFinishedError
from artdag_common.testing.scenario import Scenario, fact


def test_another_event_than_expected_is_noticed() -> None:
    with pytest.raises(AssertionError):
        Scenario(Run, Run.Requested).given().when(Run.cancel, "").then(Run.Failed)


def test_another_fact_than_expected_is_noticed() -> None:
    with pytest.raises(AssertionError, match="reason"):
        Scenario(Run, Run.Requested).given().when(Run.cancel, "a").then(fact(Run.Cancelled, reason="b"))


def test_a_refusal_that_was_not_expected_is_noticed() -> None:
    with pytest.raises(AssertionError, match="refused"):
        Scenario(Run, Run.Requested).given(Run.Cancelled).when(Run.cancel, "").nothing()


def test_another_refusal_than_expected_is_noticed() -> None:
    with pytest.raises(AssertionError, match="RunActiveError"):
        Scenario(Run, Run.Requested).given(Run.Cancelled).when(Run.cancel, "").raises(RunActiveError)


def test_a_missing_refusal_is_noticed() -> None:
    with pytest.raises(AssertionError, match="not None"):
        Scenario(Run, Run.Requested).given().when(Run.cancel, "").raises(RunAlreadyFinishedError)


def test_a_fact_that_an_event_does_not_have_is_noticed() -> None:
    with pytest.raises(TypeError, match="colour"):
        fact(Run.Cancelled, colour="red")


def test_a_change_that_no_event_records_is_noticed() -> None:
    def forget_to_record(run: Run, now: object) -> None:
        run.error = "changed"

    with pytest.raises(AssertionError, match="another state"):
        Scenario(Run, Run.Requested).given().when(forget_to_record).nothing()
