"""The schema goes from each released version to this one while it is used, and no other way."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import structlog.testing

from artdag_common.errors import SchemaVersionError, ServiceUnavailableError
from artdag_common.eventstore import postgres, roles, schema
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.eventstore.schema import LEAST, SCHEMA, Standing, needed, statements
from services.gateway.projections import projector
from tests.integration.events.appends import eventually, write
from tests.upgrade.releases import run

FILL = """
import asyncio, sys
from uuid import UUID
from artdag_common.eventstore import postgres, roles
from artdag_common.eventstore.port import Append, NewEvent

async def main(url):
    assert await roles.prepare(url)
    pool = await postgres.connect(url, 2)
    store = postgres.PostgresEventStore(pool)
    for n in range(1, 21):
        event = NewEvent(UUID(int=n), "RunReleased", b"event %d" % n)
        await store.append(Append(f"run-{n}", 0, [event], f"cause-{n}", "planner", f"message-{n}", b"outcome"))
    await store.close()
    await pool.close()

asyncio.run(main(sys.argv[1]))
"""

ADDED = "ALTER TABLE es_events ADD COLUMN IF NOT EXISTS note text NOT NULL DEFAULT '';"
INDEXED = "CREATE INDEX IF NOT EXISTS es_events_type ON es_events (type);"
NEW = """CREATE TABLE IF NOT EXISTS later (n integer PRIMARY KEY);
CREATE INDEX IF NOT EXISTS later_n ON later (n);
CREATE OR REPLACE FUNCTION later_count() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM later;
$$;
"""

CATALOG = {
    "columns": """SELECT table_name, column_name, data_type, column_default, is_nullable
        FROM information_schema.columns WHERE table_schema IN ('public', 'gateway')""",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname IN ('public', 'gateway')",
    "rules": """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace""",
    "functions": "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    "policies": "SELECT policyname, roles::text, cmd, qual FROM pg_policies",
    "secured": "SELECT relname FROM pg_class WHERE relrowsecurity",
    "grants": """SELECT relname, coalesce(relacl::text[], '{}') FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'""",
    "calls": """SELECT proname, coalesce(proacl::text[], '{}') FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace""",
    "streams": "SELECT role, streams::text, holders::text, consumer FROM es_roles",
}


async def catalog(url: str) -> dict[str, set[str]]:
    """Return what a database is made of, without its name."""
    name = urlsplit(url).path.strip("/")
    connection = await asyncpg.connect(url)
    rows = {what: await connection.fetch(query) for what, query in CATALOG.items()}
    await connection.close()
    return {what: {_plain(row).replace(f"{name}_", "") for row in found} for what, found in rows.items()}


def _plain(row: Iterable[object]) -> str:
    return " | ".join(str(sorted(each) if isinstance(each, list) else each) for each in row)


async def test_a_database_of_a_release_becomes_what_a_new_one_is(released: Path, databases: list[str]) -> None:
    old, new = databases
    run(released, FILL, old)
    before = await catalog(old)
    connection = await asyncpg.connect(old)
    kept = {table: await connection.fetch(f"TABLE {table}") for table in ("es_events", "es_outbox", "es_inbox")}
    assert len(kept["es_events"]) == 20
    assert await roles.prepare(old)
    assert await roles.prepare(new)
    assert await catalog(old) == await catalog(new)
    assert {table: await connection.fetch(f"TABLE {table}") for table in kept} == kept, "the past does not change"
    assert await schema.standing(connection) == Standing(SCHEMA, LEAST, schema.fingerprint(schema.schema_text()))
    await connection.close()
    after = await catalog(old)
    names = [{re.split(r"\) RETURNS|\(", each)[0] for each in found["functions"]} for found in (before, after)]
    assert names[0] <= names[1], "services of that version call it"
    columns = [
        {each.rpartition(" | ")[0].split(" | ")[:3].__repr__() for each in f["columns"]} for f in (before, after)
    ]
    assert columns[0] <= columns[1], "services of that version read and write it"


async def test_where_nothing_is_missing_nothing_is_touched(database: str) -> None:
    await roles.prepare(database)
    connection = await asyncpg.connect(database)
    made = "SELECT oid, xmin::text FROM pg_proc UNION ALL SELECT oid, xmin::text FROM pg_class ORDER BY 1"
    before = await connection.fetch(made)
    async with connection.transaction():  # somebody who reads, and somebody who writes, for long
        await connection.execute("LOCK TABLE es_events, es_inbox, planner_active IN ROW EXCLUSIVE MODE")
        async with asyncio.timeout(60):
            await roles.prepare(database)
            await (await postgres.connect(database, 2)).close()
    assert await connection.fetch(made) == before
    await connection.close()


@pytest.mark.parametrize(
    ("statement", "mode", "there"),
    [
        (ADDED, "ACCESS SHARE", "SELECT note = '' FROM es_events LIMIT 1"),
        (INDEXED, "ROW EXCLUSIVE", "SELECT indisvalid FROM pg_index WHERE indexrelid = 'es_events_type'::regclass"),
    ],
    ids=["column", "index"],
)
async def test_writers_go_on_while_a_change_waits_for_somebody(
    database: str, statement: str, mode: str, there: str
) -> None:
    pool = await postgres.connect(database, 4)
    store = PostgresEventStore(pool)
    await write(store, "run-before", 1)
    somebody, changing = await asyncpg.connect(database), await asyncpg.connect(database)
    transaction = somebody.transaction()
    await transaction.start()
    await somebody.execute(f"LOCK TABLE es_events IN {mode} MODE")
    async with asyncio.timeout(60), schema.alone(changing):
        change = asyncio.create_task(schema.make(changing, "\n".join((schema.schema_text(), statement, NEW))))
        waits = "SELECT count(*) FROM pg_locks WHERE pid = $1 AND NOT granted"
        await eventually(lambda: pool.fetchval(waits, changing.get_server_pid()), "a change that waits")
        await write(store, "run-meanwhile", 20)
        assert not change.done()
        await transaction.rollback()
        await change
    assert await pool.fetchval(there) is True
    assert await pool.fetchval("SELECT later_count()") == 0
    for connection in (somebody, changing):
        await connection.close()
    await store.close()
    await pool.close()


async def test_a_table_that_is_kept_for_ever_is_told_with_who_keeps_it(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "PATIENCE", 0.0)
    await (await postgres.connect(database, 2)).close()
    somebody, changing = await asyncpg.connect(database), await asyncpg.connect(database)
    async with somebody.transaction():
        await somebody.execute("LOCK TABLE es_events IN ACCESS SHARE MODE")
        with pytest.raises(ServiceUnavailableError, match=f"process {somebody.get_server_pid()} of Postgres"):
            await schema.make(changing, f"{schema.schema_text()}\n{ADDED}")
    await schema.make(changing, f"{schema.schema_text()}\n{ADDED}")
    for connection in (somebody, changing):
        await connection.close()


async def test_an_index_that_was_not_finished_is_made_anew(database: str) -> None:
    await (await postgres.connect(database, 2)).close()
    connection = await asyncpg.connect(database)
    await schema.make(connection, f"{schema.schema_text()}\n{INDEXED}")
    await connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'es_events_type'::regclass")
    await schema.make(connection, f"{schema.schema_text()}\n{INDEXED}")
    found = await connection.fetch(
        "SELECT indisvalid FROM pg_index WHERE indrelid = 'es_events'::regclass AND NOT indisunique"
    )
    assert [row[0] for row in found] == [True]
    await connection.close()


async def test_several_that_start_at_once_make_it_once(database: str) -> None:
    async with asyncio.timeout(60):
        pools = await asyncio.gather(*(postgres.connect(database, 2) for _ in range(5)))
        prepared = await asyncio.gather(*(roles.prepare(database) for _ in range(3)))
    assert prepared[0]
    assert prepared == [prepared[0]] * 3
    made = "SELECT xmin::text FROM pg_class WHERE relname IN ('es_events', 'es_log', 'planner_slots')"
    assert len({row[0] for row in await pools[0].fetch(made)}) == 1, "in one transaction of one of them"
    assert await pools[0].fetchval("SELECT count(*) FROM es_schema") == 1
    for pool in pools:
        await pool.close()


async def test_who_waits_for_another_goes_on_where_that_one_dies(database: str) -> None:
    other, watching = await asyncpg.connect(database), await asyncpg.connect(database)
    await other.execute("SELECT pg_advisory_lock($1)", schema.SCHEMA_LOCK)
    with structlog.testing.capture_logs() as said:
        async with asyncio.timeout(60):
            starting = asyncio.create_task(postgres.connect(database, 2))
            await eventually(lambda: _said(said), "it says for whom it waits")
            assert not starting.done()
            await watching.execute("SELECT pg_terminate_backend($1)", other.get_server_pid())
            pool = await starting
    assert said[0]["process"] == other.get_server_pid()
    assert await pool.fetchval("SELECT version FROM es_schema") == SCHEMA
    await pool.close()
    await watching.close()


async def _said(lines: list[Any]) -> bool:
    return bool(lines)


# --- versions -------------------------------------------------------------------------------------------------------

OWN = "ours"


@pytest.mark.parametrize(
    ("there", "ours", "expected"),
    [
        (Standing(0), True, True),
        (Standing(1), True, True),
        (Standing(SCHEMA - 1), True, True),
        (Standing(SCHEMA, LEAST, OWN), True, False),
        (Standing(SCHEMA, LEAST, OWN), False, False),
        (Standing(SCHEMA, LEAST, "another text of the same version"), True, True),
        (Standing(SCHEMA, LEAST, "another text of the same version"), False, False),
        (Standing(SCHEMA + 1, SCHEMA, "later"), True, False),
        (Standing(SCHEMA + 1, SCHEMA, "later"), False, False),
    ],
)
def test_who_changes_a_schema(there: Standing, ours: bool, expected: bool) -> None:
    assert needed(there, ours, OWN) is expected


@pytest.mark.parametrize("ours", [True, False])
def test_a_service_ends_where_the_database_is_too_new_for_it(ours: bool) -> None:
    with pytest.raises(SchemaVersionError, match=f"has schema {SCHEMA + 2}.*Upgrade this service"):
        needed(Standing(SCHEMA + 2, SCHEMA + 1, "later"), ours, OWN)


def test_a_service_that_may_not_change_an_old_database_says_who_has_to() -> None:
    with pytest.raises(SchemaVersionError, match="artdag migrate"):
        needed(Standing(SCHEMA - 1), False, OWN)


async def test_a_database_of_a_later_version_is_left_as_it_is(database: str) -> None:
    urls = await roles.prepare(database)
    assert urls
    owner = await asyncpg.connect(database)
    later = "INSERT INTO es_schema VALUES ($1, $2, 'later', 'a later version')"
    await owner.execute(later, SCHEMA + 1, SCHEMA)
    await owner.execute(
        "CREATE OR REPLACE FUNCTION es_forget_handled(most int) RETURNS int LANGUAGE sql AS 'SELECT 42'"
    )
    await owner.execute(f'GRANT SELECT ON es_inbox TO "{urlsplit(urls["executor"]).username}"')
    assert await roles.prepare(database) == urls
    for url in (database, urls["gateway"]):
        await (await postgres.connect(url, 2)).close()
    assert await owner.fetchval("SELECT es_forget_handled(1)") == 42, "a function of the later version"
    executor = await asyncpg.connect(urls["executor"])
    assert await executor.fetchval("SELECT count(*) FROM es_inbox") == 0, "a right that the later version gave"
    await executor.close()
    await owner.execute(later, SCHEMA + 2, SCHEMA + 1)
    for url in (database, urls["gateway"]):
        with pytest.raises(SchemaVersionError, match="Upgrade this service"):
            await postgres.connect(url, 2)
    with pytest.raises(SchemaVersionError):
        await roles.prepare(database)
    await owner.close()


async def test_a_service_waits_for_nobody_who_changes_the_schema_where_it_has_no_part_in_it(database: str) -> None:
    urls = await roles.prepare(database)
    assert urls
    owner = await asyncpg.connect(database)
    async with asyncio.timeout(60), schema.alone(owner):
        await (await postgres.connect(urls["planner"], 2)).close()
    await owner.execute("DELETE FROM es_schema")
    with pytest.raises(SchemaVersionError, match="artdag migrate"):
        await postgres.connect(urls["planner"], 2)
    await owner.close()


async def test_read_models_of_a_later_shape_are_kept_and_those_of_an_earlier_one_made_anew(database: str) -> None:
    pool = await postgres.connect(database, 2)
    await projector.prepare(pool)
    await pool.execute("UPDATE rm_position SET position = 5, shape = shape + 1")
    with pytest.raises(SchemaVersionError, match="DELETE FROM rm_position"):
        await projector.prepare(pool)
    await pool.execute("DELETE FROM rm_position")
    assert await projector.prepare(pool) == 0, "the way back"
    await pool.execute("UPDATE rm_position SET position = 5, shape = shape - 1")
    await pool.execute("ALTER TABLE rm_tokens RENAME COLUMN holder TO of_an_earlier_shape")
    assert await projector.prepare(pool) == 0
    assert await pool.fetch("SELECT holder FROM rm_tokens") == []
    await pool.close()


def test_what_cannot_be_done_beside_writers_is_no_part_of_a_schema() -> None:
    for wrong in (
        "ALTER TABLE es_events DROP COLUMN cause;",
        "ALTER TABLE es_events ALTER COLUMN cause TYPE bytea USING cause::bytea;",
        "CREATE INDEX es_events_type ON es_events (type);",
        "UPDATE es_events SET cause = '';",
        "ALTER TABLE es_events ADD COLUMN IF NOT EXISTS at timestamptz DEFAULT clock_timestamp();",
        "ALTER TABLE es_events ADD COLUMN IF NOT EXISTS n integer UNIQUE;",
        "ALTER TABLE es_events ADD COLUMN IF NOT EXISTS n bigserial;",
        "ALTER TABLE es_events ADD COLUMN IF NOT EXISTS n bigint NOT NULL DEFAULT nextval('es_n');",
        "ALTER TABLE es_events ADD COLUMN IF NOT EXISTS n integer NOT NULL;",
        "ALTER TABLE es_events ADD COLUMN IF NOT EXISTS id uuid NOT NULL DEFAULT uuid_generate_v4();",
    ):
        with pytest.raises(ValueError, match="while the tables are in use"):
            statements(wrong)


def test_a_release_has_a_schema_of_its_own_number(released: Path) -> None:
    folder = released / "libs" / "artdag_common" / "eventstore"
    text = (folder / "schema.sql").read_text()
    noted = folder / "schema.py"
    found = re.search(r"^SCHEMA = (\d+)$", noted.read_text(), re.MULTILINE) if noted.exists() else None
    number = int(found[1]) if found else 1
    assert number < SCHEMA or (number == SCHEMA and text == schema.schema_text()), "raise SCHEMA in schema.py"
    assert number >= LEAST, "services of that version run beside these during an upgrade"
