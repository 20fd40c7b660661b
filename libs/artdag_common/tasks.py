"""Tasks that end when they are told to."""

from __future__ import annotations

import asyncio
from typing import Any


async def end(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks and wait until they have ended, whatever they end with.

    One cancellation is not enough: in Python 3.11 ``asyncio.wait_for`` swallows one that arrives as its result does
    (https://github.com/python/cpython/issues/86296), and the task goes on for ever.
    """
    left = {task for task in tasks if task is not None}
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=0.1)
        for task in done:
            if not task.cancelled():
                task.exception()  # seen, so that nobody complains that it was not
