"""What tests of upgrades share: released versions, and empty databases of a Postgres server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from artdag_cli.system import System
from tests.upgrade.releases import RELEASES, unpack

_numbers = count(1)


@pytest.fixture(scope="session", params=RELEASES)
def released(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the sources of a released version are."""
    return unpack(request.param, tmp_path_factory.mktemp("released"))


@pytest.fixture
async def databases(backing: System) -> AsyncIterator[list[str]]:
    """URLs of two empty databases, under the operator's account, which may make roles."""
    server = backing.environment["DATABASE_URL"]
    names = [f"upgrade_{next(_numbers)}" for _ in range(2)]
    connection = await asyncpg.connect(server)
    for name in names:
        await connection.execute(f"CREATE DATABASE {name}")
    yield [f"{server.rpartition('/')[0]}/{name}" for name in names]
    for name in names:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        for role in await connection.fetch("SELECT rolname FROM pg_roles WHERE rolname LIKE $1 || '\\_%'", name):
            await connection.execute(f'DROP ROLE "{role[0]}"')
    await connection.close()


@pytest.fixture
def database(databases: list[str]) -> str:
    """One of them."""
    return databases[0]
