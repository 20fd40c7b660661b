"""The auth service, asked on core NATS: what goes there is a secret or a name, and is not stored on the way."""

from __future__ import annotations

from typing import Any

import nats
import orjson
from google.protobuf.message import Message

from artdag_common.errors import ServiceUnavailableError
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
from services.gateway.issuing import refusal

L2_SECONDS = 25.0
"""The auth service asks L2 twice at most, ten seconds each."""
ANSWER_SECONDS = 8.0


class AuthService:
    """What the gateway asks the auth service."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def verify(self, token: str, attach: bool) -> dict[str, Any]:
        """Return who a token signs in: ``user_id``, ``handle``, ``expires_at``.

        Args:
            attach: from now on it does. Without, ``user_id`` is empty where the person was never here.

        Raises:
            ArtdagError: nobody; as the auth service says it.
            ServiceUnavailableError: the auth service, or L2, does not answer.
        """
        return _accepted(await self._ask(subjects.VERIFY, TokenQuestion(token=token, attach=attach), L2_SECONDS))

    async def revoke_name(self, username: str) -> int:
        """Refuse all tokens of the person who has this name at L2, and return how many they were."""
        return int(_accepted(await self._ask(subjects.REVOKE_NAME, NameQuestion(username=username)))["revoked"])

    async def begin_grant(self, client: str) -> dict[str, Any]:
        """Let a program wait to be signed in: ``device_code``, ``user_code``, ``expires_in``, ``interval``."""
        return _accepted(await self._ask(subjects.BEGIN_GRANT, GrantBeginning(client=client)))

    async def show_grant(self, user_code: str, user_id: str, decision: str = "") -> dict[str, Any]:
        """Return what waits with a code: ``client``, ``state``, ``begun_at``. ``decision``: allow, deny or only look.

        Raises:
            GrantNotFoundError: nothing waits with it.
            TooManyGuessesError: the user gave too many codes that nothing waits with.
        """
        question = GrantQuestion(user_code=user_code, user_id=user_id, decision=decision)
        return _accepted(await self._ask(subjects.SHOW_GRANT, question))

    async def take_grant(self, device_code: str) -> Outcome:
        """Return what came of it; ``code`` of a refusal is an error of RFC 8628."""
        return await self._ask(subjects.TAKE_GRANT, GrantPoll(device_code=device_code))

    async def letters(self, service: str, name: str, after: int, limit: int) -> dict[str, Any]:
        """Return dead letters after an id, oldest first: ``letters``, ``total``, ``next`` (0: no more)."""
        question = LetterQuestion(service=service, name=name, after=after, limit=limit)
        return _accepted(await self._ask(subjects.LETTERS, question))

    async def letter(self, letter_id: int, raw: bool = False) -> dict[str, Any]:
        """Return a dead letter: ``letter``, and with ``raw`` its stored bytes as ``data``, base64.

        Raises:
            LetterNotFoundError: there is none of this id.
        """
        return _accepted(await self._ask(subjects.LETTERS, LetterQuestion(id=letter_id, raw=raw)))

    async def settle_letter(self, letter_id: int, by: str, dropped: bool, reason: str = "") -> None:
        """Let a dead letter go that was sent again, or drop it; the audit trail tells of it.

        Raises:
            LetterNotFoundError: there is none of this id.
        """
        settling = LetterSettling(id=letter_id, by=by, dropped=dropped, reason=reason)
        _accepted(await self._ask(subjects.SETTLE_LETTER, settling))

    async def standing(self) -> dict[str, Any]:
        """Return how the streams stand: ``letters`` by service, ``streams``, ``consumers``, ``depth`` by class."""
        return _accepted(await self._ask(subjects.STANDING, StandingQuestion()))

    async def _ask(self, subject: str, question: Message, timeout: float = ANSWER_SECONDS) -> Outcome:
        try:
            answer = await self._bus.nc.request(subject, question.SerializeToString(), timeout=timeout)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise ServiceUnavailableError("the auth service does not answer; try again shortly") from error
        return Outcome.decode(answer.data)


def _accepted(outcome: Outcome) -> dict[str, Any]:
    if not outcome.accepted:
        raise refusal(outcome)
    values: dict[str, Any] = orjson.loads(outcome.values or b"{}")
    return values
