"""Copies on their way to storage providers now: telemetry, kept for a moment. Best effort."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.pb.commands_pb2 import CopyTick

FRESH_SECONDS = 10.0
"""How long a copy counts as being made without another word from its maker."""


class Copying:
    """Remembers which copies are being made."""

    def __init__(self, bus: Bus, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus = bus
        self._clock = clock
        self._ticks: defaultdict[str, dict[str, tuple[float, CopyTick]]] = defaultdict(dict)

    async def start(self) -> None:
        """Listen."""
        await self._bus.nc.subscribe(subjects.copy_tick("*"), cb=self._hear)

    def now(self, storage_id: str) -> dict[str, dict[str, Any]]:
        """Return the copies to a provider that are being made: CID → bytes ``done`` and ``total``, and ``status``.

        ``status`` is what a provider that fetches content by itself says of it, queued or pinning, else None.
        """
        self._forget(storage_id)
        return {
            cid: {"done": tick.done, "total": tick.total, "status": tick.status or None}
            for cid, (_, tick) in self._ticks.get(storage_id, {}).items()
        }

    async def _hear(self, message: Msg) -> None:
        try:
            tick = CopyTick.FromString(message.data)
        except DecodeError:
            return
        self._forget(tick.storage_id)
        if tick.done < tick.total:
            self._ticks[tick.storage_id][tick.cid] = (self._clock(), tick)
        else:
            self._ticks[tick.storage_id].pop(tick.cid, None)

    def _forget(self, storage_id: str) -> None:
        """Drop what was not heard of for a while."""
        stale = self._clock() - FRESH_SECONDS
        ticks = self._ticks.get(storage_id, {})
        for cid in [cid for cid, (at, _) in ticks.items() if at < stale]:
            del ticks[cid]
        if not ticks:
            self._ticks.pop(storage_id, None)
