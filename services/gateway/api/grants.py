"""Signing programs in from another device, in the shape of RFC 8628: ``artdag login``."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from artdag_common.errors import InvalidRequestError
from services.gateway.api.auth import ASKED_SECONDS, HTML, NEXT, keep
from services.gateway.api.documentation import answers
from services.gateway.fields import read_fields, takes
from services.gateway.issuing import refusal
from services.gateway.parts import Gateway, Parts, User
from services.gateway.problems import Json
from services.gateway.web import pages

router = APIRouter(tags=["signing in"], prefix="/auth/device")

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
POLLED = frozenset({"authorization_pending", "slow_down", "access_denied", "expired_token", "invalid_grant"})
NO_STORE = {"Cache-Control": "no-store"}
CODE_CHARACTERS = 40
WORDS = {
    "waiting": "nobody has decided yet",
    "allowed": "it is signed in",
    "denied": "it is not signed in",
}

CODES = {
    "device_code": "yq1…",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://l1.example.org/auth/device",
    "verification_uri_complete": "https://l1.example.org/auth/device?user_code=WDJB-MJHT",
    "expires_in": 600,
    "interval": 5,
}
GRANTED = {"access_token": "adt_…", "token_type": "Bearer", "expires_in": 2592000}
GRANT = {"client": "artdag on laptop", "state": "waiting", "begun_at": "2026-01-07T12:00:00+00:00"}
PENDING: dict[int | str, dict[str, Any]] = {
    400: {
        "description": "Not yet, or not at all: `error` is one of RFC 8628, 3.5",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
                },
                "example": {"error": "authorization_pending", "error_description": "nobody confirmed the code yet"},
            }
        },
    }
}


@router.post(
    "",
    summary="Begin to sign a program in",
    openapi_extra=takes(
        {"client_id": "What the program calls itself; people see it"}, {"client_id": "artdag on laptop"}
    ),
    responses=answers(CODES, 413, 415, 422),
)
async def begin(request: Request, parts: Parts) -> Response:
    """Two codes: one to poll `POST /auth/device/token` with, one that a person confirms at `verification_uri`."""
    parts.access.check_no_foreign_page(request)
    fields = await read_fields(request)
    codes = await parts.auth.begin_grant(fields.get("client_id", "") or "a program")
    page = f"{parts.settings.public_url.rstrip('/')}/auth/device"
    complete = f"{page}?{urlencode({'user_code': codes['user_code']})}"
    return Json({**codes, "verification_uri": page, "verification_uri_complete": complete}, headers=NO_STORE)


@router.post(
    "/token",
    summary="Ask for the token of a program that waits",
    openapi_extra=takes(
        {"device_code": "From `POST /auth/device`", "grant_type": GRANT_TYPE, "client_id": "Not looked at"},
        {"device_code": "yq1…", "grant_type": GRANT_TYPE},
    ),
    responses=answers(GRANTED, 413, 415, 422) | PENDING,
)
async def take(request: Request, parts: Parts) -> Response:
    """The token once a person allowed it, for half a minute, since an answer can be lost; else why not."""
    parts.access.check_no_foreign_page(request)
    fields = await read_fields(request)
    if fields.get("grant_type", GRANT_TYPE) != GRANT_TYPE:
        return _not("unsupported_grant_type", f"grant_type has to be {GRANT_TYPE}")
    device_code = fields.get("device_code", "")
    if not 0 < len(device_code) <= CODE_CHARACTERS * 4:
        return _not("invalid_request", "device_code is missing")
    outcome = await parts.auth.take_grant(device_code)
    if outcome.accepted:
        values = orjson.loads(outcome.values)
        return Json(
            {"access_token": values["access_token"], "token_type": "Bearer", "expires_in": values["expires_in"]},
            headers=NO_STORE,
        )
    if outcome.code not in POLLED:
        raise refusal(outcome)
    return _not(outcome.code, outcome.message)


def _not(error: str, said: str) -> Response:
    return Json({"error": error, "error_description": said}, 400, NO_STORE)


SHOWN = answers(GRANT, 401, 404, 422)
for _status in SHOWN.keys() & {200, 401, 503}:
    SHOWN[_status]["content"] |= HTML["content"]


@router.get("", summary="See which program waits with a code", responses=SHOWN)
async def show(
    request: Request,
    parts: Parts,
    user_code: Annotated[str, Query(description="What the program shows; empty: a page that asks for it")] = "",
) -> Response:
    """What a person is to confirm. Whoever is not signed in is told how; after that they come back here."""
    if not pages.wanted(request):
        return Json(await parts.auth.show_grant(_code(user_code), await parts.access.user(request)), headers=NO_STORE)
    session = await parts.access.present(request)
    if session is None:
        return await _sign_in_first(request, parts, user_code)
    if not user_code:
        return await pages.sheet(
            request,
            "Sign a program in",
            pages.text("A program that wants to work as you shows a code of eight letters."),
            pages.question("/auth/device", "user_code", "The code that it shows:", "Go on"),
        )
    grant = await parts.auth.show_grant(_code(user_code), session.user)
    handle = await parts.people.handle(session.user)
    return await _grant_page(request, user_code, handle, grant)


@router.post(
    "/confirm",
    summary="Allow a program to sign in as you, or not",
    openapi_extra=takes(
        {"user_code": "What the program shows", "decision": "allow or deny"},
        {"user_code": "WDJB-MJHT", "decision": "allow"},
    ),
    responses=answers(GRANT | {"state": "allowed"}, 401, 404, 413, 415, 422) | {200: SHOWN[200]},
)
async def confirm(request: Request, parts: Parts, user: User) -> Response:
    """The first decision stays. By cookie only from a page of this server."""
    fields = await read_fields(request)
    decision = fields.get("decision", "")
    if decision not in ("allow", "deny"):
        raise InvalidRequestError(
            f"decision: {decision[:20]!r} is neither allow nor deny",
            problems=[{"field": "decision", "value": decision[:20], "problem": "allow or deny"}],
        )
    grant = await parts.auth.show_grant(_code(fields.get("user_code", "")), user, decision)
    if not pages.wanted(request):
        return Json(grant, headers=NO_STORE)
    return await pages.sheet(
        request, f"{grant['client']}: {WORDS[grant['state']]}", pages.text("You can close this page.")
    )


async def _sign_in_first(request: Request, parts: Gateway, user_code: str) -> Response:
    server = parts.settings.l2_server
    how = "Sign in at your registry and attach this server; you come back to this page then."
    if not server:
        how = "Open the link that `artdag up` prints, and then this page again."
    blocks = [pages.text("A program wants to be signed in as you.", how)]
    if server:
        blocks.append(pages.link(server, f"Go to {server}"))
    response = await pages.sheet(
        request, "Sign in first", *blocks, status=401, headers={"WWW-Authenticate": 'Bearer realm="artdag"'}
    )
    path = "/auth/device" + (f"?{urlencode({'user_code': user_code[:CODE_CHARACTERS]})}" if user_code else "")
    keep(parts, response, NEXT, path, ASKED_SECONDS)
    return response


async def _grant_page(request: Request, user_code: str, handle: str, grant: dict[str, Any]) -> Response:
    if grant["state"] != "waiting":
        return await pages.sheet(
            request, f"{grant['client']}: {WORDS[grant['state']]}", pages.text("This was decided before.")
        )
    return await pages.sheet(
        request,
        f"Sign {grant['client']} in as {handle}?",
        pages.text(
            "It will be able to do everything that you can do here, for 30 days or until you sign out everywhere."
            " Say yes only if you began this yourself, just now, and it shows this very code:"
        ),
        pages.code(user_code),
        pages.row(
            pages.button("/auth/device/confirm", "Yes, sign it in", "main", user_code=user_code, decision="allow"),
            pages.button("/auth/device/confirm", "No", user_code=user_code, decision="deny"),
        ),
    )


def _code(text: str) -> str:
    if not 0 < len(text) <= CODE_CHARACTERS:
        raise InvalidRequestError(
            f"user_code has 1 to {CODE_CHARACTERS} characters", problems=[{"field": "user_code", "problem": "missing"}]
        )
    return text
