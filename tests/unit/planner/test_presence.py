"""When an executor is taken for gone, and what becomes of what it had."""

from __future__ import annotations

import pytest

from artdag_common.errors import ServiceUnavailableError
from artdag_common.pb.commands_pb2 import ExecutorPresence, HeldWork
from services.planner.presence import AGAIN_SECONDS, UNHEARD_SECONDS, Executors


class Bus:
    """A work queue, and executors that are there, or not (False), or silent (None)."""

    def __init__(self) -> None:
        self.there: dict[str, bool | None] = {}
        self.asked: list[str] = []
        self.queue = {7: ("work.cpu.a", b"a"), 8: ("work.cpu.b", b"b")}
        self.back: list[tuple[str, bytes]] = []
        self.away = False

    async def is_there(self, executor: str) -> bool | None:
        self.asked.append(executor)
        return self.there.get(executor)

    async def take_back(self, subject: str, sequence: int) -> bytes | None:
        if self.away:
            raise ServiceUnavailableError("no answer")
        found = self.queue.get(sequence)
        if found is None or found[0] != subject:
            return None
        del self.queue[sequence]
        return found[1]

    async def put_back(self, subject: str, data: bytes) -> None:
        self.back.append((subject, data))


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.bus = Bus()
        self.executors = Executors(self.bus, lambda: self.now)

    def hear(self, name: str = "one", leaving: bool = False, **held: int) -> None:
        works = [HeldWork(subject=f"work.cpu.{key}", sequence=sequence) for key, sequence in held.items()]
        self.executors.hear(ExecutorPresence(executor=name, held=works, leaving=leaving))

    async def after(self, seconds: float) -> None:
        self.now += seconds
        await self.executors.look()


@pytest.fixture
def world() -> World:
    return World()


async def test_who_is_heard_is_not_asked(world: World) -> None:
    world.hear(a=7)
    await world.after(UNHEARD_SECONDS / 2)
    world.hear(a=7)
    await world.after(UNHEARD_SECONDS / 2)
    assert world.bus.asked == []


async def test_what_somebody_had_who_is_gone_goes_to_others_once(world: World) -> None:
    world.bus.there["one"] = False
    world.hear(a=7, b=8)
    await world.after(UNHEARD_SECONDS)
    assert world.bus.back == [], "a connection that broke is made again at once: it is asked twice"
    await world.after(AGAIN_SECONDS / 2)
    assert world.bus.asked == ["one"]
    await world.after(AGAIN_SECONDS / 2)
    assert world.bus.back == [("work.cpu.a", b"a"), ("work.cpu.b", b"b")]
    await world.after(10 * UNHEARD_SECONDS)
    assert len(world.bus.back) == len(world.bus.asked) == 2


async def test_what_was_acknowledged_or_given_to_others_meanwhile_stays_so(world: World) -> None:
    world.bus.there["one"] = False
    world.bus.queue = {8: ("work.cpu.other", b"of a queue that counts anew"), 9: ("work.cpu.a", b"a newer one")}
    world.hear(a=7, b=8)
    await world.after(UNHEARD_SECONDS)
    await world.after(AGAIN_SECONDS)
    assert world.bus.back == []
    assert len(world.bus.queue) == 2


async def test_who_is_silent_and_connected_keeps_what_it_has(world: World) -> None:
    world.bus.there["one"] = None
    world.hear(a=7)
    for _ in range(5):
        await world.after(UNHEARD_SECONDS)
    world.bus.there["one"] = True
    await world.after(UNHEARD_SECONDS)
    assert world.bus.back == []


async def test_who_comes_back_between_two_questions_keeps_what_it_has(world: World) -> None:
    world.bus.there["one"] = False
    world.hear(a=7)
    await world.after(UNHEARD_SECONDS)
    world.hear(a=7)
    await world.after(AGAIN_SECONDS)
    assert world.bus.back == []


async def test_who_says_good_bye_is_forgotten(world: World) -> None:
    world.bus.there["one"] = False
    world.hear(a=7)
    world.hear(leaving=True)
    await world.after(UNHEARD_SECONDS)
    await world.after(AGAIN_SECONDS)
    assert world.bus.asked == []


async def test_after_a_silence_of_the_bus_everybody_has_time_to_come_back(world: World) -> None:
    world.bus.there["one"] = False
    world.hear(a=7)
    await world.after(UNHEARD_SECONDS)
    world.executors.hear_all()
    await world.after(AGAIN_SECONDS)
    assert world.bus.back == []
    await world.after(UNHEARD_SECONDS)
    await world.after(AGAIN_SECONDS)
    assert world.bus.back == [("work.cpu.a", b"a")]


async def test_where_the_queue_does_not_answer_it_is_done_later(world: World) -> None:
    world.bus.there["one"] = False
    world.bus.away = True
    world.hear(a=7)
    await world.after(UNHEARD_SECONDS)
    await world.after(AGAIN_SECONDS)
    world.bus.away = False
    await world.after(AGAIN_SECONDS)
    assert world.bus.back == [("work.cpu.a", b"a")]
