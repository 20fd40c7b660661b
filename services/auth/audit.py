"""What gateways refused, kept for the audit trail: a stream for each hour, bounded, so that nobody can fill it up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from artdag_common.application import ATTEMPTS, Application
from artdag_common.commands import Command, NoteRefusals
from artdag_common.domain.audit import Audit, check_hand_over
from artdag_common.errors import VersionConflictError
from artdag_common.messaging.bus import Outcome
from artdag_common.messaging.commands import CommandHandler

CONSUMER = "auth"


class Trail:
    """Keeps the ``audit-`` streams."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._alone = asyncio.Lock()  # all gateways hand over to the same stream

    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """Return the handler of each command."""
        return {NoteRefusals: self.note}

    async def note(self, command: NoteRefusals, command_id: str) -> Outcome:
        """Keep refusals, and tell how many more the hour has room for.

        Raises:
            InvalidRequestError: no gateway hands over such a thing; nothing of it is kept.
        """
        check_hand_over(command.hour, command.refusals, self._app.clock())
        async with self._alone:
            for _ in range(ATTEMPTS):
                audit = await self._app.find(Audit, command.hour)
                if audit is None:
                    audit = Audit.begin(command.hour, command.refusals, self._app.clock())
                else:
                    audit.note(command.refusals, self._app.clock())
                outcome = Outcome.of(room=audit.room)
                result = await self._app.append(
                    audit, command_id, consumer=CONSUMER, outcome=outcome.encode(), inbox=True
                )
                if result != "conflict":
                    return outcome
        raise VersionConflictError(
            f"the refusals of {command.hour} changed {ATTEMPTS} times meanwhile", hour=command.hour
        )
