"""The recorder that hands spans to a collector; :mod:`tests.integration.tracing` has one that takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from artdag_common import tracing
from artdag_common.otlp import OtlpRecorder, TellingExporter, resource
from artdag_common.tracing import Place, span
from artdag_common.version import VERSION

SENT = Place("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector where none is; nothing else of the environment."""
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0.1")  # tried once: its thread ends with the test


@pytest.fixture
def recorder() -> Iterator[None]:
    """Spans are recorded, and lost."""
    tracing.begin("planner")
    assert tracing.recording()
    yield
    tracing.end()
    assert not tracing.recording()


def test_a_service_says_which_it_is() -> None:
    said = resource("planner").attributes
    assert (said["service.name"], said["service.version"]) == ("artdag-planner", VERSION)
    assert said["service.instance.id"]


def test_the_environment_says_it_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=9,deployment.environment.name=staging")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "renderer")
    said = resource("planner").attributes
    assert (said["service.name"], said["service.version"]) == ("renderer", "9")
    assert said["deployment.environment.name"] == "staging"


@pytest.mark.usefixtures("recorder")
def test_a_trace_is_continued() -> None:
    with span("command", above=str(SENT)):
        outer = tracing.read(tracing.current())
        with span("plan", links=[str(SENT)]) as inner:
            inner.set(steps=3)
            inner.rename("plan again")
            place = tracing.read(tracing.current())
    assert outer
    assert place
    assert SENT.trace_id == outer.trace_id == place.trace_id
    assert len({SENT.span_id, outer.span_id, place.span_id}) == 3
    assert outer.flags & place.flags & 1


@pytest.mark.usefixtures("recorder")
def test_what_a_client_does_not_want_recorded_is_not() -> None:
    with span("command", above=f"00-{SENT.trace_id}-{SENT.span_id}-00"):
        place = tracing.read(tracing.current())
    assert place
    assert (place.trace_id, place.flags & 1) == (SENT.trace_id, 0)


def test_the_sampler_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    recorder = OtlpRecorder("planner")
    try:
        recording = recorder.begin("plan", "internal", None, [], {})
        recording.end("")
        assert recording.place.flags & 1 == 0
    finally:
        recorder.close(0.1)


class Away(SpanExporter):
    """A collector that takes what it is told to."""

    takes = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS if self.takes else SpanExportResult.FAILURE


def test_of_a_collector_that_is_away_is_told_once_and_once_when_it_is_back() -> None:
    away = Away()
    exporter = TellingExporter(away, "collector:4318")
    spans = [ReadableSpan("a"), ReadableSpan("b")]
    with capture_logs() as lines:
        for takes in (True, False, False, True, True, False):
            away.takes = takes
            exporter.export(spans)
            assert exporter.failing is not takes
    told = [(line["log_level"], line["collector"], line.get("lost")) for line in lines]
    gone = ("warning", "collector:4318", None)
    assert told == [gone, ("info", "collector:4318", 4), gone]


def test_a_password_in_the_address_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://us:secret@127.0.0.1:9/x")
    recorder = OtlpRecorder("planner")
    try:
        assert recorder.collector == "127.0.0.1:9"
    finally:
        recorder.close(0.1)
