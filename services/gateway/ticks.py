"""Frames done: telemetry of running steps, passed on to live streams and remembered for a while. Best effort."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import asyncpg
import orjson
import redis.asyncio
import structlog
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from redis.exceptions import RedisError

from artdag_common.eventstore.postgres import LOST
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.pb.commands_pb2 import StepTick
from artdag_common.turning import Loop
from services.gateway.projections import runs
from services.gateway.sse import Hub

EVERY = 0.2
REMEMBERED_SECONDS = 3600
KNOWN = 1000

log = structlog.get_logger(__name__)


class Ticks(Loop):
    """Passes on the newest tick of each step, a few times a second."""

    def __init__(self, bus: Bus, pool: asyncpg.Pool, cache: redis.asyncio.Redis, hub: Hub) -> None:
        self._bus = bus
        self._pool = pool
        self._cache = cache
        self._hub = hub
        self._newest: dict[str, StepTick] = {}
        self._done: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._more = asyncio.Event()
        self._places: OrderedDict[str, list[tuple[str, int, str]]] = OrderedDict()

    async def start(self) -> None:
        """Run in the background."""
        await self._bus.nc.subscribe(subjects.tick("*"), cb=self._hear)
        self._begin_loop(self._work(), "ticks")

    def done(self, cache_id: str) -> tuple[int, int] | None:
        """Return how many frames of a running step are done, and of how many (0: unknown); None: nothing was heard."""
        return self._done.get(cache_id)

    async def frames(self, run_id: str) -> dict[int, dict[str, int]]:
        """Return how far the steps of a run are, by step; empty where nothing is known."""
        try:
            found = await self._cache.hgetall(_key(run_id))
            return {int(step): orjson.loads(value) for step, value in found.items()}
        except (RedisError, OSError, ValueError) as error:
            log.info("progress is not known", error=str(error))
            return {}

    async def _hear(self, message: Msg) -> None:
        try:
            tick = StepTick.FromString(message.data)
        except DecodeError:
            return
        self._newest[tick.cache_id] = tick
        self._done[tick.cache_id] = tick.done, tick.total
        self._done.move_to_end(tick.cache_id)
        if len(self._done) > KNOWN:
            self._done.popitem(last=False)
        self._more.set()

    async def _work(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            newest, self._newest = self._newest, {}
            try:
                await self._pass_on(newest)
            except (asyncpg.PostgresError, RedisError, *LOST) as error:
                log.info("progress is passed over", error=str(error))
            await asyncio.sleep(EVERY)  # ticks that come meanwhile replace each other

    async def _pass_on(self, newest: dict[str, StepTick]) -> None:
        async with self._cache.pipeline(transaction=False) as pipe:
            for cache_id, tick in newest.items():
                for run_id, step, node in await self._known_places(cache_id):
                    self._hub.progress(run_id, step, node, tick.done, tick.total)
                    pipe.hset(_key(run_id), str(step), orjson.dumps({"done": tick.done, "total": tick.total}))
                    pipe.expire(_key(run_id), REMEMBERED_SECONDS)
            await pipe.execute()

    async def _known_places(self, cache_id: str) -> list[tuple[str, int, str]]:
        places = self._places.get(cache_id)
        if places is None:
            places = await runs.places(self._pool, cache_id)
            if places:
                self._places[cache_id] = places
                if len(self._places) > KNOWN:
                    self._places.popitem(last=False)
        return places


def _key(run_id: str) -> str:
    return f"artdag:run:{run_id}:progress"
