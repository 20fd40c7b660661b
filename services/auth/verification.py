"""Whose token is this? L2 says so, once; from then on the token's own stream does."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from artdag_common.application import ATTEMPTS, Application
from artdag_common.domain.access import Token, User, hash_token
from artdag_common.errors import (
    ArtdagError,
    L2RefusedError,
    ServiceUnavailableError,
    TokenExpiredError,
    TokenRevokedError,
    UnauthenticatedError,
    WrongScopeError,
)
from artdag_common.federation.l2 import L2, Verified, normal_url
from artdag_common.messaging.bus import Outcome
from artdag_common.people import People
from services.auth.handlers import Tokens

KIND = "l2"
LONGEST_SECONDS = 30 * 86_400
"""How long a token counts where L2 names no end."""
CLOCK_SECONDS = 900
"""How far L2's clock may be behind ours: its word that a token is good outweighs our clock by so much."""
REFUSED_SECONDS = 30.0
MOST_REFUSED = 10_000
AT_ONCE = 16
"""Questions to L2 at a time."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says of itself. Nobody has checked its signature: it can only narrow what L2 says.

    Attributes:
        l1_server: normalised; empty: it does not say.
        expires_at: unix seconds; 0: it does not say.
    """

    l1_server: str = ""
    expires_at: int = 0


def read_claims(token: str) -> Claims:
    """Return the claims of a JWT; of anything else, none."""
    parts = token.split(".")
    if len(parts) != 3:
        return Claims()
    try:
        said = json.loads(base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return Claims()
    if not isinstance(said, dict):
        return Claims()
    scope, expires = said.get("l1_server"), said.get("exp")
    seconds = int(expires) if isinstance(expires, int | float) and 0 < expires < 2**53 else 0
    return Claims((normal_url(scope) or "?") if isinstance(scope, str) else "", seconds)


def expiry(claims: Claims, said: Verified, now: float) -> int:
    """Return when a token ends that L2 vouches for now, in unix seconds.

    The earlier one counts of what it says and what L2 says. Where that is over by our clock, L2's is behind ours.
    """
    ends = [each for each in (claims.expires_at, said.expires_at) if each]
    if not ends:
        return int(now) + LONGEST_SECONDS
    end = min(ends)
    return end if end > now else end + CLOCK_SECONDS


class Verification:
    """Asks L2 about tokens that are not attached here, and attaches them."""

    def __init__(
        self,
        app: Application,
        pool: asyncpg.Pool,
        tokens: Tokens,
        people: People,
        l2: L2 | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``l2``: None: nobody comes from there."""
        self._app = app
        self._pool = pool
        self._tokens = tokens
        self._people = people
        self._l2 = l2
        self._clock = clock
        self._asking: dict[tuple[str, bool], asyncio.Task[Outcome]] = {}
        self._refused: dict[str, tuple[ArtdagError, float]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def verify(self, token: str, attach: bool) -> Outcome:
        """Tell who a token signs in: ``user_id``, ``handle``, ``expires_at``.

        Args:
            attach: from now on it does. Without, ``user_id`` is empty where the person was never here.

        Raises:
            UnauthenticatedError: nobody, and there is no L2 to ask.
            TokenRevokedError: nobody any more.
            TokenExpiredError: its time is over.
            WrongScopeError: it was made for another server.
            L2RefusedError: L2 says no.
            L2UnavailableError: L2 does not answer.
        """
        key = (hash_token(token), attach)
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._verify(token, attach), name="verify a token")

            def done(task: asyncio.Task[Outcome]) -> None:
                del self._asking[key]
                if not task.cancelled():
                    task.exception()  # whoever asked may be gone

            task.add_done_callback(done)
        return await asyncio.shield(task)  # those who ask at once share an answer

    async def _verify(self, token: str, attach: bool) -> Outcome:
        token_hash = hash_token(token)
        for _ in range(ATTEMPTS):
            known = await self._app.find(Token, token_hash)
            if known is not None:
                known.check(await self._tokens.generation(known.user), self._app.clock().timestamp())
                return await self._told(known.user, known.expires_at)
            claims = read_claims(token)
            said, asked_at = await self._said(token, token_hash, claims)
            ends = expiry(claims, said, self._app.clock().timestamp())
            if not attach:
                assert self._l2 is not None
                known_as = await self._pool.fetchval("SELECT user_id FROM auth_people WHERE actor = $1", said.actor)
                handle = f"@{said.username}@{self._l2.domain}"
                return Outcome.of(user_id=known_as or "", handle=handle, expires_at=ends)
            user_id = await self._person(said)
            generation = (await self._user(user_id)).generation
            if await self._signed_out(said.username, asked_at):
                continue  # L2 revoked all of this person's tokens while it was asked: it may have said yes before
            try:
                attached = await self._tokens.attached(token_hash, user_id, generation, ends, KIND)
            except TokenRevokedError:
                continue
            return await self._told(attached.user, attached.expires_at)
        raise ServiceUnavailableError("the person is being signed out everywhere; try again", retry_after=1)

    async def _told(self, user_id: str, expires_at: int) -> Outcome:
        return Outcome.of(user_id=user_id, handle=await self._people.handle(user_id), expires_at=expires_at)

    # --- L2 ---

    async def _said(self, token: str, token_hash: str, claims: Claims) -> tuple[Verified, datetime]:
        """Return what L2 says of a token, and when it had not been asked yet."""
        if self._l2 is None:
            raise UnauthenticatedError("no such token is known here; `artdag token` prints the local owner's")
        if claims.l1_server not in ("", self._l2.own_url):
            raise WrongScopeError(f"the token is for {claims.l1_server}, and this is {self._l2.own_url}")
        if claims.expires_at and claims.expires_at + CLOCK_SECONDS <= self._app.clock().timestamp():
            raise TokenExpiredError("this token's time is over; sign in again")
        refused = self._refused.get(token_hash)
        if refused is not None and refused[1] > self._clock():
            raise type(refused[0])(refused[0].message, **refused[0].values)
        asked_at: datetime = await self._pool.fetchval("SELECT clock_timestamp()")
        try:
            async with self._room:
                return await self._l2.verify(token), asked_at
        except (L2RefusedError, WrongScopeError) as error:
            self._remember(token_hash, error)
            raise

    def _remember(self, token_hash: str, error: ArtdagError) -> None:
        """Note that L2 says no, for half a minute; the oldest notes go first."""
        self._refused.pop(token_hash, None)
        self._refused[token_hash] = (error, self._clock() + REFUSED_SECONDS)
        while len(self._refused) > MOST_REFUSED:
            del self._refused[next(iter(self._refused))]

    # --- people ---

    async def _person(self, said: Verified) -> str:
        """Return the id of a person, given now if there is none; of several at once, all get the same."""
        assert self._l2 is not None
        fresh = "u-" + base64.b32encode(secrets.token_bytes(17)).decode().lower()[:26]
        return str(
            await self._pool.fetchval(
                """INSERT INTO auth_people (user_id, actor, name, domain) VALUES ($1, $2, $3, $4)
                ON CONFLICT (actor) DO UPDATE SET name = EXCLUDED.name, domain = EXCLUDED.domain RETURNING user_id""",
                fresh,
                said.actor,
                said.username,
                self._l2.domain,
            )
        )

    async def _user(self, user_id: str) -> User:
        """Return the person's stream, begun now if there is none."""
        user = await self._app.find(User, user_id)
        while user is None:
            joined = User.join(user_id, self._app.clock())
            result: Any = await self._app.append(joined, f"join/{user_id}")
            user = joined if result == "appended" else await self._app.find(User, user_id)
        return user

    async def _signed_out(self, username: str, asked_at: datetime) -> bool:
        """Return whether L2 has revoked all tokens of a name since a moment."""
        return bool(
            await self._pool.fetchval(
                "SELECT true FROM auth_logouts WHERE name_hash = $1 AND at >= $2", hash_token(username), asked_at
            )
        )
