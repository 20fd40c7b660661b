"""Tokens: who may come in, and who no longer."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

import asyncpg

from artdag_common.application import ATTEMPTS, Application
from artdag_common.commands import AttachToken, Command, RevokeToken, RevokeUser
from artdag_common.domain.access import OWNER, Token, User, hash_token
from artdag_common.errors import AppendRefusedError, TokenRevokedError, UnauthenticatedError, VersionConflictError
from artdag_common.eventstore.port import Call
from artdag_common.messaging.bus import Outcome
from artdag_common.messaging.commands import CommandHandler
from services.auth.revocation import Revocation

CONSUMER = "auth"

NOTE_LOGOUT = """WITH old AS (DELETE FROM auth_logouts WHERE at < now() - interval '1 hour' AND name_hash <> $1)
INSERT INTO auth_logouts (name_hash, at) VALUES ($1, clock_timestamp())
ON CONFLICT (name_hash) DO UPDATE SET at = EXCLUDED.at"""
LIVE = """SELECT count(*) FROM auth_tokens
WHERE user_id = $1 AND revoked_at IS NULL AND (expires_at = 0 OR expires_at > extract(epoch FROM now()))"""


class Tokens:
    """Keeps the ``token-`` and ``user-`` streams."""

    def __init__(self, app: Application, pool: asyncpg.Pool, revocation: Revocation) -> None:
        self._app = app
        self._pool = pool
        self._revocation = revocation

    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """Return the handler of each command."""
        return {AttachToken: self.attach, RevokeToken: self.revoke, RevokeUser: self.revoke_user}

    # --- attaching ---

    async def attach(self, command: AttachToken, command_id: str) -> Outcome:
        """Let a token sign its holder in.

        Raises:
            TokenRevokedError: it was revoked, and stays so.
        """
        for _ in range(ATTEMPTS):
            generation = await self.generation(command.user)
            try:
                token = await self.attached(
                    command.token_hash, command.user, generation, command.expires_at, command.kind
                )
            except TokenRevokedError:
                if generation == await self.generation(command.user):
                    raise
            else:
                outcome = Outcome.of(user=token.user)
                await self._app.store.keep_outcome(CONSUMER, command_id, outcome.encode())
                return outcome
        raise VersionConflictError(f"the tokens of {command.user} were revoked {ATTEMPTS} times meanwhile")

    async def attach_owner(self, token_hash: str) -> None:
        """Make the local owner's token known; at every start, once. One that was revoked stays so."""
        if token_hash and await self._app.find(Token, token_hash) is None:
            await self.attach(AttachToken(token_hash, OWNER), f"owner/{token_hash}")

    async def generation(self, user_id: str) -> int:
        """Return how often all tokens of a user were revoked."""
        user = await self._app.find(User, user_id)
        return user.generation if user else 0

    async def attached(self, token_hash: str, user: str, generation: int, expires_at: int, kind: str) -> Token:
        """Return the token, attached now if it was not before.

        Args:
            generation: the user's, read before it was known that the token is to be attached.

        Raises:
            TokenRevokedError: it was revoked before, or all of the user's were since the generation was read.
        """
        token = await self._app.find(Token, token_hash)
        if token is None:
            token = Token.create(
                Token.Attached,
                token_hash,
                self._app.clock(),
                user=user,
                generation=generation,
                expires_at=expires_at,
                kind=kind,
            )
            args = ((token_hash, "text"), (user, "text"), (generation, "bigint"), (expires_at, "bigint"))
            try:
                result = await self._app.append(token, f"attach/{token_hash}", also=Call("auth_attach", args))
            except AppendRefusedError as error:
                raise TokenRevokedError("all tokens of the user were revoked meanwhile; sign in again") from error
            if result == "appended":
                await self._revocation.track(token_hash, user)
            else:  # somebody else attached or refused it meanwhile
                token = await self._app.find(Token, token_hash)
                assert token is not None
        token.check(await self.generation(token.user), self._app.clock().timestamp())
        return token

    # --- revoking ---

    async def revoke(self, command: RevokeToken, command_id: str) -> Outcome:
        """Refuse a token from now on.

        Raises:
            UnauthenticatedError: no such token is attached here, and it is not to be refused unseen.
        """
        now = self._app.clock()
        token = await self._app.find(Token, command.token_hash)
        known = token is not None and bool(token.user)
        if token is not None:
            token.revoke(now, command.by, command.reason)
        elif command.unseen:
            token = Token.create(Token.Refused, command.token_hash, now, by=command.by, reason=command.reason)
        else:
            raise UnauthenticatedError("no such token is attached here")
        outcome = Outcome.of(user=token.user, revoked=known)
        result = await self._app.append(
            token,
            command_id,
            consumer=CONSUMER,
            outcome=outcome.encode(),
            inbox=True,
            also=Call("auth_refuse", ((command.token_hash, "text"), (token.user, "text"))),
        )
        if result == "conflict":
            raise VersionConflictError(f"{token.id} changed meanwhile", stream=token.id)
        await self._revocation.tell(command.token_hash, token.user)
        return outcome

    async def revoke_user(self, command: RevokeUser, command_id: str) -> Outcome:
        """Refuse all tokens of a user, and tell how many they were."""
        count = await self._refuse_all(command.user_id, command.by, command.reason, command_id)
        return Outcome.of(user=command.user_id, revoked=count)

    async def revoke_name(self, username: str) -> Outcome:
        """Refuse all tokens of whoever has a name at L2, as L2 asks for.

        The name is noted first: whoever is being signed in by it right now, perhaps for the first time, asks L2 again.
        """
        await self._pool.execute(NOTE_LOGOUT, hash_token(username))
        count = 0
        for row in await self._pool.fetch("SELECT user_id FROM auth_people WHERE name = $1", username):
            count += await self._refuse_all(row["user_id"], "l2", "signed out at L2", str(uuid4()))
        return Outcome.of(revoked=count)

    async def _refuse_all(self, user_id: str, by: str, reason: str, cause: str) -> int:
        for _ in range(ATTEMPTS):
            now = self._app.clock()
            user = await self._app.find(User, user_id) or User.join(user_id, now)
            user.revoke_tokens(now, by, reason)
            count = int(await self._pool.fetchval(LIVE, user_id))
            result = await self._app.append(
                user,
                cause,
                consumer=CONSUMER,
                outcome=Outcome.of(user=user_id, revoked=count).encode(),
                inbox=True,
                also=Call("auth_refuse_all", ((user_id, "text"),)),
            )
            if result != "conflict":
                await self._revocation.tell_all(user_id)
                return count
        raise VersionConflictError(f"{user.id} changed {ATTEMPTS} times meanwhile", stream=user.id)
