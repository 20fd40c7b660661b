"""Which copies are being made: told by ticks, forgotten after their end or a silence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from artdag_common.pb.commands_pb2 import CopyTick
from services.gateway.copying import FRESH_SECONDS, Copying


class Ticking:
    """A bus that tells what a test says, at the time that it says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.nc = self

    async def subscribe(self, subject: str, cb: Any) -> None:
        assert subject == "tick.storage.*"
        self._hear = cb

    async def tell(self, storage_id: str, cid: str, done: int, total: int, status: str = "") -> None:
        tick = CopyTick(storage_id=storage_id, cid=cid, done=done, total=total, status=status)
        await self._hear(SimpleNamespace(data=tick.SerializeToString()))

    async def tell_nonsense(self) -> None:
        await self._hear(SimpleNamespace(data=b"\xff\xff"))


def told(done: int, total: int, status: str | None = None) -> dict[str, Any]:
    """What is said of a copy that is being made."""
    return {"done": done, "total": total, "status": status}


async def test_a_copy_is_being_made_until_it_is_done() -> None:
    bus = Ticking()
    copying = Copying(bus, lambda: bus.now)  # type: ignore[arg-type]
    await copying.start()
    await bus.tell("s1", "a", 0, 10)
    await bus.tell("s1", "b", 5, 10)
    await bus.tell("s2", "a", 0, 7)
    await bus.tell_nonsense()
    assert copying.now("s1") == {"a": told(0, 10), "b": told(5, 10)}
    await bus.tell("s1", "a", 3, 10)
    assert copying.now("s1")["a"] == told(3, 10)
    await bus.tell("s1", "a", 10, 10)
    assert copying.now("s1") == {"b": told(5, 10)}
    assert copying.now("s2") == {"a": told(0, 7)}
    assert copying.now("s3") == {}


async def test_what_a_place_says_of_a_copy_is_passed_on() -> None:
    bus = Ticking()
    copying = Copying(bus, lambda: bus.now)  # type: ignore[arg-type]
    await copying.start()
    await bus.tell("s1", "a", 0, 10, "queued")
    await bus.tell("s1", "a", 0, 10, "pinning")
    assert copying.now("s1") == {"a": told(0, 10, "pinning")}


async def test_a_copy_that_nobody_speaks_of_is_not_being_made() -> None:
    bus = Ticking()
    copying = Copying(bus, lambda: bus.now)  # type: ignore[arg-type]
    await copying.start()
    await bus.tell("s1", "a", 0, 10)
    bus.now = FRESH_SECONDS
    await bus.tell("s1", "b", 0, 10)
    assert set(copying.now("s1")) == {"a", "b"}
    bus.now += 1
    assert set(copying.now("s1")) == {"b"}
