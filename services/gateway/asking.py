"""The auth service, asked on core NATS: what goes there is a secret or a name, and is not stored on the way."""

from __future__ import annotations

from typing import Any

import nats
import orjson
from google.protobuf.message import Message

from artdag_common.errors import ServiceUnavailableError
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus, Outcome
from artdag_common.pb.commands_pb2 import GrantBeginning, GrantPoll, GrantQuestion, NameQuestion, TokenQuestion
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
