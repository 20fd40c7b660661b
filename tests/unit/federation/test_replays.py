"""Signatures count once for as long as they could be used again."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import RedisError

from artdag_common.federation import replays as module
from artdag_common.federation.redis import RedisReplays
from artdag_common.federation.replays import Replays


class Cache:
    """A Redis that several gateways share, and that can be away."""

    def __init__(self) -> None:
        self.keys: dict[str, int] = {}
        self.away = False

    async def set(self, key: str, _: str, *, nx: bool, ex: int) -> bool | None:
        assert nx
        if self.away:
            raise RedisError("away")
        if key in self.keys:
            return None
        self.keys[key] = ex
        return True


async def test_a_signature_is_new_once_until_its_time_is_over() -> None:
    now = [0.0]
    it = Replays(lambda: now[0])
    assert [await it.first("a", 10), await it.first("a", 10), await it.first("b", 10)] == [True, False, True]
    now[0] = 10.0
    assert await it.first("a", 10)


async def test_with_no_room_left_nothing_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module, "MOST", 3)
    it = Replays(lambda: now[0])
    assert [await it.first(str(number), 10) for number in range(5)] == [True, True, True, False, False]
    now[0] = 10.0
    assert await it.first("5", 10)


async def test_gateways_know_what_another_has_seen() -> None:
    cache: Any = Cache()
    one, other = RedisReplays(cache), RedisReplays(cache)
    assert [await one.first("a", 5), await other.first("a", 5), await other.first("b", -1)] == [True, False, True]
    assert cache.keys == {"artdag:signature:a": 5, "artdag:signature:b": 1}


async def test_without_redis_a_gateway_remembers_by_itself() -> None:
    cache: Any = Cache()
    it = RedisReplays(cache)
    cache.away = True
    assert [await it.first("a", 5), await it.first("a", 5)] == [True, False]
