"""Servers as they answer: whether they do, in which version, with which settings, and what their clocks say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import nats
import redis.asyncio
import redis.exceptions
from nats.aio.client import Client

from artdag_cli.surroundings.facts import Clock, Nats, Other, Postgres, Redis
from artdag_cli.surroundings.machine import space
from artdag_common.blobs.endpoints import parse_endpoint
from artdag_common.blobs.trial import try_out
from artdag_common.errors import ArtdagError, StorageRefusedError
from artdag_common.eventstore import roles, schema
from artdag_common.messaging import servers, subjects

SECONDS = 5.0
"""How long a server may take to answer."""

LOCAL = ("localhost", "127.0.0.1", "::1", None)
SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "max_connections", "server_version_num")
RESERVED = ("superuser_reserved_connections", "reserved_connections")
MAY_MAKE = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
MAY_APPEND = """SELECT coalesce(bool_and(has_function_privilege(oid, 'EXECUTE')), true) FROM pg_proc
WHERE proname = 'es_append' AND pronamespace = current_schema()::regnamespace"""
PORTS = {"http": 80, "https": 443, "nats": 4222, "tls": 4222}
UNREADABLE = "the address cannot be read"
TRIED = "artdag:doctor"
"""What is written to Redis for a second, to see whether that can be done."""

TRIAL_SECONDS = 15.0
"""How long a place of content may take to store, give back and remove a few bytes."""


def reason(error: BaseException) -> str:
    """Return why something did not answer, in a line."""
    text = str(error).strip() or type(error).__name__
    return "no answer in time" if isinstance(error, TimeoutError) else " ".join(text.split())[:300]


async def clock(ask: Callable[[], Awaitable[float]]) -> Clock:
    """Return how another clock stands: what it says, between two looks at ours."""
    began = time.time()
    told = await ask()
    ended = time.time()
    return Clock(told - (began + ended) / 2, (ended - began) / 2)


# --- Postgres -------------------------------------------------------------------------------------------------------


async def postgres(url: str) -> Postgres:
    """Return how a Postgres server answers to an account."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2] + parts.path
    try:
        async with asyncio.timeout(SECONDS):
            connection = await asyncpg.connect(url, timeout=SECONDS)
            try:
                return await _postgres(connection, url, place)
            finally:
                connection.terminate()
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return Postgres(place, away=reason(error))


async def _postgres(connection: Any, url: str, place: str) -> Postgres:
    rows = await connection.fetch(
        "SELECT name, setting FROM pg_settings WHERE name = ANY ($1::text[])", [*SETTINGS, *RESERVED, "data_directory"]
    )
    settings = {row["name"]: row["setting"] for row in rows}
    used = await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
    reserved = sum(int(settings.get(name, 0)) for name in RESERVED)
    makes = await connection.fetchval("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    wanted = [unquote(urlsplit(each).username or "") for each in roles.urls(url).values()]
    there = await connection.fetch("SELECT rolname FROM pg_roles WHERE rolname = ANY ($1::text[])", wanted)

    async def now() -> float:
        return float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8"))

    data = settings.pop("data_directory", "")
    standby = await connection.fetchval("SELECT pg_is_in_recovery()")
    guarded = await connection.fetchval("SELECT current_setting('transaction_read_only') = 'on'")
    local = urlsplit(url).hostname in LOCAL and data and Path(data).exists()
    try:
        standing = await schema.standing(connection)
    except asyncpg.InsufficientPrivilegeError:
        standing = None
    able = await connection.fetchval(MAY_MAKE if standing == schema.EMPTY else MAY_APPEND)
    lacking = "may make no tables" if standing == schema.EMPTY else "may not append events"
    return Postgres(
        place,
        version=int(settings.get("server_version_num", 0)),
        settings=settings,
        encoding=await connection.fetchval(
            "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()"
        ),
        left=int(settings.get("max_connections", 0)) - reserved - used,
        makes_roles=bool(makes) and bool(urlsplit(url).password),
        missing_roles=sorted(set(wanted) - {row[0] for row in there}),
        read_only="it is a standby" if standby else "default_transaction_read_only is on" if guarded else "",
        unable="" if able else lacking,
        schema=standing,
        clock=await clock(now),
        data=space(Path(data)) if local else None,
    )


# --- NATS -----------------------------------------------------------------------------------------------------------


async def nats_server(url: str, state: Path, own: bool) -> Nats:
    """Return how a NATS server answers to an account. ``own``: it was started on the state folder."""
    place = servers.named(url)
    client = Client()
    account: Any = servers.account(url)

    async def quiet(_: Exception) -> None:
        return None

    try:
        async with asyncio.timeout(SECONDS):
            await client.connect(
                servers.addresses(url),
                **account,
                name="doctor",
                allow_reconnect=False,
                connect_timeout=2,
                error_cb=quiet,
            )
            found = await _nats(client, place, synced(state) if own else None)
            return replace(found, silent=await _silent(servers.addresses(url)))
    except (OSError, TimeoutError, ValueError, nats.errors.Error) as error:
        return Nats(place, away=reason(error))
    finally:
        with contextlib.suppress(Exception):
            await client.close()


async def _silent(addresses: Sequence[str]) -> dict[str, str]:
    """Return the servers of a cluster at which nobody listens, with why. Of a single one it is known otherwise."""
    if len(addresses) < 2:
        return {}
    found = await asyncio.gather(*(other("NATS", each if "://" in each else f"nats://{each}") for each in addresses))
    return {each.place: each.away for each in found if each.away}


async def _nats(client: Client, place: str, is_synced: bool | None) -> Nats:
    version, most = str(client.connected_server_version), client.max_payload
    told: dict[str, Any] = {}
    with contextlib.suppress(nats.errors.Error, TimeoutError, ValueError):
        told = json.loads((await client.request("$JS.API.INFO", b"", timeout=2)).data)
    if not told or "error" in told:
        return Nats(place, version=version, max_payload=most, synced=is_synced)

    async def now() -> float:
        answer = await client.request(f"$JS.API.STREAM.INFO.{subjects.COMMANDS}", b"", timeout=2)
        return datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", json.loads(answer.data)["ts"])).timestamp()

    found: Clock | None = None
    with contextlib.suppress(nats.errors.Error, TimeoutError, ValueError, KeyError):
        found = await clock(now)
    return Nats(
        place,
        version=version,
        jetstream=True,
        max_payload=most,
        synced=is_synced,
        stored=int(told.get("storage", 0)),
        stored_most=max(0, int(told.get("limits", {}).get("max_storage", 0))),
        clock=found,
    )


def synced(state: Path) -> bool | None:
    """Return whether the NATS server of a state folder writes to disk before it answers; None: there is none."""
    try:
        return "sync_interval: always" in (state / "nats" / "nats.conf").read_text()
    except OSError:
        return None


# --- Redis and others -----------------------------------------------------------------------------------------------


async def redis_server(url: str) -> Redis:
    """Return how a Redis server answers to an account."""
    place = urlsplit(url).netloc.rpartition("@")[2]
    client = redis.asyncio.Redis.from_url(
        url, decode_responses=True, socket_timeout=2, socket_connect_timeout=2, retry=None
    )
    try:
        async with asyncio.timeout(SECONDS):
            found = await client.info("server")
            memory: Any = {}
            with contextlib.suppress(redis.exceptions.ResponseError):  # an account that may not look
                memory = await client.config_get("maxmemory*")

            async def now() -> float:
                seconds, micros = await client.time()
                return float(seconds) + float(micros) / 1e6

            refuses = ""
            try:
                await client.set(TRIED, "", px=1000)
            except redis.exceptions.ResponseError as error:
                refuses = reason(error)
            return Redis(
                place,
                version=str(found.get("redis_version", "")),
                policy=str(memory.get("maxmemory-policy", "")),
                limit=int(memory.get("maxmemory", 0)),
                refuses=refuses,
                clock=await clock(now),
            )
    except (OSError, TimeoutError, ValueError, redis.exceptions.RedisError) as error:
        return Redis(place, away=reason(error))
    finally:
        with contextlib.suppress(Exception):
            await client.aclose()


async def other(name: str, address: str) -> Other:
    """Return whether somebody listens where a setting says."""
    try:
        if address.startswith("/"):
            endpoint = parse_endpoint(address)
            host, port = endpoint.host, endpoint.port
        else:
            parts = urlsplit(address)
            host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 443)
    except (ValueError, StorageRefusedError):
        return Other(name, "", away=UNREADABLE)
    place = f"{host}:{port}"
    try:
        async with asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection(host, port, family=socket.AF_UNSPEC)
        writer.close()
    except (OSError, TimeoutError) as error:
        return Other(name, place, away=reason(error))
    return Other(name, place)


async def s3(name: str, url: str) -> Other:
    """Return whether a bucket takes a few bytes, gives them back and removes them."""
    from artdag_common.blobs.s3 import S3Settings, S3Store  # takes a while to load, and few have one

    try:
        settings = S3Settings.from_url(url)
    except StorageRefusedError:
        return Other(name, "", away=UNREADABLE)
    found = await other(name, settings.endpoint)
    return found if found.away else await _tried(found, lambda: S3Store(settings, timeout_seconds=SECONDS), True)


async def ipfs(name: str, address: str, primary: bool) -> Other:
    """Return whether an IPFS node answers; ``primary``: whether it keeps a few bytes, too."""
    from artdag_common.blobs.ipfs import IpfsStore

    found = await other(name, address)
    return found if found.away else await _tried(found, lambda: IpfsStore(address), primary)


async def _tried(found: Other, opened: Callable[[], Any], written: bool) -> Other:
    try:
        store = opened()
        try:
            async with asyncio.timeout(TRIAL_SECONDS):
                await (try_out(store, store.name) if written else store.addresses())
        finally:
            await store.close()
    except (ArtdagError, TimeoutError) as error:
        return replace(found, refuses=reason(error))
    return found
