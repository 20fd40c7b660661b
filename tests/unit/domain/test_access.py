"""Tokens and those who hold them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from artdag_common.domain.access import Token, User
from artdag_common.errors import TokenExpiredError, TokenRevokedError

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def attached(generation: int = 0, expires_at: int = 0) -> Token:
    """A token."""
    return Token.create(
        Token.Attached, "ab" * 32, NOW, user="u-abc", generation=generation, expires_at=expires_at, kind="l2"
    )


def test_a_token_counts_until_it_is_revoked() -> None:
    token = attached()
    token.check(0, NOW.timestamp())
    token.revoke(NOW, "l2", "signed out")
    token.revoke(NOW, "owner", "again")
    assert token.version == 2, "it is revoked once"
    with pytest.raises(TokenRevokedError):
        token.check(0, NOW.timestamp())


def test_a_token_counts_until_its_time_is_over() -> None:
    token = attached(expires_at=1000)
    token.check(0, 999.9)
    with pytest.raises(TokenExpiredError):
        token.check(0, 1000.0)


def test_a_token_that_never_ends_never_ends() -> None:
    attached().check(0, 4e9)


def test_a_token_counts_in_its_generation_only() -> None:
    user = User.join("u-abc", NOW)
    attached(user.generation).check(user.generation, 0)
    user.revoke_tokens(NOW, "l2", "signed out")
    for generation in (0, 2):
        with pytest.raises(TokenRevokedError):
            attached(generation).check(user.generation, 0)
    attached(1).check(user.generation, 0)


def test_a_token_that_was_refused_unseen_is_revoked() -> None:
    token = Token.create(Token.Refused, "ab" * 32, NOW, by="l2", reason="revoked at L2")
    with pytest.raises(TokenRevokedError):
        token.check(0, 0)
    token.revoke(NOW)
    assert token.version == 1
