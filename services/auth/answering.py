"""Answers what gateways ask on core NATS: what holds a token, a code or a name is never stored on the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import nats
import structlog
from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg

from artdag_common.errors import ArtdagError, MalformedMessageError, ServiceUnavailableError
from artdag_common.eventstore.postgres import LOST
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus, Outcome
from artdag_common.pb.commands_pb2 import (
    GrantBeginning,
    GrantPoll,
    GrantQuestion,
    LetterQuestion,
    LetterSettling,
    NameQuestion,
    StandingQuestion,
    TokenQuestion,
)
from services.auth.grants import Grants
from services.auth.handlers import Tokens
from services.auth.letters import Letters
from services.auth.verification import Verification

QUEUE = "auth"
AT_ONCE = 256
"""Questions in hand; who asks beyond that is told to try again."""

log = structlog.get_logger(__name__)

Question = tuple[type[Message], Callable[[Any], Awaitable[Outcome]]]


class Answering:
    """Replicas share the questions. An answer is an :class:`Outcome`."""

    def __init__(self, bus: Bus, verification: Verification, tokens: Tokens, grants: Grants, letters: Letters) -> None:
        self._bus = bus
        self._tasks: set[asyncio.Task[None]] = set()
        self._questions: dict[str, Question] = {
            subjects.VERIFY: (TokenQuestion, lambda q: verification.verify(q.token, q.attach)),
            subjects.REVOKE_NAME: (NameQuestion, lambda q: tokens.revoke_name(q.username)),
            subjects.BEGIN_GRANT: (GrantBeginning, lambda q: grants.begin(q.client)),
            subjects.SHOW_GRANT: (GrantQuestion, lambda q: grants.decide(q.user_code, q.user_id, q.decision)),
            subjects.TAKE_GRANT: (GrantPoll, lambda q: grants.take(q.device_code)),
            subjects.LETTERS: (LetterQuestion, letters.show),
            subjects.SETTLE_LETTER: (LetterSettling, letters.settle),
            subjects.STANDING: (StandingQuestion, letters.standing),
        }

    async def start(self) -> None:
        """Listen."""
        for subject in self._questions:
            await self._bus.nc.subscribe(subject, queue=QUEUE, cb=self._receive)

    async def stop(self) -> None:
        """Finish what was begun."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _receive(self, message: Msg) -> None:
        task = asyncio.create_task(self._answer(message), name=message.subject)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Msg) -> None:
        try:
            outcome = await self._outcome(message)
        except ArtdagError as error:
            outcome = Outcome.refused(error)
        except Exception as error:
            log.error("a question was not answered", subject=message.subject, exc_info=error)
            outcome = Outcome.refused(
                ServiceUnavailableError("this is a defect of the auth service; its log says more")
            )
        with contextlib.suppress(nats.errors.Error):  # whoever asks takes us for silent
            await message.respond(outcome.encode())

    async def _outcome(self, message: Msg) -> Outcome:
        kind, answer = self._questions[message.subject]
        if len(self._tasks) > AT_ONCE:
            raise ServiceUnavailableError("too many questions at once; try again", retry_after=2)
        try:
            question = kind.FromString(message.data)
        except DecodeError as error:
            raise MalformedMessageError(f"{message.subject} does not hold a {kind.__name__}") from error
        try:
            return await answer(question)
        except (asyncpg.PostgresError, TimeoutError, *LOST) as error:
            raise ServiceUnavailableError(f"Postgres does not answer: {type(error).__name__}") from error
