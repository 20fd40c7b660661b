"""Webhooks of users, and what each was told of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from artdag_common.domain.webhook import Notice, Webhook
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import arrays, newest, upsert

KINDS = (Webhook.TOPIC, Notice.TOPIC)
TABLES = ("rm_webhooks", "rm_notices")

DDL = """
CREATE TABLE IF NOT EXISTS rm_webhooks (
    webhook_id text PRIMARY KEY,
    position   bigint      NOT NULL,
    owner      text        NOT NULL,
    url        text        NOT NULL,
    events     jsonb       NOT NULL,
    enabled    boolean     NOT NULL,
    reason     text        NOT NULL,
    sealed_at  timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version    bigint      NOT NULL
);
CREATE INDEX IF NOT EXISTS rm_webhooks_owner ON rm_webhooks (owner, position DESC);
CREATE TABLE IF NOT EXISTS rm_notices (
    notice_id    text PRIMARY KEY,
    webhook_id   text        NOT NULL,
    position     bigint      NOT NULL,
    run_id       text        NOT NULL,
    told         text        NOT NULL,
    state        text        NOT NULL,
    attempts     bigint      NOT NULL,
    status       bigint      NOT NULL,
    reason       text        NOT NULL,
    requested_at timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    version      bigint      NOT NULL
);
CREATE INDEX IF NOT EXISTS rm_notices_newest ON rm_notices (webhook_id, position DESC);
"""

WEBHOOK_COLUMNS = {
    "webhook_id": "text",
    "position": "bigint",
    "owner": "text",
    "url": "text",
    "events": "jsonb",
    "enabled": "boolean",
    "reason": "text",
    "sealed_at": "timestamptz",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "version": "bigint",
}
NOTICE_COLUMNS = {
    "notice_id": "text",
    "webhook_id": "text",
    "position": "bigint",
    "run_id": "text",
    "told": "text",
    "state": "text",
    "attempts": "bigint",
    "status": "bigint",
    "reason": "text",
    "requested_at": "timestamptz",
    "updated_at": "timestamptz",
    "version": "bigint",
}
WRITE_WEBHOOKS = upsert("rm_webhooks", WEBHOOK_COLUMNS, ("webhook_id",))
WRITE_NOTICES = upsert("rm_notices", NOTICE_COLUMNS, ("notice_id",))


@dataclass(slots=True)
class WebhookRow:
    """A row of ``rm_webhooks``.

    Attributes:
        events: JSON list.
        reason: why the server disabled it; empty where its owner did, or nobody.
        sealed_at: since when it has its secret.
        version: of its last event in its stream.
    """

    webhook_id: str
    position: int
    owner: str
    url: str
    events: str
    enabled: bool
    reason: str
    sealed_at: datetime
    created_at: datetime
    updated_at: datetime
    version: int


@dataclass(slots=True)
class NoticeRow:
    """A row of ``rm_notices``. How it stands with one that waits is told by :func:`waiting`.

    Attributes:
        state: waiting, delivered or gave-up.
        status: of the last answer; 0: there was none.
    """

    notice_id: str
    webhook_id: str
    position: int
    run_id: str
    told: str
    state: str
    attempts: int
    status: int
    reason: str
    requested_at: datetime
    updated_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """How it stands with a notice that waits, as the cache service has it. ``due_at``: when it is tried again."""

    attempts: int
    due_at: datetime
    status: int
    reason: str


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in."""
    named = [f.event.webhook_id for f in facts if isinstance(f.event, Notice.Requested)]
    webhooks = await _webhooks(connection, [*named, *(f.key for f in facts if f.kind == Webhook.TOPIC)])
    notices = await _notices(connection, [f.key for f in facts if f.kind == Notice.TOPIC])
    gone: list[str] = []
    for fact in facts:
        event = fact.event
        if isinstance(event, Webhook.Removed):
            webhooks.pop(fact.key, None)
            gone.append(fact.key)
        elif fact.kind == Webhook.TOPIC:
            _take(webhooks, fact)
        elif not isinstance(event, Notice.Requested) or event.webhook_id in webhooks:  # else it went in that moment
            _take_notice(notices, fact)
    if webhooks:
        await connection.execute(WRITE_WEBHOOKS, *arrays(webhooks.values(), WEBHOOK_COLUMNS))
    if notices:
        await connection.execute(WRITE_NOTICES, *arrays(notices.values(), NOTICE_COLUMNS))
    if gone:
        await connection.execute("DELETE FROM rm_webhooks WHERE webhook_id = ANY ($1::text[])", gone)
        await connection.execute("DELETE FROM rm_notices WHERE webhook_id = ANY ($1::text[])", gone)


async def _webhooks(connection: Any, keys: Sequence[str]) -> dict[str, WebhookRow]:
    rows = await connection.fetch("SELECT * FROM rm_webhooks WHERE webhook_id = ANY ($1::text[])", keys)
    return {row["webhook_id"]: WebhookRow(**row) for row in rows}


async def _notices(connection: Any, keys: Sequence[str]) -> dict[str, NoticeRow]:
    rows = await connection.fetch("SELECT * FROM rm_notices WHERE notice_id = ANY ($1::text[])", keys)
    return {row["notice_id"]: NoticeRow(**row) for row in rows}


def _take(webhooks: dict[str, WebhookRow], fact: Fact) -> None:
    event, version = fact.event, fact.recorded.version
    if isinstance(event, Webhook.Added):
        at, told = event.timestamp, _listed(event.events)
        webhooks[fact.key] = WebhookRow(
            fact.key, fact.position, event.owner, event.url, told, True, "", at, at, at, version
        )
        return
    row = webhooks.get(fact.key)
    if row is None or event is None:
        return
    row.updated_at, row.version = event.timestamp, version
    match event:
        case Webhook.Edited():
            row.url, row.events = event.url, _listed(event.events)
            row.sealed_at = event.timestamp if event.resealed else row.sealed_at
        case Webhook.Disabled():
            row.enabled, row.reason = False, event.reason
        case Webhook.Enabled():
            row.enabled, row.reason = True, ""


def _listed(events: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{each}"' for each in events) + "]"


def _take_notice(notices: dict[str, NoticeRow], fact: Fact) -> None:
    event, version = fact.event, fact.recorded.version
    if isinstance(event, Notice.Requested):
        at = event.timestamp
        notices[fact.key] = NoticeRow(
            fact.key, event.webhook_id, fact.position, event.run_id, event.told, "waiting", 0, 0, "", at, at, version
        )
        return
    row = notices.get(fact.key)
    if row is None or event is None:  # its webhook was removed before
        return
    row.updated_at, row.version = event.timestamp, version
    match event:
        case Notice.Delivered():
            row.state, row.attempts, row.status, row.reason = "delivered", event.attempts, event.status, ""
        case Notice.GaveUp():
            row.state, row.attempts, row.status = "gave-up", event.attempts, event.status
            row.reason = event.reason
        case Notice.Repeated():
            row.state, row.attempts, row.status, row.reason = "waiting", 0, 0, ""


# --- questions ------------------------------------------------------------------------------------------------------


async def find(pool: asyncpg.Pool, webhook_id: str, owner: str) -> WebhookRow | None:
    """Return a webhook of this owner."""
    row = await pool.fetchrow("SELECT * FROM rm_webhooks WHERE webhook_id = $1 AND owner = $2", webhook_id, owner)
    return WebhookRow(**row) if row else None


async def of_owner(pool: asyncpg.Pool, owner: str) -> list[WebhookRow]:
    """Return an owner's webhooks, newest first; nobody has many."""
    rows = await pool.fetch("SELECT * FROM rm_webhooks WHERE owner = $1 ORDER BY position DESC", owner)
    return [WebhookRow(**row) for row in rows]


async def notices(pool: asyncpg.Pool, webhook_id: str, limit: int, before: int | None) -> tuple[list[NoticeRow], int]:
    """Return up to ``limit`` of what a webhook was told of before a position, newest first; and how much there is."""
    rows, total = await newest(pool, "rm_notices", "webhook_id", webhook_id, limit, before)
    return [NoticeRow(**row) for row in rows], total


async def notice(pool: asyncpg.Pool, webhook_id: str, notice_id: str) -> NoticeRow | None:
    """Return what a webhook was told under an id."""
    row = await pool.fetchrow(
        "SELECT * FROM rm_notices WHERE webhook_id = $1 AND notice_id = $2", webhook_id, notice_id
    )
    return NoticeRow(**row) if row else None


async def waiting(pool: asyncpg.Pool, notice_ids: Sequence[str]) -> dict[str, Waiting]:
    """Return how it stands with notices that wait, from the queue of the cache service."""
    rows = await pool.fetch(
        """SELECT notice_id, attempt, due_at, status, last_error FROM webhook_notices
        WHERE notice_id = ANY ($1::text[]) AND NOT over""",
        list(notice_ids),
    )
    return {row["notice_id"]: Waiting(row["attempt"], row["due_at"], row["status"], row["last_error"]) for row in rows}
