"""Which processes a gateway knows of: from what they tell, as long as they tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest
from nats.aio.msg import Msg

from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.pb.commands_pb2 import ClassHands, ExecutorPresence, HeldWork, InstancePresence
from services.gateway.presence import FORGOTTEN_SECONDS, HELD_SECONDS, MOST, MOST_BYTES, SILENT_SECONDS, Held, Presence

BEGAN_US = 1_800_000_000_000_000


@dataclass
class Said:
    """A message, as far as is looked at it."""

    subject: str
    data: bytes


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.presence = Presence(cast(Bus, None), lambda: self.now, lambda: 1_800_000_100.0)

    def tell(self, service: str, name: str, **told: Any) -> None:
        facts: dict[str, Any] = {
            "host": "node-1",
            "pid": 7,
            "version": "0.1.0",
            "since_us": BEGAN_US,
            "told_us": BEGAN_US + 101_000_000,
        }
        self.say(subjects.alive(service, name), InstancePresence(**(facts | told)).SerializeToString())

    def works(self, name: str, *held: str, leaving: bool = False) -> None:
        works = [HeldWork(subject=subject, sequence=10 - place) for place, subject in enumerate(held)]
        self.say(subjects.here(name), ExecutorPresence(executor=name, held=works, leaving=leaving).SerializeToString())

    def say(self, subject: str, data: bytes) -> None:
        self.presence.hear(cast(Msg, Said(subject, data)))

    def names(self) -> list[str]:
        return [f"{each.service}/{each.name}" for each in self.presence.instances()]


@pytest.fixture
def world() -> World:
    return World()


def test_several_processes_of_a_service_are_told_apart(world: World) -> None:
    world.tell("gateway", "b-1")
    world.tell("gateway", "a-1", host="node-2", node="n1", disk_free_bytes=5, disk_total_bytes=10)
    world.tell("auth", "a-2", duties=["relay"])
    world.tell("gateway", "b-1", version="0.2.0")
    assert world.names() == ["auth/a-2", "gateway/a-1", "gateway/b-1"]
    relay, one, other = world.presence.instances()
    assert relay.duties == ("relay",)
    assert (one.host, one.node, one.disk_free_bytes, one.disk_total_bytes) == ("node-2", "n1", 5, 10)
    assert (other.version, other.pid) == ("0.2.0", 7)
    assert other.since is not None
    assert other.since.timestamp() == BEGAN_US / 1e6
    assert other.ahead_seconds == pytest.approx(1.0)


def test_a_message_that_took_long_does_not_make_a_clock_wrong(world: World) -> None:
    for late in (9, 0, 5):
        world.tell("planner", "a", told_us=(1_800_000_100 - late) * 1_000_000)
    world.tell("planner", "b", told_us=(1_800_000_100 - 3600) * 1_000_000)
    right, behind = world.presence.instances()
    assert (right.ahead_seconds, behind.ahead_seconds) == (0.0, -3600.0)


def test_who_is_not_heard_is_silent_and_then_forgotten(world: World) -> None:
    world.tell("planner", "a")
    world.now += SILENT_SECONDS
    assert not world.presence.instances()[0].silent
    world.now += 1
    world.tell("planner", "b")
    (silent, heard) = world.presence.instances()
    assert (silent.silent, heard.silent) == (True, False)
    assert silent.heard_seconds == SILENT_SECONDS + 1
    world.now += FORGOTTEN_SECONDS - SILENT_SECONDS
    assert world.names() == ["planner/b"]


def test_who_says_good_bye_is_gone(world: World) -> None:
    world.tell("planner", "a")
    world.tell("planner", "a", leaving=True)
    assert world.names() == []


def test_an_executor_that_ends_is_there_until_it_has_handed_back_what_it_had(world: World) -> None:
    world.tell("executor", "a", leaving=True)
    world.works("a", "work.cpu.c1")
    (stopping,) = world.presence.instances()
    assert stopping.stopping
    world.works("a", leaving=True)
    assert world.names() == []
    assert world.presence.held() == []


def test_what_executors_work_on_is_told_by_executor_in_the_order_they_took_it(world: World) -> None:
    world.tell("executor", "a", hands=[ClassHands(work_class="cpu", hands=2), ClassHands(work_class="gpu", hands=1)])
    world.works("b", "work.inline.x9")
    world.works("a", "work.cpu.c2", "work.gpu.c1")
    assert world.presence.held() == [Held("a", "gpu", "c1"), Held("a", "cpu", "c2"), Held("b", "inline", "x9")]
    known, older = world.presence.instances()
    assert known.hands == {"cpu": 2, "gpu": 1}
    assert (older.name, older.version, older.since) == ("b", "", None), "of a version that tells no more"
    world.now += HELD_SECONDS
    assert world.presence.held() == [], "nobody knows what became of it"


def test_only_so_many_are_remembered_and_the_oldest_go(world: World) -> None:
    for number in range(MOST + 3):
        world.tell("cache", f"c{number:05}")
        world.works(f"e{number:05}")
    names = world.names()
    assert len(names) == 2 * MOST
    assert names[0] == "cache/c00003"


def test_what_nobody_can_read_is_passed_over(world: World) -> None:
    world.say(subjects.alive("cache", "a"), b"\xff\xff")
    world.say(subjects.here("b"), b"\xff\xff")
    world.tell("cache", "c", host="h" * MOST_BYTES)
    world.tell("cache", "d", since_us=2**62)
    assert world.names() == ["cache/d"]
    assert world.presence.instances()[0].since is None
    world.works("e", "nothing.like.a.step", "short")
    assert [each.work_class for each in world.presence.held()] == ["", "like"]
