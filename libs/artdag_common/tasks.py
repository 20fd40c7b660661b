"""Tasks that end when they are told to, and work whose end is waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


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


async def to_its_end(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a thread; a cancellation takes effect once the thread has ended.

    :func:`asyncio.to_thread` leaves its thread behind, which goes on writing in places that are another's by then.
    """
    return await unbroken(asyncio.to_thread(function, *arguments))


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """Do what must not be left half done, such as closing; a cancellation takes effect once it is done."""
    task = asyncio.create_task(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        with contextlib.suppress(Exception):
            task.result()  # seen, so that nobody complains that it was not
        raise asyncio.CancelledError
    return task.result()
