"""Tokens: JWTs for one person on one L1 server. Nobody but the registry can read or make them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import jwt
from jwt.types import Options

from tests.l2.books import Books

DAYS = 86_400.0
LONGEST_SECONDS = 30 * DAYS  # L1 servers keep a revocation as long
ALGORITHM = "HS256"


class TokenRefusedError(Exception):
    """The token is nobody's, or no longer, or not for who asks; ``status`` says which."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Claims:
    """Whom a token signs in, and where."""

    person: str
    renderer: str
    expires: float


class Tokens:
    """Issues tokens and vouches for them."""

    def __init__(self, books: Books, public_url: str, clock: Callable[[], float]) -> None:
        self._books = books
        self._issuer = public_url
        self._clock = clock
        self._secret = books.jwt_secret()

    def issue(self, person: str, renderer: str, purpose: str, seconds: float = LONGEST_SECONDS) -> str:
        """Return a new token that signs ``person`` in on the L1 server ``renderer`` and nowhere else."""
        now = self._clock()
        jti, expires = secrets.token_hex(16), now + min(seconds, LONGEST_SECONDS)
        claims = {
            "iss": self._issuer,
            "sub": person,
            "username": person,
            "l1_server": renderer,
            "jti": jti,
            "iat": int(now),
            "exp": int(expires),
        }
        text = jwt.encode(claims, self._secret, algorithm=ALGORITHM)
        self._books.add_token(jti, text, person, renderer, purpose, now, expires)
        return text

    def verify(self, text: str, renderer: str) -> Claims:
        """Return whom a token signs in on an L1 server.

        Raises:
            TokenRefusedError: 401, it is no token of ours, expired or revoked; 403, it is for another L1 server.
        """
        needed: Options = {  # times are compared with our own clock, below
            "require": ["iss", "username", "l1_server", "jti", "exp"],
            "verify_exp": False,
            "verify_iat": False,
        }
        try:
            claims = jwt.decode(text, self._secret, [ALGORITHM], options=needed, issuer=self._issuer)
        except jwt.InvalidTokenError as error:
            raise TokenRefusedError(401, f"no token of this registry: {error}") from error
        row = self._books.token(claims["jti"])
        if row is None or row["revoked"] is not None:
            raise TokenRefusedError(401, "the token was revoked")
        if claims["exp"] <= self._clock():
            raise TokenRefusedError(401, "the token has expired")
        if claims["l1_server"] != renderer:
            raise TokenRefusedError(403, f"the token is for {claims['l1_server']}, not for {renderer}")
        return Claims(claims["username"], claims["l1_server"], claims["exp"])
