"""``artdag migrate`` on a real Postgres: a new database, the same again, one that is behind, one that refuses."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from artdag_cli.backing import free_port
from artdag_cli.migrate import bring_up_to_date
from artdag_cli.system import System
from artdag_common.errors import ConfigurationError, ServiceUnavailableError
from artdag_common.eventstore import roles
from artdag_common.eventstore.schema import SCHEMA


@pytest.fixture
async def database(backing: System) -> AsyncIterator[str]:
    """The owner's URL of a new, empty database; its roles are removed with it."""
    url = urlsplit(backing.environment["DATABASE_URL"])
    name = f"m{uuid4().hex[:12]}"
    connection = await asyncpg.connect(url.geturl())
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        yield url._replace(path=f"/{name}").geturl()
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        for role in roles.ROLES:
            await connection.execute(f"DROP ROLE IF EXISTS {name}_{role}")
    finally:
        await connection.close()


async def command(url: str | None) -> tuple[int, str, str]:
    """Run the command as a container does; return its exit code and what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_URL")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "artdag_cli", "migrate"),
        env=environment | ({"DATABASE_URL": url} if url else {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(), complained.decode()


async def test_a_new_database_is_made_once_and_every_service_may_sign_in(database: str) -> None:
    code, said, complained = await command(database)
    assert (code, complained) == (0, "")
    assert f"schema {SCHEMA} made, and {len(roles.ROLES)} roles" in said
    assert str(urlsplit(database).password) not in said
    for url in roles.urls(database).values():
        connection = await asyncpg.connect(url)
        await connection.close()
    assert (await bring_up_to_date(database)).endswith("is up to date; nothing was to be done")


async def test_a_database_that_is_behind_is_brought_up_to_date(database: str) -> None:
    await bring_up_to_date(database)
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("DROP TABLE planner_slots")
        await connection.execute("DELETE FROM es_schema")
        assert f"brought from schema 1 to {SCHEMA}" in await bring_up_to_date(database)
        assert await connection.fetchval("SELECT to_regclass('planner_slots') IS NOT NULL")
        await connection.execute("UPDATE es_roles SET made_for = 'of a version before'")
        assert f"{len(roles.ROLES)} roles made anew" in await bring_up_to_date(database)
    finally:
        await connection.close()


async def test_what_cannot_be_done_is_one_line_and_no_success(database: str) -> None:
    away = urlsplit(database)._replace(netloc=f"artdag:secret-of-mine@127.0.0.1:{free_port()}").geturl()
    wrong = urlsplit(database)
    wrong = wrong._replace(netloc=f"artdag:secret-of-mine@{wrong.hostname}:{wrong.port}")
    missing = urlsplit(database)._replace(path="/not-there").geturl()
    for url, word in ((away, "reached"), (wrong.geturl(), "refuses"), (missing, "not-there"), (None, "DATABASE_URL")):
        code, said, complained = await command(url)
        assert (code != 0, said) == (True, ""), url
        assert len(complained.strip().splitlines()) == 1, complained
        assert word in complained
        assert "secret-of-mine" not in complained


async def test_it_waits_for_a_postgres_that_is_starting(database: str) -> None:
    address = urlsplit(database)
    port = free_port()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, on = await asyncio.open_connection(address.hostname, address.port)

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(pass_on(reader, on), pass_on(there, writer), return_exceptions=True)

    url = address._replace(netloc=f"{address.username}:{address.password}@127.0.0.1:{port}").geturl()
    with pytest.raises(ServiceUnavailableError):
        await bring_up_to_date(url)
    waiting = asyncio.create_task(bring_up_to_date(url, wait_seconds=60))
    await asyncio.sleep(0)
    server = await asyncio.start_server(lead, "127.0.0.1", port)
    try:
        assert (await waiting).startswith(f"schema {SCHEMA} made")
    finally:
        server.close()


async def test_an_account_that_may_not_make_roles_is_no_success(database: str) -> None:
    name = f"{urlsplit(database).path.lstrip('/')}_gateway"
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'weak'")
        await connection.execute(f"GRANT CREATE ON SCHEMA public TO {name}")
        parts = urlsplit(database)
        url = parts._replace(netloc=f"{name}:weak@{parts.hostname}:{parts.port}").geturl()
        with pytest.raises(ConfigurationError, match="CREATEROLE"):
            await bring_up_to_date(url)
        await connection.execute(f"DROP OWNED BY {name}")
    finally:
        await connection.close()
