"""What a process answers on its own port: whether it lives, whether it can do work, and what it counts.

``GET /health``: 200 as long as the process is not hung: its event loop answers at all, and each of its loops still
turns. ``GET /ready``: 200 where it can do work; 503 before, while a server that it needs is away, and from SIGTERM on.
``GET /metrics``: text for Prometheus. The port is for the operator's machines; it asks for no token.

Nothing of this is loaded, and nothing counted, where the port is 0. It is served by the same server as the gateway and
the nodes' content, with its guard against connections that somebody holds: a process that is probed loads it for this.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import structlog

from artdag_common import metrics
from artdag_common.config import Settings
from artdag_common.eventstore.postgres import LOST
from artdag_common.tasks import end

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from artdag_common.messaging.bus import Bus

ANSWER_SECONDS = 1.0
"""How long a server has to say that it is there."""

SAMPLE_SECONDS = 1.5
TICK_SECONDS = 0.25
TEXT = b"text/plain; version=0.0.4; charset=utf-8"
JSON = b"application/json"

Check = Callable[[], bool] | Callable[[], Awaitable[bool]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service gives its probes to look at.

    Attributes:
        ready: by name, whether that is there which it needs to work.
        live: by name, whether a loop of its own still turns; a new start helps where one does not.
        samples: read what is shown in numbers and costs more than a look; called before the numbers are given.
    """

    ready: Mapping[str, Check]
    live: Mapping[str, Callable[[], bool]] = field(default_factory=dict)
    samples: Sequence[Callable[[], Awaitable[None]]] = ()


def backing(bus: Bus, pool: asyncpg.Pool) -> dict[str, Check]:
    """Return the checks of the servers that every service needs."""

    async def postgres() -> bool:
        try:
            return bool(await pool.fetchval("SELECT true", timeout=ANSWER_SECONDS))
        except (asyncpg.PostgresError, TimeoutError, *LOST):
            return False

    async def nats() -> bool:
        return await bus.nc.answers(ANSWER_SECONDS)

    return {"nats": nats, "postgres": postgres}


class Probe:
    """Knows how a process stands."""

    def __init__(self, stopping: asyncio.Event, exposition: Callable[[], bytes] = bytes) -> None:
        """``exposition`` gives what was counted, as text."""
        self._stopping = stopping
        self._exposition = exposition
        self._parts: Parts | None = None

    def watch(self, parts: Parts) -> None:
        """Note that the service has begun, and what there is to look at."""
        self._parts = parts

    def health(self) -> tuple[int, dict[str, Any]]:
        """Return status and body that say whether the process is alive."""
        stuck = self._stuck()
        return (503, {"status": "stuck", "loops": stuck}) if stuck else (200, {"status": "ok"})

    def _stuck(self) -> list[str]:
        if self._parts is None or self._stopping.is_set():  # what stops may take its time
            return []
        return [name for name, lives in self._parts.live.items() if not lives()]

    async def ready(self) -> tuple[int, dict[str, Any]]:
        """Return status and body that say whether the process can do work."""
        parts = {"started": self._parts is not None, "going_on": not self._stopping.is_set()}
        if self._parts is not None and not self._stopping.is_set():
            parts |= await passed(self._parts.ready)
            parts["going_on"] = not self._stopping.is_set()
        able = all(parts.values())
        return 200 if able else 503, {"ready": able, "parts": parts}

    async def metrics(self) -> bytes:
        """Return what was counted."""
        if self._parts is not None and not self._stopping.is_set():
            metrics.LOOPS_STUCK.of().set(len(self._stuck()))
            await asyncio.gather(*(_sampled(sample) for sample in self._parts.samples))
        return self._exposition()


async def passed(checks: Mapping[str, Check]) -> dict[str, bool]:
    """Return what checks say that are made at the same time; one that takes too long says no."""
    found = await asyncio.gather(*map(_within, checks.values()))
    return dict(zip(checks, found, strict=True))


async def _within(check: Check) -> bool:
    answer = check()
    if isinstance(answer, bool):
        return answer
    try:
        async with asyncio.timeout(2 * ANSWER_SECONDS):
            return await answer
    except TimeoutError:
        return False


async def _sampled(sample: Callable[[], Awaitable[None]]) -> None:
    """Read a number anew; one that cannot be read now keeps its last value."""
    try:
        async with asyncio.timeout(SAMPLE_SECONDS):
            await sample()
    except (asyncpg.PostgresError, TimeoutError, *LOST) as error:
        log.info("a metric is not read", error=str(error) or type(error).__name__)


class ProbeApp:
    """The ASGI application of the port."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        status, media_type, body = await self._answer(scope["method"], scope["path"])
        headers = [
            (b"content-type", media_type),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        if path not in ("/health", "/ready", "/metrics"):
            return 404, JSON, orjson.dumps({"links": ["/health", "/ready", "/metrics"]})
        if method not in ("GET", "HEAD"):
            return 405, JSON, orjson.dumps({"allow": ["GET", "HEAD"]})
        if path == "/metrics":
            return 200, TEXT, await self._probe.metrics()
        status, told = self._probe.health() if path == "/health" else await self._probe.ready()
        return status, JSON, orjson.dumps(told)


@asynccontextmanager
async def probing(name: str, settings: Settings, stopping: asyncio.Event) -> AsyncIterator[Probe]:
    """Answer on the process's own port while the block runs, where it has one; begin to count.

    Args:
        name: the service's.
        stopping: set once the process is told to stop.

    Raises:
        ConfigurationError: the port cannot be had.
    """
    if not settings.probe_port:
        yield Probe(stopping)
        return
    from artdag_common.serving import listen, serving

    probe = Probe(stopping, metrics.begin(name))
    listener = listen(settings.probe_host, settings.probe_port, "ARTDAG_PROBE_")
    lagging = asyncio.create_task(measure_lag(), name="measure the event loop's lag")
    try:
        async with serving(ProbeApp(probe), listener):
            yield probe
    finally:
        await end(lagging)


async def measure_lag() -> None:
    """Count how late the event loop wakes who asked for it."""
    loop, lag = asyncio.get_running_loop(), metrics.LOOP_LAG.of()
    while True:
        due = loop.time() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        lag.observe(max(0.0, loop.time() - due))
