"""Rate limits of running gateways: what two of them count together, what stands in for Redis, whose address counts."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis.asyncio

from artdag_cli.backing import free_port
from artdag_cli.system import System
from artdag_common import caching
from artdag_common.config import Settings
from services.gateway.wiring import gateway

Problem = Callable[..., dict[str, Any]]
Started = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
PROXIED = {"ARTDAG_TRUSTED_PROXIES": "127.0.0.0/8"}


@pytest.fixture
async def started(live: System) -> Started:
    """Start another gateway of the running system, with settings of its own and no memory of earlier tests."""
    async with redis.asyncio.Redis.from_url(live.environment["REDIS_URL"]) as cache:
        async for key in cache.scan_iter("artdag:rate:*"):
            await cache.delete(key)

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        port = free_port()
        own = Settings.model_validate(live.environment | {"HOST": "127.0.0.1", "PORT": port} | settings)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(caching, "SECONDS", 20.0)  # a Redis that is late here is not one that is away
            async with gateway(own), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                yield client

    return start


def behind(address: str) -> dict[str, str]:
    """What a proxy adds to the request of a client at this address."""
    return {"X-Forwarded-For": address}


def read(field: str) -> dict[str, dict[str, str]]:
    """Read a list of structured items with parameters (RFC 9651)."""
    found = {}
    for item in field.split(", "):
        match = re.fullmatch(r'"([a-z-]+)"((?:;[a-z]+=(?:\d+|"[a-z-]+"))+)', item)
        assert match, item
        found[match[1]] = dict(each.split("=") for each in match[2][1:].split(";"))
    return found


async def test_two_gateways_count_together_and_say_how_one_stands(started: Started, problem: Problem) -> None:
    limit = 20  # four times what a user has
    settings = PROXIED | {"ARTDAG_RATE_READ": 5}
    async with started(**settings) as one, started(**settings) as other:
        begin = time.monotonic()
        answers = [await (one, other)[i % 2].get("/health", headers=behind("198.51.100.1")) for i in range(limit * 2)]
        back = (time.monotonic() - begin) * limit / 60 + 1
        passed = [each for each in answers if each.status_code == 200]
        assert limit <= len(passed) <= limit + back
        assert read(passed[0].headers["ratelimit-policy"]) == {"read-address": {"q": "20", "w": "60"}}
        first = read(passed[0].headers["ratelimit"])["read-address"]
        assert first == {"r": "19", "t": "3"}
        refused = next(each for each in answers if each.status_code != 200)
        found = problem(refused, 429, "rate-limited")
        assert found["violated-policies"] == ["read-address"]
        assert int(refused.headers["retry-after"]) == found["retry_after"] >= 1
        assert read(refused.headers["ratelimit"])["read-address"]["r"] == "0"
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert (await one.get("/health", headers=behind("198.51.100.2"))).status_code == 200


async def test_a_user_is_counted_wherever_they_are(live: System, started: Started, problem: Problem) -> None:
    async with started(**PROXIED, ARTDAG_RATE_READ=3) as client:
        bearer = {"Authorization": f"Bearer {live.token}"}
        for i in range(3):
            answer = await client.get("/storage", headers=bearer | behind(f"198.51.100.{i}"))
            assert answer.status_code == 200
            assert read(answer.headers["ratelimit"])["read"]["r"] == str(2 - i)
        refused = await client.get("/storage", headers=bearer | behind("198.51.100.9"))
        assert problem(refused, 429, "rate-limited")["policy"] == "read"
        assert set(read(refused.headers["ratelimit-policy"])) == {"read", "read-address"}
        assert (await client.get("/health", headers=behind("198.51.100.9"))).status_code == 200


async def test_attempts_to_sign_in_are_few_also_on_this_machine_and_whatever_is_said(
    started: Started, problem: Problem
) -> None:
    async with started(ARTDAG_RATE_SIGN_IN=3) as client:
        for i in range(3):
            answer = await client.get("/login", params={"token": "wrong"}, headers=behind(f"198.51.100.{i}"))
            problem(answer, 401, "unauthenticated")
        answer = await client.get("/login", params={"token": "wrong"}, headers=behind("198.51.100.9"))
        assert problem(answer, 429, "rate-limited")["policy"] == "sign-in"
        assert answer.headers["ratelimit-policy"] == '"sign-in";q=3;w=60'


async def test_without_redis_attempts_to_sign_in_stay_few(started: Started, problem: Problem) -> None:
    async with started(**PROXIED, ARTDAG_RATE_SIGN_IN=3, REDIS_URL=f"redis://127.0.0.1:{free_port()}") as client:
        from_one = [client.get("/login", params={"token": "x"}, headers=behind("2001:db8::1")) for _ in range(5)]
        from_next = [client.get("/login", params={"token": "x"}, headers=behind("2001:db8::2:2")) for _ in range(5)]
        answers = await asyncio.gather(*from_one, *from_next)
        assert sorted(each.status_code for each in answers) == [401] * 3 + [429] * 7
        elsewhere = await client.get("/login", params={"token": "x"}, headers=behind("2001:db8:0:1::1"))
        problem(elsewhere, 401, "unauthenticated")


async def test_the_owner_at_their_own_machine_is_not_counted(live: System, started: Started) -> None:
    async with started(ARTDAG_RATE_READ=1, ARTDAG_RATE_WRITE=1) as client:
        bearer = {"Authorization": f"Bearer {live.token}"}
        for _ in range(10):
            answer = await client.get("/storage", headers=bearer)
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers
            assert (await client.post("/cache/upload", files={"file": b"x"}, headers=bearer)).status_code == 201


async def test_the_pieces_of_an_upload_are_no_writes(live: System, started: Started) -> None:
    tus = {"Authorization": f"Bearer {live.token}", "Tus-Resumable": "1.0.0"} | behind("198.51.100.1")
    async with started(**PROXIED, ARTDAG_RATE_WRITE=1) as client:
        data = uuid4().bytes
        begun = await client.post("/cache/uploads", headers=tus | {"Upload-Length": str(len(data))})
        assert begun.status_code == 201
        stream = tus | {"Content-Type": "application/offset+octet-stream"}
        for i in range(len(data)):
            piece = await client.patch(
                begun.headers["location"], content=data[i : i + 1], headers=stream | {"Upload-Offset": str(i)}
            )
            assert piece.status_code == 204
        again = await client.post("/cache/uploads", headers=tus | {"Upload-Length": "1"})
        assert again.status_code == 429


async def test_uploads_tell_how_much_room_is_left(live: System, started: Started) -> None:
    bearer = {"Authorization": f"Bearer {live.token}"}
    async with started(ARTDAG_QUOTA_BYTES=2**50) as client:
        used = (await client.get("/api/usage", headers=bearer)).json()["used_bytes"]
        answer = await client.post("/cache/upload", files={"file": uuid4().bytes}, headers=bearer)
        assert read(answer.headers["ratelimit-policy"]) == {"storage": {"q": str(2**50), "qu": '"content-bytes"'}}
        assert read(answer.headers["ratelimit"]) == {"storage": {"r": str(2**50 - used)}}
        after = await client.get("/api/usage", headers=bearer)
        assert read(after.headers["ratelimit"]) == {"storage": {"r": str(after.json()["free_bytes"])}}


async def test_only_a_trusted_proxy_is_believed(started: Started) -> None:
    """What is said by somebody else counts as nothing: the limit is that of the one who says it."""
    async with started(ARTDAG_TRUSTED_PROXIES="10.0.0.0/8", ARTDAG_RATE_READ=1) as client:
        for i in range(10):
            answer = await client.get("/health", headers=behind(f"198.51.100.{i}"))
            assert "ratelimit" not in answer.headers  # it comes from this machine, whatever it says
