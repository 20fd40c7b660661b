"""Commands on their way to their owners, and what came of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID, uuid5

import asyncpg
import orjson
from starlette.requests import Request

from artdag_common import errors
from artdag_common.commands import COMMANDS, Command, StartRun
from artdag_common.errors import ArtdagError
from artdag_common.eventstore import schema
from artdag_common.eventstore.port import WAITED_FOR, EventStore
from artdag_common.eventstore.postgres import GATEWAY_SCHEMA, OWN_SCHEMA
from artdag_common.messaging.bus import Bus, Outcome
from services.gateway import repeating

RUN_IDS = UUID("b8f4f1f0-1c3e-5e5b-8a4f-61727464616e")
ANSWER_SECONDS = 8.0
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d{1,4})(?=$|[,;\s])", re.IGNORECASE)

DDL = """
CREATE TABLE IF NOT EXISTS gateway_pending (
    command_id text PRIMARY KEY,
    sender     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS gateway_pending_age ON gateway_pending (created_at);
"""


PENDING = """WITH aged AS (DELETE FROM gateway_pending WHERE created_at < now() - interval '8 days')
INSERT INTO gateway_pending (command_id, sender) VALUES ($1, $2) ON CONFLICT DO NOTHING"""


def sender_of(command: Command) -> str:
    """Return the user in whose name a command is sent; empty: it is the system's own."""
    return str(getattr(command, "by", "") or getattr(command, "owner", ""))


def patience_of(request: Request) -> float:
    """Return how long the client wants to wait, in seconds: ``Prefer: wait=N`` (RFC 7240), else our own limit."""
    match = WAIT.search(request.headers.get("prefer", ""))
    return min(float(match[1]), ANSWER_SECONDS) if match else ANSWER_SECONDS


def run_id_of(command_id: str) -> str:
    """Return the id of the run that a command starts: any repeat starts the same run."""
    return str(uuid5(RUN_IDS, command_id))


def refusal(outcome: Outcome) -> ArtdagError:
    """Return the error that a refusal stands for, so that it is answered like one of our own."""
    values = orjson.loads(outcome.values or b"{}")
    cls = errors_by_code().get(outcome.code)
    if cls is None:  # of a newer version
        return ArtdagError(outcome.message, refusal=outcome.code, **values)
    error = cls.__new__(cls)
    ArtdagError.__init__(error, outcome.message, **values)
    return error


def values_of(outcome: Outcome) -> dict[str, Any]:
    """Return what came of a command that was accepted.

    Raises:
        ArtdagError: the refusal.
    """
    if not outcome.accepted:
        raise refusal(outcome)
    values: dict[str, Any] = orjson.loads(outcome.values or b"{}")
    return values


@cache
def errors_by_code() -> Mapping[str, type[ArtdagError]]:
    """Return the class of each error by its code."""
    known = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, ArtdagError)]
    return {cls.__new__(cls).code: cls for cls in known}


class Pending(Exception):  # noqa: N818  (not an error: the command is kept, its outcome is not known yet)
    """The bus keeps the command, and its owner has not answered in time."""

    def __init__(self, command_id: str, resource: str) -> None:
        super().__init__(command_id)
        self.command_id = command_id
        self.resource = resource


class Issuer:
    """Publishes commands and waits for their outcome."""

    def __init__(self, bus: Bus, store: EventStore, pool: asyncpg.Pool) -> None:
        self._bus = bus
        self._store = store
        self._pool = pool
        self.keys = repeating.Keys(pool, self.handled)

    async def prepare(self) -> None:
        """Make the tables of used keys, and of who waits for a command."""
        async with self._pool.acquire() as connection, schema.alone(connection):
            await schema.make(connection, repeating.DDL + DDL, OWN_SCHEMA, GATEWAY_SCHEMA)

    async def command_id(self, request: Request, owner: str, body: bytes) -> str:
        """Return the id of the command that a request leads to; with an ``Idempotency-Key`` its repeats are the same.

        Without one every request is a new command: a hash of the body would make it impossible to ask twice on purpose.
        Called before anything is looked at that the request may change. Raises as :meth:`repeating.Keys.begin`.
        """
        return await self.keys.begin(request, owner, body, patience_of(request))

    async def issue(
        self, command: Command, command_id: str, resource: str, patience: float = ANSWER_SECONDS
    ) -> dict[str, Any]:
        """Publish a command and return what its owner says came of it.

        Args:
            resource: path of what the command is about, for whoever has to look later.
            patience: seconds to wait for the answer.

        Raises:
            Pending: no answer in time; the command is kept.
            ArtdagError: the refusal.
            ServiceUnavailableError: the bus did not take it; nothing was accepted.
        """
        outcome = await self._bus.request(command, command_id, patience)
        if outcome is None:
            await self._pool.execute(PENDING, command_id, sender_of(command))
            raise Pending(command_id, resource)
        return values_of(outcome)

    async def begin(self, command: StartRun, command_id: str, resource: str, patience: float) -> dict[str, Any]:
        """Start a run as by :meth:`issue`. Whoever is told to wait finds a run in any case, if only one that failed."""
        try:
            return await self.issue(command, command_id, resource, patience)
        except Pending:
            await self._store.keep_outcome(WAITED_FOR, command_id, b"")
            found = await self.handled(command_id)
            if found is None:  # it may have been refused for the moment, by one who did not know yet: then it is again
                await self._bus.send(command, command_id)
                raise
            return values_of(found)

    async def outcome(self, command_id: str, user: str) -> Outcome | None:
        """Return what came of a command that a user was told to wait for.

        None: nobody has handled it; or there is no such command, or it is another's.
        """
        if await self._pool.fetchval("SELECT sender FROM gateway_pending WHERE command_id = $1", command_id) != user:
            return None
        return await self.handled(command_id)

    async def handled(self, command_id: str) -> Outcome | None:
        """Return what came of a command whose sender asks again, or None if nobody has handled it."""
        for service in sorted({command.SERVICE for command in COMMANDS.values()}):
            stored = await self._store.outcome(service, command_id)
            if stored is not None:
                return Outcome.decode(stored)
        return None
