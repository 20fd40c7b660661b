"""Ending tasks, and waiting for what must be done to its end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from artdag_common.tasks import end, to_its_end, unbroken


async def test_a_cancelled_call_waits_for_its_thread() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(30)
        ended.set()

    task = asyncio.create_task(to_its_end(work))
    await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=0.05)
    assert not done, "its thread is at work"
    may_end.set()
    await end(task)  # cancels it once more
    assert ended.is_set()
    assert task.cancelled()


async def test_a_cancelled_call_hides_what_its_thread_raised() -> None:
    begun, may_fail = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_fail.wait(30)
        raise ValueError("too late for anybody")

    task = asyncio.create_task(to_its_end(work))
    await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    may_fail.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_gives_what_its_thread_gives() -> None:
    assert await to_its_end(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await to_its_end(divmod, 7, 0)


async def test_cancelled_work_is_done_to_its_end() -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await may_end.wait()
        ended.set()

    task = asyncio.create_task(unbroken(work()))
    await begun.wait()
    task.cancel()
    asyncio.get_running_loop().call_later(0.01, may_end.set)
    await end(task)  # cancels it once more
    assert ended.is_set()
    assert task.cancelled()
