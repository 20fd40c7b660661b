"""A database, and where needed servers, of each test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import asyncpg
import nats
import pytest
from nats.js.errors import ServerError

from artdag_cli.backing import nats_server, postgres_server
from artdag_cli.system import System
from artdag_common.eventstore import postgres
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging.bus import Bus
from tests.integration.events.servers import Server, serving

_numbers = count(1)


async def new_database(server: str) -> tuple[str, str]:
    """Make an empty database and return its name and its URL."""
    name = f"events_{next(_numbers)}"
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return name, f"{server.rpartition('/')[0]}/{name}"


@pytest.fixture
async def database(backing: System) -> AsyncIterator[str]:
    """URL of an empty database."""
    server = backing.environment["DATABASE_URL"]
    name, url = await new_database(server)
    yield url
    connection = await asyncpg.connect(server)
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """Connections to it, with the schema in place."""
    pool = await postgres.connect(database)
    yield pool
    await pool.close()


@pytest.fixture
async def store(pool: asyncpg.Pool) -> AsyncIterator[PostgresEventStore]:
    """An event store in it."""
    store = PostgresEventStore(pool)
    yield store
    await store.close()


@pytest.fixture(scope="session")
async def own_nats(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A NATS server to be killed."""
    async with serving(nats_server, tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
async def bus(own_nats: Server) -> AsyncIterator[Bus]:
    """A connection to a server that a test has for itself."""
    async with await nats.connect(own_nats.url) as connection:
        stream_manager = connection.jetstream()
        for info in await stream_manager.streams_info():
            assert info.config.name
            await stream_manager.delete_stream(info.config.name)
    async with asyncio.timeout(90):
        bus: Bus | None = None
        while bus is None:
            try:
                bus = await Bus.connect(own_nats.url, "test")
            except ServerError:  # 10049: the server still removes the files of the stream of that name
                await asyncio.sleep(0.05)
    yield bus
    await bus.close()


@pytest.fixture(scope="session")
async def own_postgres(state: Path) -> AsyncIterator[Server]:
    """A Postgres server to be killed."""
    async with serving(postgres_server, state / "mortal") as server:
        yield server


@pytest.fixture
async def mortal_database(own_postgres: Server) -> str:
    """URL of an empty database on the server to be killed."""
    return (await new_database(own_postgres.url))[1]
