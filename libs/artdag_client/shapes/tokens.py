"""Who is signed in, and by what."""

from __future__ import annotations

from typing import TypedDict


class Who(TypedDict):
    """Who is signed in; ``expires_at``: unix seconds."""

    signed_in: bool
    user: str | None
    handle: str | None
    expires_at: int | None
    asking: str | None
    l2_server: str | None


class Codes(TypedDict):
    """How a person signs a program in: by confirming ``user_code`` at ``verification_uri``."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class Grant(TypedDict):
    """A program that waits to be signed in."""

    client: str
    state: str
    begun_at: str


class Token(TypedDict):
    """A token that signs you in somewhere, never the token itself. ``kind``: device, l2, or empty: the operator's."""

    token_id: str
    kind: str
    attached_at: str
    expires_at: str | None
    current: bool


class TokenPage(TypedDict):
    """Your tokens."""

    tokens: list[Token]
    total: int


class TokenRevoked(TypedDict):
    """Whether a token counts no more."""

    token_id: str
    revoked: bool
