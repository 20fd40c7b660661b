"""Which signatures were used, as all gateways remember them in Redis."""

from __future__ import annotations

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from artdag_common.federation.replays import Replays

PREFIX = "artdag:signature:"

log = structlog.get_logger(__name__)


class RedisReplays(Replays):
    """Remembers in this process too, which has to do while Redis does not answer."""

    def __init__(self, cache: Redis) -> None:
        super().__init__()
        self._cache = cache

    async def first(self, digest: str, seconds: int) -> bool:
        """See :class:`Replays`."""
        if not await super().first(digest, seconds):
            return False
        try:
            return bool(await self._cache.set(f"{PREFIX}{digest}", "1", nx=True, ex=max(1, seconds)))
        except (RedisError, OSError) as error:
            log.warning("redis is passed over", error=str(error))
            return True
