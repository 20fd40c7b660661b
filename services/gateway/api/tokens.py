"""Tokens: where somebody is signed in, and taking one back. Of a token only the beginning of its hash is told."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from artdag_common.commands import RevokeToken
from artdag_common.errors import NotYoursError, TokenNotFoundError
from services.gateway.api.documentation import TIME, answers
from services.gateway.issuing import patience_of
from services.gateway.launching import OWN_WRITES_SECONDS
from services.gateway.parts import Gateway, Parts, User
from services.gateway.problems import Json
from services.gateway.projections import tokens
from services.gateway.projections.tokens import TokenRow
from services.gateway.views import time_view

router = APIRouter(prefix="/auth/tokens", tags=["signing in"])

ID_CHARACTERS = 16
MOST = 200
"""Tokens that are shown."""

NO_STORE = {"Cache-Control": "no-store"}
REASON = "revoked by who holds it"
TOKEN_ID = "3f6a1c0e9b7d2a54"  # noqa: S105  (the beginning of a hash)
TokenId = Annotated[
    str, Path(description="Id of a token of yours", examples=[TOKEN_ID], pattern=f"^[0-9a-f]{{{ID_CHARACTERS}}}$")
]
TOKEN: dict[str, Any] = {
    "token_id": TOKEN_ID,
    "kind": "device",
    "attached_at": TIME,
    "expires_at": TIME,
    "current": False,
}


@router.get("", summary="List your tokens", responses=answers({"tokens": [TOKEN], "total": 1}, 401))
async def list_tokens(request: Request, parts: Parts, user: User) -> Response:
    """Those that sign you in, newest first, at most 200. `current`: the one of this request.

    `kind`: `device`, of a program that you allowed; `l2`, of your registry; empty, of this system's operator.
    """
    rows, total = await tokens.of_holder(parts.pool, user, datetime.now(UTC), MOST)
    present = await parts.access.present(request)
    current = present.token_hash if present else ""
    return Json({"tokens": [token_view(row, current) for row in rows], "total": total}, headers=NO_STORE)


@router.delete(
    "/{token_id}",
    summary="Revoke a token of yours",
    responses=answers({"token_id": TOKEN_ID, "revoked": True}, 401, 404, pending=True),
)
async def revoke_token(request: Request, token_id: TokenId, parts: Parts, user: User) -> Response:
    """Refused from then on by every gateway, and its event streams end. Also the one of this request may be.

    But for the operator's own, which this system was started with.
    """
    command_id = await parts.issuer.command_id(request, user, b"")
    row = await _wanted(parts, token_id, user)
    if hmac.compare_digest(row.token_hash, parts.settings.owner_token_hash):
        raise NotYoursError("the operator's own token stays good: the programs of this machine have it too")
    revoked = {"token_id": token_id, "revoked": True}
    await parts.issuer.keys.foretell(request, revoked)
    command = RevokeToken(row.token_hash, user, REASON)
    await parts.issuer.issue(command, command_id, "/auth/tokens", patience_of(request))

    async def gone() -> bool:
        return await tokens.of_holder_by_id(parts.pool, user, token_id, datetime.now(UTC)) is None

    await parts.projector.until(gone, OWN_WRITES_SECONDS)
    return Json(revoked, headers=NO_STORE)


async def _wanted(parts: Gateway, token_id: str, user: str) -> TokenRow:
    """Return a token of this user.

    Raises:
        TokenNotFoundError: there is none; another's is none.
    """
    row = await tokens.of_holder_by_id(parts.pool, user, token_id, datetime.now(UTC))
    if row is None:
        raise TokenNotFoundError(f"no token {token_id} signs you in", token=token_id)
    return row


def token_view(row: TokenRow, current: str) -> dict[str, Any]:
    """Return a token as its holder sees it. ``current``: the hash of the one that asks."""
    return {
        "token_id": row.token_hash[:ID_CHARACTERS],
        "kind": row.kind,
        "attached_at": time_view(row.attached_at),
        "expires_at": time_view(datetime.fromtimestamp(row.expires_at, UTC)) if row.expires_at else None,
        "current": hmac.compare_digest(row.token_hash, current),
    }
