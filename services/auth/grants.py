"""Programs that are signed in from another device (RFC 8628): a code to poll with, and one for a person to confirm.

Both codes are kept as hashes. The token is made of the code that only the program has, so the service that hands it
over, or hands it over again because its answer was lost, need not have kept it.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from datetime import datetime
from typing import Any

import asyncpg

from artdag_common.application import Application
from artdag_common.domain.access import Token, hash_token
from artdag_common.errors import (
    GrantNotFoundError,
    ServiceUnavailableError,
    TokenExpiredError,
    TokenRevokedError,
    TooManyGuessesError,
)
from artdag_common.messaging.bus import Outcome
from services.auth.handlers import Tokens

KIND = "device"
SECONDS = 600
"""How long a program waits for a person."""
INTERVAL_SECONDS = 5
EARLY_SECONDS = 1.0
"""How much sooner than that a poll may come."""
AGAIN_SECONDS = 30
"""How long the token is handed over again: the answer may have been lost."""
TOKEN_SECONDS = 30 * 86_400
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Of a code that people type: no vowels, so no words; nothing that looks like something else (RFC 8628, 6.1)."""
CODE_LETTERS = 8
WRONG_CODES = 10
"""That a person may give in ten minutes: of 2.6e10 codes."""
MOST_WAITING = 10_000
CLIENT_CHARACTERS = 100


def plain(user_code: str) -> str:
    """Return a code as it is compared: whatever people put between its letters, and their case, make no difference."""
    return "".join(letter for letter in user_code.upper() if letter.isalnum())


def token_of(device_code: str) -> str:
    """Return the token that a device code stands for."""
    digest = hmac.digest(device_code.encode(), b"artdag device token", "sha256")
    return "adt_" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


class Grants:
    """Keeps the table ``auth_grants``."""

    def __init__(self, app: Application, pool: asyncpg.Pool, tokens: Tokens) -> None:
        self._app = app
        self._pool = pool
        self._tokens = tokens

    async def begin(self, client: str) -> Outcome:
        """Let a program wait for a person.

        Args:
            client: what it calls itself; people see it.

        Raises:
            ServiceUnavailableError: too many wait.
        """
        shown = "".join(letter for letter in client if letter.isprintable())[:CLIENT_CHARACTERS]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("DELETE FROM auth_grants WHERE begun_at < now() - interval '1 hour'")
            waiting = await connection.fetchval(
                "SELECT count(*) FROM auth_grants WHERE begun_at > now() - $1::bigint * interval '1 second'", SECONDS
            )
            if waiting >= MOST_WAITING:
                raise ServiceUnavailableError("too many programs wait to be signed in; try again", retry_after=60)
            device_code = secrets.token_urlsafe(32)
            while True:
                user_code = "".join(secrets.choice(LETTERS) for _ in range(CODE_LETTERS))
                done = await connection.fetchval(
                    """INSERT INTO auth_grants (device_hash, code_hash, token_hash, client) VALUES ($1, $2, $3, $4)
                    ON CONFLICT (code_hash) DO NOTHING RETURNING true""",
                    hash_token(device_code),
                    hash_token(user_code),
                    hash_token(token_of(device_code)),
                    shown,
                )
                if done:
                    break
        middle = CODE_LETTERS // 2
        return Outcome.of(
            device_code=device_code,
            user_code=f"{user_code[:middle]}-{user_code[middle:]}",
            expires_in=SECONDS,
            interval=INTERVAL_SECONDS,
        )

    async def decide(self, user_code: str, user_id: str, decision: str) -> Outcome:
        """Show a person what waits with a code, and take the decision; the first one stays.

        Args:
            decision: ``allow``, ``deny``; empty: only show.

        Raises:
            GrantNotFoundError: nothing waits with it.
            TooManyGuessesError: the person gave too many codes that nothing waits with.
        """
        guesses = await self._pool.fetchval(
            """WITH old AS (DELETE FROM auth_guesses WHERE at < now() - interval '1 hour')
            SELECT count(*) FROM auth_guesses WHERE user_id = $1 AND at > now() - interval '10 minutes'""",
            user_id,
        )
        if guesses >= WRONG_CODES:
            raise TooManyGuessesError(f"{guesses} wrong codes in ten minutes; try again later", retry_after=SECONDS)
        code_hash = hash_token(plain(user_code))
        row = await self._waiting(code_hash)
        if row is None:
            await self._pool.execute("INSERT INTO auth_guesses (user_id) VALUES ($1)", user_id)
            raise GrantNotFoundError(f"no program waits with the code {user_code[:20]!r}")
        if decision:
            # The generation of the person's tokens is that of the decision: whatever revokes them all revokes this one.
            await self._pool.execute(
                "UPDATE auth_grants SET state = $2, user_id = $3, generation = $4"
                " WHERE code_hash = $1 AND state = 'waiting'",
                code_hash,
                "allowed" if decision == "allow" else "denied",
                user_id,
                await self._tokens.generation(user_id),
            )
            row = await self._waiting(code_hash) or row
            if row["state"] == "allowed":
                await self._attached(row)
        return Outcome.of(client=row["client"], state=row["state"], begun_at=row["begun_at"].isoformat())

    async def take(self, device_code: str) -> Outcome:
        """Tell a program what came of it, by the names of RFC 8628; the token, if the person allowed it."""
        row = await self._pool.fetchrow(
            """UPDATE auth_grants g SET polled_at = clock_timestamp(),
                taken_at = CASE WHEN g.state = 'allowed' THEN coalesce(g.taken_at, clock_timestamp()) END
            FROM (SELECT * FROM auth_grants WHERE device_hash = $1) old WHERE g.device_hash = old.device_hash
            RETURNING g.state, g.user_id, g.generation, g.token_hash, g.begun_at,
                extract(epoch FROM clock_timestamp() - g.begun_at) AS age_s,
                extract(epoch FROM clock_timestamp() - old.polled_at) AS since_poll_s,
                extract(epoch FROM clock_timestamp() - old.taken_at) AS since_taken_s""",
            hash_token(device_code),
        )
        if row is None or (row["since_taken_s"] or 0) > AGAIN_SECONDS:
            return refused("invalid_grant", "no program waits with this device code, or it has its token already")
        if row["state"] == "denied":
            return refused("access_denied", "the person said no")
        if row["age_s"] > SECONDS and row["since_taken_s"] is None:
            return refused("expired_token", "nobody confirmed the code in time; begin again")
        if row["state"] == "waiting":
            if row["since_poll_s"] is not None and row["since_poll_s"] < INTERVAL_SECONDS - EARLY_SECONDS:
                return refused("slow_down", f"ask every {INTERVAL_SECONDS} s")
            return refused("authorization_pending", "nobody confirmed the code yet")
        try:
            token = await self._attached(row)
        except (TokenRevokedError, TokenExpiredError):
            return refused("access_denied", "the token was revoked meanwhile")
        left = token.expires_at - int(self._app.clock().timestamp())
        return Outcome.of(access_token=token_of(device_code), expires_in=left, user_id=token.user)

    async def _waiting(self, code_hash: str) -> asyncpg.Record | None:
        return await self._pool.fetchrow(
            "SELECT * FROM auth_grants WHERE code_hash = $1 AND begun_at > now() - $2::bigint * interval '1 second'",
            code_hash,
            SECONDS,
        )

    async def _attached(self, row: Any) -> Token:
        """Return the token of a grant that a person has allowed, attached now if it was not."""
        begun: datetime = row["begun_at"]
        return await self._tokens.attached(
            row["token_hash"], row["user_id"], row["generation"], int(begun.timestamp()) + TOKEN_SECONDS, KIND
        )


def refused(code: str, message: str) -> Outcome:
    """Return an error of RFC 8628, 3.5."""
    return Outcome(False, code, message)
