"""What a running system counts, read where Prometheus reads it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from uuid import uuid4

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as families
from prometheus_client.samples import Sample

from artdag_cli.system import SERVICES, System
from tests.integration.events.appends import eventually
from tests.promql import TARGETS, asked_for, expressions

RECIPE = """name: seen-{salt}
inputs:
  media: {{type: any, description: anything}}
steps:
  - {{id: first, type: NOOP, inputs: [media], config: {{salt: "{salt}"}}}}
{last}output: {output}
"""
BROKEN = """  - {id: broken, type: SEGMENT, inputs: [first], config: {duration: 1}}
"""
BY_PROMETHEUS = frozenset({"up"})
EVERYWHERE = TARGETS | {"le"}

Read = dict[str, list[Sample]]


class Seen:
    """The metrics of the running system."""

    def __init__(self, live: System, api: httpx.AsyncClient) -> None:
        self._live = live
        self.api = api

    async def read(self, service: str) -> Read:
        """Return what a process shows: samples by the name of their family, and of each sample's own."""
        return parsed((await self.api.get(f"http://127.0.0.1:{self._live.probes[service]}/metrics")).text)

    async def system(self) -> Read:
        """Return what a gateway says of the whole."""
        return parsed((await self.api.get("/metrics")).text)

    async def number(self, service: str, name: str, labels: Mapping[str, str] | None = None) -> float:
        """Return the sum of the samples with these labels."""
        wanted = dict(labels or {}).items()
        return sum(s.value for s in (await self.read(service)).get(name, ()) if wanted <= s.labels.items())

    async def run(self, salt: str, output: str) -> str:
        """Run a recipe to its end, and return its status."""
        return await self.end(await self.begin(salt, output))

    async def begin(self, salt: str, output: str) -> str:
        """Begin to run a recipe."""
        media = {"file": ("a.bin", b"\0" + salt.encode())}
        stored = (await self.api.post("/cache/upload", files=media)).raise_for_status().json()
        text = RECIPE.format(salt=salt, output=output, last=BROKEN if output == "broken" else "")
        uploaded = await self.api.post("/recipes/upload", files={"file": ("r.yaml", text.encode())})
        recipe = uploaded.raise_for_status().json()["recipe_id"]
        begun = await self.api.post(f"/recipes/{recipe}/run", json={"inputs": {"media": stored["cid"]}})
        return str(begun.raise_for_status().json()["run_id"])

    async def end(self, run_id: str) -> str:
        """Wait for the end of a run, and return its status."""

        async def ended() -> str | None:
            status = str((await self.api.get(f"/runs/{run_id}")).json()["status"])
            return status if status in ("completed", "failed") else None

        return str(await eventually(ended, "the run ends"))


def parsed(text: str) -> Read:
    """Return samples by the name of their family, as it is typed, and by their own."""
    found: Read = {}
    for family in families(text):
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
        for suffix in suffixes:
            found.setdefault(family.name + suffix, [])
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


@pytest.fixture(scope="module")
async def seen(live: System) -> AsyncIterator[Seen]:
    """The running system."""
    headers = {"Authorization": f"Bearer {live.token}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{live.port}", headers=headers, timeout=60) as api:
        yield Seen(live, api)


async def test_a_run_is_counted_by_all_who_take_part(seen: Seen) -> None:
    names = [
        ("gateway", "artdag_http_requests_total", {"method": "POST", "route": "/cache/upload", "status": "201"}),
        ("gateway", "artdag_http_request_seconds_count", {"method": "GET", "route": "/runs/{run_id}"}),
        ("gateway", "artdag_http_sent_bytes_total", {}),
        ("gateway", "artdag_projector_events_total", {}),
        ("gateway", "artdag_projector_delay_seconds_count", {}),
        ("gateway", "artdag_content_stored_bytes_total", {"backend": "local"}),
        ("planner", "artdag_commands_total", {"command": "StartRun", "outcome": "accepted"}),
        ("planner", "artdag_command_seconds_count", {"command": "StartRun"}),
        ("planner", "artdag_messages_total", {"consumer": "planner"}),
        ("planner", "artdag_followed_events_total", {"consumer": "planner", "outcome": "handled"}),
        ("planner", "artdag_steps_planned_total", {"how": "needed"}),
        ("planner", "artdag_plan_seconds_count", {}),
        ("planner", "artdag_events_appended_total", {"type": "RunCompleted"}),
        ("planner", "artdag_content_reads_total", {"found": "local"}),
        ("executor", "artdag_step_attempts_total", {"type": "NOOP", "end": "passed-on"}),
        ("executor", "artdag_step_attempts_total", {"type": "SEGMENT", "end": "failed"}),
        ("executor", "artdag_step_failures_total", {"kind": "bad-input"}),
        ("executor", "artdag_step_attempt_seconds_count", {"type": "SEGMENT"}),
        ("executor", "artdag_step_queue_seconds_count", {"class": "inline"}),
        ("executor", "artdag_appends_total", {"result": "appended"}),
        ("executor", "artdag_commit_seconds_count", {}),
        ("cache", "artdag_followed_events_total", {"consumer": "cache", "outcome": "handled"}),
        ("cache", "artdag_events_appended_total", {"type": "ObjectStored"}),
        ("auth", "artdag_relay_sequenced_total", {}),
        ("auth", "artdag_relay_published_total", {}),
        ("auth", "artdag_relay_publish_seconds_count", {}),
    ]
    before = [await seen.number(*each) for each in names]
    cached = await seen.number("planner", "artdag_steps_planned_total", {"how": "cached"})
    salt = uuid4().hex
    assert await seen.run(salt, "first") == "completed"
    assert await seen.run(salt, "first") == "completed"
    assert await seen.run(salt, "broken") == "failed"
    assert await seen.number("planner", "artdag_steps_planned_total", {"how": "cached"}) > cached
    still = list(zip(names, before, strict=True))

    async def all_grown() -> bool:
        still[:] = [(each, was) for each, was in still if await seen.number(*each) <= was]
        return not still

    with contextlib.suppress(TimeoutError):
        await eventually(all_grown, "all have grown")
    assert still == [], "these have not grown"


async def test_how_each_process_stands_is_shown(seen: Seen) -> None:
    for service in SERVICES:
        shown = await seen.read(service)
        (build,) = shown["artdag_build_info"]
        assert build.labels["service"] == service
        assert shown["artdag_loops_stuck"][0].value == 0
        assert {sample.value for sample in shown["artdag_nats_connected"]} == {1}
        assert shown["artdag_postgres_connections_open"][0].value >= 1
        assert shown["process_resident_memory_bytes"][0].value > 1e7
        assert sum(s.value for s in shown["artdag_event_loop_lag_seconds_count"]) > 0
    assert await seen.number("auth", "artdag_relay_leads") == 1
    assert await seen.number("planner", "artdag_planner_executors") >= 1
    assert await seen.number("gateway", "artdag_projector_running") == 1
    assert await seen.number("executor", "artdag_media_workers") >= 1
    for place in ("gateway", "planner", "executor", "cache"):
        free, size = [await seen.number(place, f"artdag_content_disk_{what}_bytes") for what in ("free", "size")]
        assert 0 < free < size
    for to in ("webhooks", "registry", "places"):
        assert (await seen.read("cache"))["artdag_outgoing_waiting"]
        assert await seen.number("cache", "artdag_outgoing_waiting", {"to": to}) >= 0

    async def added_up() -> bool:
        where = {sample.labels["where"] for sample in (await seen.read("cache"))["artdag_content_bytes"]}
        return where == {"books", "places"}

    await eventually(added_up, "what is kept has been added up")


async def test_all_that_rules_and_dashboards_ask_for_is_there(seen: Seen) -> None:
    shown: Read = {}

    async def whole() -> Read | None:
        told = await seen.system()
        return told if {sample.value for sample in told["artdag_up"]} == {1} else None

    system = await eventually(whole, "all parts answer")
    for source in [*(await asyncio.gather(*(seen.read(service) for service in SERVICES))), system]:
        for name, samples in source.items():
            shown.setdefault(name, []).extend(samples)
    for where, expression in expressions():
        for name, labels in asked_for(expression).items():
            assert name in shown or name in BY_PROMETHEUS, f"{where} asks for {name}"
            for sample in shown.get(name, ()):
                assert labels - EVERYWHERE <= set(sample.labels), f"{where} asks {name} for labels"


async def test_no_user_run_or_content_is_named(seen: Seen) -> None:
    salt = uuid4().hex
    await seen.run(salt, "first")
    for service in SERVICES:
        for samples in (await seen.read(service)).values():
            for sample in samples:
                for value in sample.labels.values():
                    assert salt not in value
                    assert not value.startswith(("bafk", "u-")), (sample.name, value)


async def test_who_watches_a_run_is_counted_as_long_as_he_does(seen: Seen, live: System) -> None:
    executor = live.supervisor.children["executor"].pid
    before = await seen.number("gateway", "artdag_sse_clients")

    async def watched(clients: float) -> bool:
        return await seen.number("gateway", "artdag_sse_clients") == clients

    os.kill(executor, signal.SIGSTOP)  # so that the run does not end
    try:
        run_id = await seen.begin(uuid4().hex, "first")
        async with seen.api.stream("GET", f"/runs/{run_id}/events"):
            await eventually(lambda: watched(before + 1), "he is counted")
        await eventually(lambda: watched(before), "he has gone")
    finally:
        os.kill(executor, signal.SIGCONT)
    assert await seen.end(run_id) == "completed"


async def test_a_client_that_goes_in_the_middle_of_a_body_is_no_failure(seen: Seen, live: System) -> None:
    async def requests(status: str) -> float:
        return await seen.number("gateway", "artdag_http_requests_total", {"method": "POST", "status": status})

    gone, failed = await requests("gone"), await requests("500")
    head = f"POST /runs HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\nAuthorization: Bearer {live.token}\r\n"
    for path in ("/runs", "/recipes/upload"):  # of the one the body is read whole, of the other piece by piece
        _, writer = await asyncio.open_connection("127.0.0.1", live.port)
        writer.write(head.replace("/runs", path).encode() + b"Content-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def counted() -> bool:
        return await requests("gone") == gone + 2

    await eventually(counted, "both are counted as gone")
    assert await requests("500") == failed


async def test_how_the_system_stands_is_told_though_the_ends_of_steps_cannot_be_read(seen: Seen, live: System) -> None:
    await seen.run(uuid4().hex, "first")

    async def ended() -> bool:
        return bool((await seen.system())["artdag_step_ends_total"])

    await eventually(ended, "ends of steps are told")
    connection = await asyncpg.connect(live.environment["DATABASE_URL"])
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE rm_step_ends IN ACCESS EXCLUSIVE MODE")

            async def postgres_answers() -> Read | None:
                told = await seen.system()
                up = {sample.value for sample in told["artdag_up"] if sample.labels["part"] == "postgres"}
                return told if up == {1} else None

            told = await eventually(postgres_answers, "Postgres is told to answer")
    finally:
        await connection.close()
    assert not told["artdag_step_ends_total"]
    await eventually(ended, "ends of steps are told again")
