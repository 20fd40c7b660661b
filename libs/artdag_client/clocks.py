"""Time, as the client sees it: the one place where waiting differs between the two clients."""

from __future__ import annotations

import asyncio
import time
from time import monotonic

__all__ = ["async_pause", "monotonic", "pause"]


async def async_pause(seconds: float) -> None:
    """Let others work for so long."""
    await asyncio.sleep(seconds)


def pause(seconds: float) -> None:
    """Do nothing for so long."""
    time.sleep(seconds)
