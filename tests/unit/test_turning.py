"""Whether loops turn: by a clock of the test's."""

from __future__ import annotations

import asyncio

from artdag_common.turning import Turns, runs


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
