"""Refusals keep their kind; clients say how long they wait."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from artdag_common.errors import ArtdagError, InvalidRecipeError, RunActiveError
from artdag_common.messaging.bus import Outcome
from services.gateway.issuing import ANSWER_SECONDS, patience_of, refusal, run_id_of


def test_a_refusal_is_the_error_that_the_owner_raised():
    error = refusal(Outcome.refused(RunActiveError("run 1 is running", run="1")))
    assert type(error) is RunActiveError
    assert (error.message, error.values, str(error)) == ("run 1 is running", {"run": "1"}, "run 1 is running")
    several = refusal(Outcome.refused(InvalidRecipeError([{"line": 1, "problem": "x"}])))
    assert type(several) is InvalidRecipeError
    assert several.values["problems"] == [{"line": 1, "problem": "x"}]


def test_a_refusal_of_a_newer_service_keeps_its_name():
    error = refusal(Outcome(False, "moon-too-full", "not tonight"))
    assert type(error) is ArtdagError
    assert error.values["refusal"] == "moon-too-full"


def test_the_run_s_id_derives_from_the_command_s():
    assert run_id_of("a") == run_id_of("a") != run_id_of("b")
    assert "." not in run_id_of("a")


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=0", 0),
        ("respond-async, wait=3", 3),
        ("WAIT = 2; x", 2),
        ("wait=9999", ANSWER_SECONDS),
        ("await=1", ANSWER_SECONDS),
        ("wait=x", ANSWER_SECONDS),
        ("", ANSWER_SECONDS),
    ],
)
def test_a_client_says_how_long_it_waits(prefer, seconds):
    scope = {"type": "http", "headers": [(b"prefer", prefer.encode())]}
    assert patience_of(Request(scope)) == seconds
