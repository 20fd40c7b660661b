"""Revocations as this process hears of them: from the auth service at once, from the events for certain."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence

import asyncpg
import redis.asyncio
import structlog
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from redis.exceptions import RedisError

from artdag_common.domain.access import Token, User
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.pb.events_pb2 import RevokedHint
from artdag_common.standing import REVOKED_SECONDS, revoked_key
from artdag_common.tasks import end
from services.gateway.projections import tokens
from services.gateway.projections.fact import Fact

KEPT_SECONDS = 120.0
"""For so long a revocation is known here: longer than Redis remembers any answer that was given before it."""
RETRY_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Revoked:
    """Tokens that were revoked a short while ago."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        cache: redis.asyncio.Redis,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._cache = cache
        self._listeners: list[Callable[[Collection[str]], None]] = []
        self._clock = clock
        self._known: OrderedDict[str, float] = OrderedDict()
        self._untold: set[str] = set()  # not yet in Redis
        self._telling: asyncio.Task[None] | None = None

    def __contains__(self, token_hash: object) -> bool:
        return token_hash in self._known or token_hash in self._untold

    def on_revoked(self, listener: Callable[[Collection[str]], None]) -> None:
        """Call ``listener`` with the hashes of tokens as soon as they are known to be revoked; perhaps twice."""
        self._listeners.append(listener)

    async def listen(self, bus: Bus) -> None:
        """Hear what the auth service says."""
        await bus.nc.subscribe(subjects.REVOKED_HINTS, cb=self._hear)

    async def stop(self) -> None:
        """Tell Redis no more."""
        await end(self._telling)

    async def follow(self, facts: Sequence[Fact]) -> None:
        """Hear what the read models show by now, and see to it that Redis knows."""
        hashes = {fact.key for fact in facts if isinstance(fact.event, Token.Revoked | Token.Refused)}
        users = {fact.key for fact in facts if isinstance(fact.event, User.TokensRevoked)}
        if users:
            hashes.update(await tokens.revoked_of(self._pool, users))
        self._take(hashes)
        self._untold |= hashes
        if self._untold and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._tell(), name="tell of revocations")

    async def _hear(self, message: Msg) -> None:
        with contextlib.suppress(DecodeError):
            self._take(RevokedHint.FromString(message.data).tokens)

    def _take(self, hashes: Collection[str]) -> None:
        now = self._clock()
        while self._known and next(iter(self._known.values())) <= now:
            self._known.popitem(last=False)
        for token_hash in hashes:
            self._known[token_hash] = now + KEPT_SECONDS
            self._known.move_to_end(token_hash)
        for listener in self._listeners if hashes else ():
            listener(hashes)

    async def _tell(self) -> None:
        while some := list(self._untold)[:1000]:
            try:
                async with self._cache.pipeline(transaction=False) as pipe:
                    for token_hash in some:
                        pipe.set(revoked_key(token_hash), "1", ex=REVOKED_SECONDS)
                    await pipe.execute()
            except (RedisError, OSError) as error:
                log.warning("revocations are told to redis later", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._untold.difference_update(some)
