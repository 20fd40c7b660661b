"""What is written behind a body: all of it, in order, within a limit, and never by two threads at once."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.write_behind import SMALL_BYTES, WAITING_BYTES, WRITE_BYTES, WriteBehind

SIZES = st.lists(st.sampled_from([0, 1, 7, SMALL_BYTES - 1, SMALL_BYTES, 300_000, WRITE_BYTES]), max_size=30)


class Disk:
    """Takes pieces, each time only after somebody lets it."""

    def __init__(self) -> None:
        self.taken: list[bytes | bytearray] = []
        self.begun = asyncio.Event()
        self.let = asyncio.Event()
        self.ended = 0
        self.writers = 0

    async def write(self, *pieces: bytes | bytearray) -> None:
        assert not self.writers
        self.writers += 1
        self.begun.set()
        await self.let.wait()
        self.taken += pieces
        self.writers -= 1
        self.ended += 1


@given(SIZES)
def test_all_that_comes_is_written_in_order(sizes):
    async def run() -> None:
        disk = Disk()
        disk.let.set()
        behind = WriteBehind(disk.write)
        pieces = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
        for piece in pieces:
            await behind.take(piece)
        await behind.finish()
        assert b"".join(disk.taken) == b"".join(pieces)

    asyncio.run(run())


async def test_small_pieces_are_put_together_and_large_ones_are_not_copied():
    disk = Disk()
    disk.let.set()
    behind = WriteBehind(disk.write)
    large = bytes(SMALL_BYTES)
    for piece in (b"a", b"b", large, b"c", b"d"):
        await behind.take(piece)
    await behind.finish()
    assert disk.taken == [b"ab", large, b"cd"]
    assert disk.taken[1] is large


async def test_a_body_that_is_quicker_than_the_disk_waits():
    disk = Disk()
    behind = WriteBehind(disk.write)
    await behind.take(bytes(WRITE_BYTES))
    await behind.take(bytes(WAITING_BYTES - 1))  # has its place
    taking = asyncio.create_task(behind.take(b"."))
    await disk.begun.wait()
    assert (await asyncio.wait({taking}, timeout=0))[1] == {taking}
    disk.let.set()
    await taking
    await behind.finish()
    assert sum(map(len, disk.taken)) == WRITE_BYTES + WAITING_BYTES


async def test_what_came_while_something_was_written_is_written_though_nothing_more_comes():
    disk = Disk()
    behind = WriteBehind(disk.write)
    await behind.take(bytes(WRITE_BYTES))
    await behind.take(bytes(WRITE_BYTES))
    await behind.take(b"a rest")
    await disk.begun.wait()
    disk.let.set()
    await behind.settle()
    assert sum(map(len, disk.taken)) == 2 * WRITE_BYTES + len(b"a rest")


async def test_a_rest_that_is_too_little_to_be_written_waits_for_more():
    disk = Disk()
    disk.let.set()
    behind = WriteBehind(disk.write)
    await behind.take(bytes(WRITE_BYTES))
    await behind.take(b"a rest")
    await behind.settle()
    assert sum(map(len, disk.taken)) == WRITE_BYTES
    await behind.finish()
    assert sum(map(len, disk.taken)) == WRITE_BYTES + len(b"a rest")


async def test_an_error_reaches_whoever_brings_more():
    async def full(*pieces: bytes | bytearray) -> None:
        raise OSError("full")

    behind = WriteBehind(full)
    await behind.take(bytes(WRITE_BYTES))
    with pytest.raises(OSError, match="full"):
        await behind.finish()
    await behind.settle()  # told once


async def test_whoever_is_cancelled_can_still_wait_for_the_thread():
    disk = Disk()
    behind = WriteBehind(disk.write)
    await behind.take(bytes(WRITE_BYTES))
    waiting = asyncio.create_task(behind.finish())
    await disk.begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert disk.writers == 1
    disk.let.set()
    await behind.settle()
    assert (disk.writers, disk.ended) == (0, 1)
