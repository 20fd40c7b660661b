"""What each process counts, for Prometheus: every metric once, with its labels and who has it.

Nothing is counted until :func:`begin` is called, which happens where a process serves its metrics
(``ARTDAG_PROBE_PORT``); before, and without it, no metric costs more than a call, and prometheus-client is not loaded.

No label takes values that people choose: routes, types of steps, kinds of failures. Where one grows all the same,
what is new after :data:`MOST` is counted as ``other``.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from artdag_common.version import VERSION

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

PREFIX = "artdag_"
MOST = 2000
"""Combinations of labels that a metric has at most."""

OTHER = "other"

SERVICES = ("gateway", "planner", "executor", "cache", "auth")
APPENDING = ("planner", "executor", "cache", "auth")
COMMANDED = ("planner", "cache", "auth")
READING = ("gateway", "planner", "executor", "cache")

SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for what people, or many others, wait for; seconds."""

LONG = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
"""Bounds for renders, and for what waits for one; seconds."""


class CounterChild(Protocol):
    """A number that grows."""

    def inc(self, amount: float = 1) -> None: ...


class GaugeChild(Protocol):
    """A number that goes up and down."""

    def set(self, value: float) -> None: ...
    def set_function(self, f: Callable[[], float]) -> None: ...


class HistogramChild(Protocol):
    """How often something took how long."""

    def observe(self, amount: float) -> None: ...


class _Nothing:
    """Stands for every metric as long as nobody counts."""

    def inc(self, amount: float = 1) -> None: ...
    def set(self, value: float) -> None: ...
    def set_function(self, f: Callable[[], float]) -> None: ...
    def observe(self, amount: float) -> None: ...


NOTHING = _Nothing()

Child = TypeVar("Child", CounterChild, GaugeChild, HistogramChild)
Kind = Literal["counter", "gauge", "histogram"]


class Metric(ABC):
    """A metric: a family of numbers that differ in the values of their labels."""

    kind: Kind

    def __init__(
        self, name: str, help_text: str, labels: Sequence[str] = (), services: Sequence[str] = SERVICES
    ) -> None:
        """``services``: those that have it; elsewhere it is never shown."""
        self.name = PREFIX + name
        self.help_text = help_text
        self.labels = tuple(labels)
        self.services = tuple(services)
        self._family: Any = None
        self._children: dict[tuple[str, ...], Any] = {}

    def begin(self, registry: CollectorRegistry) -> None:
        """Count from now on."""
        self._family = self._made(registry)
        self._children = {}

    def end(self) -> None:
        """Count no more."""
        self._family = None
        self._children = {}

    @abstractmethod
    def _made(self, registry: CollectorRegistry) -> Any:
        """Return the family of prometheus-client's."""

    def _child(self, values: tuple[str, ...]) -> Any:
        child = self._children.get(values)
        if child is None:
            if self._family is None:
                return NOTHING
            if len(self._children) >= MOST:  # the rest is not even remembered
                return self._family.labels(*(OTHER,) * len(values))
            child = self._family.labels(*values) if values else self._family
            self._children[values] = child
        return child


class Counter(Metric):
    """Counts what happens. Its name ends in ``_total``."""

    kind = "counter"

    def of(self, *values: str) -> CounterChild:
        """Return the number for these values of the labels."""
        child: CounterChild = self._child(values)
        return child

    def _made(self, registry: CollectorRegistry) -> Any:
        from prometheus_client import Counter as Made

        return Made(self.name, self.help_text, self.labels, registry=registry)


class Gauge(Metric):
    """Shows how much there is now."""

    kind = "gauge"

    def of(self, *values: str) -> GaugeChild:
        """Return the number for these values of the labels."""
        child: GaugeChild = self._child(values)
        return child

    def _made(self, registry: CollectorRegistry) -> Any:
        from prometheus_client import Gauge as Made

        return Made(self.name, self.help_text, self.labels, registry=registry)


class Histogram(Metric):
    """Counts how long things take. Its name ends in ``_seconds``."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str] = (),
        services: Sequence[str] = SERVICES,
        bounds: Sequence[float] = SHORT,
    ) -> None:
        """``bounds``: upper ones of the buckets, in seconds."""
        super().__init__(name, help_text, labels, services)
        self.bounds = tuple(bounds)

    def of(self, *values: str) -> HistogramChild:
        """Return the numbers for these values of the labels."""
        child: HistogramChild = self._child(values)
        return child

    def _made(self, registry: CollectorRegistry) -> Any:
        from prometheus_client import Histogram as Made

        return Made(self.name, self.help_text, self.labels, registry=registry, buckets=self.bounds)


# --- every process ---

BUILD_INFO = Gauge(
    "build_info", "1, with the service's name, its version and that of Python.", ("service", "version", "python")
)
LOOP_LAG = Histogram(
    "event_loop_lag_seconds", "How late the event loop does what is due: everything in the process waits as long."
)
LOOPS_STUCK = Gauge("loops_stuck", "Loops of the process that ended, or have been at one thing for too long.")
NATS_CONNECTED = Gauge("nats_connected", "1: the account's connection to NATS is there.", ("account",))
NATS_RECONNECTIONS = Counter(
    "nats_reconnections_total", "Times that a connection to NATS was lost and made again.", ("account",)
)
POSTGRES_BUSY = Gauge("postgres_connections_busy", "Connections of the pool to Postgres that are being used.")
POSTGRES_OPEN = Gauge("postgres_connections_open", "Connections of the pool to Postgres that are open.")
POSTGRES_MOST = Gauge("postgres_connections_most", "Connections that the pool to Postgres may open.")

# --- HTTP ---

HTTP = ("gateway", "cache")
HTTP_REQUESTS = Counter(
    "http_requests_total",
    "Requests answered, by the route's template; on the cache service, those of other nodes. Status gone: whoever asked"
    " went before the answer.",
    ("method", "route", "status"),
    HTTP,
)
HTTP_SECONDS = Histogram("http_request_seconds", "Time until an answer began.", ("method", "route"), HTTP)
HTTP_GOING_ON = Gauge("http_requests_in_progress", "Requests whose answer has not ended; streams among them.", (), HTTP)
HTTP_SENT = Counter("http_sent_bytes_total", "Bytes of the answers' bodies.", (), HTTP)
SSE_CLIENTS = Gauge("sse_clients", "Clients that watch a run's events live.", (), ("gateway",))

# --- messages ---

MESSAGES = Counter(
    "messages_total", "Messages that a consumer on JetStream gave to this process.", ("consumer",), APPENDING
)
REDELIVERIES = Counter(
    "redeliveries_total", "Those of them that somebody had been given before.", ("consumer",), APPENDING
)
COMMANDS = Counter(
    "commands_total",
    "Commands taken off the stream, by what became of them: accepted, refused, repeated (it had been handled: the"
    " inbox knew its outcome), later, given-up.",
    ("command", "outcome"),
    COMMANDED,
)
COMMAND_SECONDS = Histogram("command_seconds", "Time that a command took.", ("command",), COMMANDED)
FOLLOWED = Counter(
    "followed_events_total",
    "Events of the stream that were dealt with, or put off.",
    ("consumer", "outcome"),
    ("planner", "cache"),
)

# --- events ---

EVENTS = Counter("events_appended_total", "Events committed by this process.", ("type",), APPENDING)
APPENDS = Counter(
    "appends_total",
    "Appends to streams, by what came of them: appended, replayed and duplicate (it was stored before), conflict"
    " (somebody else was first).",
    ("result",),
    APPENDING,
)
COMMIT_SECONDS = Histogram("commit_seconds", "Time of a commit, which many appends share.", (), APPENDING)
COMMIT_RETRIES = Counter(
    "commit_retries_total",
    "Commits asked again: lost (the connection broke), raced (two writers at once).",
    ("why",),
    APPENDING,
)

# --- the relay, where it leads ---

RELAY = ("auth",)
RELAY_LEADS = Gauge("relay_leads", "1: this process gives events their place and publishes them.", (), RELAY)
RELAY_SEQUENCED = Counter("relay_sequenced_total", "Events that were given their place.", (), RELAY)
RELAY_PUBLISHED = Counter("relay_published_total", "Events that were published.", (), RELAY)
RELAY_FAILURES = Counter(
    "relay_failures_total",
    "Times that the relay did not get on: refused or away (the stream), postgres.",
    ("why",),
    RELAY,
)
RELAY_PUBLISH_SECONDS = Histogram("relay_publish_seconds", "Time of a published batch.", (), RELAY)
RELAY_HORIZON = Gauge(
    "relay_horizon_age_seconds",
    "Age of the oldest committed event that cannot have its place yet, since an older transaction is open.",
    (),
    RELAY,
)

# --- the gateway's read models ---

PROJECTED = Counter("projector_events_total", "Events that the read models took in.", (), ("gateway",))
PROJECTOR_SECONDS = Histogram("projector_batch_seconds", "Time of a batch.", (), ("gateway",))
PROJECTOR_DELAY = Histogram(
    "projector_delay_seconds", "From an event's commit until the read models show it.", (), ("gateway",)
)
PROJECTOR_RUNNING = Gauge("projector_running", "1: events reach the read models.", (), ("gateway",))
PROJECTOR_WAITING = Gauge("projector_waiting_events", "Events heard and not taken in yet.", (), ("gateway",))

# --- planning ---

PLANNER = ("planner",)
PLANNED = Counter(
    "steps_planned_total",
    "Steps of plans, without sources: cached (their output is there), needed, forced (they are executed whatever is"
    " there).",
    ("how",),
    PLANNER,
)
PLAN_SECONDS = Histogram(
    "plan_seconds", "Time of planning: of each part, where analysis comes first.", (), PLANNER, LONG
)
STEPS_WAITING = Gauge(
    "planner_steps_waiting", "Steps that are due and wait in this planner for room on the queue.", ("class",), PLANNER
)
STEPS_OUT = Gauge("planner_steps_out", "Steps that this planner sent and that have not ended.", ("class",), PLANNER)
RUNS_KEPT = Gauge("planner_runs", "Runs that this planner keeps in memory.", (), PLANNER)
EXECUTORS_HEARD = Gauge("planner_executors", "Executors that this planner hears.", (), PLANNER)

# --- steps ---

EXECUTOR = ("executor",)
ATTEMPTS = Counter(
    "step_attempts_total",
    "Attempts at steps by their end: completed, passed-on (the output is an input), retried, failed, cancelled,"
    " handed-back, taken-over.",
    ("type", "end"),
    EXECUTOR,
)
ATTEMPT_SECONDS = Histogram(
    "step_attempt_seconds",
    "Time of an attempt, with fetching and storing; not of what is passed on.",
    ("type",),
    EXECUTOR,
    LONG,
)
FAILURES = Counter("step_failures_total", "Attempts that failed, by kind of failure.", ("kind",), EXECUTOR)
QUEUE_SECONDS = Histogram(
    "step_queue_seconds", "Time that a step waited on the work queue, the first time.", ("class",), EXECUTOR, LONG
)
STEPS_RUNNING = Gauge("steps_running", "Steps that are being executed here.", (), EXECUTOR)
STEPS_OLDEST = Gauge(
    "steps_oldest_seconds", "For how long the step has gone on here that began first; 0: none does.", (), EXECUTOR
)
STEP_LIMIT = Gauge("step_limit_seconds", "How long a process for media may be at a step.", (), EXECUTOR)
WORKERS = Gauge("media_workers", "Processes for media that may run at once.", (), EXECUTOR)
WORKERS_BUSY = Gauge("media_workers_busy", "Processes for media that run.", (), EXECUTOR)

# --- content ---

CONTENT_READS = Counter(
    "content_reads_total",
    "Content asked for, by where it was found: local, nodes, s3, ipfs; or missing, wrong (all bytes were others),"
    " unavailable (who may have it does not answer).",
    ("found",),
    READING,
)
CONTENT_FETCHED = Counter(
    "content_fetched_bytes_total", "Bytes fetched to this node, by where from.", ("source",), READING
)
CONTENT_FETCH_SECONDS = Histogram(
    "content_fetch_seconds", "Time of fetching one piece of content.", ("source",), READING, LONG
)
CONTENT_WRONG = Counter(
    "content_wrong_total", "Times that a place gave other bytes than the CID names.", ("source",), READING
)
CONTENT_STORED = Counter(
    "content_stored_bytes_total",
    "Bytes written by this process, by where to: local, s3, ipfs, places (people's own).",
    ("backend",),
    READING,
)
DISK_FREE = Gauge("content_disk_free_bytes", "What is free on the disk with the content folder.", (), READING)
DISK_SIZE = Gauge("content_disk_size_bytes", "Size of the disk with the content folder.", (), READING)
CONTENT_BYTES = Gauge(
    "content_bytes",
    "What is kept: books (all content of the system, each once), places (copies at people's own places).",
    ("where",),
    ("cache",),
)
OUTGOING = Gauge(
    "outgoing_waiting",
    "What the system still has to tell or copy: webhooks, registry, places; up to 100,000 of each are counted.",
    ("to",),
    ("cache",),
)


def declared() -> list[Metric]:
    """Return all metrics, in the order of this file."""
    return [each for each in globals().values() if isinstance(each, Metric)]


_counting = False


def counting() -> bool:
    """Return whether anything is counted."""
    return _counting


def begin(service: str) -> Callable[[], bytes]:
    """Count from now on, in this process, what concerns a service.

    Returns:
        What gives the numbers as text, in the exposition format 0.0.4.
    """
    global _counting
    from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, disable_created_metrics
    from prometheus_client.exposition import generate_latest

    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    for metric in declared():
        if service in metric.services:
            metric.begin(registry)
    BUILD_INFO.of(service, VERSION, sys.version.partition(" ")[0]).set(1)
    _counting = True
    return lambda: generate_latest(registry)


def end() -> None:
    """Count nothing any more."""
    global _counting
    for metric in declared():
        metric.end()
    _counting = False
