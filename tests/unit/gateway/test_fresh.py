"""An answer that is shared by those who ask for it at about the same time."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.fresh import Fresh


class Asking:
    def __init__(self) -> None:
        self.now = 10.0
        self.made = 0
        self.fresh: Fresh[int] = Fresh(0.5, lambda: self.now)
        self.going = asyncio.Event()
        self.going.set()

    async def make(self) -> int:
        await self.going.wait()
        self.made += 1
        return self.made

    async def ask(self) -> int:
        return await self.fresh.get(self.make)


async def test_it_is_made_again_once_it_is_old() -> None:
    asking = Asking()
    assert [await asking.ask(), await asking.ask()] == [1, 1]
    asking.now += 0.5
    assert await asking.ask() == 2


async def test_all_who_ask_while_it_is_made_get_the_same() -> None:
    asking = Asking()
    asking.going.clear()
    waiting = [asyncio.create_task(asking.ask()) for _ in range(5)]
    await asyncio.sleep(0)
    asking.going.set()
    assert await asyncio.gather(*waiting) == [1] * 5


async def test_one_that_fails_or_is_broken_off_is_made_by_the_next() -> None:
    asking = Asking()

    async def fail() -> int:
        raise ValueError("not now")

    with pytest.raises(ValueError, match="not now"):
        await asking.fresh.get(fail)
    asking.going.clear()
    first, second = asyncio.create_task(asking.ask()), asyncio.create_task(asking.ask())
    await asyncio.sleep(0)
    first.cancel()
    asking.going.set()
    assert await second == 1
