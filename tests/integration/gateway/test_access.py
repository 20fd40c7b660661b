"""Who may ask."""

from __future__ import annotations

import hashlib
import time
from uuid import uuid4

import httpx
import orjson
import pytest

from artdag_common.commands import AttachToken, RevokeToken, RevokeUser
from services.gateway.access import COOKIE


async def attach(bus, user: str = "guest") -> tuple[str, str]:
    """Return a new token and its hash."""
    token = uuid4().hex
    token_hash = hashlib.sha256(token.encode()).hexdigest()
    outcome = await bus.request(AttachToken(token_hash, user), uuid4().hex, 60)
    assert outcome is not None
    assert outcome.accepted
    return token, token_hash


async def upload(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    """Do a write."""
    return await client.post("/cache/upload", files={"file": uuid4().bytes}, headers=headers)


async def test_a_write_needs_a_token_and_the_refusal_says_where_to_get_it(stranger, problem):
    refused = await upload(stranger)
    assert "artdag token" in problem(refused, 401, "unauthenticated")["detail"]
    assert refused.headers["www-authenticate"].startswith("Bearer")
    problem(await upload(stranger, Authorization="Bearer wrong"), 401, "unauthenticated")
    problem(await upload(stranger, Authorization="Basic b3duZXI6eA=="), 401, "unauthenticated")


async def test_a_revoked_token_is_refused_at_once_and_for_good(stranger, bus, problem):
    token, token_hash = await attach(bus)
    bearer = {"Authorization": f"Bearer {token}"}
    for _ in range(2):  # the second time Redis remembers it
        assert (await upload(stranger, **bearer)).status_code == 201
    revoked = await bus.request(RevokeToken(token_hash), uuid4().hex, 60)
    assert revoked.accepted
    for _ in range(2):
        problem(await upload(stranger, **bearer), 401, "token-revoked")
    outcome = await bus.request(AttachToken(token_hash, "guest"), uuid4().hex, 60)
    assert (outcome.accepted, outcome.code) == (False, "token-revoked")


async def test_all_tokens_of_a_user_are_refused_and_nobody_elses(stranger, bus, problem):
    user = f"guest-{uuid4().hex}"
    tokens = [await attach(bus, user) for _ in range(3)]
    other, _ = await attach(bus)
    revoked = await bus.request(RevokeUser(user, "owner", "a test"), uuid4().hex, 60)
    assert orjson.loads(revoked.values) == {"user": user, "revoked": 3}
    for token, _ in tokens:
        problem(await upload(stranger, Authorization=f"Bearer {token}"), 401, "token-revoked")
    assert (await upload(stranger, Authorization=f"Bearer {other}")).status_code == 201
    again, _ = await attach(bus, user)
    assert (await upload(stranger, Authorization=f"Bearer {again}")).status_code == 201


async def test_a_token_counts_until_its_time_is_over(stranger, bus, problem):
    token = uuid4().hex
    ends = int(time.time()) + 2
    token_hash = hashlib.sha256(token.encode()).hexdigest()
    await bus.request(AttachToken(token_hash, "guest", ends), uuid4().hex, 60)
    answer = await upload(stranger, Authorization=f"Bearer {token}")
    while answer.status_code == 201:
        answer = await upload(stranger, Authorization=f"Bearer {token}")
    problem(answer, 401, "token-expired")
    assert time.time() >= ends


async def test_the_link_signs_in_by_a_cookie_that_scripts_cannot_read(live, url, problem):
    async with httpx.AsyncClient(base_url=url, timeout=60) as browser:
        problem(await browser.get("/login", params={"token": "wrong"}), 401, "unauthenticated")
        answer = await browser.get("/login", params={"token": live.token})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert browser.cookies[COOKIE] == live.token
        assert (await upload(browser, Origin=url)).status_code == 201
        problem(await upload(browser), 403, "foreign-origin")
        problem(await upload(browser, Origin="http://127.0.0.1:1"), 403, "foreign-origin")
        problem(await upload(browser, Origin="null"), 403, "foreign-origin")
        assert (await upload(browser, Authorization=f"Bearer {live.token}")).status_code == 201


@pytest.mark.parametrize(
    ("host", "fits"),
    [
        ("localhost", True),
        ("localhost:99", True),
        ("LOCALHOST", True),
        ("127.0.0.1:8100", True),
        ("[::1]:8100", True),
        ("example.org", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
        ("a@localhost", False),
        ("localhost:x", False),
        ("", False),
    ],
)
async def test_only_our_own_host_is_answered(stranger, problem, host, fits):
    answer = await stranger.get("/health", headers={"Host": host})
    if fits:
        assert answer.status_code == 200
    else:
        problem(answer, 403, "foreign-origin")


@pytest.mark.parametrize(
    ("origin", "fits"),
    [
        ("http://localhost:3000", True),
        ("http://[::1]:8100", True),
        ("https://example.org", False),
        ("http://localhost.example.org", False),
        ("null", False),
        ("", False),
    ],
)
async def test_a_foreign_page_gets_no_answer(stranger, problem, origin, fits):
    answer = await stranger.get("/runs", headers={"Origin": origin})
    if fits:
        assert answer.status_code == 200
    else:
        problem(answer, 403, "foreign-origin")
