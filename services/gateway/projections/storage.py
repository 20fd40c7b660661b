"""Storage providers of users, and how it stands with each copy there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from artdag_common.domain.copy import Copy, parts_of
from artdag_common.domain.storage import REFUSED, Storage
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import arrays, newest, upsert

KINDS = (Storage.TOPIC, Copy.TOPIC)
TABLES = ("rm_storage", "rm_copies")
STATES = ("waiting", "made", "failed")
"""States of copies that are shown; one that was removed is not."""

DDL = """
CREATE TABLE IF NOT EXISTS rm_storage (
    storage_id     text PRIMARY KEY,
    position       bigint      NOT NULL,
    owner          text        NOT NULL,
    kind           text        NOT NULL,
    name           text        NOT NULL,
    settings       jsonb       NOT NULL,
    secrets        jsonb       NOT NULL,
    capacity_bytes bigint      NOT NULL,
    enabled        boolean     NOT NULL,
    code           text        NOT NULL,
    reason         text        NOT NULL,
    checked_at     timestamptz,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    version        bigint      NOT NULL
);
CREATE INDEX IF NOT EXISTS rm_storage_owner ON rm_storage (owner, position DESC);
CREATE TABLE IF NOT EXISTS rm_copies (
    storage_id   text        NOT NULL,
    cid          text        NOT NULL,
    position     bigint      NOT NULL,
    state        text        NOT NULL,
    attempt      bigint      NOT NULL,
    location     text        NOT NULL,
    size_bytes   bigint      NOT NULL,
    code         text        NOT NULL,
    reason       text        NOT NULL,
    requested_at timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (storage_id, cid)
);
CREATE INDEX IF NOT EXISTS rm_copies_newest ON rm_copies (storage_id, position DESC);
CREATE INDEX IF NOT EXISTS rm_copies_cid ON rm_copies (cid);
"""

STORAGE_COLUMNS = {
    "storage_id": "text",
    "position": "bigint",
    "owner": "text",
    "kind": "text",
    "name": "text",
    "settings": "jsonb",
    "secrets": "jsonb",
    "capacity_bytes": "bigint",
    "enabled": "boolean",
    "code": "text",
    "reason": "text",
    "checked_at": "timestamptz",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "version": "bigint",
}
COPY_COLUMNS = {
    "storage_id": "text",
    "cid": "text",
    "position": "bigint",
    "state": "text",
    "attempt": "bigint",
    "location": "text",
    "size_bytes": "bigint",
    "code": "text",
    "reason": "text",
    "requested_at": "timestamptz",
    "updated_at": "timestamptz",
}
WRITE_STORAGE = upsert("rm_storage", STORAGE_COLUMNS, ("storage_id",))
WRITE_COPIES = upsert("rm_copies", COPY_COLUMNS, ("storage_id", "cid"))


@dataclass(slots=True)
class StorageRow:
    """A row of ``rm_storage``.

    Attributes:
        settings: JSON of what is no secret.
        secrets: JSON; name of each secret that is set → when it was set.
        code, reason: of what went wrong last; empty where nothing did since.
        version: of its last event in its stream.
    """

    storage_id: str
    position: int
    owner: str
    kind: str
    name: str
    settings: str
    secrets: str
    capacity_bytes: int
    enabled: bool
    code: str
    reason: str
    checked_at: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int

    @property
    def status(self) -> str:
        """``disabled``, ``refused`` (a person has to act), ``away`` (tried again by itself), or ``ready``."""
        if not self.enabled:
            return "disabled"
        if self.code == REFUSED:
            return "refused"
        return "away" if self.code else "ready"


@dataclass(slots=True)
class CopyRow:
    """A row of ``rm_copies``. ``position``: of the request that it was last made or is to be made for."""

    storage_id: str
    cid: str
    position: int
    state: str
    attempt: int
    location: str
    size_bytes: int
    code: str
    reason: str
    requested_at: datetime
    updated_at: datetime


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in."""
    storages = await _storages(connection, facts)
    copies = await _copies(connection, facts, storages)
    changed: set[tuple[str, str]] = set()
    touched: set[str] = set()
    for fact in facts:
        if fact.kind == Storage.TOPIC:
            _take(storages, fact)
            touched.add(fact.key)
            continue
        storage_id, cid = parts_of(fact.key)
        storage = storages.get(storage_id)
        if storage is not None:  # else it was removed, and its copies are nobody's
            _take_copy(copies, storage, cid, fact)
            changed.add((storage_id, cid))
            touched.add(storage_id)
    gone = [storage_id for storage_id in touched if storage_id not in storages]
    if gone:
        await connection.execute("DELETE FROM rm_copies WHERE storage_id = ANY ($1::text[])", gone)
        await connection.execute("DELETE FROM rm_storage WHERE storage_id = ANY ($1::text[])", gone)
    if kept := [storages[storage_id] for storage_id in touched if storage_id in storages]:
        await connection.execute(WRITE_STORAGE, *arrays(kept, STORAGE_COLUMNS))
    if rows := [copies[key] for key in changed if key in copies and key[0] in storages]:
        await connection.execute(WRITE_COPIES, *arrays(rows, COPY_COLUMNS))


async def _storages(connection: Any, facts: Sequence[Fact]) -> dict[str, StorageRow]:
    keys = {fact.key if fact.kind == Storage.TOPIC else parts_of(fact.key)[0] for fact in facts}
    rows = await connection.fetch("SELECT * FROM rm_storage WHERE storage_id = ANY ($1::text[])", list(keys))
    return {row["storage_id"]: StorageRow(**row) for row in rows}


async def _copies(
    connection: Any, facts: Sequence[Fact], storages: dict[str, StorageRow]
) -> dict[tuple[str, str], CopyRow]:
    keys = {parts_of(fact.key) for fact in facts if fact.kind == Copy.TOPIC}
    if not keys:
        return {}
    rows = await connection.fetch(
        """SELECT c.* FROM rm_copies c JOIN unnest($1::text[], $2::text[]) AS k (storage_id, cid)
        USING (storage_id, cid)""",
        [storage_id for storage_id, _ in keys],
        [cid for _, cid in keys],
    )
    return {(row["storage_id"], row["cid"]): CopyRow(**row) for row in rows}


def _take(storages: dict[str, StorageRow], fact: Fact) -> None:
    event = fact.event
    if isinstance(event, Storage.Added):
        at = event.timestamp
        storages[fact.key] = StorageRow(
            storage_id=fact.key,
            position=fact.position,
            owner=event.owner,
            kind=event.kind,
            name=event.name,
            settings=event.settings,
            secrets=_set_at({}, event.secrets, (), at),
            capacity_bytes=event.capacity_bytes,
            enabled=True,
            code="",
            reason="",
            checked_at=None,
            created_at=at,
            updated_at=at,
            version=fact.recorded.version,
        )
        return
    row = storages.get(fact.key)
    if row is None or event is None:
        return
    row.updated_at, row.version = event.timestamp, fact.recorded.version
    match event:
        case Storage.Edited():
            row.name, row.settings, row.capacity_bytes = event.name, event.settings, event.capacity_bytes
            row.secrets = _set_at(orjson.loads(row.secrets), event.secrets, event.dropped, event.timestamp)
            row.code = row.reason = ""
        case Storage.Disabled():
            row.enabled = False
        case Storage.Enabled():
            row.enabled = True
        case Storage.Checked():
            row.code, row.reason, row.checked_at = event.code, event.reason, event.timestamp
        case Storage.Removed():
            del storages[fact.key]


def _set_at(known: dict[str, str], new: Sequence[str], dropped: Sequence[str], at: datetime) -> str:
    kept = {name: value for name, value in known.items() if name not in dropped}
    return orjson.dumps(kept | dict.fromkeys(new, at.isoformat()), option=orjson.OPT_SORT_KEYS).decode()


def _take_copy(copies: dict[tuple[str, str], CopyRow], storage: StorageRow, cid: str, fact: Fact) -> None:
    event = fact.event
    key = (storage.storage_id, cid)
    if isinstance(event, Copy.Requested):
        at = event.timestamp
        copies[key] = CopyRow(storage.storage_id, cid, fact.position, "waiting", 0, "", 0, "", "", at, at)
        return
    row = copies.get(key)
    if row is None or event is None:
        return
    row.updated_at = event.timestamp
    match event:
        case Copy.Made():
            row.state, row.location, row.size_bytes = "made", event.location, event.size_bytes
            row.code = row.reason = ""
            if storage.code != REFUSED:
                storage.code = storage.reason = ""
        case Copy.Failed():
            row.state = "waiting" if event.again else "failed"
            row.attempt, row.code, row.reason = event.attempt, event.code, event.reason
            if event.again and storage.code != REFUSED:
                storage.code, storage.reason = event.code, event.reason
        case Copy.Removed():
            row.state, row.location, row.size_bytes = "removed", "", 0


# --- questions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counted:
    """Copies of one provider in one state. Bytes of those that wait are what the books say of the content."""

    state: str
    objects: int
    size_bytes: int


COUNTED = """SELECT c.storage_id, c.state, count(*) AS objects,
    sum(CASE c.state WHEN 'made' THEN c.size_bytes ELSE coalesce(o.size_bytes, 0) END)::bigint AS size_bytes
FROM rm_copies c LEFT JOIN rm_objects o USING (cid)
WHERE c.storage_id = ANY ($1::text[]) GROUP BY c.storage_id, c.state"""


async def find(pool: asyncpg.Pool, storage_id: str, owner: str) -> StorageRow | None:
    """Return a provider of this owner."""
    row = await pool.fetchrow("SELECT * FROM rm_storage WHERE storage_id = $1 AND owner = $2", storage_id, owner)
    return StorageRow(**row) if row else None


async def of_owner(pool: asyncpg.Pool, owner: str, limit: int, before: int | None) -> tuple[list[StorageRow], int]:
    """Return up to ``limit`` providers of an owner, newest first, added before position ``before``; and how many."""
    rows, total = await newest(pool, "rm_storage", "owner", owner, limit, before)
    return [StorageRow(**row) for row in rows], total


async def same_place(pool: asyncpg.Pool, owner: str, kind: str, settings: str) -> StorageRow | None:
    """Return the owner's provider that has these very settings."""
    row = await pool.fetchrow(
        "SELECT * FROM rm_storage WHERE owner = $1 AND kind = $2 AND settings = $3::jsonb LIMIT 1",
        owner,
        kind,
        settings,
    )
    return StorageRow(**row) if row else None


async def counted(pool: asyncpg.Pool, storage_ids: Sequence[str]) -> dict[str, list[Counted]]:
    """Return how many copies of each provider are in which state."""
    found: dict[str, list[Counted]] = {storage_id: [] for storage_id in storage_ids}
    for row in await pool.fetch(COUNTED, list(storage_ids)):
        found[row["storage_id"]].append(Counted(row["state"], row["objects"], row["size_bytes"] or 0))
    return found


async def copies(
    pool: asyncpg.Pool, storage_id: str, limit: int, before: int | None, state: str = ""
) -> tuple[list[CopyRow], int]:
    """Return up to ``limit`` copies of a provider, asked for last first, and how many there are.

    Args:
        before: position; only those asked for before it.
        state: one of :data:`STATES`; empty: all.
    """
    rows = await pool.fetch(
        """SELECT * FROM rm_copies WHERE storage_id = $1 AND ($3::bigint IS NULL OR position < $3)
        AND CASE $4 WHEN '' THEN state <> 'removed' ELSE state = $4 END ORDER BY position DESC LIMIT $2""",
        storage_id,
        limit,
        before,
        state,
    )
    total = await pool.fetchval(
        """SELECT count(*) FROM rm_copies WHERE storage_id = $1
        AND CASE $2 WHEN '' THEN state <> 'removed' ELSE state = $2 END""",
        storage_id,
        state,
    )
    return [CopyRow(**row) for row in rows], int(total)


async def copy(pool: asyncpg.Pool, storage_id: str, cid: str) -> CopyRow | None:
    """Return the copy of a content at a provider."""
    row = await pool.fetchrow("SELECT * FROM rm_copies WHERE storage_id = $1 AND cid = $2", storage_id, cid)
    return CopyRow(**row) if row else None


async def places_of(pool: asyncpg.Pool, cid: str, owner: str) -> list[dict[str, Any]]:
    """Return where a content is among an owner's providers, with the state of each copy; newest provider first."""
    rows = await pool.fetch(
        """SELECT s.storage_id, s.name, s.kind, c.state, c.location, c.size_bytes, c.attempt, c.code, c.reason,
            c.updated_at
        FROM rm_copies c JOIN rm_storage s USING (storage_id)
        WHERE c.cid = $1 AND s.owner = $2 AND c.state <> 'removed' ORDER BY s.position DESC""",
        cid,
        owner,
    )
    return [dict(row) for row in rows]
