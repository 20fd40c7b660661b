"""Which signatures were used, as one process remembers them."""

from __future__ import annotations

import time
from collections.abc import Callable

MOST = 100_000
"""Only signatures that hold come here, so it is the registry that fills it."""


class Replays:
    """Remembers signatures for as long as they could be used again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}

    async def first(self, digest: str, seconds: int) -> bool:
        """Note a signature for so long, and return whether it is new. With no room left, none is."""
        now = self._clock()
        if len(self._seen) >= MOST:
            self._seen = {each: until for each, until in self._seen.items() if until > now}
        if self._seen.get(digest, now) > now or len(self._seen) >= MOST:
            return False
        self._seen[digest] = now + seconds
        return True
