"""Redis as services use it: for what makes things quick. Where it does not answer, that is known at once."""

from __future__ import annotations

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

SECONDS = 0.5


def open_cache(url: str) -> redis.asyncio.Redis:
    """Return a client that waits half a second at most and asks once: by itself it would try for ten seconds."""
    return redis.asyncio.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=SECONDS,
        socket_connect_timeout=SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


async def answers(cache: redis.asyncio.Redis) -> bool:
    """Return whether Redis answers."""
    try:
        return bool(await cache.ping())
    except (RedisError, OSError):
        return False
