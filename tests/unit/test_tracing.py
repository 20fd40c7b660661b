"""Traces without a collector, and what is recorded with one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from artdag_common import tracing
from artdag_common.errors import RunNotFoundError
from artdag_common.tracing import about, current, ids, read, span, trace_id
from tests.recorder import Recorded, recording

HEADERS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = f"00-{TRACE}-{SPAN}-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-00"


@pytest.fixture
def recorded() -> Iterator[list[Recorded]]:
    """What is recorded meanwhile."""
    with recording() as spans:
        yield spans


@pytest.mark.parametrize("traceparent", [SENT, OTHER, f"00-{TRACE}-{SPAN}-03"])
def test_a_traceparent_is_read_and_written_the_same(traceparent: str) -> None:
    assert str(read(traceparent)) == traceparent


def test_of_a_later_version_what_is_known_counts() -> None:
    assert str(read(f"cc-{TRACE}-{SPAN}-01-what-will-be")) == SENT


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "00",
        SENT.upper(),
        f"{SENT}-more",
        f"{SENT} ",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01\r\nX: y",
        SENT + "é",
    ],
)
def test_what_is_no_traceparent_counts_for_nothing(nonsense: str) -> None:
    assert read(nonsense) is None
    with span("request", above=nonsense):
        assert current() == ""


def test_what_a_client_sends_goes_through_where_nothing_is_recorded() -> None:
    with span("request", above=SENT, first=True), span("inner"), about(run_id="r"):
        assert (current(), trace_id(), tracing.headers()) == (SENT, TRACE, {"traceparent": SENT})
    assert (current(), trace_id(), tracing.headers()) == ("", "", {})


def test_a_request_without_a_trace_gets_one_that_nobody_records() -> None:
    with span("request", above="", first=True):
        first = current()
        with span("inner"):
            assert current() == first
    with span("request", above="", first=True):
        assert trace_id() not in first
    place = read(first)
    assert place
    assert place.flags == 0


def test_spans_stand_below_each_other(recorded: list[Recorded]) -> None:
    with span("request", kind="server", above=SENT, first=True) as request:
        request.rename("GET /runs")
        with span("append", {"streams": 2}) as append:
            append.set(result="appended")
            sent = current()
    outer, inner = recorded
    assert (outer.name, outer.kind, str(outer.above)) == ("GET /runs", "server", SENT)
    assert (inner.above, str(inner.place)) == (outer.place, sent)
    assert inner.attributes == {"artdag.streams": 2, "artdag.result": "appended"}
    assert [each.error for each in recorded] == ["", ""]


def test_ids_are_attributes_and_in_the_log(recorded: list[Recorded]) -> None:
    with span("command StartRun", run_id="r", command_id=""), span("step", {"http.route": "/"}, cache_id="c"):
        line = tracing.add_ids(None, "info", {"event": "it is so", "cache_id": "its own"})
    outer, inner = recorded
    assert outer.attributes == {"artdag.run_id": "r"}
    assert inner.attributes == {"artdag.cache_id": "c", "http.route": "/"}
    trace = {"trace_id": inner.place.trace_id, "span_id": inner.place.span_id}
    assert line == {"event": "it is so", "run_id": "r", "cache_id": "its own", **trace}
    assert tracing.add_ids(None, "info", {"event": "after"}) == {"event": "after"}
    assert ids() == {}


def test_a_link_that_is_none_is_left_out(recorded: list[Recorded]) -> None:
    with span("pass on", above="", links=[OTHER, "", "nonsense"]):
        pass
    assert recorded[0].above is None
    assert recorded[0].links == [OTHER]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RunNotFoundError("no run of ada's", run="r"), "run-not-found"),
        (ValueError("what ada wrote"), "ValueError"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
def test_of_an_error_only_its_code_is_told(recorded: list[Recorded], error: BaseException, code: str) -> None:
    with pytest.raises(type(error)), span("plan"):
        raise error
    assert recorded[0].error == code


def test_an_error_that_does_not_leave_the_block_can_be_noted(recorded: list[Recorded]) -> None:
    with span("step") as it:
        it.fail("step-timeout")
    assert recorded[0].error == "step-timeout"


def test_what_is_about_a_run_joins_its_trace() -> None:
    with about(run_id="r") as it:
        it.join(SENT)
        assert current() == SENT
        assert ids() == {"run_id": "r"}
    assert current() == ""


def test_within_the_trace_of_a_run_the_nearer_span_counts(recorded: list[Recorded]) -> None:
    with span("command", above=SENT), about(run_id="r") as it:
        inside = current()
        it.join(SENT)
        assert current() == inside
        it.join(OTHER)
        assert current() == OTHER
        it.join("")
        assert current() == OTHER


async def test_what_is_begun_in_a_block_belongs_to_it_and_to_no_other() -> None:
    async def tell() -> str:
        await asyncio.sleep(0)
        return current()

    with span("one", above=SENT):
        one = asyncio.create_task(tell())
    with span("other", above=OTHER):
        other = asyncio.create_task(tell())
    assert [await one, await other, await asyncio.create_task(tell())] == [SENT, OTHER, ""]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_a_collector_nothing_is_recorded(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*tracing.ENDPOINTS, "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    tracing.begin("planner")
    assert not tracing.recording()


def test_no_process_that_a_service_starts_inherits_what_may_hold_a_key_of_the_collectors() -> None:
    given = {name: f"http://us:{name}@collector:4318" for name in (*tracing.ENDPOINTS, *HEADERS)}
    program = (
        "import os, sys; from artdag_common import tracing; from artdag_common.process import keep_to_ourselves;"
        "keep_to_ourselves(tracing.SECRETS); sys.exit(', '.join(each for each in os.environ if 'OTLP' in each) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("service", ["auth", "gateway", "planner"])
def test_services_load_nothing_of_opentelemetrys_sdk(service: str) -> None:
    """As they start. FastAPI needs its API; Redis' client, of auth and gateway, loads the SDK where it finds it."""
    loads = f"_imported('services.{service}.wiring', '{service}')"
    sdk = ("opentelemetry.sdk", "opentelemetry.exporter")
    check = f"sys.exit(', '.join(name for name in sys.modules if name.startswith({sdk})) or None)"
    program = f"import sys; from artdag_common.process import _imported; {loads}; {check}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
