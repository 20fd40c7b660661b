"""Revoking tokens: asked for by L2, which signs the request (RFC 9421), or by whoever has the token."""

from __future__ import annotations

import re
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from artdag_common.commands import RevokeToken, RevokeUser
from artdag_common.errors import InvalidRequestError, NotYoursError, SignatureError, UnauthenticatedError
from artdag_common.federation.l2 import normal_url
from services.gateway.access import COOKIE, bearer_of, hash_token
from services.gateway.api.documentation import answers
from services.gateway.fields import BODY_BYTES, fields_of, takes
from services.gateway.parts import Gateway, Parts
from services.gateway.problems import Json
from services.gateway.uploads import receive_text
from services.gateway.web import pages

router = APIRouter(tags=["signing in"])

BY_L2 = "l2"
HASH = re.compile("[0-9a-f]{64}")
NAME_CHARACTERS = 100
NO_STORE = {"Cache-Control": "no-store"}


@router.post(
    "/auth/revoke",
    summary="Revoke a token",
    openapi_extra=takes(
        {"token": "The token itself", "token_hash": "Its SHA-256, hexadecimal; where L2 signs the request"},
        {"token": "eyJhbGciOi…"},
    ),
    responses=answers({"revoked": True}, 401, 413, 415, 422, pending=True),
)
async def revoke(request: Request, parts: Parts) -> Response:
    """Refused from then on by every gateway, and its event streams end.

    Either the token itself is sent, as `Authorization: Bearer` or in the body, or L2's actor signs the request. To L2 a
    token that is not known here is `{"revoked": false}`, and refused all the same from then on.
    """
    parts.access.check_no_foreign_page(request)
    raw = await receive_text(request, BODY_BYTES)
    signed = await _signed_by_l2(request, parts, raw)
    fields = fields_of(request, raw)
    token = fields.get("token", "") or bearer_of(request)
    if signed:
        token_hash = hash_token(token) if token else fields.get("token_hash", "").lower()
        if not HASH.fullmatch(token_hash):
            raise _missing("token_hash", "64 hexadecimal digits, or `token`")
        command = RevokeToken(token_hash, BY_L2, "revoked at L2", unseen=True)
    elif token:
        command = RevokeToken(hash_token(token), "", "given back by who has it")
    else:
        raise UnauthenticatedError("this needs the token that is to be revoked, or the signature of L2's actor")
    done = await parts.issuer.issue(command, str(uuid4()), "/auth")
    return Json({"revoked": bool(done["revoked"])}, headers=NO_STORE)


@router.post(
    "/auth/revoke-user",
    summary="Revoke all tokens of a user",
    openapi_extra=takes(
        {
            "username": "Whose, at L2; where L2 signs the request",
            "l2_server": "L2's address; has to be that of this server's L2",
        },
        {"username": "giles"},
    ),
    responses=answers({"revoked": 2, "username": "giles"}, 401, 413, 415, 422, pending=True)
    | {303: {"description": "A browser is led to `/auth`"}},
)
async def revoke_user(request: Request, parts: Parts) -> Response:
    """L2 asks for it, and signs the request; or users for themselves, signed in by any of their tokens."""
    parts.access.check_no_foreign_page(request)
    raw = await receive_text(request, BODY_BYTES)
    signed = await _signed_by_l2(request, parts, raw)
    fields = fields_of(request, raw)
    name = fields.get("username", "")
    if signed:
        if not 0 < len(name) <= NAME_CHARACTERS or not name.isprintable():
            raise _missing("username", "the name of a user at L2")
        given = fields.get("l2_server", "")
        if given and normal_url(given) != normal_url(parts.settings.l2_server):
            raise _missing("l2_server", f"{parts.settings.l2_server}, the L2 of this server")
        return Json({"revoked": await parts.auth.revoke_name(name), "username": name}, headers=NO_STORE)
    user = await parts.access.user(request)
    own = (await parts.people.handle(user)).removeprefix("@").partition("@")[0]
    if name and name != own:
        raise NotYoursError(f"username: {name[:NAME_CHARACTERS]!r} is somebody else; you are {own!r}")
    done = await parts.issuer.issue(RevokeUser(user, user, "signed out everywhere"), str(uuid4()), "/auth")
    response: Response = Json({"revoked": int(done["revoked"]), "username": own}, headers=NO_STORE)
    if pages.wanted(request):
        response = RedirectResponse("/auth", 303, headers=NO_STORE)
    response.delete_cookie(COOKIE)
    return response


async def _signed_by_l2(request: Request, parts: Gateway, raw: bytes) -> bool:
    """Return whether L2's actor signs the request; one that is signed has to be signed well.

    Raises:
        SignatureError: it is not.
        L2UnavailableError: L2's key cannot be asked for.
    """
    if "signature" not in request.headers and "signature-input" not in request.headers:
        return False
    if parts.l2 is None:
        raise SignatureError("this server has no L2 whose signature would count (L2_SERVER)")
    target = request.scope["raw_path"].decode("ascii", "replace")
    if query := request.scope["query_string"]:
        target += "?" + query.decode("ascii", "replace")
    lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
    await parts.l2.check_signed(request.method, parts.settings.public_url.rstrip("/") + target, lines, raw)
    return True


def _missing(field: str, rule: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field} has to be {rule}", problems=[{"field": field, "problem": f"has to be {rule}"}])
