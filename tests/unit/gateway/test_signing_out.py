"""Event streams end with what they are signed in by; revocations are known here for longer than Redis remembers."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from services.gateway.revoked import KEPT_SECONDS, Revoked
from services.gateway.sessions import REMEMBERED_SECONDS, Session
from services.gateway.sse import Hub, Subscriber
from tests.unit.gateway.test_sse import Memory, story

ONE, OTHER = Session("u-a", "aa", 0), Session("u-a", "bb", 0)


async def a_hub(revoked: Any = ()) -> Hub:
    """A hub with a run that goes on."""
    store = Memory()
    hub = Hub(store, revoked)  # type: ignore[arg-type]
    facts = story(3)[:4]
    store.events += [each.recorded for each in facts]
    await hub.publish(facts)
    return hub


async def test_only_the_streams_of_a_revoked_token_end() -> None:
    hub = await a_hub()
    streams = [hub.follow("r", 0, session) for session in (ONE, OTHER, None)]
    for stream in streams:
        await anext(stream)
        await anext(stream)
    ends = asyncio.create_task(anext(streams[0], b""))
    go_on = [asyncio.create_task(anext(stream)) for stream in streams[1:]]
    await asyncio.sleep(0)
    hub.sign_out({"aa", "cc"})
    assert await ends == b""
    hub.progress("r", 1, "n", 1, 2)
    for task in go_on:
        assert b"event: progress" in await task
    for stream in streams:
        await stream.aclose()


async def test_a_stream_does_not_begin_with_what_was_revoked_meanwhile() -> None:
    hub = await a_hub(revoked={"aa"})
    assert [chunk async for chunk in hub.follow("r", 0, ONE)] == []
    assert not hub._channels


async def test_what_a_signed_out_client_has_yet_to_read_is_dropped() -> None:
    subscriber = Subscriber(ONE)
    subscriber.push([b"secret"])
    subscriber.sign_out()
    assert await subscriber.next(10) == b""


async def test_a_stream_ends_with_the_time_of_its_session() -> None:
    subscriber = Subscriber(Session("u-a", "aa", int(time.time()) + 100))
    assert subscriber.left(15) == 15
    assert 90 < subscriber.left(1000) <= 100
    assert Subscriber(ONE).left(15) == Subscriber().left(15) == 15
    over = Subscriber(Session("u-a", "aa", int(time.time()) - 1))
    assert over.left(15) == 0
    assert await over.next(10) == b""


def test_a_revocation_is_known_until_redis_remembers_nothing_older() -> None:
    now = [0.0]
    heard: list[list[str]] = []
    revoked = Revoked(None, None, lambda: now[0])  # type: ignore[arg-type]
    revoked.on_revoked(lambda hashes: heard.append(sorted(hashes)))
    revoked._take(["aa", "bb"])
    now[0] = REMEMBERED_SECONDS + 60.0
    revoked._take(["bb"])
    assert "aa" in revoked
    now[0] = KEPT_SECONDS + 1
    revoked._take(["cc"])
    assert ["aa" in revoked, "bb" in revoked, "cc" in revoked] == [False, True, True]
    assert heard == [["aa", "bb"], ["bb"], ["cc"]]
    assert KEPT_SECONDS > 2 * REMEMBERED_SECONDS


@pytest.mark.parametrize("token_hash", ["", "aa", None])
def test_nothing_is_revoked_at_first(token_hash: object) -> None:
    assert token_hash not in Revoked(None, None)  # type: ignore[arg-type]
