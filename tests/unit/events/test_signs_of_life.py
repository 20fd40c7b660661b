"""Signs of life of a message: until it is dealt with, whatever the bus says, and not a moment longer."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import nats
import pytest

from artdag_common.messaging.signs_of_life import kept_alive

PATIENCE = 60.0


class Message:
    """Does what the test says where a sign of life is given."""

    def __init__(self, give: Callable[[int], Awaitable[None]]) -> None:
        self._give = give
        self.signs = 0

    async def in_progress(self) -> None:
        self.signs += 1
        await self._give(self.signs)


async def test_one_that_the_bus_does_not_take_does_not_end_them_and_is_no_fault() -> None:
    enough, faults = asyncio.Event(), list[dict[str, Any]]()
    loop = asyncio.get_running_loop()
    gc.collect()  # what other tests left is told of before
    loop.set_exception_handler(lambda _, fault: faults.append(fault))

    async def give(number: int) -> None:
        if number < 3:
            raise nats.errors.OutboundBufferLimitError
        enough.set()

    async with asyncio.timeout(PATIENCE):
        with kept_alive(Message(give), 0.001):  # type: ignore[arg-type]
            await enough.wait()
    gc.collect()  # what failed and was not looked at is told of by then
    assert faults == []


async def test_one_that_hangs_does_not_hold_up_the_next_and_ends_with_the_block() -> None:
    second, broken_off = asyncio.Event(), asyncio.Event()

    async def give(number: int) -> None:
        if number == 2:
            second.set()
            return
        try:
            await asyncio.Event().wait()
        finally:
            broken_off.set()

    async with asyncio.timeout(PATIENCE):
        with kept_alive(Message(give), 0.001):  # type: ignore[arg-type]
            await second.wait()
            assert not broken_off.is_set()
        await broken_off.wait()


@pytest.mark.parametrize("error", [None, KeyError, asyncio.CancelledError])
async def test_there_are_none_after_the_block(error: type[BaseException] | None) -> None:
    """However it is left: every sign that was due has been given, or never will be."""
    first = asyncio.Event()

    async def give(number: int) -> None:
        first.set()

    message = Message(give)
    async with asyncio.timeout(PATIENCE):
        try:
            with kept_alive(message, 0.0):  # type: ignore[arg-type]
                await first.wait()
                if error:
                    raise error
        except (KeyError, asyncio.CancelledError):
            pass
        signs = message.signs
        for _ in range(100):  # each would have given one
            await asyncio.sleep(0)
    assert message.signs == signs


async def test_what_is_through_at_once_gives_none() -> None:
    async def give(number: int) -> None: ...

    message = Message(give)
    with kept_alive(message, 0.0):  # type: ignore[arg-type]
        pass
    for _ in range(100):
        await asyncio.sleep(0)
    assert message.signs == 0
