"""Tokens: who may come in, and who no longer."""

from __future__ import annotations

from collections.abc import Mapping

from artdag_common.application import Application
from artdag_common.commands import AttachToken, Command, RevokeToken
from artdag_common.domain.access import Token
from artdag_common.errors import UnauthenticatedError, VersionConflictError
from artdag_common.messaging.bus import Outcome
from artdag_common.messaging.commands import CommandHandler

CONSUMER = "auth"
OWNER = "owner"


class Tokens:
    """Keeps the ``token-`` streams."""

    def __init__(self, app: Application) -> None:
        self._app = app

    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """Return the handler of each command."""
        return {AttachToken: self.attach, RevokeToken: self.revoke}

    async def attach(self, command: AttachToken, command_id: str) -> Outcome:
        """Let a token sign its holder in; one that was revoked stays so."""
        token = await self._app.find(Token, command.token_hash)
        if token is None:
            token = Token.create(Token.Attached, command.token_hash, self._app.clock(), user=command.user)
        return await self._keep(token, command_id)

    async def revoke(self, command: RevokeToken, command_id: str) -> Outcome:
        """Refuse a token from now on."""
        token = await self._app.find(Token, command.token_hash)
        if token is None:
            raise UnauthenticatedError("no such token is attached here")
        token.revoke(self._app.clock())
        return await self._keep(token, command_id)

    async def attach_owner(self, token_hash: str) -> None:
        """Make the local owner's token known; at every start, once."""
        if token_hash and await self._app.find(Token, token_hash) is None:
            token = Token.create(Token.Attached, token_hash, self._app.clock(), user=OWNER)
            await self._app.append(token, f"owner/{token_hash}")  # a conflict: a replica was faster

    async def _keep(self, token: Token, command_id: str) -> Outcome:
        outcome = Outcome.of(user=token.user)
        result = await self._app.append(token, command_id, consumer=CONSUMER, outcome=outcome.encode(), inbox=True)
        if result == "conflict":
            raise VersionConflictError(f"{token.id} changed meanwhile", stream=token.id)
        return outcome
