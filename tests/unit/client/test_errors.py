"""Refusals as exceptions: every status and code that the server has."""

from __future__ import annotations

import inspect
import json

import pytest

from artdag_client import errors
from artdag_client.errors import BY_CODE, BY_STATUS, ClientError, RefusedError, RunFailedError, ServerError, refusal
from artdag_common import errors as servers
from artdag_common.errors import ArtdagError
from services.gateway.api.documentation import PROBLEMS
from services.gateway.app import STATUS

PROBLEM = {"title": "Run not found", "status": 404, "detail": "no run r", "code": "run-not-found", "run": "r"}


@pytest.mark.parametrize("status", sorted({*STATUS.values(), *PROBLEMS}))
def test_every_status_of_the_server_has_its_kind(status: int) -> None:
    kind = type(refusal(status, {}, b"{}"))
    assert kind is BY_STATUS.get(status, ServerError)
    assert kind is not RefusedError


def test_codes_are_the_servers() -> None:
    codes = {
        cls.code.fget(cls.__new__(cls))  # type: ignore[attr-defined]
        for _, cls in inspect.getmembers(servers, inspect.isclass)
        if issubclass(cls, ArtdagError)
    }
    assert set(BY_CODE) <= codes


def test_all_are_one_tree_and_explained() -> None:
    kinds = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if cls.__module__ == errors.__name__]
    assert len(kinds) > 15
    for cls in kinds:
        assert issubclass(cls, ClientError)
        assert vars(cls)["__doc__"]


def test_a_problem_is_told_as_it_is() -> None:
    error = refusal(404, {"Retry-After": "3"}, json.dumps(PROBLEM).encode())
    assert isinstance(error, errors.NotFoundError)
    assert (error.status, error.code, error.detail, error.retry_after) == (404, "run-not-found", "no run r", 3.0)
    assert error.values["run"] == "r"
    assert str(error) == error.message == "no run r"


def test_every_broken_rule_is_a_line() -> None:
    problems = [{"line": 4, "column": 2, "field": "steps[0].type", "problem": "unknown"}, {"problem": "none"}, "plain"]
    document = {"detail": "3 problems", "code": "invalid-recipe", "problems": problems}
    error = refusal(422, {}, json.dumps(document).encode())
    assert isinstance(error, errors.InvalidRecipeError)
    assert error.problems == problems
    assert error.message.splitlines() == ["3 problems", "  line 4, steps[0].type: unknown", "  none", "  plain"]


@pytest.mark.parametrize("body", [b"<html>bad gateway", b"[]", b"", b"\xff\xfe"])
def test_what_is_no_problem_is_told_all_the_same(body: bytes) -> None:
    error = refusal(502, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, body)
    assert isinstance(error, ServerError)
    assert error.message.startswith("502")
    assert error.retry_after is None


def test_a_run_that_failed_says_where_and_why() -> None:
    run = {"run_id": "r", "status": "failed", "error": {"step": 3, "node": "cut", "reason": "no sound"}}
    assert RunFailedError(run).message == "run r failed: step 3, cut: no sound"
    assert RunFailedError({"run_id": "r", "status": "cancelled", "error": None}).run["status"] == "cancelled"
