"""Somebody's tokens: listed without giving any away, and revoked one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from artdag_common.messaging.bus import Bus
from services.gateway.api.tokens import ID_CHARACTERS
from tests.integration.gateway.people import Person, SignIn, signing_in

SECONDS = 90.0


@pytest.fixture(scope="module")
async def sign_in(url: str, bus: Bus) -> AsyncIterator[SignIn]:
    async with signing_in(url, bus) as it:
        yield it


async def listed(client: httpx.AsyncClient, count: int) -> list[dict[str, Any]]:
    """Return somebody's tokens, once there are so many."""
    async with asyncio.timeout(SECONDS):
        while True:
            answer = await client.get("/auth/tokens")
            assert answer.status_code == 200, answer.text
            found = answer.json()
            if len(found["tokens"]) == found["total"] == count:
                return list(found["tokens"])
            await asyncio.sleep(0.02)


def token_id(person: Person) -> str:
    """Return what a token is called."""
    return person.token_hash[:ID_CHARACTERS]


async def test_one_sees_ones_own_and_which_one_asks(sign_in: SignIn) -> None:
    ada = await sign_in()
    second, other = await sign_in(ada.user), await sign_in()
    found = await listed(ada.client, 2)
    assert {each["token_id"]: each["current"] for each in found} == {token_id(ada): True, token_id(second): False}
    assert [each["token_id"] for each in await listed(other.client, 1)] == [token_id(other)]
    answer = await ada.client.get("/auth/tokens")
    assert ada.token_hash not in answer.text, "what a token is known by to the system is not told"
    assert answer.headers["cache-control"] == "no-store"


async def test_the_operators_own_stays_good(api: httpx.AsyncClient) -> None:
    (own,) = (each for each in (await api.get("/auth/tokens")).json()["tokens"] if each["current"])
    refused = await api.delete(f"/auth/tokens/{own['token_id']}")
    assert (refused.status_code, refused.json()["code"]) == (403, "not-yours")
    assert (await api.get("/auth/tokens")).status_code == 200


async def test_one_that_is_revoked_is_refused_and_the_others_go_on(
    sign_in: SignIn, stranger: httpx.AsyncClient
) -> None:
    ada = await sign_in()
    second, other = await sign_in(ada.user), await sign_in()
    await listed(ada.client, 2)
    path = f"/auth/tokens/{token_id(second)}"
    assert (await stranger.delete(path)).status_code == 401
    hidden = await other.client.delete(path)
    assert (hidden.status_code, hidden.json()["code"]) == (404, "token-not-found")
    gone = await ada.client.delete(path)
    assert (gone.status_code, gone.json()) == (200, {"token_id": token_id(second), "revoked": True})
    assert (await second.client.get("/auth/tokens")).status_code == 401
    assert [each["token_id"] for each in await listed(ada.client, 1)] == [token_id(ada)]
    again = await ada.client.delete(path)
    assert again.status_code == 404
    assert (await ada.client.delete("/auth/tokens/not-hex")).status_code == 422
    assert (await ada.client.delete(f"/auth/tokens/{token_id(ada)}")).status_code == 200
    assert (await ada.client.get("/auth/tokens")).status_code == 401
