"""Tokens: who they sign in, and whether they still do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from artdag_common.domain.access import Token, User
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import arrays, upsert

KINDS = (Token.TOPIC, User.TOPIC)
TABLES = ("rm_tokens",)

DDL = """
CREATE TABLE IF NOT EXISTS rm_tokens (
    token_hash  text PRIMARY KEY,
    holder      text        NOT NULL,
    attached_at timestamptz NOT NULL,
    expires_at  bigint      NOT NULL,
    kind        text        NOT NULL,
    revoked     boolean     NOT NULL
);
CREATE INDEX IF NOT EXISTS rm_tokens_holder ON rm_tokens (holder);
"""

COLUMNS = {
    "token_hash": "text",
    "holder": "text",
    "attached_at": "timestamptz",
    "expires_at": "bigint",
    "kind": "text",
    "revoked": "boolean",
}
WRITE = upsert("rm_tokens", COLUMNS, ("token_hash",))


@dataclass(slots=True)
class TokenRow:
    """A row of ``rm_tokens``. ``expires_at``: unix seconds, 0: never; ``holder`` of one that was never attached: ''."""

    token_hash: str
    holder: str
    attached_at: datetime
    expires_at: int = 0
    kind: str = ""
    revoked: bool = False


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in."""
    known = await connection.fetch(
        "SELECT * FROM rm_tokens WHERE token_hash = ANY ($1::text[]) OR holder = ANY ($2::text[])",
        list({fact.key for fact in facts if fact.kind == Token.TOPIC}),
        list({fact.key for fact in facts if isinstance(fact.event, User.TokensRevoked)}),
    )
    rows = {row["token_hash"]: TokenRow(**row) for row in known}
    for fact in facts:
        match fact.event:
            case Token.Attached() as event:
                rows[fact.key] = TokenRow(fact.key, event.user, event.timestamp, event.expires_at, event.kind)
            case Token.Refused() as event:
                rows[fact.key] = TokenRow(fact.key, "", event.timestamp, revoked=True)
            case Token.Revoked():
                rows[fact.key].revoked = True
            case User.TokensRevoked():
                for row in rows.values():
                    row.revoked |= row.holder == fact.key
    await connection.execute(WRITE, *arrays(rows.values(), COLUMNS))


# --- questions ------------------------------------------------------------------------------------------------------


async def revoked_of(pool: asyncpg.Pool, holders: Collection[str]) -> list[str]:
    """Return the hashes of these users' tokens that were revoked."""
    rows = await pool.fetch(
        "SELECT token_hash FROM rm_tokens WHERE holder = ANY ($1::text[]) AND revoked", list(holders)
    )
    return [row["token_hash"] for row in rows]


LIVE = "holder = $1 AND NOT revoked AND (expires_at = 0 OR expires_at > $2)"


async def of_holder(pool: asyncpg.Pool, holder: str, now: datetime, limit: int) -> tuple[list[TokenRow], int]:
    """Return the newest tokens that sign somebody in, and how many there are."""
    rows = await pool.fetch(
        f"SELECT *, count(*) OVER () AS total FROM rm_tokens WHERE {LIVE}"
        " ORDER BY attached_at DESC, token_hash LIMIT $3",
        holder,
        int(now.timestamp()),
        limit,
    )
    total = rows[0]["total"] if rows else 0
    return [TokenRow(**{name: row[name] for name in COLUMNS}) for row in rows], total


async def of_holder_by_id(pool: asyncpg.Pool, holder: str, token_id: str, now: datetime) -> TokenRow | None:
    """Return a token that signs somebody in, known by the beginning of its hash."""
    row = await pool.fetchrow(
        f"SELECT * FROM rm_tokens WHERE {LIVE} AND left(token_hash, $3) = $4",
        holder,
        int(now.timestamp()),
        len(token_id),
        token_id,
    )
    return TokenRow(**row) if row else None


async def find(pool: asyncpg.Pool, token_hash: str) -> TokenRow | None:
    """Return what is known of a token."""
    row = await pool.fetchrow("SELECT * FROM rm_tokens WHERE token_hash = $1", token_hash)
    return TokenRow(**row) if row else None
