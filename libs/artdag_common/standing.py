"""Where a token stands: names of what Redis holds of it, and the truth, read from the event store."""

from __future__ import annotations

from typing import cast

import asyncpg

from artdag_common.application import rebuild
from artdag_common.domain.access import Token, User
from artdag_common.eventstore.port import Recorded

REVOKED_SECONDS = 30 * 86_400
"""How long Redis refuses a token by itself; Postgres does for ever."""

COMPLETE = "artdag:revocations"
"""Key that stands in Redis once all revocations do."""

EVENTS = """SELECT stream, version, event_id, type, data, 0::bigint, recorded_at FROM es_events
WHERE stream = $1 ORDER BY version"""
GENERATION = "SELECT count(*) FROM es_events WHERE stream = $1 AND type = $2"


def revoked_key(token_hash: str) -> str:
    """Return the key whose presence refuses a token."""
    return f"artdag:revoked:{token_hash}"


def user_key(user_id: str) -> str:
    """Return the key of the tokens that a user has attached."""
    return f"artdag:user_tokens:{user_id}"


async def find_token(pool: asyncpg.Pool, token_hash: str, now: float, timeout: float) -> Token | None:
    """Return a token that counts, as the event store has it; None: it was never attached.

    Args:
        now: unix seconds.
        timeout: seconds, for each of two questions.

    Raises:
        TokenRevokedError: it was revoked, by itself or with all of its holder's.
        TokenExpiredError: its time is over.
    """
    rows = await pool.fetch(EVENTS, Token.stream(token_hash), timeout=timeout)
    token = cast("Token | None", rebuild([Recorded(*row) for row in rows]))
    if token is not None:
        # Read after the token: a revocation in between is seen.
        generation = await pool.fetchval(
            GENERATION, User.stream(token.user), User.TokensRevoked.type_name, timeout=timeout
        )
        token.check(generation, now)
    return token
