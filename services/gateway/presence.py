"""Which processes there are, as they tell every gateway: kept in memory, bounded, and forgotten when not heard.

What executors say that they work on is only put away, and read when somebody asks: they say it many times a second.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg

from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.pb.commands_pb2 import ExecutorPresence, InstancePresence

SILENT_SECONDS = 6.0
"""After how long a process that tells of itself every two seconds counts as silent."""

FORGOTTEN_SECONDS = 60.0
HELD_SECONDS = 3.0
"""How long it holds what an executor said that it works on, which it says each second."""

MOST = 4000
"""Processes that are remembered."""

MOST_BYTES = 1 << 20
AHEAD_OF = 8
"""Messages by which a clock is compared with ours: one that took no time is among them."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

K = TypeVar("K")
S = TypeVar("S", "_Heard", "_Known")
T = TypeVar("T", bound=Message)


@dataclass(frozen=True, slots=True)
class Instance:
    """A process of a service.

    Attributes:
        name: what it is called in events, but for dots.
        version: empty: of one that does not tell.
        since: from when on it could do work; None: it does not tell.
        heard_seconds: how long ago.
        ahead_seconds: its clock's, of ours; the time that a message took at least, of the last ones, counts as behind.
        node: whose content folder it uses; empty: none, or it does not tell.
        disk_free_bytes, disk_total_bytes: of that folder's disk; 0: unknown.
        hands: steps that it works on at once, by class.
        duties: of what only one process does, what this one does.
        stopping: it takes nothing any more, and still works on something.
    """

    service: str
    name: str
    heard_seconds: float
    host: str = ""
    pid: int = 0
    version: str = ""
    since: datetime | None = None
    ahead_seconds: float = 0.0
    node: str = ""
    disk_free_bytes: int = 0
    disk_total_bytes: int = 0
    hands: dict[str, int] = field(default_factory=dict)
    duties: tuple[str, ...] = ()
    stopping: bool = False

    @property
    def silent(self) -> bool:
        """True for one that should have been heard since."""
        return self.heard_seconds > SILENT_SECONDS


@dataclass(frozen=True, slots=True)
class Held:
    """A message of the work queue that an executor works on. ``name``: a cache id, or of steps that travel together."""

    executor: str
    work_class: str
    name: str


@dataclass(frozen=True, slots=True)
class _Heard:
    at: float
    data: bytes


@dataclass(slots=True)
class _Known:
    """A process that tells of itself. ``ahead``: how far its clock was with each of the last messages, in seconds."""

    at: float
    told: InstancePresence
    ahead: deque[float] = field(default_factory=lambda: deque(maxlen=AHEAD_OF))


class Presence:
    """What was heard of processes, newest last."""

    def __init__(
        self, bus: Bus, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        """``clock``: seconds that never go back; ``wall``: unix seconds."""
        self._bus = bus
        self._clock = clock
        self._wall = wall
        self._instances: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._executors: OrderedDict[str, _Heard] = OrderedDict()

    async def start(self) -> None:
        """Listen."""
        await self._bus.nc.listen(subjects.alive("*", "*"), self.hear)
        await self._bus.nc.listen(subjects.here("*"), self.hear)

    def hear(self, message: Msg) -> None:
        """Put away what somebody tells of themselves. Whose it is the subject says, which the bus checks."""
        if len(message.data) > MOST_BYTES:
            return
        kind, service, name = message.subject.split(".", 2)
        if kind != "alive":
            _put(self._executors, name, _Heard(self._clock(), message.data))
        elif told := _read(InstancePresence, message.data):
            known = self._instances.get((service, name)) or _Known(0.0, told)
            known.at, known.told = self._clock(), told
            known.ahead.append(told.told_us / 1e6 - self._wall())
            _put(self._instances, (service, name), known)

    def instances(self) -> list[Instance]:
        """Return the processes that are there, or were until a minute ago, by service and name."""
        self._forget()
        working = self._working()
        found: dict[tuple[str, str], Instance] = {}
        for (service, name), known in self._instances.items():
            if not known.told.leaving or (service == "executor" and name in working):
                found[service, name] = self._instance(service, name, known)
        for name in working:  # of a version that tells no more of itself
            if ("executor", name) not in self._instances:
                heard_seconds = self._clock() - self._executors[name].at
                found["executor", name] = Instance("executor", name, heard_seconds)
        return [found[key] for key in sorted(found)]

    def held(self) -> list[Held]:
        """Return what executors work on, by executor and in the order in which they took it."""
        self._forget()
        found = []
        for name, told in sorted(self._working().items()):
            for each in sorted(told.held, key=lambda held: held.sequence):
                _, work_class, what = (*each.subject.split(".", 2), "", "")[:3]
                found.append(Held(name, work_class, what))
        return found

    def _instance(self, service: str, name: str, known: _Known) -> Instance:
        told = known.told
        return Instance(
            service=service,
            name=name,
            heard_seconds=max(0.0, self._clock() - known.at),
            host=told.host,
            pid=told.pid,
            version=told.version,
            since=_moment(told.since_us),
            ahead_seconds=max(known.ahead),
            node=told.node,
            disk_free_bytes=told.disk_free_bytes,
            disk_total_bytes=told.disk_total_bytes,
            hands={each.work_class: each.hands for each in told.hands},
            duties=tuple(told.duties),
            stopping=told.leaving,
        )

    def _working(self) -> dict[str, ExecutorPresence]:
        """Return what executors told that were heard just now, and are not leaving."""
        since = self._clock() - HELD_SECONDS
        told = {
            name: _read(ExecutorPresence, heard.data) for name, heard in self._executors.items() if heard.at > since
        }
        return {name: each for name, each in told.items() if each is not None and not each.leaving}

    def _forget(self) -> None:
        """Drop who was not heard for long: they stand first."""
        before = self._clock() - FORGOTTEN_SECONDS
        _drop(self._instances, before)
        _drop(self._executors, before)


def _put(known: OrderedDict[K, S], key: K, heard: S) -> None:
    known[key] = heard
    known.move_to_end(key)
    if len(known) > MOST:
        known.popitem(last=False)


def _drop(known: OrderedDict[K, S], before: float) -> None:
    while known and next(iter(known.values())).at < before:
        known.popitem(last=False)


def _read(kind: type[T], data: bytes) -> T | None:
    try:
        return kind.FromString(data)
    except DecodeError:
        return None


def _moment(microseconds: int) -> datetime | None:
    """Return a time; None: it is none that there can be."""
    try:
        return EPOCH + timedelta(microseconds=microseconds) if microseconds > 0 else None
    except OverflowError:
        return None
