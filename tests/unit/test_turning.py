"""Whether loops turn: by a clock of the test's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from structlog.testing import capture_logs

from artdag_common.tasks import end
from artdag_common.turning import Turns, all_turn, begin, runs


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


async def test_a_loop_that_ends_by_itself_says_why_though_nobody_waits_for_it() -> None:
    async def loop() -> None:
        raise ValueError("a disk that nobody thought of")

    with capture_logs() as lines:
        task = begin(loop(), "make room")
        await asyncio.wait([task])
        await asyncio.sleep(0)  # what is called when it ends has been called
    (line,) = lines
    assert (line["log_level"], line["loop"]) == ("error", "make room")
    assert isinstance(line["exc_info"], ValueError)
    assert not runs(task)


async def test_of_a_loop_that_is_told_to_end_nothing_is_said() -> None:
    with capture_logs() as lines:
        task = begin(asyncio.sleep(3600), "make room")
        await end(task)
        await asyncio.sleep(0)
    assert lines == []


@dataclass
class Loop:
    """A loop that turns, or does not."""

    turning: bool = True


def test_all_have_to_turn() -> None:
    one, other = Loop(), Loop()
    check = all_turn(one, other)
    assert check()
    other.turning = False
    assert not check()
    assert all_turn()()
