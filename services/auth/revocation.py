"""Revoked tokens in Redis, and word of them to every gateway. Postgres is the truth; all of this makes it quick.

``artdag:revoked:<sha256>`` stands for 30 days, ``artdag:user_tokens:<user>`` holds what a user has attached. They count
only beside ``artdag:revocations``, which is written once they are complete. Where Redis was emptied it is missing: then
gateways ask Postgres, and all is written anew.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

import asyncpg
import nats
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from artdag_common.eventstore.postgres import LOST
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.pb.events_pb2 import RevokedHint
from artdag_common.standing import COMPLETE, REVOKED_SECONDS, revoked_key, user_key
from artdag_common.turning import Loop

LOOK_SECONDS = 1.0
AT_ONCE = 1000

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Revocation(Loop):
    """Tells of revocations, and sees to it that Redis knows of all.

    Gateways hear of them from the event stream too, so whatever dies here between a commit and the word of it costs
    milliseconds and not the revocation.
    """

    def __init__(self, bus: Bus, pool: asyncpg.Pool, cache: redis.asyncio.Redis) -> None:
        self._bus = bus
        self._pool = pool
        self._cache = cache
        self._untold: dict[str, str] = {}  # not yet in Redis: token → holder

    async def start(self) -> None:
        """Fill Redis in the background, now and whenever it was emptied."""
        self._begin_loop(self._keep(), "keep revocations")

    async def tell(self, token_hash: str, user_id: str) -> None:
        """Tell that a token is refused."""
        await self._tell({token_hash: user_id})

    async def tell_all(self, user_id: str) -> None:
        """Tell that all tokens of a user are refused."""
        rows = await self._pool.fetch(
            """SELECT token_hash FROM auth_tokens
            WHERE user_id = $1 AND revoked_at > now() - $2::bigint * interval '1 second'""",
            user_id,
            REVOKED_SECONDS,
        )
        await self._tell({row["token_hash"]: user_id for row in rows})

    async def track(self, token_hash: str, user_id: str) -> None:
        """Note whose token this is."""
        try:
            async with self._cache.pipeline(transaction=False) as pipe:
                pipe.sadd(user_key(user_id), token_hash)
                pipe.expire(user_key(user_id), REVOKED_SECONDS)
                await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("redis does not track a token", error=str(error))

    async def refill(self) -> int:
        """Write all revocations of the last 30 days to Redis, and return how many they are."""
        rows = await self._pool.fetch(
            """SELECT token_hash, user_id, revoked_at IS NOT NULL AS revoked,
                ($1::bigint - extract(epoch FROM now() - coalesce(revoked_at, attached_at)))::bigint AS left_s
            FROM auth_tokens WHERE coalesce(revoked_at, attached_at) > now() - $1::bigint * interval '1 second'""",
            REVOKED_SECONDS,
        )
        for some in _pieces(rows):
            async with self._cache.pipeline(transaction=False) as pipe:
                for row in some:
                    if row["revoked"]:
                        pipe.set(revoked_key(row["token_hash"]), "1", ex=max(1, row["left_s"]))
                    else:
                        pipe.sadd(user_key(row["user_id"]), row["token_hash"])
                        pipe.expire(user_key(row["user_id"]), REVOKED_SECONDS)
                await pipe.execute()
        await self._cache.set(COMPLETE, "1")
        return sum(row["revoked"] for row in rows)

    async def _tell(self, holders: Mapping[str, str]) -> None:
        for some in _pieces(list(holders)):
            with contextlib.suppress(nats.errors.Error):  # gateways hear of it from the event stream
                await self._bus.nc.publish(subjects.REVOKED_HINTS, RevokedHint(tokens=some).SerializeToString())
        self._untold |= holders
        try:
            await self._write()
        except (RedisError, OSError) as error:
            log.warning("revocations are told to redis later", error=str(error))

    async def _write(self) -> None:
        for some in _pieces(list(self._untold.items())):
            async with self._cache.pipeline(transaction=False) as pipe:
                for token_hash, user_id in some:
                    pipe.set(revoked_key(token_hash), "1", ex=REVOKED_SECONDS)
                    pipe.srem(user_key(user_id), token_hash)
                await pipe.execute()
            for token_hash, _ in some:
                self._untold.pop(token_hash, None)

    async def _keep(self) -> None:
        first = True  # whoever was here before may have died between a commit and the word of it
        while True:
            try:
                await self._write()
                if first or not await self._cache.exists(COMPLETE):
                    log.info("redis is filled with revocations", count=await self.refill())
                    first = False
            except (RedisError, asyncpg.PostgresError, *LOST) as error:
                log.warning("redis is not filled with revocations", error=str(error))
            await asyncio.sleep(LOOK_SECONDS)


def _pieces(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[i : i + AT_ONCE] for i in range(0, len(items), AT_ONCE)]
