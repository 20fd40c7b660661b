"""Traces: what belongs to one request, over all services, as W3C Trace Context names it.

The ids are always there: a request brings a ``traceparent`` or gets one, it travels with commands, runs and steps, and
logs name it. Spans, which say what took how long, are recorded only where a collector is set. Until then nothing of
OpenTelemetry is imported (see :mod:`otlp`), and a span costs two microseconds.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self

HEADER = "traceparent"
"""Of HTTP requests and of messages on the bus."""

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
SECRETS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", *ENDPOINTS)
"""What may hold a key of the collector's, its address too: no process that a service starts inherits it."""

FORM = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
VERSION = "00"
LENGTH = 55
STOP_SECONDS = 2.0
"""How long a process that stops waits for the collector to take its last spans."""

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | bool | int | float
NOTHING: Mapping[str, Value] = {}


@dataclass(frozen=True, slots=True)
class Place:
    """A span of a trace: what happens there is below it. Ids are hexadecimal; the last bit of ``flags``: recorded."""

    trace_id: str
    span_id: str
    flags: int = 0

    def __str__(self) -> str:
        return f"{VERSION}-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def read(traceparent: str) -> Place | None:
    """Return the place that a ``traceparent`` names, or None where it is none. Of later versions what is known."""
    return _remembered(traceparent) if len(traceparent) == LENGTH else _parsed(traceparent)


@lru_cache(maxsize=1024)
def _remembered(traceparent: str) -> Place | None:
    """Return what all steps of a run would parse again."""
    return _parsed(traceparent)


def _parsed(traceparent: str) -> Place | None:
    match = FORM.fullmatch(traceparent)
    if match is None or (match[1] == VERSION and match[5]):
        return None
    return Place(match[2], match[3], int(match[4], 16))


def new_place() -> Place:
    """Return a place in a trace that nobody has heard of, and that nobody records."""
    ids = os.urandom(24).hex()
    return Place(ids[:32], ids[32:])


class Recording(Protocol):
    """A span that is being recorded, or was left out by the sampler."""

    @property
    def place(self) -> Place:
        """Its own."""

    def set(self, attributes: Mapping[str, Value]) -> None:
        """Add attributes."""

    def rename(self, name: str) -> None:
        """Give it another name."""

    def end(self, error: str) -> None:
        """It is over. ``error``: the code of what broke it; empty: nothing did."""


class Recorder(Protocol):
    """Records spans and hands them to a collector; never waits for it."""

    def begin(
        self, name: str, kind: Kind, above: Place | None, links: Iterable[Place], attributes: Mapping[str, Value]
    ) -> Recording:
        """Begin a span below ``above``; None: it is the first of a trace."""

    def close(self, seconds: float) -> None:
        """Hand over what is left, for so long at most."""


class _Here(NamedTuple):
    place: Place | None
    ids: Mapping[str, str]


_NOWHERE = _Here(None, {})
_here: ContextVar[_Here] = ContextVar("artdag.tracing", default=_NOWHERE)
_recorder: Recorder | None = None


def begin(service: str) -> None:
    """Record spans from now on, if a collector is set in the environment."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if off or os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none":
        return
    if any(os.environ.get(name) for name in ENDPOINTS):
        from artdag_common.otlp import OtlpRecorder  # 100 modules that who has no collector can do without

        record(OtlpRecorder(service))


def end() -> None:
    """Hand over what was recorded, and record no more."""
    recorder = _recorder
    record(None)
    if recorder:
        recorder.close(STOP_SECONDS)


def record(recorder: Recorder | None) -> None:
    """Have spans recorded; None: by nobody."""
    global _recorder
    _recorder = recorder


def recording() -> bool:
    """Whether spans are recorded, so that it is worth while to look up what they say."""
    return _recorder is not None


def current() -> str:
    """Return the ``traceparent`` for what this leads to; empty: it belongs to no trace."""
    place = _here.get().place
    return str(place) if place else ""


def trace_id() -> str:
    """Return the id of the trace that this belongs to; empty: none."""
    place = _here.get().place
    return place.trace_id if place else ""


def headers() -> dict[str, str]:
    """Return the headers that a message carries which this leads to."""
    return {HEADER: traceparent} if (traceparent := current()) else {}


def ids() -> Mapping[str, str]:
    """Return what this is about: ``run_id``, ``command_id``, ``cache_id``, as far as it is known."""
    return _here.get().ids


def add_ids(_: object, __: str, line: dict[str, object]) -> dict[str, object]:
    """Add to a line of the log what it is about, and where in which trace: a processor of structlog's."""
    here = _here.get()
    for name, value in here.ids.items():
        line.setdefault(name, value)
    if here.place:
        line["trace_id"], line["span_id"] = here.place.trace_id, here.place.span_id
    return line


class Span:
    """A block of work, as made by :func:`span`."""

    __slots__ = (
        "_above",
        "_attributes",
        "_error",
        "_first",
        "_ids",
        "_kind",
        "_links",
        "_name",
        "_recording",
        "_token",
    )

    def __init__(
        self,
        name: str,
        attributes: Mapping[str, Value],
        kind: Kind,
        above: str | None,
        links: Iterable[str],
        first: bool,
        about: Mapping[str, str],
    ) -> None:
        self._name = name
        self._attributes = attributes
        self._kind = kind
        self._above = above
        self._links = links
        self._first = first
        self._ids = {name: value for name, value in about.items() if value}
        self._error = ""
        self._recording: Recording | None = None
        self._token: Token[_Here] | None = None

    def __enter__(self) -> Self:
        here = _here.get()
        place = here.place if self._above is None else read(self._above)
        if _recorder:
            said = {_named(name): value for name, value in (*self._ids.items(), *self._attributes.items())}
            links = [found for each in self._links if (found := read(each))]
            self._recording = _recorder.begin(self._name, self._kind, place, links, said)
            place = self._recording.place
        elif place is None and self._first:
            place = new_place()
        if place is not here.place or self._ids:
            self._token = _here.set(_Here(place, {**here.ids, **self._ids} if self._ids else here.ids))
        return self

    def set(self, **attributes: Value) -> None:
        """Say what is known only now."""
        if self._recording:
            self._recording.set({_named(name): value for name, value in attributes.items()})

    def rename(self, name: str) -> None:
        """Say what it is called, where that is known only now."""
        if self._recording:
            self._recording.rename(name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token:
            _here.reset(self._token)
        if self._recording:
            self._recording.end(_code(error) or self._error)

    def fail(self, code: str) -> None:
        """Note that the work is broken, by an error that does not leave the block."""
        self._error = code


def span(
    name: str,
    attributes: Mapping[str, Value] = NOTHING,
    *,
    kind: Kind = "internal",
    above: str | None = None,
    links: Iterable[str] = (),
    first: bool = False,
    **about: str,
) -> Span:
    """Return a span for a ``with`` block.

    Args:
        name: one of few: what is done, and not to what.
        attributes: what is said of it: no secrets, no paths, nothing that users wrote. ``artdag.`` is put before names
            without a dot.
        above: the ``traceparent`` of the span that led to it; empty, or none that can be read: it is the first of its
            trace; None: the one that is here.
        links: ``traceparent`` of spans of other traces that it belongs to as well.
        first: give what is done here a trace, where there is none, even if nobody records it.
        about: ids for the attributes and for all lines of the log that the block writes; empty ones are left out.
    """
    return Span(name, attributes, kind, above, links, first, about)


class About:
    """A block that is about something, as made by :func:`about`."""

    __slots__ = ("_ids", "_token")

    def __init__(self, ids: Mapping[str, str]) -> None:
        self._ids = ids
        self._token: Token[_Here] | None = None

    def __enter__(self) -> Self:
        here = _here.get()
        self._token = _here.set(_Here(here.place, {**here.ids, **self._ids}))
        return self

    def join(self, traceparent: str) -> None:
        """Belong to a trace from now on: where it names, unless the block is within that trace already."""
        here = _here.get()
        place = read(traceparent) if traceparent else None
        if place and (here.place is None or here.place.trace_id != place.trace_id):
            _here.set(_Here(place, here.ids))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._token
        _here.reset(self._token)


def about(**ids: str) -> About:
    """Return a ``with`` block whose lines of the log carry ``ids``; it may join the trace of what it is about."""
    return About(ids)


def _named(name: str) -> str:
    return name if "." in name else f"artdag.{name}"


def _code(error: BaseException | None) -> str:
    """Return the code of an error; its message may hold what users wrote."""
    if error is None or isinstance(error, GeneratorExit):
        return ""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return str(getattr(error, "code", "") or type(error).__name__)
