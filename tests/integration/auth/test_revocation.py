"""Redis holds what makes revocation quick, and is filled again from Postgres whenever it is empty."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import asyncpg
import pytest
import redis.asyncio
from nats.aio.msg import Msg

from artdag_cli.backing import free_port
from artdag_common.caching import open_cache
from artdag_common.commands import RevokeToken, RevokeUser
from artdag_common.domain.access import hash_token
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.pb.events_pb2 import RevokedHint
from artdag_common.standing import COMPLETE, REVOKED_SECONDS, revoked_key, user_key
from tests.integration.auth.conftest import Auth


async def until(look: Callable[[], Awaitable[object]]) -> None:
    """Wait until ``look`` finds something."""
    async with asyncio.timeout(90):
        while not await look():
            await asyncio.sleep(0.01)


async def attach(auth: Auth, token: str, user: str) -> str:
    """Attach a token; return its hash."""
    return (await auth.tokens.attached(hash_token(token), user, 0, 0, "")).key


async def test_redis_knows_whose_tokens_there_are_and_which_were_revoked(auth: Auth, cache: redis.asyncio.Redis):
    one, two = await attach(auth, "one", "u-a"), await attach(auth, "two", "u-a")
    other = await attach(auth, "other", "u-b")
    assert await cache.smembers(user_key("u-a")) == {one, two}
    await auth.tokens.revoke(RevokeToken(one, "u-a", "signed out"), uuid4().hex)
    assert await cache.smembers(user_key("u-a")) == {two}
    assert REVOKED_SECONDS - 60 < await cache.ttl(revoked_key(one)) <= REVOKED_SECONDS
    await auth.tokens.revoke_user(RevokeUser("u-a", "l2"), uuid4().hex)
    assert not await cache.exists(user_key("u-a"))
    assert await cache.exists(revoked_key(two))
    assert not await cache.exists(revoked_key(other))


async def test_gateways_are_told_at_once(auth: Auth, bus: Bus):
    heard: asyncio.Queue[list[str]] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        heard.put_nowait(sorted(RevokedHint.FromString(message.data).tokens))

    await bus.nc.subscribe(subjects.REVOKED_HINTS, cb=hear)
    await bus.nc.flush()
    hashes = [await attach(auth, name, "u-a") for name in ("one", "two", "three")]
    await auth.tokens.revoke(RevokeToken(hashes[0], "", ""), uuid4().hex)
    assert await asyncio.wait_for(heard.get(), 60) == hashes[:1]
    await auth.tokens.revoke_user(RevokeUser("u-a", "l2"), uuid4().hex)
    assert set(await asyncio.wait_for(heard.get(), 60)) >= set(hashes[1:])


async def test_an_empty_redis_is_filled_again(auth: Auth, cache: redis.asyncio.Redis, pool: asyncpg.Pool):
    revoked = await attach(auth, "revoked", "u-a")
    old = await attach(auth, "old", "u-a")
    kept = await attach(auth, "kept", "u-a")
    for each in (revoked, old):
        await auth.tokens.revoke(RevokeToken(each, "", ""), uuid4().hex)
    await pool.execute("UPDATE auth_tokens SET revoked_at = now() - interval '31 days' WHERE token_hash = $1", old)
    await pool.execute("UPDATE auth_tokens SET revoked_at = now() - interval '29 days' WHERE token_hash = $1", revoked)
    await auth.revocation.start()
    for _ in range(2):
        await cache.flushdb()
        await until(lambda: cache.exists(COMPLETE))
        assert 86_000 < await cache.ttl(revoked_key(revoked)) <= 86_400, "it stands for what is left of its 30 days"
        assert not await cache.exists(revoked_key(old))
        assert await cache.smembers(user_key("u-a")) == {kept}


async def test_what_died_before_it_was_told_is_told_at_the_next_start(
    auth: Auth, cache: redis.asyncio.Redis, make_auth: Callable[[], Auth]
):
    token = await attach(auth, "token", "u-a")
    await auth.revocation.refill()
    await auth.tokens.revoke(RevokeToken(token, "", ""), uuid4().hex)
    await cache.delete(revoked_key(token))  # as if the word of it had never left the process
    await make_auth().revocation.start()
    await until(lambda: cache.exists(revoked_key(token)))


async def test_a_redis_that_is_away_hinders_nothing_and_hears_of_it_later(
    auth: Auth, bus: Bus, pool: asyncpg.Pool, cache: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
):
    away = open_cache(f"redis://127.0.0.1:{free_port()}/0")
    monkeypatch.setattr(auth.revocation, "_cache", away)
    token = await attach(auth, "token", "u-a")
    await auth.tokens.revoke(RevokeToken(token, "", ""), uuid4().hex)
    assert not await cache.exists(revoked_key(token))
    monkeypatch.setattr(auth.revocation, "_cache", cache)
    other = await attach(auth, "other", "u-a")
    await auth.tokens.revoke(RevokeToken(other, "", ""), uuid4().hex)
    assert await cache.exists(revoked_key(token)), "it goes along with the next one"
    await away.aclose()
