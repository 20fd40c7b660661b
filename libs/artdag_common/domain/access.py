"""Access tokens: who holds one, and that it was revoked. Only the SHA-256 of a token is ever stored."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from artdag_common.domain.aggregate import Aggregate, Creation, aggregate


@aggregate
class Token(Aggregate, created_event_name="Attached"):
    """A token, known by the SHA-256 of its text. Appended by the auth service only."""

    TOPIC = "token"

    class Event(Aggregate.Event):
        TOPIC: ClassVar[str] = "token.event"

    class Attached(Event, Creation):
        """The token signs its holder in."""

        TOPIC: ClassVar[str] = "token.attached"
        user: str

    class Revoked(Event):
        """The token is refused from now on."""

        TOPIC: ClassVar[str] = "token.revoked"

        def apply(self, token: Token) -> None:
            token.revoked = True

    def __init__(self, user: str) -> None:
        self.user = user
        self.revoked = False

    def revoke(self, now: datetime) -> None:
        """Refuse the token from now on; a second time changes nothing."""
        if not self.revoked:
            self.record(Token.Revoked, now)
