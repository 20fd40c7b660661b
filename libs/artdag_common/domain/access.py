"""Who may come in: tokens, and the people who hold them. Only the SHA-256 of a token is ever stored.

A token counts as long as it was not revoked, has not expired, and its generation is its holder's: taking all tokens of
somebody at once begins a new generation, and a token that is being attached meanwhile belongs to the old one.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import ClassVar

from artdag_common.domain.aggregate import Aggregate, Creation, aggregate
from artdag_common.errors import TokenExpiredError, TokenRevokedError

OWNER = "owner"
"""User id of whoever runs this system."""


def hash_token(token: str) -> str:
    """Return the SHA-256 of a token, hexadecimal: the only form in which it is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


@aggregate
class Token(Aggregate, created_event_name="Attached"):
    """A token, known by the SHA-256 of its text. Appended by the auth service only."""

    TOPIC = "token"

    class Event(Aggregate.Event):
        TOPIC: ClassVar[str] = "token.event"

    class Attached(Event, Creation):
        """The token signs its holder in. ``expires_at``: unix seconds, 0: never. ``kind``: ``l2``, ``device``, ''."""

        TOPIC: ClassVar[str] = "token.attached"
        user: str
        generation: int = 0
        expires_at: int = 0
        kind: str = ""

    class Refused(Event, Creation):
        """A token that nobody has attached here is refused from now on."""

        TOPIC: ClassVar[str] = "token.refused"
        by: str
        reason: str

        def apply(self, token: Token) -> None:
            token.revoked = True

    class Revoked(Event):
        """The token is refused from now on. ``by``: a user id, or ``l2``; empty: it is not known."""

        TOPIC: ClassVar[str] = "token.revoked"
        by: str = ""
        reason: str = ""

        def apply(self, token: Token) -> None:
            token.revoked = True

    def __init__(self, user: str = "", generation: int = 0, expires_at: int = 0, kind: str = "") -> None:
        self.user = user
        self.generation = generation
        self.expires_at = expires_at
        self.kind = kind
        self.revoked = False

    def revoke(self, now: datetime, by: str = "", reason: str = "") -> None:
        """Refuse the token from now on; a second time changes nothing."""
        if not self.revoked:
            self.record(Token.Revoked, now, by=by, reason=reason)

    def check(self, generation: int, now: float) -> None:
        """Raise unless the token counts.

        Args:
            generation: its holder's.
            now: unix seconds.

        Raises:
            TokenRevokedError: it was revoked, by itself or with all of its holder's.
            TokenExpiredError: its time is over.
        """
        if self.revoked or self.generation != generation:
            raise TokenRevokedError("this token was revoked; sign in again")
        if 0 < self.expires_at <= now:
            raise TokenExpiredError("this token's time is over; sign in again")


@aggregate
class User(Aggregate, created_event_name="Joined"):
    """A person, known by an opaque id. Who that is stands in the table ``auth_people`` and nowhere else.

    Appended by the auth service only.
    """

    TOPIC = "user"

    class Event(Aggregate.Event):
        TOPIC: ClassVar[str] = "user.event"

    class Joined(Event, Creation):
        """Somebody signed in for the first time."""

        TOPIC: ClassVar[str] = "user.joined"

    class TokensRevoked(Event):
        """All tokens that the user holds are refused from now on. ``by``: a user id, or ``l2``."""

        TOPIC: ClassVar[str] = "user.tokens_revoked"
        by: str
        reason: str

        def apply(self, user: User) -> None:
            user.generation += 1

    class Erased(Event):
        """Who this was is forgotten: the id means nobody from now on. ``by``: the user id of whoever did it."""

        TOPIC: ClassVar[str] = "user.erased"
        by: str

        def apply(self, user: User) -> None:
            user.erased = True

    def __init__(self) -> None:
        self.generation = 0
        self.erased = False

    @classmethod
    def join(cls, user_id: str, now: datetime) -> User:
        """Note that somebody is here for the first time."""
        return cls.create(User.Joined, user_id, now)

    def revoke_tokens(self, now: datetime, by: str, reason: str) -> None:
        """Refuse all tokens that the user holds by now."""
        self.record(User.TokensRevoked, now, by=by, reason=reason)

    def erase(self, now: datetime, by: str) -> None:
        """Forget who this is, after all tokens were taken; a second time changes nothing."""
        if not self.erased:
            self.revoke_tokens(now, by, "erased")
            self.record(User.Erased, now, by=by)
