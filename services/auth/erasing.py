"""Erasing a person: no token of theirs counts any more, and nobody can tell any more who the id was."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from artdag_common.application import ATTEMPTS, Application
from artdag_common.commands import Command, EraseUser
from artdag_common.domain.access import OWNER, User
from artdag_common.errors import InvalidRequestError, UserNotFoundError, VersionConflictError
from artdag_common.eventstore.port import Call
from artdag_common.messaging.bus import Outcome
from artdag_common.messaging.commands import CommandHandler
from services.auth.revocation import Revocation

CONSUMER = "auth"
KNOWN = "SELECT EXISTS (SELECT FROM auth_tokens WHERE user_id = $1)"


class Erasing:
    """Ends the ``user-`` streams of those who go."""

    def __init__(self, app: Application, pool: asyncpg.Pool, revocation: Revocation) -> None:
        self._app = app
        self._pool = pool
        self._revocation = revocation

    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """Return the handler of each command."""
        return {EraseUser: self.erase}

    async def erase(self, command: EraseUser, command_id: str) -> Outcome:
        """Take all tokens of a user and forget who it was, both at once. Of one who was erased there is nothing left.

        Raises:
            InvalidRequestError: it is the local owner, who has no name here, and without whom nobody runs the system.
            UserNotFoundError: nobody has this id.
        """
        if command.user_id == OWNER:
            raise InvalidRequestError(f"user: {OWNER!r} is the operator of this system and cannot be erased")
        for _ in range(ATTEMPTS):
            user = await self._find(command.user_id)
            outcome = Outcome.of(user_id=command.user_id, erased_before=user.erased)
            user.erase(self._app.clock(), command.by)
            result = await self._app.append(
                user,
                command_id,
                consumer=CONSUMER,
                outcome=outcome.encode(),
                also=Call("auth_forget", ((command.user_id, "text"),)),
                inbox=True,
            )
            if result != "conflict":
                await self._revocation.tell_all(command.user_id)
                return outcome
        raise VersionConflictError(f"{command.user_id} changed {ATTEMPTS} times meanwhile", user=command.user_id)

    async def _find(self, user_id: str) -> User:
        """Return a user, also one whom only a token knows.

        Raises:
            UserNotFoundError: there is no such user.
        """
        user = await self._app.find(User, user_id)
        if user is None and await self._pool.fetchval(KNOWN, user_id):
            user = User.join(user_id, self._app.clock())
        if user is None:
            raise UserNotFoundError(f"no user {user_id}", user=user_id)
        return user
