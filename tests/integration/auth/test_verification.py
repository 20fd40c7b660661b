"""Whose is a token? Asked of an L2 over HTTP, answered once, and never written down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest

from artdag_common.commands import RevokeToken, RevokeUser
from artdag_common.domain.access import Token, User, hash_token
from artdag_common.errors import (
    L2RefusedError,
    L2UnavailableError,
    TokenExpiredError,
    TokenRevokedError,
    UnauthenticatedError,
    WrongScopeError,
)
from artdag_common.people import DELETED, People
from artdag_common.standing import find_token
from services.auth import verification as module
from services.auth.verification import Verification
from tests.integration.auth.conftest import OWN, Auth
from tests.integration.auth.registry import Registry
from tests.unit.auth.test_claims import jwt

TIMEOUT = 5.0


async def verified(auth: Auth, token: str, attach: bool = True) -> dict[str, Any]:
    """Ask whose a token is."""
    values: dict[str, Any] = orjson.loads((await auth.verification.verify(token, attach)).values)
    return values


async def signs_in(pool: asyncpg.Pool, token: str) -> str:
    """Return whom a token signs in, as gateways read it."""
    found = await find_token(pool, hash_token(token), time.time(), TIMEOUT)
    return found.user if found else ""


async def counts(pool: asyncpg.Pool, token: str) -> bool:
    """Return whether a token signs somebody in."""
    try:
        return bool(await signs_in(pool, token))
    except TokenRevokedError:
        return False


async def everything(pool: asyncpg.Pool) -> str:
    """Return all rows of all tables, as text."""
    names = await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [await pool.fetch(f"SELECT t::text, * FROM {row['tablename']} t") for row in names]
    return "\n".join(str(list(row.values())) for found in rows for row in found)


async def test_a_person_gets_an_opaque_id_at_the_first_sign_in(auth: Auth, registry: Registry, pool: asyncpg.Pool):
    ends = int(time.time()) + 3600
    token = registry.knows(f"secret-{uuid4().hex}", actor="https://l2.example/users/giles", expires_at=ends)
    assert (await verified(auth, token, attach=False)) == {
        "user_id": "",
        "handle": "@giles@l2.example",
        "expires_at": ends,
    }
    assert await signs_in(pool, token) == "", "it was only asked about"
    first = await verified(auth, token)
    assert first["user_id"].startswith("u-")
    assert len(first["user_id"]) == 28
    assert (first["handle"], first["expires_at"]) == ("@giles@l2.example", ends)
    other = await verified(auth, registry.knows(f"secret-{uuid4().hex}"))
    assert other["user_id"] == first["user_id"], "the same actor, named by L2 or made of the name, is the same person"
    assert await verified(auth, token) == first
    assert len(registry.asked) == 3, "once it is attached nobody asks again"
    assert await signs_in(pool, token) == first["user_id"]
    user = await auth.app.find(User, first["user_id"])
    assert user is not None
    assert user.version == 1
    kept = await everything(pool)
    assert hash_token(token) in kept
    assert token not in kept
    events = await pool.fetch("SELECT data FROM es_events")
    assert not any(b"giles" in row["data"] for row in events), "who people are stands in no event"
    people = People(pool, "l2.example")
    assert await people.handles([first["user_id"], "owner", "u-nobody"]) == {
        first["user_id"]: "@giles@l2.example",
        "owner": "@owner@l2.example",
        "u-nobody": DELETED,
    }
    assert await people.actor(first["user_id"]) == "https://l2.example/users/giles"
    assert await people.actor("owner") == ""


async def test_first_uses_at_once_ask_once_and_make_one_person(
    make_auth: Callable[[], Auth], registry: Registry, pool: asyncpg.Pool
):
    one, other = make_auth(), make_auth()
    token = registry.knows(uuid4().hex)
    found = await asyncio.gather(*(verified(one, token) for _ in range(30)))
    assert len(registry.asked) == 1
    tokens = [registry.knows(uuid4().hex, "ada") for _ in range(10)]
    more = await asyncio.gather(*(verified(auth, token) for token in tokens for auth in (one, other)))
    assert len({each["user_id"] for each in found}) == 1
    assert len({each["user_id"] for each in more}) == 1
    assert await pool.fetchval("SELECT count(*) FROM auth_people") == 2
    assert await pool.fetchval("SELECT count(*) FROM es_events WHERE type = 'UserJoined'") == 2
    assert await pool.fetchval("SELECT count(*) FROM es_events WHERE type = 'TokenAttached'") == 11
    assert await pool.fetchval("SELECT count(*) FROM auth_tokens") == 11


async def test_a_no_is_remembered_for_half_a_minute(auth: Auth, registry: Registry, pool: asyncpg.Pool):
    now = [1000.0]
    verification = Verification(auth.app, pool, auth.tokens, People(pool), auth.l2, lambda: now[0])
    for _ in range(5):
        with pytest.raises(L2RefusedError, match="does not vouch"):
            await verification.verify("unknown", True)
    assert len(registry.asked) == 1
    now[0] += module.REFUSED_SECONDS
    registry.knows("unknown")
    assert (await verification.verify("unknown", True)).accepted
    assert len(registry.asked) == 2


async def test_what_is_remembered_is_bounded(auth: Auth, registry: Registry, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_REFUSED", 3)
    for number in range(5):
        with pytest.raises(L2RefusedError):
            await auth.verification.verify(f"guess-{number}", True)
    for number in (4, 0):
        with pytest.raises(L2RefusedError):
            await auth.verification.verify(f"guess-{number}", True)
    assert registry.asked == [f"guess-{n}" for n in (0, 1, 2, 3, 4, 0)]


async def test_a_token_for_another_server_is_refused_without_asking(auth: Auth, registry: Registry):
    token = registry.knows(jwt({"l1_server": "https://other.example", "sub": "giles"}))
    with pytest.raises(WrongScopeError, match=r"https://other\.example.*https://l1\.example"):
        await auth.verification.verify(token, True)
    assert not registry.asked
    with pytest.raises(WrongScopeError):  # and where only L2 says so
        await auth.verification.verify(registry.knows("opaque", l1_server="https://other.example"), True)
    assert (await verified(auth, registry.knows(jwt({"l1_server": f"{OWN}/"}))))["user_id"]


async def test_clocks_that_are_ten_minutes_apart_let_people_in(auth: Auth, registry: Registry, pool: asyncpg.Pool):
    now = int(time.time())
    behind = registry.knows(jwt({"l1_server": OWN, "exp": now - 600}))
    assert (await verified(auth, behind))["expires_at"] == now - 600 + module.CLOCK_SECONDS
    assert await signs_in(pool, behind)
    with pytest.raises(TokenExpiredError):
        await auth.verification.verify(registry.knows(jwt({"l1_server": OWN, "exp": now - 1000})), True)
    assert len(registry.asked) == 1


@pytest.mark.parametrize(
    "nonsense", ["", "<html>", "[]", "null", '{"username": 5}', '{"username": "a/b"}', "[" * 50_000]
)
async def test_nonsense_is_no_answer(auth: Auth, registry: Registry, pool: asyncpg.Pool, nonsense: str):
    registry.nonsense = nonsense
    with pytest.raises(L2UnavailableError):
        await auth.verification.verify("token", True)
    registry.nonsense = None
    registry.knows("token")
    assert (await verified(auth, "token"))["user_id"], "it is not taken for a no"


async def test_without_an_l2_nobody_is_asked(auth: Auth, pool: asyncpg.Pool):
    alone = Verification(auth.app, pool, auth.tokens, People(pool), None)
    with pytest.raises(UnauthenticatedError):
        await alone.verify("token", True)


async def test_a_revoked_token_stays_so_whatever_l2_says(auth: Auth, registry: Registry, pool: asyncpg.Pool):
    token = registry.knows("token")
    await verified(auth, token)
    outcome = await auth.tokens.revoke(RevokeToken(hash_token(token), "l2", "signed out"), uuid4().hex)
    assert orjson.loads(outcome.values)["revoked"] is True
    for attach in (True, False):
        with pytest.raises(TokenRevokedError):
            await auth.verification.verify(token, attach)
    assert len(registry.asked) == 1
    with pytest.raises(TokenRevokedError):
        await signs_in(pool, token)


async def test_a_token_that_was_revoked_before_it_came_is_refused(auth: Auth, registry: Registry):
    token = registry.knows("token")
    with pytest.raises(UnauthenticatedError):  # whoever asks has to be L2
        await auth.tokens.revoke(RevokeToken(hash_token(token)), uuid4().hex)
    outcome = await auth.tokens.revoke(RevokeToken(hash_token(token), "l2", "", unseen=True), uuid4().hex)
    assert orjson.loads(outcome.values)["revoked"] is False
    with pytest.raises(TokenRevokedError):
        await auth.verification.verify(token, True)
    assert not registry.asked


@pytest.mark.parametrize("known", [False, True])
async def test_whoever_is_signed_out_while_l2_is_asked_does_not_come_in(
    make_auth: Callable[[], Auth], registry: Registry, pool: asyncpg.Pool, known: bool
):
    """L2 said yes, then revoked all of the person's tokens and told us, and only then its yes arrives."""
    auth, other = make_auth(), make_auth()
    if known:
        await verified(auth, registry.knows("earlier"))
    registry.open.clear()
    token = registry.knows("token")
    before = len(registry.asked)
    asking = asyncio.create_task(auth.verification.verify(token, True))
    while len(registry.asked) == before:
        await asyncio.sleep(0.005)
    del registry.people[token]
    outcome = await other.tokens.revoke_name("giles")
    assert orjson.loads(outcome.values) == {"revoked": int(known)}
    registry.open.set()
    with pytest.raises(L2RefusedError):
        await asking
    assert len(registry.asked) == before + 2, "it was asked again"
    assert await signs_in(pool, token) == ""
    registry.knows("later")
    assert (await verified(auth, "later"))["user_id"], "who signs in again comes in"


async def test_signing_out_everywhere_takes_every_token_that_was_being_attached(
    make_auth: Callable[[], Auth], registry: Registry, pool: asyncpg.Pool
):
    """Whatever the order: a token either counts and is listed as counting, or neither."""
    one, other = make_auth(), make_auth()
    user_id = (await verified(one, registry.knows("first")))["user_id"]
    tokens = [registry.knows(f"token-{n}") for n in range(40)]

    async def attach(auth: Auth, token: str) -> None:
        generation = await auth.tokens.generation(user_id)
        await asyncio.sleep(0)
        with contextlib.suppress(TokenRevokedError):
            await auth.tokens.attached(hash_token(token), user_id, generation, 0, "l2")

    async def revoke(auth: Auth) -> None:
        await auth.tokens.revoke_user(RevokeUser(user_id, "l2"), uuid4().hex)

    half = [attach(auth, token) for auth, token in zip([one, other] * 20, tokens, strict=True)]
    await asyncio.gather(*half[:10], revoke(one), *half[10:20], revoke(other), *half[20:])
    listed = {row["token_hash"]: row["revoked_at"] is None for row in await pool.fetch("SELECT * FROM auth_tokens")}
    for token in ["first", *tokens]:
        assert listed.get(hash_token(token), False) is await counts(pool, token), token
    await revoke(one)
    assert not any([await counts(pool, token) for token in ["first", *tokens]])
    assert not await pool.fetchval("SELECT count(*) FROM auth_tokens WHERE revoked_at IS NULL")


async def test_a_token_of_an_old_generation_is_not_attached(auth: Auth, pool: asyncpg.Pool):
    generation = await auth.tokens.generation("u-abc")
    await auth.tokens.revoke_user(RevokeUser("u-abc", "u-abc"), uuid4().hex)
    with pytest.raises(TokenRevokedError, match="meanwhile"):
        await auth.tokens.attached(hash_token("late"), "u-abc", generation, 0, "l2")
    assert await auth.app.find(Token, hash_token("late")) is None


async def test_commands_are_handled_once(auth: Auth, pool: asyncpg.Pool):
    await auth.tokens.attached(hash_token("token"), "u-abc", 0, 0, "")
    command = RevokeUser("u-abc", "u-abc")
    assert orjson.loads((await auth.tokens.revoke_user(command, "same")).values)["revoked"] == 1
    stored = await auth.app.store.outcome("auth", "same")
    await auth.tokens.revoke_user(command, "same")
    assert await auth.app.store.outcome("auth", "same") == stored
    assert await auth.tokens.generation("u-abc") == 1


async def test_the_operators_token_is_known_from_the_first_start_on(auth: Auth, pool: asyncpg.Pool):
    for _ in range(2):
        await auth.tokens.attach_owner(hash_token("operator"))
    assert await signs_in(pool, "operator") == "owner"
    await auth.tokens.revoke_user(RevokeUser("owner", "owner"), uuid4().hex)
    await auth.tokens.attach_owner(hash_token("operator"))
    with pytest.raises(TokenRevokedError):
        await signs_in(pool, "operator")
    await auth.tokens.attach_owner(hash_token("another"))
    assert await signs_in(pool, "another") == "owner"
