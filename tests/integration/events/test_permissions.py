"""What a service's accounts may not do, tried on the real servers with the credentials that ``up`` gives it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from artdag_cli.accounts import SECRETS
from artdag_cli.system import SERVICES, System
from artdag_common.config import SECRETS as OUT_OF_THE_ENVIRONMENT
from artdag_common.errors import ConfigurationError
from artdag_common.eventstore import postgres, roles
from artdag_common.eventstore.port import Append, NewEvent
from artdag_common.eventstore.postgres import GATEWAY_SCHEMA, PostgresEventStore
from artdag_common.eventstore.roles import ROLES
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import STREAMS, Bus, Outcome
from artdag_common.messaging.permissions import ACCOUNTS, RELAY
from tests.integration.conftest import new_database
from tests.integration.events.appends import PATIENCE, an_append

KINDS = sorted(kind for role in ROLES.values() for kind in role.streams)
_numbers = count(1)


# --- NATS ---


@dataclass(slots=True)
class Signed:
    """A connection under a service's account, and what the server refused to it."""

    nc: Client
    refusals: list[str] = field(default_factory=list)

    async def refused(self, what: Awaitable[object]) -> bool:
        """Do something and return whether the server said that it is not permitted."""
        before = len(self.refusals)
        await what
        for _ in range(2):  # the ping of the first may overtake what waits to be sent
            await self.nc.flush()
        return len(self.refusals) > before


def seed_of(backing: System, name: str) -> str:
    if name == RELAY:
        return backing.accounts["auth"]["ARTDAG_RELAY_NATS_SEED"]
    return backing.accounts[name]["ARTDAG_NATS_SEED"]


@asynccontextmanager
async def signed_in(backing: System, name: str) -> AsyncIterator[Signed]:
    it = Signed(Client())

    async def refuse(error: Exception) -> None:
        it.refusals.append(str(error))

    await it.nc.connect(
        backing.accounts["auth"]["NATS_URL"],
        nkeys_seed_str=seed_of(backing, name),
        inbox_prefix=subjects.inbox(name),
        error_cb=refuse,
    )
    try:
        yield it
    finally:
        await it.nc.close()


@pytest.fixture
async def operator(backing: System) -> AsyncIterator[Client]:
    """The operator's connection to a server on which the relay made the streams and every service its consumers."""
    relay = await Bus.connect(backing.accounts["auth"]["NATS_URL"], RELAY, seed_of(backing, RELAY))
    await relay.js.add_stream(next(c for c in STREAMS if c.name == subjects.EVENTS))
    await relay.close()
    async with await nats.connect(backing.environment["NATS_URL"]) as nc:
        for account in ACCOUNTS.values():
            for durable in account.durables:
                config: dict[str, Any] = {"durable_name": durable.name, "name": durable.name}
                if durable.filter:
                    config["filter_subject"] = durable.filter
                await nc.jetstream().add_consumer(durable.stream, **config, ack_policy="explicit")
        yield nc
        for stream in (subjects.COMMANDS, subjects.WORK):
            await nc.jetstream().purge_stream(stream)


async def state_of(nc: Client) -> dict[str, tuple[int, int]]:
    """Return the last sequence and the number of consumers of every stream."""
    streams = await nc.jetstream().streams_info()
    return {str(info.config.name): (info.state.last_seq, info.state.consumer_count) for info in streams}


FORGED = [
    *((name, "evt.run.a.RunCompleted") for name in SERVICES),
    ("gateway", "cmd.auth.AttachToken.k"),
    *((name, "cmd.planner.StartRun.k") for name in ("executor", "cache", "auth", RELAY)),
    *((name, "cmd.cache.DeleteObject.k") for name in ("planner", "executor", "auth", RELAY)),
    *((name, "cmd.auth.RevokeToken.k") for name in ("planner", "executor", "cache", RELAY)),
    *((name, "work.cpu.k") for name in ("gateway", "cache", "auth", RELAY)),
    ("executor", "work.inline.k"),
    *((name, "dlq.auth.RevokeToken") for name in ("gateway", "planner", "executor", "cache", RELAY)),
    *((name, subjects.STEP_HINTS) for name in ("gateway", "planner", "cache", "auth", RELAY)),
    *((name, subjects.REVOKED_HINTS) for name in ("gateway", "planner", "executor", "cache", RELAY)),
    *((name, subjects.VERIFY) for name in ("planner", "executor", "cache", RELAY)),
    ("gateway", subjects.stop("k")),
    ("gateway", subjects.tick("k")),
    ("executor", subjects.copy_tick("k")),
    ("planner", f"{subjects.inbox('auth')}.k"),
    ("executor", f"{subjects.inbox('cache')}.k"),
]


@pytest.mark.parametrize(("name", "subject"), FORGED)
async def test_what_is_another_s_to_say_is_refused(backing: System, operator: Client, name: str, subject: str) -> None:
    before = await state_of(operator)
    async with signed_in(backing, name) as it:
        assert await it.refused(it.nc.publish(subject, b"forged", headers={"Command-Id": "forged"}))
    assert await state_of(operator) == before


@pytest.mark.parametrize("name", ACCOUNTS)
async def test_nobody_reads_changes_empties_or_deletes_what_is_not_theirs(
    backing: System, operator: Client, name: str
) -> None:
    theirs = {(d.stream, d.name) for d in ACCOUNTS[name].durables}
    consumers = {(d.stream, d.name) for account in ACCOUNTS.values() for d in account.durables}
    streams = (subjects.COMMANDS, subjects.WORK, subjects.EVENTS, subjects.DEAD_LETTERS)
    wanted = [f"$JS.API.{what}.{stream}" for stream in streams for what in ("STREAM.DELETE", "DIRECT.GET")]
    wanted += [f"$JS.API.STREAM.MSG.DELETE.{s}" for s in streams if s not in ACCOUNTS[name].removes]
    wanted += [f"$JS.API.STREAM.MSG.GET.{s}" for s in streams if s not in ACCOUNTS[name].reads]
    wanted += [f"$JS.API.STREAM.PURGE.{s}" for s in streams if s not in ACCOUNTS[name].purges]
    wanted += [f"$JS.API.STREAM.{what}.X" for what in ("CREATE", "UPDATE", "RESTORE")]
    wanted += [f"$JS.API.STREAM.UPDATE.{s}" for s in streams if s not in ACCOUNTS[name].makes]
    wanted += [f"$JS.API.CONSUMER.DELETE.{stream}.{consumer}" for stream, consumer in consumers]
    wanted += [f"$JS.API.CONSUMER.CREATE.{stream}" for stream in streams]  # a name inside would do
    wanted += [f"$JS.API.CONSUMER.CREATE.{stream}.spy" for stream in streams]
    wanted += [f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.spy" for stream in streams]
    for stream, consumer in consumers - theirs:
        wanted += [
            f"$JS.API.CONSUMER.CREATE.{stream}.{consumer}",
            f"$JS.API.CONSUMER.CREATE.{stream}.{consumer}.cmd.{consumer}.>",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}",
            f"$JS.API.CONSUMER.PAUSE.{stream}.{consumer}",
            f"$JS.ACK.{stream}.{consumer}.1.1.1.1.0",
        ]
    before = await state_of(operator)
    async with signed_in(backing, name) as it:
        for subject in wanted:
            assert await it.refused(it.nc.publish(subject, b"{}", reply=it.nc.new_inbox())), subject
    assert await state_of(operator) == before


@pytest.mark.parametrize("name", ACCOUNTS)
async def test_nobody_listens_to_what_is_not_theirs(backing: System, name: str) -> None:
    others = [subjects.inbox(other) for other in ACCOUNTS if other != name]
    wanted = [">", "*.>", "$JS.>", "_INBOX.>", "_INBOX.x.*", "cmd.>", "work.>", "dlq.>", *(f"{o}.>" for o in others)]
    if name != "auth":
        wanted += ["rpc.>", subjects.VERIFY]
    async with signed_in(backing, name) as it:
        for subject in wanted:
            assert await it.refused(it.nc.subscribe(subject)), subject
        assert not await it.refused(it.nc.subscribe(it.nc.new_inbox()))


@pytest.mark.parametrize("service", ["planner", "cache", "auth"])
async def test_a_service_makes_its_consumer_with_its_own_filter_only(
    backing: System, operator: Client, service: str
) -> None:
    subject = f"$JS.API.CONSUMER.CREATE.{subjects.COMMANDS}.{service}.cmd.{service}.>"
    async with signed_in(backing, service) as it:
        for filters in ({"filter_subject": "cmd.>"}, {}, {"filter_subjects": ["cmd.auth.>", "cmd.cache.>"]}):
            config = {"durable_name": service, "name": service, "ack_policy": "explicit", **filters}
            request = json.dumps({"stream_name": subjects.COMMANDS, "config": config}).encode()
            answer = json.loads((await it.nc.request(subject, request, timeout=PATIENCE)).data)
            assert answer.get("error"), filters
    info = await operator.jetstream().consumer_info(subjects.COMMANDS, service)
    assert info.config.filter_subject == f"cmd.{service}.>"


@pytest.mark.parametrize("who", [{}, {"auth_token": "guessed"}, {"user": "artdag", "pass": "guessed"}])
async def test_a_stranger_is_refused(backing: System, who: dict[str, str]) -> None:
    """Spoken by hand: a client's library makes one of several errors of a connection that the server closes."""
    server = urlsplit(backing.accounts["auth"]["NATS_URL"])
    reader, writer = await asyncio.open_connection(server.hostname, server.port)
    assert (await reader.readline()).startswith(b"INFO ")
    writer.write(b"CONNECT " + json.dumps({"verbose": False, **who}).encode() + b"\r\n")
    assert await reader.read() == b"-ERR 'Authorization Violation'\r\n"
    writer.close()


async def test_a_seed_that_is_none_is_refused(backing: System) -> None:
    with pytest.raises(ConfigurationError, match="'auth' is none"):
        await Bus.connect(backing.accounts["auth"]["NATS_URL"], "auth", "SUNOSEED")


async def test_what_is_pulled_to_another_subject_is_not_taken_for_what_is_sent_there(
    backing: System, operator: Client
) -> None:
    """NATS lets whoever pulls name any address. What comes from there counts for nothing."""
    url = backing.accounts["auth"]["NATS_URL"]
    auth = await Bus.connect(url, "auth", seed_of(backing, "auth"))
    asked: list[bytes] = []

    async def answer(message: Msg) -> None:
        asked.append(message.data)
        await message.respond(b"answered")

    await auth.nc.subscribe(subjects.VERIFY, cb=answer)
    heard = asyncio.Event()

    async def hear(_: Msg) -> None:
        heard.set()

    await operator.subscribe(subjects.VERIFY, cb=hear)
    async with signed_in(backing, "executor") as executor, signed_in(backing, "gateway") as gateway:
        await executor.nc.publish("work.cpu.forged", b"forged", reply=executor.nc.new_inbox())
        pull = f"$JS.API.CONSUMER.MSG.NEXT.{subjects.WORK}.{subjects.workers('cpu')}"
        assert not await executor.refused(executor.nc.publish(pull, b'{"batch":1}', reply=subjects.VERIFY))
        async with asyncio.timeout(PATIENCE):
            await heard.wait()
        assert (await gateway.nc.request(subjects.VERIFY, b"asked", timeout=PATIENCE)).data == b"answered"
        # Nor is an address followed that is not where somebody waits for an answer.
        before = await state_of(operator)
        await gateway.nc.publish(subjects.VERIFY, b"asked too", reply="evt.run.a.RunCompleted")
        await auth.answer("dlq.auth.forged", Outcome.of())
        assert (await gateway.nc.request(subjects.VERIFY, b"last", timeout=PATIENCE)).data == b"answered"
        assert await state_of(operator) == before
    assert asked == [b"asked", b"asked too", b"last"]
    await auth.close()


# --- Postgres ---


async def drop_roles(database: str) -> None:
    owner = await asyncpg.connect(database)
    for url in roles.urls(database).values():
        name = urlsplit(url).username
        if await owner.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", name):
            await owner.execute(f'DROP OWNED BY "{name}"')
            await owner.execute(f'DROP ROLE "{name}"')
    await owner.close()


@pytest.fixture(scope="module")
async def database_with_roles(backing: System) -> AsyncIterator[str]:
    """The owner's URL of a database that was prepared."""
    _, url = await new_database(backing.environment["DATABASE_URL"])
    assert await roles.prepare(url)
    yield url
    await drop_roles(url)


@pytest.fixture(scope="module")
async def signed(database_with_roles: str) -> AsyncIterator[dict[str, asyncpg.Connection]]:
    urls = {**roles.urls(database_with_roles), "owner": database_with_roles}
    connections = {name: await asyncpg.connect(url) for name, url in urls.items()}
    yield connections
    for connection in connections.values():
        await connection.close()


@pytest.fixture
async def people(signed: dict[str, asyncpg.Connection]) -> dict[str, asyncpg.Connection]:
    """A connection under each role of an empty database, and the owner's."""
    kept = {"es_roles", "es_schema"}
    await signed["owner"].execute(f"TRUNCATE {', '.join(t for t in roles.defined()[0] if t not in kept)}")
    return signed


@pytest.fixture
async def history(people: dict[str, asyncpg.Connection]) -> asyncpg.Connection:
    """The owner, once there are events of every kind, positioned."""
    owner = people["owner"]
    for place, kind in enumerate(KINDS, 1):
        assert await append(owner, f"{kind}-kept") == ["appended"]
        await owner.execute("INSERT INTO es_log VALUES ($1, $2, 1, '')", place, f"{kind}-kept")
    return owner


async def append(connection: Any, stream: str, consumer: str = "", msg: str = "") -> list[str]:
    """Append an event to a stream and return the results."""
    results: list[str] = await connection.fetchval(
        f"SELECT {postgres.APPEND}",
        *([stream], [0], [consumer], [msg], [b""]),
        *([1], [1], [uuid4()], ["RunReleased"], [b""], [f"cause {next(_numbers)}"]),
    )
    return results


async def first_column(connection: asyncpg.Connection, table: str) -> str:
    return str(
        await connection.fetchval(
            """SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND attidentity = ''
            ORDER BY attnum LIMIT 1""",
            table,
        )
    )


async def refused(connection: asyncpg.Connection, statement: str, *arguments: Any) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement, *arguments)


@pytest.mark.parametrize("table", ["es_events", "es_log", "es_inbox", "es_outbox", "es_roles", "es_schema"])
async def test_nobody_rewrites_history(
    people: dict[str, asyncpg.Connection], history: asyncpg.Connection, table: str
) -> None:
    before = await history.fetch(f"SELECT * FROM {table} t ORDER BY t")
    for name, connection in people.items():
        if name == "owner":
            continue
        column = await first_column(history, table)
        await refused(connection, f"UPDATE {table} SET {column} = {column}")
        if (name, table) != ("relay", "es_outbox"):
            await refused(connection, f"DELETE FROM {table}")
        await refused(connection, f"TRUNCATE {table} CASCADE")
        await refused(connection, f"DROP TABLE {table} CASCADE")
        await refused(connection, f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        if (name, table) != ("relay", "es_log"):
            await refused(connection, f"INSERT INTO {table} ({column}) VALUES (NULL)")
    assert await history.fetch(f"SELECT * FROM {table} t ORDER BY t") == before


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_appends_to_its_own_streams_only(people: dict[str, asyncpg.Connection], service: str) -> None:
    role, connection = ROLES[service], people[service]
    for kind in KINDS:
        if kind in role.streams:
            assert await append(connection, f"{kind}-new") == ["appended"]
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await append(connection, f"{kind}-new")
    stored = await people["owner"].fetch("SELECT DISTINCT split_part(stream, '-', 1) FROM es_events")
    assert {row[0] for row in stored} == set(role.streams)


async def test_one_foreign_stream_spoils_the_whole_append(people: dict[str, asyncpg.Connection]) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match=r"run-b is not for events_\d+_executor"):
        await people["executor"].fetchval(
            f"SELECT {postgres.APPEND}",
            *(["step-a", "run-b"], [0, 0], ["", ""], ["", ""], [b"", b""]),
            *([1, 2], [1, 1], [uuid4(), uuid4()], ["StepCompleted", "RunCompleted"], [b"", b""], ["", ""]),
        )
    assert await people["owner"].fetchval("SELECT count(*) FROM es_events") == 0


async def test_nobody_notes_another_s_messages_as_handled(people: dict[str, asyncpg.Connection]) -> None:
    for name, stream in (("planner", "run-a"), ("cache", "object-a"), ("auth", "token-a")):
        for consumer in ("planner", "cache", "auth", "gateway"):
            if consumer == name:
                continue
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await append(people[name], stream, consumer, "m")
            await refused(people[name], "SELECT es_keep_outcome($1, 'm', '')", consumer)
        assert await append(people[name], stream, name, "m") == ["appended"]
        await people[name].execute("SELECT es_keep_outcome($1, 'n', '')", name)
    for name in ("gateway", "executor", "relay"):
        await refused(people[name], "SELECT es_keep_outcome('auth', 'm', '')")
    assert await people["owner"].fetchval("SELECT count(*) FROM es_inbox") == 6


TABLES = [table for table in roles.defined()[0] if table not in ROLES["relay"].tables]


@pytest.mark.parametrize("service", SERVICES)
async def test_tables_of_others_are_closed(people: dict[str, asyncpg.Connection], service: str) -> None:
    connection = people[service]
    for table in TABLES:
        held = ROLES[service].tables.get(table, "")
        column = await first_column(people["owner"], table)
        for privilege, statement in (
            ("SELECT", f"SELECT * FROM {table}"),
            ("INSERT", f"INSERT INTO {table} DEFAULT VALUES"),
            ("UPDATE", f"UPDATE {table} SET {column} = NULL"),
            ("DELETE", f"DELETE FROM {table}"),
        ):
            if privilege not in held.split(", "):
                await refused(connection, statement)
        await refused(connection, f"TRUNCATE {table}")
        await refused(connection, f"DROP TABLE {table}")


async def test_an_executor_sees_the_events_of_steps_only(
    people: dict[str, asyncpg.Connection], history: asyncpg.Connection
) -> None:
    async def seen(name: str) -> set[str]:
        return {row[0] for row in await people[name].fetch("SELECT stream FROM es_events")}

    assert await seen("executor") == {"step-kept"}
    for name in ("gateway", "planner", "cache", "auth", "relay"):
        assert await seen(name) == {f"{kind}-kept" for kind in KINDS}


async def test_content_is_held_in_one_s_own_name_only(people: dict[str, asyncpg.Connection]) -> None:
    hold = "SELECT content_hold($1, '', 0, '{c}', '{k}', '{0}', '{-1}', '', false)"
    await people["planner"].execute(hold, "run-a")
    await people["cache"].execute(hold, "user-a")
    await refused(people["planner"], hold, "user-a")
    await refused(people["cache"], hold, "run-a")
    await refused(people["cache"], "SELECT content_release('run-a', '{}', '')")
    await refused(people["planner"], "SELECT content_release('user-a', '{}', '')")
    for name in ("gateway", "executor", "auth", "relay"):
        await refused(people[name], hold, "user-a")
        await refused(people[name], "SELECT content_evict('c', '{k run-a, k user-a}', 0)")
    await refused(people["planner"], "SELECT content_evict('c', '{k run-a, k user-a}', 0)")
    await people["gateway"].execute("SELECT content_announce('c', 'upload-a')")
    await people["cache"].execute("SELECT content_release('user-a', '{}', '')")
    rows = await people["owner"].fetch("SELECT holder FROM content_holds ORDER BY holder")
    assert [row[0] for row in rows] == ["run-a", "upload-a"]


async def test_nobody_becomes_the_owner(people: dict[str, asyncpg.Connection]) -> None:
    user = await people["owner"].fetchval("SELECT current_user")
    for name, connection in people.items():
        if name == "owner":
            continue
        await refused(connection, f'SET ROLE "{user}"')
        await refused(connection, f'SET SESSION AUTHORIZATION "{user}"')
        await refused(
            connection, "CREATE OR REPLACE FUNCTION es_check(text[], text[], text[]) RETURNS void AS '' LANGUAGE sql"
        )
        await refused(connection, "CREATE TABLE public.mine ()")
        await refused(connection, "CREATE SCHEMA mine")
        await refused(connection, "CREATE ROLE mine")
        await refused(connection, "COPY es_roles TO PROGRAM 'true'")
        await refused(connection, "SELECT pg_read_file('postgresql.conf')")
        await refused(connection, "ALTER ROLE CURRENT_USER CREATEROLE")
        if name != "gateway":
            await refused(connection, f"CREATE TABLE {GATEWAY_SCHEMA}.mine ()")


async def test_a_table_of_the_same_name_is_not_taken_for_the_real_one(people: dict[str, asyncpg.Connection]) -> None:
    for name in ("planner", "executor"):
        await people[name].execute(
            "CREATE TEMP TABLE es_roles AS SELECT session_user::text AS role, '{token}'::text[] AS s"
        )
        await people[name].execute("CREATE TEMP TABLE es_events (LIKE public.es_log)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await append(people[name], "token-a")
    assert await append(people["executor"], "step-a") == ["appended"]
    for name in ("planner", "executor"):
        await people[name].execute("DISCARD TEMP")
    assert await people["owner"].fetchval("SELECT stream FROM es_events") == "step-a"


async def test_an_append_that_is_refused_is_not_asked_again_and_spoils_no_neighbour(
    people: dict[str, asyncpg.Connection], database_with_roles: str
) -> None:
    pool = await postgres.connect(roles.urls(database_with_roles)["executor"], 2)
    store = PostgresEventStore(pool)
    results = await asyncio.gather(
        store.append(an_append("step-a", 0, "a")),
        store.append(Append("run-a", 0, [NewEvent(uuid4(), "RunCompleted", b"")], "forged")),
        store.append(an_append("step-b", 0, "b")),
        return_exceptions=True,
    )
    assert [results[0], results[2]] == ["appended", "appended"]
    assert isinstance(results[1], asyncpg.InsufficientPrivilegeError)
    await store.close()
    await pool.close()


# --- databases of before, and of others ---


async def test_a_database_of_a_version_without_roles_keeps_what_it_holds(database: str) -> None:
    pool = await postgres.connect(database, 2)  # as its services did
    await pool.execute("CREATE TABLE rm_position (name text); INSERT INTO rm_position VALUES ('gateway')")
    await pool.execute("CREATE TABLE gateway_idempotency (key text); INSERT INTO gateway_idempotency VALUES ('k')")
    async with pool.acquire() as connection:
        assert await append(connection, "run-old") == ["appended"]
    await pool.close()
    urls = await roles.prepare(database)
    assert urls
    assert urls == await roles.prepare(database), "the second time there is nothing to do"
    gateway = await asyncpg.connect(urls["gateway"])
    assert await gateway.fetchval("SELECT name FROM rm_position") == "gateway"
    assert await gateway.fetchval("SELECT key FROM gateway_idempotency") == "k"
    await gateway.execute("DROP TABLE rm_position, gateway_idempotency")
    assert await gateway.fetchval("SELECT stream FROM es_events") == "run-old"
    await gateway.close()
    owner = await asyncpg.connect(database)  # the operator's tools may make what the gateway will own
    await owner.execute(f"CREATE TABLE {GATEWAY_SCHEMA}.rm_made (n int)")
    await roles.prepare(database)
    gateway = await asyncpg.connect(urls["gateway"])
    await gateway.execute("INSERT INTO rm_made VALUES (1)")
    assert await owner.fetchval("SELECT n FROM rm_made") == 1, "and sees what the gateway made"
    await gateway.close()
    await owner.close()
    await drop_roles(database)


async def test_a_role_logs_in_once_it_has_what_it_needs(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is early is not let in, instead of failing by what is not granted yet; also where making them broke off."""
    with monkeypatch.context() as broken:
        broken.setattr(roles, "_grants", lambda names, schema: ["SELECT 1 / 0"])
        with pytest.raises(asyncpg.DivisionByZeroError):
            await roles.prepare(database)
    executor = roles.urls(database)["executor"]
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="not permitted to log in"):
        await asyncpg.connect(executor)
    assert await roles.prepare(database)
    connection = await asyncpg.connect(executor)
    assert await connection.fetchval("SELECT version FROM es_schema")
    await connection.close()
    await drop_roles(database)


async def test_an_account_that_may_make_roles_makes_them_and_another_one_serves_all(
    backing: System, database: str
) -> None:
    owner = await asyncpg.connect(database)
    name = urlsplit(database).path.strip("/")
    await owner.execute("CREATE ROLE maker LOGIN CREATEROLE PASSWORD 'made'; CREATE ROLE plain LOGIN PASSWORD 'plain'")
    await owner.execute(f"ALTER DATABASE {name} OWNER TO maker; GRANT ALL ON SCHEMA public TO plain, maker")
    place = urlsplit(database).netloc.rpartition("@")[2]
    try:
        assert await roles.prepare(f"postgresql://plain:plain@{place}/{name}") is None
        pool = await postgres.connect(f"postgresql://plain:plain@{place}/{name}", 2)
        async with pool.acquire() as connection:
            assert await append(connection, "run-a") == ["appended"], "one account does everything"
            assert await append(connection, "step-a") == ["appended"]
        await pool.close()
        await owner.execute("REASSIGN OWNED BY plain TO maker")
        urls = await roles.prepare(f"postgresql://maker:made@{place}/{name}")
        assert urls
        executor = await asyncpg.connect(urls["executor"])
        assert await append(executor, "step-b") == ["appended"]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await append(executor, "run-b")
        await executor.close()
        pool = await postgres.connect(urls["gateway"], 2)
        await pool.execute(f"CREATE TABLE {GATEWAY_SCHEMA}.rm_mine ()")
        await pool.close()
        assert await roles.prepare(f"postgresql://maker@{place}/{name}") is None, "no password, nothing to derive"
    finally:
        for role in (*(f"{name}_{service}" for service in ROLES), "maker", "plain"):
            if await owner.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                await owner.execute(f'REASSIGN OWNED BY "{role}" TO artdag; DROP OWNED BY "{role}"; DROP ROLE "{role}"')
        await owner.close()


# --- secrets ---


def test_each_service_is_given_its_own_accounts_and_the_secrets_that_it_needs(backing: System) -> None:
    given = {service: backing.environment_of(service) for service in SERVICES}
    operators = {backing.environment[name] for name in ("NATS_URL", "DATABASE_URL")}
    for service, environment in given.items():
        assert not operators & set(environment.values())
        for name, services in SECRETS.items():
            assert bool(environment.get(name)) <= (service in services), f"{service} gets {name}"
        relays = {name for name in environment if name.startswith("ARTDAG_RELAY_")}
        assert bool(relays) == (service == "auth")
    assert given["cache"]["ARTDAG_SECRET_KEY"]
    assert given["gateway"]["ARTDAG_SECRET_KEY"]
    assert given["cache"]["ARTDAG_ACTOR_KEY"]
    for name in ("DATABASE_URL", "ARTDAG_NATS_SEED"):
        assert len({environment[name] for environment in given.values()}) == len(SERVICES)


CHILD = """
import os, subprocess, sys, ctypes
from artdag_common.config import SECRETS
from artdag_common.process import keep_to_ourselves
keep_to_ourselves(SECRETS)
inherited = subprocess.run([sys.executable, "-c", "import os; print(os.environ.get('KEPT', ''), *os.environ.values())"],
    capture_output=True, text=True).stdout
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), inherited)
"""


def test_what_a_service_starts_inherits_no_secret_and_cannot_look_into_it() -> None:
    secrets = {name: f"the secret {name}" for name in OUT_OF_THE_ENVIRONMENT}
    said = subprocess.run(
        [sys.executable, "-c", CHILD],
        env={**os.environ, **secrets, "KEPT": "kept"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.startswith("0 kept"), "no core dump, no look by another process of the same user"
    assert "the secret" not in said
    assert set(SECRETS) <= set(OUT_OF_THE_ENVIRONMENT)
