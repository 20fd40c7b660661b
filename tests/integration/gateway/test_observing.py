"""Traces where no collector is: answers, events and logs name them all the same."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from artdag_cli.system import System
from artdag_common.application import Application
from artdag_common.domain.run import Run
from tests.integration.events.appends import eventually


def lines(live: System, service: str, trace: str) -> list[dict[str, Any]]:
    """Return what a service has logged of a trace."""
    text = (live.state / "logs" / f"{service}.log").read_text()
    return [json.loads(line) for line in text.splitlines() if trace in line]


async def told(live: System, trace: str) -> dict[str, Any]:
    """Wait for the line of a request, which is written when the client has its answer; return it."""

    async def written() -> list[dict[str, Any]]:
        return [line for line in lines(live, "gateway", trace) if line["event"] == "request"]

    (line,) = await eventually(written, "the request is in the log")
    return dict(line)


async def test_answers_problems_and_logs_name_the_trace(
    live: System, api: httpx.AsyncClient, problem: Callable[..., dict[str, Any]]
) -> None:
    hidden = uuid4().hex
    answer = await api.get("/runs/00000000-0000-4000-8000-000000000000", params={"q": hidden})
    said = problem(answer, 404, "run-not-found")
    trace = answer.headers["trace-id"]
    assert re.fullmatch("[0-9a-f]{32}", trace)
    assert said["trace_id"] == trace
    line = await told(live, trace)
    assert (line["method"], line["route"], line["status"]) == ("GET", "/runs/{run_id}", 404)
    assert line["run_id"] == "00000000-0000-4000-8000-000000000000"
    assert line["bytes"] == len(answer.content)
    assert line["ms"] >= 0
    assert (line["service"], line["level"]) == ("gateway", "info")
    log = (live.state / "logs" / "gateway.log").read_text()
    assert hidden not in log
    assert live.token not in log


async def test_a_page_of_a_problem_names_it_too(api: httpx.AsyncClient) -> None:
    answer = await api.get(f"/runs/{uuid4()}", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert answer.headers["trace-id"] in answer.text


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/static/app.css"])
async def test_what_machines_ask_all_the_time_has_none(api: httpx.AsyncClient, path: str) -> None:
    assert "trace-id" not in (await api.get(path)).headers


@pytest.mark.parametrize("nonsense", ["00-x-y-z", "ff-" + "1" * 32 + "-" + "2" * 16 + "-01", "é"])
async def test_what_is_no_traceparent_is_replaced(api: httpx.AsyncClient, nonsense: str) -> None:
    answer = await api.get("/runs", headers=[(b"traceparent", nonsense.encode())])
    assert answer.status_code == 200
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["trace-id"])
    assert answer.headers["trace-id"] not in nonsense


async def test_of_two_traceparents_none_counts(api: httpx.AsyncClient) -> None:
    given = [f"00-{uuid4().hex}-00f067aa0ba902b7-01" for _ in range(2)]
    answer = await api.get("/runs", headers=[("traceparent", each) for each in given])
    assert not any(answer.headers["trace-id"] in each for each in given)


async def test_a_clients_trace_goes_through_to_the_run_and_to_the_log_of_its_planner(
    live: System,
    api: httpx.AsyncClient,
    asset: str,
    make_recipe: Callable[..., Awaitable[dict[str, Any]]],
    finish: Callable[..., Awaitable[Any]],
    events: Application,
) -> None:
    recipe = await make_recipe()
    theirs = f"00-{uuid4().hex}-00f067aa0ba902b7-01"
    trace = theirs[3:35]
    body = {"recipe": recipe["recipe_id"], "inputs": {"media": asset}}
    answer = await api.post("/runs", json=body, headers={"traceparent": theirs})
    assert answer.headers["trace-id"] == trace
    run_id = answer.json()["run_id"]
    assert (await finish(run_id))["status"] == "completed"
    run = await events.find(Run, run_id)
    assert run
    assert run.traceparent == theirs
    refused = await api.post(f"/runs/{run_id}/cancel", headers={"traceparent": theirs})
    assert refused.status_code == 409
    (line,) = lines(live, "planner", trace)
    assert (line["event"], line["run_id"], line["trace_id"]) == ("command refused", run_id, trace)
    assert re.fullmatch("[0-9a-f-]{36}", line["command_id"])
