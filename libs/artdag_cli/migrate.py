"""``artdag migrate``: brings a database up to date, before the services of a new version start."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import asyncpg
import typer

from artdag_cli.messages import log_here
from artdag_common.config import Settings
from artdag_common.environment import BY_FILE
from artdag_common.errors import ConfigurationError, ServiceUnavailableError
from artdag_common.eventstore import roles
from artdag_common.eventstore.postgres import LOST
from artdag_common.eventstore.schema import EMPTY, SCHEMA, Standing, standing

SETTING = "DATABASE_URL"
CONNECT_SECONDS = 10
AGAIN_SECONDS = 0.5
REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
MADE_FOR = "SELECT string_agg(DISTINCT made_for, ' ') FROM es_roles"


@dataclass(frozen=True, slots=True)
class State:
    """How a database stands: how far its schema is, and what its roles were made for; empty: there are none."""

    schema: Standing
    roles: str


def said(before: State, after: State) -> str:
    """Return what was done, by what it changed."""
    there, number = after.schema.version, f"{len(roles.ROLES)} roles"
    if before.schema == EMPTY:
        return f"schema {there} made, and {number}"
    if before.schema.version > SCHEMA:
        return f"schema {there} is of a newer version, and stays as it is"
    if before == after:
        return f"schema {there} is up to date; nothing was to be done"
    if before.schema.version < there:
        return f"brought from schema {before.schema.version} to {there}, with {number}"
    return f"schema {there} as it was; functions and {number} made anew"


async def bring_up_to_date(url: str, wait_seconds: float = 0) -> str:
    """Apply the schema to a database, make the roles of the services, and return what was done.

    Args:
        url: of the account that owns the tables, or is to own them.
        wait_seconds: for how long Postgres may still be starting.

    Raises:
        SchemaVersionError: this version cannot work with the database.
        ServiceUnavailableError: Postgres cannot be reached, or a table is kept by somebody else.
        ConfigurationError: it refuses the account, or the account may not make the roles.
    """
    before = await _state(url, wait_seconds)
    if await roles.prepare(url) is None:
        raise ConfigurationError(
            "the schema is up to date, and no roles were made for the services: the account of DATABASE_URL has to have"
            " CREATEROLE and a password, and pg_hba.conf has to let the roles in"
        )
    return said(before, await _state(url, 0))


async def _state(url: str, wait_seconds: float) -> State:
    connection = await _connected(url, wait_seconds)
    try:
        there = await standing(connection)
        known = await connection.fetchval("SELECT to_regclass('es_roles') IS NOT NULL")
        return State(there, (known and await connection.fetchval(MADE_FOR)) or "")
    finally:
        await connection.close()


async def _connected(url: str, wait_seconds: float) -> Any:
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_seconds
    while True:
        try:
            return await asyncpg.connect(url, timeout=CONNECT_SECONDS)
        except REFUSED as error:
            raise ConfigurationError(f"Postgres at {_place(url)} refuses DATABASE_URL: {error}") from error
        except (*LOST, TimeoutError) as error:
            if loop.time() >= until:
                why = str(error) or type(error).__name__
                raise ServiceUnavailableError(f"Postgres at {_place(url)} cannot be reached: {why}") from error
        await asyncio.sleep(AGAIN_SECONDS)


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{unquote(parts.path)}"


Wait = Annotated[
    float, typer.Option("--wait", help="Seconds to wait for a Postgres that is starting.", min=0, show_default=True)
]


def migrate(wait: Wait = 0) -> None:
    """Bring the database up to date: its tables and functions, and an account for each service.

    DATABASE_URL, or DATABASE_URL_FILE, names it, under the account that owns the tables. Services of the version before
    go on meanwhile. Doing it again does nothing.
    """
    if not (os.environ.get(SETTING) or os.environ.get(SETTING + BY_FILE)):
        raise ConfigurationError(
            f"{SETTING} or {SETTING + BY_FILE} has to name the database, under its owner's account"
        )
    url = Settings.read().database_url
    log_here()
    print(f"{_place(url)}: {asyncio.run(bring_up_to_date(url, wait))}")
