"""Who may read and write what in Postgres: one table, from which the roles of a database are made.

Each service signs in as a role of its own, and so does the relay. Events are appended by ``es_append`` alone, which
runs with the rights of the tables' owner and refuses streams that are not the caller's; nobody but the owner may change
or remove what was appended. The gateway owns a schema for its read models; all else belongs to the owner.

Roles are named after the database, so that several systems can live on one server.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import asyncpg
import structlog

from artdag_common.errors import ServiceUnavailableError
from artdag_common.eventstore.port import WAITED_FOR
from artdag_common.eventstore.postgres import GATEWAY_SCHEMA, LOST
from artdag_common.eventstore.schema import SCHEMA, alone, briefly, schema_text, settle

READ = "SELECT"
WRITE = "SELECT, INSERT, UPDATE, DELETE"
ITERATIONS = 4096
NAME = re.compile("[A-Za-z0-9_-]{1,63}")
"""What a role may be called here; a database with another name has one account for all."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Role:
    """What one role is for.

    Attributes:
        streams: kinds of the streams that it appends to.
        holders: kinds of holders in whose name it notes that content is needed, or no longer.
        consumer: whose handled messages it notes.
        tables: privileges by table. What is not named is not to be seen.
        calls: functions.
        sees: kinds of streams whose events it may read; none: all, where it may read events.
    """

    streams: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    consumer: str = ""
    tables: Mapping[str, str] = field(default_factory=dict)
    calls: tuple[str, ...] = ()
    sees: tuple[str, ...] = ()


EVENTS = {"es_schema": READ, "es_events": READ, "es_log": READ}
HANDLED = {"es_inbox": READ}
CONTENT = {"content_books": READ, "content_holds": READ}
PEOPLE = {"auth_people": READ}
APPEND = ("es_append", "es_keep_outcome")

ROLES: Mapping[str, Role] = {
    "gateway": Role(
        tables={
            **EVENTS,
            **HANDLED,
            **CONTENT,
            **PEOPLE,
            "actor_keys": READ,
            "deliveries": READ,
            "step_logs": READ,
            "planner_active": READ,
            "planner_repairs": READ,
            "planner_repaired": READ,
            "es_outbox": READ,
            "webhook_notices": "SELECT (notice_id, attempt, due_at, over, status, last_error)",
        },
        consumer=WAITED_FOR,
        calls=("content_announce", "content_used", "es_keep_outcome"),
    ),
    "planner": Role(
        streams=("run", "recipe", "effect"),
        holders=("run", "recipe", "effect", "system"),
        consumer="planner",
        tables={
            **EVENTS,
            **HANDLED,
            **CONTENT,
            **PEOPLE,
            "planner_waits": WRITE,
            "planner_active": WRITE,
            "planner_slots": WRITE,
            "planner_repairs": WRITE,
            "planner_repaired": WRITE,
        },
        calls=(
            *APPEND,
            "planner_admit",
            "planner_change",
            "planner_index",
            "planner_take",
            "planner_give_back",
            "content_hold",
            "content_release",
            "content_expect",
            "content_used",
        ),
    ),
    "executor": Role(
        streams=("step",),
        tables=EVENTS,
        calls=("es_append", "step_log_keep"),
        sees=("step",),
    ),
    "cache": Role(
        streams=("object", "storage", "copy", "webhook", "notice"),
        holders=("user", "publication"),
        consumer="cache",
        tables={
            **EVENTS,
            **HANDLED,
            **PEOPLE,
            "content_books": "SELECT, UPDATE (removed)",
            "content_holds": "SELECT, DELETE",
            "storage_providers": WRITE,
            "storage_secrets": WRITE,
            "storage_owned": WRITE,
            "storage_copies": WRITE,
            "webhooks": WRITE,
            "webhook_notices": WRITE,
            "deliveries": WRITE,
            "actor_keys": WRITE,
            "step_logs": "SELECT (ended_at), DELETE",
        },
        calls=(
            *APPEND,
            "content_stored",
            "content_arrived",
            "content_hold",
            "content_release",
            "content_evict",
            "content_disown",
            "content_orphan",
            "content_used",
            "storage_change",
            "webhook_change",
            "webhook_note",
            "webhook_settle",
            "delivery_change",
            "delivery_settled",
        ),
    ),
    "auth": Role(
        streams=("token", "user", "audit"),
        consumer="auth",
        tables={
            **EVENTS,
            **HANDLED,
            "auth_people": WRITE,
            "auth_tokens": WRITE,
            "auth_logouts": WRITE,
            "auth_grants": WRITE,
            "auth_guesses": WRITE,
        },
        calls=(*APPEND, "es_forget_handled", "auth_attach", "auth_refuse", "auth_refuse_all", "auth_forget"),
    ),
    "relay": Role(
        tables={
            "es_events": READ,
            "es_log": "SELECT, INSERT",
            "es_outbox": "SELECT, DELETE",
            "planner_repairs": "SELECT (what), INSERT",
            "planner_repaired": "SELECT, INSERT, UPDATE",
        }
    ),
}

DEFINED = re.compile(r"^CREATE (TABLE IF NOT EXISTS|OR REPLACE FUNCTION) (\w+)", re.MULTILINE)


def defined() -> tuple[list[str], list[str]]:
    """Return the names of the tables and of the functions that the schema defines."""
    found = DEFINED.findall(schema_text())
    tables = [name for what, name in found if what.startswith("TABLE")]
    return tables, [name for what, name in found if not what.startswith("TABLE")]


def password(secret: str, role: str) -> str:
    """Return a role's password, derived from the owner's: whoever knows the owner's finds the same."""
    return hmac.new(secret.encode(), f"postgres role {role}".encode(), "sha256").hexdigest()


def verifier(role_password: str, salt: bytes) -> str:
    """Return what Postgres keeps of a password (RFC 7677): no statement, and no log of one, holds the password."""
    salted = hashlib.pbkdf2_hmac("sha256", role_password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${ITERATIONS}:{salt_text}${stored_text}:{server_text}"


def urls(url: str) -> dict[str, str]:
    """Return the URL under which each service reaches the database of the owner's URL, by service and ``relay``."""
    parts = urlsplit(url)
    database, secret = unquote(parts.path.lstrip("/")), unquote(parts.password or "")
    place = parts.netloc.rpartition("@")[2]
    names = {service: f"{database}_{service}" for service in ROLES}
    return {
        service: parts._replace(netloc=f"{quote(name, safe='')}:{password(secret, name)}@{place}").geturl()
        for service, name in names.items()
    }


async def prepare(url: str) -> dict[str, str] | None:
    """Bring the schema of a database up to date, and its roles, where the account may make them.

    Args:
        url: of the tables' owner.

    Returns:
        The URL of each service and of the relay; None: all of them have to do with this one, since its account may not
        make roles or has no password to derive theirs from, or since they are not let in.

    Raises:
        SchemaVersionError: this version cannot work with the database.
        ServiceUnavailableError: Postgres cannot be reached.
    """
    own = urls(url)
    names = {service: unquote(urlsplit(each).username or "") for service, each in own.items()}
    try:
        connection = await asyncpg.connect(url)
        try:
            before = await settle(connection)
            if not await _may_make_roles(connection, url, names):
                return None
            if before.version <= SCHEMA:  # else a newer version made them, for its services too
                async with alone(connection):
                    await _make(connection, names, unquote(urlsplit(url).password or ""))
        finally:
            await connection.close()
        opened = await asyncpg.connect(own["relay"])
        await opened.close()
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InsufficientPrivilegeError) as error:
        log.warning("services share one account", reason=str(error))
        return None
    except LOST as error:
        raise ServiceUnavailableError(f"Postgres cannot be reached: {error}") from error
    return own


async def _may_make_roles(connection: Any, url: str, names: Mapping[str, str]) -> bool:
    if not urlsplit(url).password or not all(NAME.fullmatch(name) for name in names.values()):
        return False
    return bool(
        await connection.fetchval("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    )


async def _make(connection: Any, names: Mapping[str, str], secret: str) -> None:
    """Do what is not done yet: nothing, where the database was prepared by this very version."""
    verifiers = {
        name: verifier(password(secret, name), hmac.digest(secret.encode(), f"salt {name}".encode(), "sha256")[:16])
        for name in names.values()
    }
    schema = await connection.fetchval("SELECT quote_ident(current_schema())")
    grants = list(_grants(names, schema))
    sees = [f"{service}: {role.sees}" for service, role in ROLES.items()]
    made_for = hashlib.sha256("\n".join((schema_text(), *grants, *sees, *verifiers.values())).encode()).hexdigest()
    known = await connection.fetchval("SELECT to_regclass('es_roles')") and await connection.fetchval(
        "SELECT min(made_for) FROM es_roles WHERE role = ANY ($1::text[])", list(names.values())
    )
    if known != made_for:
        async with connection.transaction():
            superuser = await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
            there = [each[0] for each in await connection.fetch("SELECT rolname FROM pg_roles")]
            for name, kept in verifiers.items():
                verb = "ALTER" if name in there else "CREATE"  # a new one may log in once it has what it needs
                await connection.execute(f"{verb} ROLE {quoted(name)} PASSWORD '{kept}'")
                if not superuser:  # who hands tables over has to be a member of whom they go to
                    await connection.execute(f"GRANT {quoted(name)} TO CURRENT_USER")
        if statements := await _policies(connection, names):
            await briefly(connection, statements, "es_events")
        async with connection.transaction():
            for statement in grants:
                await connection.execute(statement)
            for name in names.values():
                await connection.execute(f"ALTER ROLE {quoted(name)} LOGIN")
            await connection.execute("DELETE FROM es_roles WHERE role = ANY ($1::text[])", list(names.values()))
            await connection.executemany(
                "INSERT INTO es_roles (role, streams, holders, consumer, made_for) VALUES ($1, $2, $3, $4, $5)",
                [
                    (names[service], list(role.streams), list(role.holders), role.consumer, made_for)
                    for service, role in ROLES.items()
                ],
            )
    if handed := await _hand_over(connection, names["gateway"]):
        await briefly(connection, handed, "rm_position")


async def _policies(connection: Any, names: Mapping[str, str]) -> list[str]:
    """Return the statements that let each role see the events that it may: nothing, where it is so already, since they
    need the table of all events for themselves."""
    # Not es_log too: it holds names only, and COPY cannot write to a table with policies.
    statements = []
    if not await connection.fetchval("SELECT relrowsecurity FROM pg_class WHERE oid = 'es_events'::regclass"):
        statements.append("ALTER TABLE es_events ENABLE ROW LEVEL SECURITY")
    rows = await connection.fetch(
        "SELECT policyname, roles::text[] AS roles, qual FROM pg_policies"
        " WHERE schemaname = current_schema() AND tablename = 'es_events' AND cmd = 'SELECT'"
    )
    there = {row["policyname"]: (row["roles"], row["qual"]) for row in rows}
    for service, role in ROLES.items():
        # As Postgres itself writes it.
        kinds = " OR ".join(f"(stream ~~ '{kind}-%'::text)" for kind in role.sees)
        condition = f"({kinds})" if len(role.sees) > 1 else kinds or "true"
        if there.get(service) != ([names[service]], condition):
            statements.append(f"DROP POLICY IF EXISTS {service} ON es_events")
            to = quoted(names[service])
            statements.append(f"CREATE POLICY {service} ON es_events FOR SELECT TO {to} USING ({condition})")
    return statements


def _grants(names: Mapping[str, str], schema: str) -> Iterator[str]:
    """Return the statements that give every role what it needs, and take everything else away."""
    tables, functions = defined()
    everybody = ", ".join(map(quoted, names.values()))
    database = quoted(names["gateway"].removesuffix("_gateway"))
    yield f"GRANT USAGE ON SCHEMA {schema} TO {everybody}"
    yield f"CREATE SCHEMA IF NOT EXISTS {GATEWAY_SCHEMA} AUTHORIZATION {quoted(names['gateway'])}"
    for who in (quoted(names["gateway"]), "CURRENT_USER"):
        yield f"ALTER ROLE {who} IN DATABASE {database} SET search_path = {schema}, {GATEWAY_SCHEMA}"
    yield f"REVOKE ALL ON {', '.join(tables)} FROM PUBLIC, {everybody}"
    yield f"REVOKE ALL ON FUNCTION {', '.join(functions)} FROM PUBLIC, {everybody}"
    for service, role in ROLES.items():
        for table, privileges in role.tables.items():
            yield f"GRANT {privileges} ON {table} TO {quoted(names[service])}"
        if role.calls:
            yield f"GRANT EXECUTE ON FUNCTION {', '.join(role.calls)} TO {quoted(names[service])}"


async def _hand_over(connection: Any, gateway: str) -> list[str]:
    """Return the statements that give the gateway the tables of its read models that are not its own yet: of a version
    without roles, or made by the owner in its place."""
    rows = await connection.fetch(
        """SELECT n.nspname = $1 AS moved, c.relname AS name,
        to_regclass(format('%I.%I', $1, c.relname)) IS NOT NULL AS there, format('%I.%I', n.nspname, c.relname) AS place
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND c.relowner <> $2::regrole
        AND (n.nspname = $1 OR n.nspname = current_schema() AND c.relname ~ '^(rm|gateway)_')""",
        GATEWAY_SCHEMA,
        quoted(gateway),
    )
    statements = []
    for row in rows:
        if not row["moved"] and row["there"]:
            statements.append(f"DROP TABLE {row['place']}")
            continue
        if not row["moved"]:
            statements.append(f"ALTER TABLE {row['place']} SET SCHEMA {GATEWAY_SCHEMA}")
        statements.append(f"ALTER TABLE {GATEWAY_SCHEMA}.{quoted(row['name'])} OWNER TO {quoted(gateway)}")
    return statements


def quoted(name: str) -> str:
    """Return a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'
