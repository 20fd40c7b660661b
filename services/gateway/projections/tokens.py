"""Tokens: who they sign in, and whether they still do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from artdag_common.domain.access import Token
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import arrays, upsert

KINDS = (Token.TOPIC,)
TABLES = ("rm_tokens",)

DDL = """
CREATE TABLE IF NOT EXISTS rm_tokens (
    token_hash  text PRIMARY KEY,
    holder      text        NOT NULL,
    attached_at timestamptz NOT NULL,
    revoked     boolean     NOT NULL
);
"""

COLUMNS = {"token_hash": "text", "holder": "text", "attached_at": "timestamptz", "revoked": "boolean"}
WRITE = upsert("rm_tokens", COLUMNS, ("token_hash",))


@dataclass(slots=True)
class TokenRow:
    """A row of ``rm_tokens``."""

    token_hash: str
    holder: str
    attached_at: datetime
    revoked: bool = False


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in."""
    known = await connection.fetch(
        "SELECT * FROM rm_tokens WHERE token_hash = ANY ($1::text[])", list({fact.key for fact in facts})
    )
    rows = {row["token_hash"]: TokenRow(**row) for row in known}
    for fact in facts:
        match fact.event:
            case Token.Attached() as event:
                rows[fact.key] = TokenRow(fact.key, event.user, event.timestamp)
            case Token.Revoked():
                rows[fact.key].revoked = True
    await connection.execute(WRITE, *arrays(rows.values(), COLUMNS))


# --- questions ------------------------------------------------------------------------------------------------------


async def find(pool: asyncpg.Pool, token_hash: str) -> TokenRow | None:
    """Return what is known of a token."""
    row = await pool.fetchrow("SELECT * FROM rm_tokens WHERE token_hash = $1", token_hash)
    return TokenRow(**row) if row else None
