"""Spans to a collector, by OpenTelemetry's SDK: OTLP over HTTP, from a thread of its own.

The variables of OpenTelemetry's specification count (``OTEL_EXPORTER_OTLP_*``, ``OTEL_TRACES_SAMPLER``, ``OTEL_BSP_*``,
``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_SERVICE_NAME``, ``OTEL_SPAN_*``). The queue between the service and the thread is
bounded: what it has no room for is dropped.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from artdag_common.tracing import ENDPOINTS, Kind, Place, Value
from artdag_common.version import VERSION

AWAY_SECONDS = 0.1
"""How long a process that stops waits for a collector that took nothing the last time."""

KINDS: Mapping[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}

log = structlog.get_logger(__name__)


class OtlpRecorder:
    """Records spans for the collector that the environment names."""

    def __init__(self, service: str) -> None:
        self.collector = _collector()
        self._exporter = TellingExporter(OTLPSpanExporter(), self.collector)
        self._processor = BatchSpanProcessor(self._exporter)
        provider = TracerProvider(resource=resource(service), shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("artdag", VERSION)
        # It tells of each batch that the collector does not take, and of each span that there is no room for; the
        # exporter above tells once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)

    def begin(
        self, name: str, kind: Kind, above: Place | None, links: Iterable[Place], attributes: Mapping[str, Value]
    ) -> OtlpRecording:
        """See :class:`tracing.Recorder`."""
        context = Context()
        if above:
            context = set_span_in_context(NonRecordingSpan(_context_of(above)), context)
        linked = [Link(_context_of(each)) for each in links]
        return OtlpRecording(self._tracer.start_span(name, context, KINDS[kind], attributes, linked))

    def close(self, seconds: float) -> None:
        """See :class:`tracing.Recorder`."""
        closing = threading.Thread(target=self._processor.shutdown, name="hand over spans", daemon=True)
        closing.start()
        closing.join(AWAY_SECONDS if self._exporter.failing else seconds)


class OtlpRecording:
    """A span of OpenTelemetry's."""

    __slots__ = ("_span", "place")

    def __init__(self, span: Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.place = Place(f"{context.trace_id:032x}", f"{context.span_id:016x}", int(context.trace_flags))

    def set(self, attributes: Mapping[str, Value]) -> None:
        """See :class:`tracing.Recording`."""
        self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        """See :class:`tracing.Recording`."""
        self._span.update_name(name)

    def end(self, error: str) -> None:
        """See :class:`tracing.Recording`."""
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end()


class TellingExporter(SpanExporter):
    """An exporter that says in the log when the collector begins to take nothing, and when it takes spans again."""

    def __init__(self, exporter: SpanExporter, collector: str) -> None:
        """``collector``: where it is, for people."""
        self._exporter = exporter
        self._collector = collector
        self._lost = 0

    @property
    def failing(self) -> bool:
        """Whether the collector took nothing the last time."""
        return bool(self._lost)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand spans over. In the thread of the batches, which may wait."""
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            if not self._lost:
                log.warning("the collector of traces takes nothing; spans are dropped", collector=self._collector)
            self._lost += len(spans)
        elif self._lost:
            log.info("the collector of traces takes spans again", collector=self._collector, lost=self._lost)
            self._lost = 0
        return result

    def shutdown(self) -> None:
        """Break off what is being sent."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing waits here."""
        return True


def resource(service: str) -> Resource:
    """Return what all spans of this process say of it. What the environment says of it comes first."""
    ours = {
        SERVICE_NAME: f"artdag-{service}",
        SERVICE_VERSION: VERSION,
        SERVICE_INSTANCE_ID: f"{socket.gethostname()}/{os.getpid()}",
    }
    given = OTELResourceDetector().detect().attributes
    return Resource.create({name: value for name, value in ours.items() if name not in given})


def _collector() -> str:
    """Return host and port of the collector: a URL may hold a password."""
    url = urlsplit(next(value for name in ENDPOINTS if (value := os.environ.get(name))))
    return url.netloc.rpartition("@")[2]


def _context_of(place: Place) -> SpanContext:
    return SpanContext(
        int(place.trace_id, 16), int(place.span_id, 16), is_remote=True, trace_flags=TraceFlags(place.flags)
    )
