"""Tells the gateways that this process is there: whose, where, which version, since when. Never stored."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import nats

from artdag_common.blobs.node import node_id
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.pb.commands_pb2 import ClassHands, InstancePresence
from artdag_common.tasks import end
from artdag_common.version import VERSION

EVERY_SECONDS = 2.0


def own_name() -> str:
    """Return what this process is called in events and on pages: its host and process id."""
    return f"{socket.gethostname()}-{os.getpid()}"


def token(name: str) -> str:
    """Return a name as one part of a subject: those of hosts have dots."""
    return re.sub(r"[^0-9A-Za-z_-]", "-", name)


class Announcement:
    """A process that can do work, told every two seconds until it ends."""

    def __init__(
        self,
        bus: Bus,
        service: str,
        *,
        folder: Path | None = None,
        hands: Mapping[str, int] | None = None,
        duties: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """
        Args:
            folder: of content, where the service uses one.
            hands: of an executor: how many steps of each class it works on at once.
            duties: what this process does now of what only one does.
        """
        self._bus = bus
        self._subject = subjects.alive(service, token(own_name()))
        self._folder = folder
        self._node = node_id(folder) if folder else ""
        self._hands = [ClassHands(work_class=name, hands=count) for name, count in (hands or {}).items()]
        self._duties = duties
        self._since_us = 0
        self._room: tuple[int, int] = (0, 0)
        self._measuring: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin: the process can do work."""
        self._since_us = _now_us()
        self._telling = asyncio.create_task(self._tell(), name="tell of this process")

    async def stop(self) -> None:
        """Say good-bye."""
        await end(self._telling, self._measuring)
        await self._say(leaving=True)

    async def _tell(self) -> None:
        while True:
            await self._measure()
            await self._say()
            await asyncio.sleep(EVERY_SECONDS)

    async def _measure(self) -> None:
        """Look at the disk, and wait no longer for it than for the next message: one on a network may hang."""
        if self._folder is None:
            return
        if self._measuring is None or self._measuring.done():
            self._measuring = asyncio.create_task(self._look_at(self._folder), name="look at the disk")
        await asyncio.wait({self._measuring}, timeout=EVERY_SECONDS)

    async def _look_at(self, folder: Path) -> None:
        try:
            usage = await asyncio.to_thread(shutil.disk_usage, folder)
        except OSError:
            self._room = (0, 0)
        else:
            self._room = (usage.free, usage.total)

    async def _say(self, leaving: bool = False) -> None:
        free, total = self._room
        message = InstancePresence(
            host=socket.gethostname(),
            pid=os.getpid(),
            version=VERSION,
            since_us=self._since_us,
            told_us=_now_us(),
            node=self._node,
            disk_free_bytes=free,
            disk_total_bytes=total,
            hands=self._hands,
            duties=self._duties(),
            leaving=leaving,
        )
        with contextlib.suppress(nats.errors.Error):  # the bus is away, and with it whoever would show it
            await self._bus.nc.publish(self._subject, message.SerializeToString())


def _now_us() -> int:
    return time.time_ns() // 1000
