"""A collector of traces: takes OTLP over HTTP, as OpenTelemetry's specification has it, and keeps the spans."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from artdag_cli.backing import free_port


@dataclass(frozen=True, slots=True)
class Taken:
    """A span as it came. ``parent`` is empty where it is the first of its trace; ``error``: empty, or what broke it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent: str
    began: int
    ended: int
    attributes: dict[str, Any]
    links: tuple[str, ...]
    error: str


class Collector:
    """A server on loopback. It can be away, and come back at the same address."""

    def __init__(self) -> None:
        self.spans: list[Taken] = []
        self.requests: list[str] = []
        self.keys: set[str] = set()
        self._port = free_port()  # nobody else's while it is away

    @property
    def url(self) -> str:
        """For ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
        return f"http://127.0.0.1:{self._port}"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Be there in the block."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.requests.append(f"{self.path} {self.headers['Content-Type']}")
                collector.keys.add(self.headers["Collector-Key"])
                collector.spans += read(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False  # the services keep their connections open

        with Server(("127.0.0.1", self._port), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()

    def trace(self, trace_id: str) -> list[Taken]:
        """Return the spans of a trace that came so far."""
        return [span for span in self.spans if span.trace_id == trace_id]


def read(body: bytes) -> list[Taken]:
    """Return the spans of an export request."""
    return [
        Taken(
            service=_attributes(resource.resource.attributes)["service.name"],
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            began=span.start_time_unix_nano,
            ended=span.end_time_unix_nano,
            attributes=_attributes(span.attributes),
            links=tuple(link.trace_id.hex() for link in span.links),
            error=span.status.message,
        )
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _attributes(given: Sequence[Any]) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in given}
