"""Traces of a whole system: two nodes, so that inputs are fetched, and a collector that can be away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from artdag_cli.backing import guarded
from artdag_cli.demo_media import make_cat
from artdag_cli.supervisor import Child
from artdag_cli.system import SERVICES, System, system, wait_until_ready
from artdag_common.domain.webhook import secret_key
from tests.integration.events.appends import eventually
from tests.integration.receiving import receiver
from tests.integration.tracing.collector import Collector, Taken

AWAY = "the collector of traces takes nothing"
KEY = "key-of-the-collector"
PATIENCE_TIMES = 1500
WEBHOOK_HOST = "127.0.0.78"
BACK = "the collector of traces takes spans again"
RECIPE = """name: traced-{salt}
inputs:
  cat: {{type: video, description: anything}}
steps:
  - {{id: cut, type: SEGMENT, inputs: [cat], config: {{offset: {offset}, duration: 0.2}}}}
  - {{id: same, type: NOOP, inputs: [cut], config: {{salt: "{salt}"}}}}
output: same
"""


class Traced:
    """The system, whoever asks it, and where its spans go."""

    def __init__(self, it: System, api: httpx.AsyncClient, collector: Collector, stack: ExitStack) -> None:
        self.it = it
        self.api = api
        self.collector = collector
        self._there = stack
        self._cat = ""

    async def begin(self, traceparent: str = "", offset: float = 0.0, at: str = "/runs") -> tuple[str, str]:
        """Begin a run of two steps by a POST to ``at``; return its id, and the trace that the answer names."""
        if not self._cat:
            path = self.it.state / "cat.mp4"
            await asyncio.to_thread(make_cat, path, 24)
            answer = await self.api.post("/cache/upload", files={"file": ("cat.mp4", path.read_bytes(), "video/mp4")})
            self._cat = answer.json()["cid"]
            await eventually(self._is_looked_into, "the executor's node has found out what the film is")
            for copy in (self.it.state / "second").rglob(self._cat):
                copy.unlink()
        text = RECIPE.format(salt=uuid4().hex, offset=offset)
        recipe = await self.api.post("/recipes/upload", content=text, headers={"Content-Type": "application/yaml"})
        assert recipe.status_code == 201, recipe.text
        answer = await self.api.post(
            at,
            json={"recipe": recipe.json()["recipe_id"], "inputs": {"cat": self._cat}},
            headers={"traceparent": traceparent} if traceparent else {},
        )
        assert answer.status_code in (201, 202), answer.text
        return answer.json()["run_id"], answer.headers["trace-id"]

    async def _is_looked_into(self) -> bool:
        facts = (await self.api.get(f"/cache/{self._cat}")).json()["facts"]
        return bool(facts and facts["status"] == "known")

    async def ended(self, run_id: str, status: str = "completed") -> None:
        """Wait for the end of a run."""

        async def over() -> bool:
            found = (await self.api.get(f"/runs/{run_id}")).json()
            assert found["status"] in (status, "requested", "analyzing", "planned", "running", "paused"), found
            return bool(found["status"] == status)

        await eventually(over, f"{run_id} is {status}")

    async def spans(self, trace_id: str, *names: str) -> dict[str, list[Taken]]:
        """Wait until spans of these names have come in a trace; return all of it by name."""

        found: dict[str, list[Taken]] = {}
        for _ in range(PATIENCE_TIMES):
            found = {}
            for span in self.collector.trace(trace_id):
                found.setdefault(span.name, []).append(span)
            if found.keys() >= set(names):
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"of {names} came only {sorted(found)}")

    def lines(self, service: str) -> list[dict[str, Any]]:
        """Return what a service has logged."""
        text = (self.it.state / "logs" / f"{service}.log").read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def go(self) -> None:
        """Have the collector go away."""
        self._there.close()

    def come_back(self) -> None:
        """Have it come back."""
        self._there.enter_context(self.collector.serving())


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, ExitStack]]:
    """A collector, there until the stack is closed."""
    it = Collector()
    with ExitStack() as stack:
        stack.enter_context(it.serving())
        yield it, stack


@pytest.fixture(scope="module")
async def traced(state: Path, collector: tuple[Collector, ExitStack]) -> AsyncIterator[Traced]:
    """A system whose executor is on a node of its own."""
    it, stack = collector
    folder = state / "traced"
    async with system(folder, 0, services=False) as running:
        (folder / "second").mkdir()
        common = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": it.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"collector-key={KEY}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "10",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "ARTDAG_CLUSTER_KEY": "key of the traces' cluster",
            "ARTDAG_LOG_FORMAT": "json",
            "ARTDAG_WEBHOOK_HOSTS": WEBHOOK_HOST,
        }
        second = {"CACHE_DIR": str(folder / "second")}
        for name, service in (*zip(SERVICES, SERVICES, strict=True), ("cache-2", "cache")):
            environment = running.environment_of(service) | common | (second if name in ("executor", "cache-2") else {})
            command = (*guarded(), sys.executable, "-m", f"services.{service}")
            log = folder / "logs" / f"{name}.log"
            await running.supervisor.start(Child(name, command, log, environment=environment))
        await wait_until_ready(running)
        headers = {"Authorization": f"Bearer {running.token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}", headers=headers, timeout=60) as api:
            yield Traced(running, api, it, stack)


def above(spans: list[Taken]) -> Callable[[Taken], list[str]]:
    """Return a function that gives the names above a span, the nearest first."""
    by_id = {span.span_id: span for span in spans}

    def names(span: Taken) -> list[str]:
        found = []
        while (parent := by_id.get(span.parent)) is not None:
            found.append(parent.name)
            span = parent
        return found

    return names


async def test_one_trace_leads_from_the_request_to_the_fetch(traced: Traced) -> None:
    trace, theirs = uuid4().hex, "00f067aa0ba902b7"
    run_id, told = await traced.begin(f"00-{trace}-{theirs}-01")
    assert told == trace
    await traced.ended(run_id)
    found = await traced.spans(
        trace,
        "POST /runs",
        "command StartRun",
        "plan",
        "step SEGMENT",
        "inputs",
        "fetch",
        "render",
        "store",
        "append",
        "pass on",
        "read models",
    )
    everything = traced.collector.trace(trace)
    names = above(everything)
    (request,) = found["POST /runs"]
    assert (request.service, request.parent) == ("artdag-gateway", theirs)
    assert request.attributes["http.response.status_code"] in (201, 202)
    assert (request.attributes["http.request.method"], request.attributes["http.route"]) == ("POST", "/runs")
    (command,) = found["command StartRun"]
    assert (command.service, command.attributes["artdag.run_id"]) == ("artdag-planner", run_id)
    assert names(command) == [request.name]
    assert {tuple(names(span)) for span in found["plan"]} == {(command.name, request.name)}
    (step,) = found["step SEGMENT"]
    assert (step.service, step.attributes["artdag.attempt"], step.attributes["artdag.work_class"]) == (
        "artdag-executor",
        1,
        "cpu",
    )
    assert re.fullmatch("[0-9a-f]{64}", step.attributes["artdag.cache_id"])
    assert names(step) == [command.name, request.name]
    (fetch,) = found["fetch"]
    assert names(fetch)[:2] == ["inputs", step.name]
    assert fetch.attributes["artdag.layer"] == "nodes"
    assert fetch.attributes["artdag.bytes"] == found["inputs"][0].attributes["artdag.bytes"] > 0
    for name in ("render", "store"):
        assert [names(span)[0] for span in found[name]] == [step.name]
    assert {"artdag-planner", "artdag-executor"} <= {span.service for span in found["append"]}
    assert "StepCompleted" in " ".join(span.attributes["artdag.events"] for span in found["append"])
    assert not [span for span in everything if names(span)[-1:] != [request.name] and span is not request]
    assert not [span for span in everything if span.error]
    assert all(span.began <= span.ended for span in everything)
    assert set(traced.collector.requests) == {"/v1/traces application/x-protobuf"}


async def test_spans_say_nothing_that_is_secret_or_a_users(traced: Traced) -> None:
    run_id, trace = await traced.begin(offset=0.1)
    await traced.ended(run_id)
    await traced.spans(trace, "step SEGMENT", "pass on")
    said = json.dumps([[span.name, span.attributes] for span in traced.collector.spans])
    assert len(said) > 1000
    for hidden in (traced.it.token, str(traced.it.state), "traced-", "cat.mp4", "Bearer", KEY):
        assert hidden not in said


async def test_a_refused_command_is_seen_as_one_and_its_problem_names_the_trace(traced: Traced) -> None:
    run_id, trace = await traced.begin(offset=0.2)
    await traced.ended(run_id)
    refused = await traced.api.post(f"/runs/{run_id}/cancel")
    assert refused.status_code == 409
    trace = refused.headers["trace-id"]
    assert refused.json()["trace_id"] == trace
    found = await traced.spans(trace, "command CancelRun")
    assert found["command CancelRun"][0].error == refused.json()["code"]
    (line,) = [each for each in traced.lines("planner") if each.get("trace_id") == trace]
    assert (line["event"], line["run_id"], line["service"]) == ("command refused", run_id, "planner")
    assert line["span_id"] == found["command CancelRun"][0].span_id
    assert {"command_id", "host", "version", "timestamp", "level"} <= line.keys()


async def test_a_step_that_fails_tells_by_which_code(traced: Traced) -> None:
    run_id, trace = await traced.begin(offset=99)
    await traced.ended(run_id, "failed")
    found = await traced.spans(trace, "step SEGMENT", "render")
    (step,), (render,) = found["step SEGMENT"], found["render"]
    assert step.error == render.error == step.attributes["error.type"] == "step-input"
    said = {**render.attributes, **step.attributes}
    said.pop("artdag.cache_id")  # may have any digits in it
    assert "99" not in json.dumps(said), "what was wrong names what people gave, and is for its owner"


async def test_a_notice_to_a_webhook_is_in_the_trace_of_its_run(traced: Traced) -> None:
    async with receiver(WEBHOOK_HOST) as there:
        made = await traced.api.post("/webhooks", json={"url": there.url})
        there.key = secret_key(made.json()["secret"])
        run_id, trace = await traced.begin(offset=0.7)
        await traced.ended(run_id)
        found = await traced.spans(trace, "tell webhook", "command StartRun", "POST /runs")
        assert (await traced.api.delete(made.json()["links"]["self"])).status_code == 200
    (told,) = found["tell webhook"]
    assert told.service == "artdag-cache"
    assert told.attributes == {"artdag.attempt": 1, "http.response.status_code": 204}
    assert above(traced.collector.trace(trace))(told) == ["command StartRun", "POST /runs"]


async def test_a_run_keeps_its_trace_when_its_planner_is_another(traced: Traced) -> None:
    run_id, trace = await traced.begin(offset=0.3, at="/api/plan")
    await traced.ended(run_id, "planned")
    planner = await traced.it.supervisor.remove("planner")
    await traced.it.supervisor.start(planner)
    await wait_until_ready(traced.it)
    answer = await traced.api.post("/api/execute", json={"run_id": run_id})
    assert answer.headers["trace-id"] != trace
    await traced.ended(run_id)
    found = await traced.spans(trace, "step SEGMENT", "pass on")
    assert len(found["step SEGMENT"]) == 1
    asked = await traced.spans(answer.headers["trace-id"], "command ExecuteRun")
    assert asked["command ExecuteRun"][0].attributes["artdag.run_id"] == run_id


WORKING = ("gateway", "planner", "executor")
"""Who has spans of a run to hand over, whoever else has."""


async def test_a_collector_that_is_away_is_told_of_once_and_nobody_waits_for_it(traced: Traced) -> None:
    traced.go()
    try:
        run_id, _ = await traced.begin(offset=0.4)
        await traced.ended(run_id)

        async def told() -> bool:
            return all(any(each["event"].startswith(AWAY) for each in traced.lines(n)) for n in WORKING)

        await eventually(told, "the log tells that the collector is away")
        for _ in range(3):
            run_id, _ = await traced.begin()
            await traced.ended(run_id)
    finally:
        traced.come_back()

    async def taken() -> bool:
        await traced.api.get("/runs")
        return any(BACK in each["event"] for each in traced.lines("gateway"))

    await eventually(taken, "the log tells that it is back")
    for service in (*SERVICES, "cache-2"):
        told_of = [each["event"] for each in traced.lines(service) if "ollector" in json.dumps(each)]
        assert len([each for each in told_of if each.startswith(AWAY)]) <= 1, service
        assert len(told_of) <= 2, (service, told_of)
        assert "opentelemetry" not in (traced.it.state / "logs" / f"{service}.log").read_text().lower(), service
    run_id, trace = await traced.begin(offset=0.5)
    await traced.ended(run_id)
    await traced.spans(trace, "step SEGMENT")


async def test_the_collectors_key_is_sent_to_it_and_not_inherited_by_media_workers(traced: Traced) -> None:
    run_id, trace = await traced.begin(offset=0.6)
    await traced.ended(run_id)
    await traced.spans(trace, "render")
    assert traced.collector.keys == {KEY}
    workers = list(forkservers(traced.it.state / "second"))
    assert workers
    assert all(KEY.encode() not in environment for environment in workers)
    assert all(b"OTEL_EXPORTER_OTLP_ENDPOINT" not in each for each in workers), "an address may hold a key, too"


def forkservers(folder: Path) -> Iterator[bytes]:
    """Yield the environments of the processes that media workers are forked from, of the executor on this node."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (process / "environ").read_bytes()
            if b"forkserver" in (process / "cmdline").read_bytes() and f"CACHE_DIR={folder}".encode() in environment:
                yield environment
