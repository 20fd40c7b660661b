"""Whether loops turn: by a clock of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from structlog.testing import capture_logs

from artdag_common.turning import Loop, Turns, all_turn, runs


class Clock:
    """Shows what it is set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_takes_too_long_is_stuck_until_it_ends() -> None:
    clock = Clock()
    turns = Turns(10.0, clock)
    assert not turns.stuck
    with turns.turn():
        clock.now = 10.0
        assert not turns.stuck
        clock.now = 10.1
        assert turns.stuck
    assert not turns.stuck


def test_of_several_the_oldest_counts() -> None:
    clock = Clock()
    turns = Turns(10.0, clock)
    with turns.turn():
        clock.now = 8.0
        with turns.turn():
            clock.now = 12.0
            assert turns.stuck
        assert turns.stuck
    with turns.turn():
        clock.now = 20.0
        assert not turns.stuck


def test_for_how_long_the_oldest_goes_on_is_told() -> None:
    clock = Clock()
    turns = Turns(10.0, clock)
    assert turns.oldest_seconds == 0
    with turns.turn():
        clock.now = 3.0
        with turns.turn():
            clock.now = 5.0
            assert turns.oldest_seconds == 5
    assert turns.oldest_seconds == 0


def test_what_breaks_is_at_it_no_more() -> None:
    clock = Clock()
    turns = Turns(10.0, clock)
    try:
        with turns.turn():
            raise ValueError
    except ValueError:
        clock.now = 100.0
    assert not turns.stuck


async def test_a_task_runs_until_it_ends() -> None:
    enough = asyncio.Event()

    async def loop() -> None:
        await enough.wait()

    assert not runs(None)
    task = asyncio.create_task(loop())
    assert runs(task)
    enough.set()
    await task
    assert not runs(task)


class Works(Loop):
    """What goes on in as many tasks as it is given things to do."""

    def start(self, *works: Coroutine[Any, Any, Any]) -> None:
        for work in works:
            self._begin_loop(work, "make room")


async def test_a_loop_turns_from_its_start_to_its_stop() -> None:
    one, other = Works(), Works()
    assert not one.turning, "it was not begun"
    one.start(asyncio.sleep(3600))
    assert one.turning
    assert not other.turning, "each has its own"
    await one.stop()
    assert not one.turning
    await one.stop()
    await other.stop()


async def test_what_goes_on_in_several_tasks_turns_while_all_do() -> None:
    enough = asyncio.Event()
    loop = Works()
    loop.start(asyncio.sleep(3600), enough.wait())
    assert loop.turning
    enough.set()
    await asyncio.wait(loop._loops, return_when=asyncio.FIRST_COMPLETED)
    assert not loop.turning
    await loop.stop()
    assert not any(map(runs, loop._loops)), "the others are ended too"


async def test_a_loop_that_ends_by_itself_says_why_though_nobody_waits_for_it() -> None:
    async def work() -> None:
        raise ValueError("a disk that nobody thought of")

    loop = Works()
    with capture_logs() as lines:
        loop.start(work())
        await asyncio.wait(loop._loops)
        await asyncio.sleep(0)  # what is called when it ends has been called
    (line,) = lines
    assert (line["log_level"], line["loop"]) == ("error", "make room")
    assert isinstance(line["exc_info"], ValueError)
    assert not loop.turning


async def test_of_a_loop_that_is_told_to_end_nothing_is_said() -> None:
    loop = Works()
    with capture_logs() as lines:
        loop.start(asyncio.sleep(3600))
        await loop.stop()
        await asyncio.sleep(0)
    assert lines == []


@dataclass
class Part:
    """What turns, or does not."""

    turning: bool = True


def test_all_have_to_turn() -> None:
    one, other = Part(), Part()
    check = all_turn(one, other)
    assert check()
    other.turning = False
    assert not check()
    assert all_turn()()
