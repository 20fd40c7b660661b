"""The schema of the database: its version, what is missing of it, and how that is made while services go on writing.

It only ever grows, and services of the version before go on with it: tables, columns with a constant default, indexes
and functions are added, none is taken away or changes what it means. So the order of an upgrade is the schema first,
then the services, one after the other.

No statement that needs a table for itself waits for it in the way of others: it has :data:`LOCK_MS`, and is tried
again. Indexes of tables that were there before are made beside those who write. What is there is not touched at all.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import asyncpg
import structlog

from artdag_common.errors import SchemaVersionError, ServiceUnavailableError
from artdag_common.version import VERSION

SCHEMA = 2
"""Raised with each release that changes schema.sql. 1 is that of 0.1.0, which did not note it."""

LEAST = 1
"""The oldest schema whose services can work with this one, so that an upgrade can go on one service after the other."""

SCHEMA_LOCK = 74_120_000
LOCK_MS = 300
PATIENCE = 60.0
"""Seconds for which a table that somebody else keeps for long is asked for again."""

PAUSE = 0.2
INDEX_SECONDS = 7 * 86_400.0
"""What making an index may take, in which others go on."""

Kind = Literal["table", "columns", "index", "function", "function gone"]
FORMS: dict[Kind, str] = {
    "table": r"CREATE TABLE IF NOT EXISTS (?P<name>\w+)",
    "columns": r"ALTER TABLE (?P<table>\w+)\s+ADD COLUMN IF NOT EXISTS ",
    "index": r"CREATE (?P<unique>UNIQUE )?INDEX IF NOT EXISTS (?P<name>\w+) ON (?P<table>\w+)",
    "function": r"CREATE OR REPLACE FUNCTION (?P<name>\w+)",
    "function gone": r"DROP FUNCTION IF EXISTS (?P<name>\w+)",
}
ADDED = re.compile(r"ADD COLUMN IF NOT EXISTS (\w+)")
REWRITES = re.compile(
    r"\b(clock_timestamp|timeofday|nextval|random|\w*uuid\w*(?=\()|\w*serial\d*)\b"
    r"|\b(UNIQUE|PRIMARY|REFERENCES|CHECK|GENERATED)\b|NOT NULL(?! DEFAULT)",
    re.IGNORECASE,
)
"""What makes an added column cost a look at every row or a rewrite of it, or refuse the rows that are there and those
that services of the version before write."""

OURS = (
    "SELECT coalesce((SELECT pg_has_role(relowner, 'MEMBER') FROM pg_class WHERE oid = to_regclass('es_events')), true)"
)
"""Whether the tables are ours, or are still to be made: not so for a role of a service's own."""

PATH = "SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)"
"""The functions that run as their owner keep this path: no table of somebody else's comes before the right one."""

RELATIONS = """SELECT c.relname AS name, coalesce(i.indisvalid, true) AS whole
FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.relnamespace = coalesce(to_regnamespace(nullif($1, '')), current_schema()::regnamespace)
AND c.relkind IN ('r', 'p', 'i')"""
COLUMNS = """SELECT c.relname || '.' || a.attname
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = coalesce(to_regnamespace(nullif($1, '')), current_schema()::regnamespace)
AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped"""
HOLDERS = """SELECT a.pid, coalesce(a.application_name, '') AS program, a.state,
extract(epoch FROM now() - a.xact_start)::int AS seconds
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.relation = to_regclass($1) AND l.granted AND a.pid <> pg_backend_pid()
ORDER BY a.xact_start LIMIT 1"""
CHANGER = f"""SELECT min(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE datname = current_database() AND locktype = 'advisory' AND objid = {SCHEMA_LOCK} AND granted"""
NOTE = """INSERT INTO es_schema (version, least, made_for, by) VALUES ($1, $2, $3, $4)
ON CONFLICT (version) DO UPDATE SET least = excluded.least, made_for = excluded.made_for"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a database is.

    Attributes:
        version: of its schema; 0: there are no tables yet.
        least: the oldest schema whose services can work with it.
        made_for: hash of the statements that it was made by.
    """

    version: int
    least: int = 1
    made_for: str = ""


EMPTY = Standing(0)
UNNOTED = Standing(1)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a schema, and what is there once it was run."""

    kind: Kind
    name: str
    table: str
    sql: str
    columns: tuple[str, ...] = ()


def schema_text() -> str:
    """Return the statements of the schema."""
    return files("artdag_common.eventstore").joinpath("schema.sql").read_text()


@cache
def statements(text: str) -> tuple[Statement, ...]:
    """Return the statements of a schema, in their order.

    Raises:
        ValueError: one is of a kind that cannot be made while the tables are in use.
    """
    return tuple(_statement(sql) for sql in _split(text))


def _split(text: str) -> list[str]:
    """Return what stands between semicolons, outside of function bodies and comments."""
    found, lines, body = [], [], False
    for line in text.splitlines():
        if not body and (not line.strip() or line.lstrip().startswith("--")):
            continue
        lines.append(line)
        body ^= line.count("$$") % 2 == 1
        if not body and line.partition("--")[0].rstrip().endswith(";"):
            found.append("\n".join(lines))
            lines = []
    return [*found, *(["\n".join(lines)] if lines else [])]


def _statement(sql: str) -> Statement:
    for kind, form in FORMS.items():
        if (match := re.match(form, sql)) and not (kind == "columns" and REWRITES.search(sql)):
            named = match.groupdict()
            table = named.get("table") or named["name"]
            columns = tuple(ADDED.findall(sql)) if kind == "columns" else ()
            return Statement(kind, named.get("name") or table, table, sql, columns)
    raise ValueError(f"this statement cannot be made while the tables are in use: {sql[:120]}")


def fingerprint(text: str) -> str:
    """Return a hash by which the same schema is known again."""
    return hashlib.sha256(text.encode()).hexdigest()


# --- deciding -------------------------------------------------------------------------------------------------------


def needed(there: Standing, ours: bool, made_for: str) -> bool:
    """Return whether the schema is to be brought up to date by whoever asks.

    Args:
        ours: the tables belong to this account, or are still to be made.
        made_for: of this version's statements.

    Raises:
        SchemaVersionError: services of this version cannot work with that database.
    """
    if there.least > SCHEMA:
        raise SchemaVersionError(
            f"the database has schema {there.version}, which services with schema {there.least} or later can work with;"
            f" this is {VERSION}, with schema {SCHEMA}. Upgrade this service: there is no way back but a backup",
            database=there.version,
            code=SCHEMA,
        )
    if there.version > SCHEMA or (there.version == SCHEMA and there.made_for == made_for):
        return False
    if not ours and there.version < SCHEMA:
        raise SchemaVersionError(
            f"the database has schema {there.version}, and this is {VERSION}, with schema {SCHEMA}: bring it up to date"
            " first, with artdag migrate under the account that owns the tables",
            database=there.version,
            code=SCHEMA,
        )
    return ours


def missing(
    wanted: Iterable[Statement], relations: Collection[str], columns: Collection[str]
) -> tuple[list[Statement], list[Statement]]:
    """Return the statements for tables, columns and indexes that are not there, and those that have to be run anyway:
    of functions, which are replaced.

    Args:
        relations: names of tables and of indexes that are whole.
        columns: ``table.column``.
    """
    absent, always = [], []
    for each in wanted:
        if each.kind in ("function", "function gone"):
            always.append(each)
        elif each.kind == "columns":
            if not {f"{each.table}.{column}" for column in each.columns} <= set(columns):
                absent.append(each)
        elif each.name not in relations:
            absent.append(each)
    return absent, always


# --- looking and making ---------------------------------------------------------------------------------------------


async def standing(connection: Any) -> Standing:
    """Return how far a database is."""
    if await connection.fetchval("SELECT to_regclass('es_schema')") is None:
        there = await connection.fetchval("SELECT to_regclass('es_events')")
        return UNNOTED if there else EMPTY
    row = await connection.fetchrow("SELECT version, least, made_for FROM es_schema ORDER BY version DESC LIMIT 1")
    return Standing(*row) if row else UNNOTED


@asynccontextmanager
async def alone(connection: Any) -> AsyncIterator[None]:
    """Be the only one that changes the schema.

    Asked for again and again, since who waits for a lock keeps a snapshot, for whose end an index that is made beside
    writers would wait.
    """
    told = False
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", SCHEMA_LOCK):
        if not told:
            log.info("somebody else changes the schema; it is waited for", process=await connection.fetchval(CHANGER))
        told = True
        await asyncio.sleep(PAUSE)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", SCHEMA_LOCK)


async def settle(connection: Any) -> Standing:
    """Bring the schema up to date where the tables are ours; else make sure that this version can work with it.

    Returns:
        How far the database was before.

    Raises:
        SchemaVersionError: this version cannot work with the database.
        ServiceUnavailableError: a table that has to change is kept by somebody else.
    """
    text = schema_text()
    made_for = fingerprint(text)
    ours = bool(await connection.fetchval(OURS))
    there = await standing(connection)
    if not needed(there, ours, made_for):
        return there
    async with alone(connection):
        there = await standing(connection)  # somebody else may have been at it meanwhile
        if needed(there, ours, made_for):
            await make(connection, text)
            await connection.execute(NOTE, SCHEMA, LEAST, made_for, VERSION)
            if there != EMPTY:
                log.info("the schema is up to date", version=SCHEMA, before=there.version)
    return there


async def make(connection: Any, text: str, path: str = PATH, folder: str = "") -> None:
    """Make what is missing of a schema, and its functions anew. Not in a transaction, and :func:`alone`.

    Args:
        path: statement that sets the search path of a transaction so that tables are made where they belong.
        folder: the schema in which that is, in the sense of Postgres; where there is none, the current one.

    Raises:
        ServiceUnavailableError: a table that has to change is kept by somebody else.
    """
    rows = await connection.fetch(RELATIONS, folder)
    before = {row["name"] for row in rows}
    whole = {row["name"] for row in rows if row["whole"]}
    columns = {row[0] for row in await connection.fetch(COLUMNS, folder)}
    absent, always = missing(statements(text), whole, columns)
    new = {each.name for each in absent if each.kind == "table"}
    at_once = [each for each in absent if each.table in new]  # nobody uses these yet
    async with connection.transaction():
        await connection.execute(path)
        for each in at_once:
            await connection.execute(each.sql)
    for each in absent:
        if each not in at_once:
            await _add(connection, each, each.name in before)
    async with connection.transaction():
        await connection.execute(path)
        for each in always:
            await connection.execute(each.sql)


async def _add(connection: Any, each: Statement, broken: bool) -> None:
    """Add to a table that is in use. ``broken``: an index that an earlier try did not finish."""
    log.info("the schema changes", what=each.name, kind=each.kind, table=each.table)
    if each.kind == "index":
        if broken:
            await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {each.name}", timeout=INDEX_SECONDS)
        beside = each.sql.replace("INDEX IF NOT EXISTS", "INDEX CONCURRENTLY IF NOT EXISTS", 1)
        await connection.execute(beside, timeout=INDEX_SECONDS)
    else:
        await briefly(connection, [each.sql], each.table)


async def briefly(connection: Any, sql: Collection[str], table: str) -> None:
    """Run statements that need a table for themselves, together, without holding up others by waiting for it.

    Raises:
        ServiceUnavailableError: somebody else keeps it for longer than :data:`PATIENCE`.
    """
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {LOCK_MS}")
                for each in sql:
                    await connection.execute(each)
            return
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise ServiceUnavailableError(
                    f"{table} cannot be changed: {await _holder(connection, table)}"
                ) from error
        await asyncio.sleep(PAUSE)


async def _holder(connection: Any, table: str) -> str:
    row = await connection.fetchrow(HOLDERS, table)
    if row is None:
        return f"others use it all the time, for more than {PATIENCE:g} s"
    program = f" ({row['program']})" if row["program"] else ""
    return (
        f"process {row['pid']} of Postgres{program} has been using it for {row['seconds']} s in one transaction"
        f" ({row['state']}); end that, or wait for it, and try again"
    )
