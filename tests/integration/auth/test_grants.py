"""Programs that are signed in from another device."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest

from artdag_common.commands import RevokeUser
from artdag_common.domain.access import Token, hash_token
from artdag_common.errors import GrantNotFoundError, ServiceUnavailableError, TooManyGuessesError
from artdag_common.messaging.bus import Outcome
from services.auth import grants as module
from tests.integration.auth.conftest import Auth


@pytest.fixture(autouse=True)
def _stands_still(auth: Auth) -> None:
    """What is left of a token is told in whole seconds: none goes by between two answers."""
    now = auth.app.clock()
    auth.app.clock = lambda: now


async def begun(auth: Auth, client: str = "artdag on laptop") -> dict[str, Any]:
    """Let a program wait."""
    values: dict[str, Any] = orjson.loads((await auth.grants.begin(client)).values)
    return values


def read(outcome: Outcome) -> dict[str, Any]:
    """Return what came of it."""
    values: dict[str, Any] = orjson.loads(outcome.values)
    return values


async def later(pool: asyncpg.Pool, column: str, seconds: int) -> None:
    """Let time go by for all grants."""
    await pool.execute(f"UPDATE auth_grants SET {column} = {column} - $1 * interval '1 second'", seconds)


async def test_a_person_lets_a_program_in(auth: Auth, pool: asyncpg.Pool):
    codes = await begun(auth, "artdag on <b>laptop\x00</b>")
    assert (codes["expires_in"], codes["interval"]) == (600, 5)
    assert (await auth.grants.take(codes["device_code"])).code == "authorization_pending"
    shown = read(await auth.grants.decide(codes["user_code"].lower().replace("-", " "), "u-a", ""))
    assert (shown["client"], shown["state"]) == ("artdag on <b>laptop</b>", "waiting")
    assert read(await auth.grants.decide(codes["user_code"], "u-a", "allow"))["state"] == "allowed"
    answer = await auth.grants.take(codes["device_code"])
    token = read(answer)["access_token"]
    assert token.startswith("adt_")
    assert read(await auth.grants.take(codes["device_code"])) == read(answer), "the first answer may have been lost"
    attached = await auth.app.find(Token, hash_token(token))
    assert attached is not None
    assert (attached.user, attached.kind, attached.version) == ("u-a", "device", 1)
    rows = str([list(row.values()) for row in await pool.fetch("SELECT * FROM auth_grants")])
    for secret in (codes["device_code"], codes["user_code"], codes["user_code"].replace("-", ""), token):
        assert secret not in rows
    await later(pool, "taken_at", module.AGAIN_SECONDS + 1)
    assert (await auth.grants.take(codes["device_code"])).code == "invalid_grant", "a code is used once"


async def test_the_first_decision_stays(auth: Auth):
    codes = await begun(auth)
    assert read(await auth.grants.decide(codes["user_code"], "u-a", "deny"))["state"] == "denied"
    assert read(await auth.grants.decide(codes["user_code"], "u-b", "allow"))["state"] == "denied"
    assert (await auth.grants.take(codes["device_code"])).code == "access_denied"
    codes = await begun(auth)
    both = [auth.grants.decide(codes["user_code"], user, "allow") for user in ("u-a", "u-b")]
    await asyncio.gather(*both)
    taken = await asyncio.gather(*(auth.grants.take(codes["device_code"]) for _ in range(5)))
    assert len({(t.accepted, t.values) for t in taken}) == 1
    assert read(taken[0])["user_id"] in ("u-a", "u-b")


async def test_a_code_is_over_after_ten_minutes(auth: Auth, pool: asyncpg.Pool):
    codes = await begun(auth)
    await later(pool, "begun_at", module.SECONDS + 1)
    assert (await auth.grants.take(codes["device_code"])).code == "expired_token"
    with pytest.raises(GrantNotFoundError):
        await auth.grants.decide(codes["user_code"], "u-a", "allow")
    assert (await auth.grants.take("nobody's")).code == "invalid_grant"
    await later(pool, "begun_at", 3600)
    await begun(auth)
    assert await pool.fetchval("SELECT count(*) FROM auth_grants") == 1, "old ones are cleared away"


async def test_who_asks_too_often_is_told(auth: Auth, pool: asyncpg.Pool):
    codes = await begun(auth)
    assert (await auth.grants.take(codes["device_code"])).code == "authorization_pending"
    assert (await auth.grants.take(codes["device_code"])).code == "slow_down"
    await later(pool, "polled_at", module.INTERVAL_SECONDS)
    assert (await auth.grants.take(codes["device_code"])).code == "authorization_pending"


async def test_codes_cannot_be_guessed(auth: Auth, pool: asyncpg.Pool):
    codes = await begun(auth)
    for number in range(module.WRONG_CODES):
        with pytest.raises(GrantNotFoundError):
            await auth.grants.decide(f"BBBB-BBB{number}", "u-a", "")
    for code in ("BBBB-BBBB", codes["user_code"]):
        with pytest.raises(TooManyGuessesError):
            await auth.grants.decide(code, "u-a", "allow")
    assert read(await auth.grants.decide(codes["user_code"], "u-b", ""))["state"] == "waiting", "others go on"
    await pool.execute("UPDATE auth_guesses SET at = at - interval '10 minutes'")
    assert read(await auth.grants.decide(codes["user_code"], "u-a", ""))["state"] == "waiting"


async def test_signing_out_everywhere_takes_what_was_allowed_and_not_fetched_yet(auth: Auth, pool: asyncpg.Pool):
    fetched, waiting, unattached = [await begun(auth) for _ in range(3)]
    for codes in (fetched, waiting):
        await auth.grants.decide(codes["user_code"], "u-a", "allow")
    token = read(await auth.grants.take(fetched["device_code"]))["access_token"]
    await pool.execute(  # the process died between the decision and the token
        "UPDATE auth_grants SET state = 'allowed', user_id = 'u-a' WHERE device_hash = $1",
        hash_token(unattached["device_code"]),
    )
    await auth.tokens.revoke_user(RevokeUser("u-a", "l2"), uuid4().hex)
    for codes in (waiting, unattached, fetched):
        assert (await auth.grants.take(codes["device_code"])).code == "access_denied"
    found = await auth.app.find(Token, hash_token(token))
    assert found is not None
    assert found.generation < await auth.tokens.generation("u-a")


async def test_a_decision_outlives_the_process_that_took_it(auth: Auth, pool: asyncpg.Pool):
    codes = await begun(auth)
    await pool.execute("UPDATE auth_grants SET state = 'allowed', user_id = 'u-a'")  # and then it died
    taken = read(await auth.grants.take(codes["device_code"]))
    assert taken["user_id"] == "u-a"
    assert await auth.app.find(Token, hash_token(taken["access_token"]))


async def test_there_is_room_for_so_many(auth: Auth, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    for _ in range(2):
        await begun(auth)
    with pytest.raises(ServiceUnavailableError, match="too many programs"):
        await begun(auth)
