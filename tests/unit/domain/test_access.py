"""Access tokens, as sentences."""

from __future__ import annotations

import pytest

from artdag_common.domain.access import Token
from artdag_common.testing.scenario import Scenario, fact


@pytest.fixture
def token() -> Scenario[Token]:
    return Scenario(Token, Token.Attached, key="f" * 64)


def test_a_token_can_be_revoked(token: Scenario[Token]) -> None:
    token.given(fact(Token.Attached, user="ada")).when(Token.revoke).then(Token.Revoked)
    assert (token.state.user, token.state.revoked) == ("ada", True)


def test_revoking_again_changes_nothing(token: Scenario[Token]) -> None:
    token.given(Token.Revoked).when(Token.revoke).nothing()
