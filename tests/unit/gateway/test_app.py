"""Failures on their way out: one table, one shape."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import asyncpg
import httpx
import pytest

from artdag_common.config import Settings
from artdag_common.errors import ArtdagError, ServiceUnavailableError, UnplayableOutputError
from services.gateway.app import create_app, status_of
from services.gateway.issuing import Pending


class Broken:
    """A pool whose queries raise."""

    def __init__(self) -> None:
        self.error: Exception = RuntimeError()

    async def fetchrow(self, *arguments: Any) -> None:
        raise self.error


@pytest.fixture
def pool() -> Broken:
    """Where the trouble comes from."""
    return Broken()


@pytest.fixture
async def client(pool: Broken) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that is not connected to anything."""
    app = create_app(SimpleNamespace(pool=pool, settings=Settings()))  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as it:
        yield it


async def test_what_may_pass_is_answered_with_503_and_when_to_come_again(client, pool):
    for error in (
        ServiceUnavailableError("the bus did not take StartRun", retry_after=7),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.TooManyConnectionsError("sorry"),
        ConnectionRefusedError("refused"),
        TimeoutError(),
    ):
        pool.error = error
        answer = await client.get("/runs/x")
        assert answer.status_code == 503, error
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "service-unavailable"
        assert answer.headers["retry-after"] == ("7" if isinstance(error, ArtdagError) else "2")


async def test_a_defect_tells_nothing_of_itself(client, pool):
    pool.error = RuntimeError("password=secret")
    answer = await client.get("/runs/x")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal-server-error"
    assert "secret" not in answer.text


async def test_what_is_kept_but_not_handled_is_answered_with_202(client, pool):
    pool.error = Pending("the-command", "/runs/1")
    answer = await client.get("/runs/x")
    assert answer.status_code == 202
    assert answer.json()["links"] == {"command": "/api/commands/the-command", "resource": "/runs/1"}
    assert answer.headers["link"] == '</api/commands/the-command>; rel="monitor"'


async def test_a_refusal_of_an_unknown_kind_keeps_its_name(client, pool):
    pool.error = ArtdagError("not tonight", refusal="moon-too-full")
    answer = await client.get("/runs/x")
    assert (answer.status_code, answer.json()["code"]) == (409, "moon-too-full")


def test_a_kind_that_is_not_listed_has_the_status_of_the_nearest_above_it():
    assert status_of(UnplayableOutputError("x")) == 422


async def test_what_a_driver_said_stays_here(client, pool):
    said = "Connect call failed ('10.1.2.3', 5432): SELECT secret FROM es_events"
    wrapped = ServiceUnavailableError(f"Postgres does not answer: {said}")
    wrapped.__cause__ = OSError(said)
    for error in (
        wrapped,
        ConnectionRefusedError(said),
        asyncpg.InterfaceError(said),
        asyncpg.PostgresSyntaxError(said),
        asyncpg.DataError(said),
    ):
        pool.error = error
        answer = await client.get("/runs/x")
        assert answer.status_code == (422 if isinstance(error, asyncpg.DataError) else 503)
        assert "10.1.2.3" not in answer.text
        assert "SELECT" not in answer.text
    pool.error = wrapped
    assert (await client.get("/runs/x")).json()["detail"] == "Postgres does not answer"


async def test_also_a_defect_is_answered_safely(client, pool):
    pool.error = RuntimeError("x")
    answer = await client.get("/runs/x")
    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
