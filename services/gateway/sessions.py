"""Whom a token signs in. Postgres is the truth; Redis remembers an answer for half a minute.

An answer that Redis remembers counts only beside the key that says that all revocations are there, and where none is
there for this token. Whoever read the truth just before a revocation and wrote it down just after changes nothing:
the revocation stands longer. Where Redis is empty or gone, Postgres is asked; where that is gone too, nobody comes in.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from artdag_common.domain.access import hash_token
from artdag_common.errors import TokenExpiredError, TokenRevokedError, UnauthenticatedError
from artdag_common.standing import COMPLETE, find_token, revoked_key
from services.gateway.asking import AuthService
from services.gateway.revoked import Revoked

REMEMBERED_SECONDS = 30
AWAY_SECONDS = 2.0
ANSWER_SECONDS = 5.0
"""For each question to Postgres."""
TOKEN = re.compile(r"[!-~]{1,4096}")
JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in.

    Attributes:
        token_hash: SHA-256 of the token, hexadecimal.
        expires_at: unix seconds; 0: never.
    """

    user: str
    token_hash: str
    expires_at: int


class Sessions:
    """Answers whom a token signs in."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        cache: redis.asyncio.Redis,
        revoked: Revoked,
        auth: AuthService | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``auth``: whom to ask about tokens that are not attached here; None: they are refused."""
        self._pool = pool
        self._cache = cache
        self._revoked = revoked
        self._auth = auth
        self._clock = clock
        self._away_until = 0.0

    async def of(self, token: str, attach: bool = False) -> Session:
        """Return what a token signs in.

        Args:
            attach: L2 is asked about any token that is not attached here; else only about what looks like one of L2's.

        Raises:
            UnauthenticatedError: nobody.
            TokenRevokedError: nobody any more.
            TokenExpiredError: its time is over.
            WrongScopeError: L2 made it for another server.
            L2RefusedError: L2 says no.
            ServiceUnavailableError: neither Redis nor Postgres answers, or L2 does not.
        """
        session = await self.find(token)
        if session is None and self._auth is not None and (attach or JWT.fullmatch(token)):
            await self._auth.verify(token, attach=True)
            session = await self._known(hash_token(token))
        if session is None:
            raise UnauthenticatedError(
                "no such token is known here; `artdag token` prints the local owner's, `artdag login` fetches yours"
            )
        return session

    async def find(self, token: str) -> Session | None:
        """Return what a token signs in that is attached here; None: it is not. Raises as :meth:`of`, and asks no L2."""
        if not TOKEN.fullmatch(token):
            raise UnauthenticatedError("a token has 1 to 4096 characters, all of them visible ASCII; this one is none")
        token_hash = hash_token(token)
        return await self._remembered(token_hash) or await self._known(token_hash)

    async def _remembered(self, token_hash: str) -> Session | None:
        """Return what Redis remembers; None: ask Postgres."""
        complete = revoked = remembered = None
        if time.monotonic() >= self._away_until:
            try:
                keys = (COMPLETE, revoked_key(token_hash), _key(token_hash))
                complete, revoked, remembered = await self._cache.mget(*keys)
            except (RedisError, OSError) as error:
                self._pass_over(error)
        if revoked or token_hash in self._revoked:
            raise TokenRevokedError("this token was revoked; sign in again")
        if not complete or not remembered:
            return None
        expires_at, _, user = str(remembered).partition(" ")
        session = Session(user, token_hash, int(expires_at))
        if 0 < session.expires_at <= self._clock():
            raise TokenExpiredError("this token's time is over; sign in again")
        return session

    async def _known(self, token_hash: str) -> Session | None:
        token = await find_token(self._pool, token_hash, self._clock(), ANSWER_SECONDS)
        if token is None:
            return None
        session = Session(token.user, token_hash, token.expires_at)
        if time.monotonic() >= self._away_until:
            try:
                await self._cache.set(_key(token_hash), f"{session.expires_at} {session.user}", ex=REMEMBERED_SECONDS)
            except (RedisError, OSError) as error:
                self._pass_over(error)
        return session

    def _pass_over(self, error: Exception) -> None:
        """Ask Postgres alone for a moment: a Redis that hangs would cost every request half a second."""
        self._away_until = time.monotonic() + AWAY_SECONDS
        log.warning("redis is passed over", error=str(error))


def _key(token_hash: str) -> str:
    return f"artdag:token:{token_hash}"
