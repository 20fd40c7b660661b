"""How many requests are let pass, by a clock that stands still until it is told."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisGoneError

from artdag_common.errors import RateLimitedError
from services.gateway.limits import (
    CHARGES,
    PUBLISH,
    READ,
    SIGN_IN,
    WINDOW_SECONDS,
    WRITE,
    Charges,
    Policy,
    RateLimiter,
    Standing,
    kind_of,
    note,
)

TEN = Policy("ten", 10)
HUNDRED = Policy("hundred", 100)


class Clock:
    """Tells a time that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counting:
    """A Redis whose buckets hold what a test puts in them; ``gone``: it does not answer."""

    def __init__(self, holds: int = 1_000_000) -> None:
        self.holds = holds
        self.asked = 0
        self.gone = False

    def register_script(self, text: str) -> Counting:
        return self

    async def __call__(self, keys: list[str], args: tuple[Any, ...]) -> tuple[int, int, int]:
        self.asked += 1
        if self.gone:
            raise RedisGoneError("gone")
        granted = min(self.holds, args[2])
        self.holds -= granted
        return granted, self.holds, 0 if granted else 7_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limiter(shared: Counting, clock: Clock, **quotas: int) -> RateLimiter:
    """A limiter that counts in that Redis."""
    return RateLimiter(shared, quotas, clock)  # type: ignore[arg-type]


async def test_a_quota_is_there_at_once_and_comes_back_evenly(clock: Clock) -> None:
    it = limiter(Counting(), clock)
    assert [(await it.take(TEN, "a")).left for _ in range(10)] == list(range(9, -1, -1))
    refused = await it.take(TEN, "a")
    assert refused.refused
    assert refused.wait_s == pytest.approx(WINDOW_SECONDS / 10)
    assert not (await it.take(TEN, "b")).refused
    clock.now += WINDOW_SECONDS / 10
    assert not (await it.take(TEN, "a")).refused
    assert (await it.take(TEN, "a")).refused
    clock.now += 10 * WINDOW_SECONDS
    assert (await it.take(TEN, "a")).left == 9


async def test_redis_is_asked_once_for_a_handful(clock: Clock) -> None:
    shared = Counting()
    it = limiter(shared, clock)
    for _ in range(100):
        assert not (await it.take(HUNDRED, "a")).refused
    assert shared.asked == 50  # two at a time


async def test_what_other_gateways_let_pass_counts(clock: Clock) -> None:
    shared = Counting(holds=3)
    it = limiter(shared, clock)
    assert [(await it.take(TEN, "a")).left for _ in range(3)] == [2, 1, 0]
    refused = await it.take(TEN, "a")
    assert (refused.refused, refused.wait_s) == (True, 7.0)
    asked = shared.asked
    assert (await it.take(TEN, "a")).refused  # until then nobody is asked again
    assert shared.asked == asked
    shared.holds = 5
    clock.now += 7
    assert not (await it.take(TEN, "a")).refused


async def test_a_refusal_of_redis_costs_nothing_here(clock: Clock) -> None:
    shared = Counting(holds=0)
    it = limiter(shared, clock)
    for _ in range(50):
        assert (await it.take(TEN, "a")).refused
    shared.holds = 100
    clock.now += 7
    assert (await it.take(TEN, "a")).left == 9


async def test_without_redis_the_limit_holds_and_what_was_used_is_used(clock: Clock) -> None:
    shared = Counting()
    it = limiter(shared, clock)
    for _ in range(6):
        await it.take(TEN, "a")
    shared.gone = True
    assert [(await it.take(TEN, "a")).refused for _ in range(5)] == [False] * 4 + [True]
    asked = shared.asked
    await it.take(TEN, "b")
    assert shared.asked == asked  # one that did not answer is left alone for a while


async def test_users_and_addresses_are_counted_apart(clock: Clock) -> None:
    it = limiter(Counting(), clock, read=2, **{"sign-in": 3})
    for user in ("a", "b"):
        for _ in range(2):
            await it.charge_user(Charges(READ), user)
        with pytest.raises(RateLimitedError) as caught:
            await it.charge_user(Charges(READ), user)
    assert caught.value.values["retry_after"] == 30
    assert caught.value.values["violated-policies"] == ["read"]
    for _ in range(8):
        await it.charge_address(Charges(READ), "203.0.113.1")
    with pytest.raises(RateLimitedError, match=r"read-address.*: 8 in 60 s"):
        await it.charge_address(Charges(READ), "203.0.113.1")
    for _ in range(3):
        await it.charge_address(Charges(SIGN_IN), "203.0.113.1")
    with pytest.raises(RateLimitedError):
        await it.charge_address(Charges(SIGN_IN), "203.0.113.1")
    await it.charge_user(Charges(SIGN_IN), "c")  # who signs in is not known yet: only the address counts


async def test_one_request_counts_once_and_what_has_no_quota_not_at_all(clock: Clock) -> None:
    it = limiter(Counting(), clock, read=1, write=0)
    charges = Charges(READ)
    await it.charge_user(charges, "a")
    await it.charge_user(charges, "a")
    assert [each.item for each in charges.standings] == ['"read";r=0;t=60']
    for _ in range(10):
        await it.charge_user(Charges(WRITE), "a")
        await it.charge_address(Charges(""), "203.0.113.1")


async def test_addresses_of_one_household_are_one(clock: Clock) -> None:
    it = limiter(Counting(), clock, **{"sign-in": 1})
    await it.charge_address(Charges(SIGN_IN), "2001:db8:0:1::1")
    await it.charge_address(Charges(SIGN_IN), "2001:db8:0:2::1")
    with pytest.raises(RateLimitedError):
        await it.charge_address(Charges(SIGN_IN), "2001:db8:0:1:ffff::2")


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        ("GET /login?token=x", SIGN_IN),
        ("GET /auth?auth_token=x", SIGN_IN),
        ("GET /auth", READ),
        ("POST /auth", SIGN_IN),
        ("POST /auth/device/token", SIGN_IN),
        ("GET /auth/device?user_code=x", SIGN_IN),
        ("GET /authors?x=y", READ),
        ("POST /auth/revoke", WRITE),
        ("POST /auth/revoke-user", WRITE),
        ("GET /runs", READ),
        ("PATCH /cache/uploads/1", READ),
        ("POST /cache/uploads", WRITE),
        ("POST /cache/x/publish", PUBLISH),
        ("POST /cache/x/unpublish", PUBLISH),
        ("GET /cache/x/publish", READ),
        ("DELETE /runs/1", WRITE),
    ],
)
def test_kinds_of_requests(request_: str, kind: str) -> None:
    method, _, target = request_.partition(" ")
    path, _, query = target.partition("?")
    assert kind_of(method, path, query.encode()) == kind


def test_headers_are_written_as_the_draft_has_them() -> None:
    assert Policy("read", 3000).item == '"read";q=3000;w=60'
    assert Standing(Policy("read", 3000), 12, 0.4).item == '"read";r=12;t=1'
    room = Policy("storage", 10, 0, "content-bytes")
    assert (room.item, Standing(room, -3, 0).item) == ('"storage";q=10;qu="content-bytes"', '"storage";r=0')


def test_what_is_noted_last_of_a_policy_is_said() -> None:
    charges = Charges("")
    token = CHARGES.set(charges)
    try:
        note(Standing(TEN, 5, 0))
        note(Standing(TEN, 4, 0))
    finally:
        CHARGES.reset(token)
    assert [each.left for each in charges.standings] == [4]
