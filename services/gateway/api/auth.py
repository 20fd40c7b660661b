"""Signing in and out: by L2's link, or by the one that ``artdag up`` prints."""

from __future__ import annotations

import contextlib
import time
from hmac import compare_digest
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from artdag_common.commands import RevokeToken
from artdag_common.domain.retention import OPERATOR
from artdag_common.errors import ArtdagError, UnauthenticatedError
from services.gateway.access import COOKIE, NOBODY, bearer_of, hash_token
from services.gateway.api.documentation import answers
from services.gateway.arriving import comes_from, local_path
from services.gateway.fields import read_fields, takes
from services.gateway.issuing import Pending
from services.gateway.parts import Gateway, Parts
from services.gateway.problems import Json
from services.gateway.sessions import Session
from services.gateway.web import pages

router = APIRouter(tags=["signing in"])

ASKED = "artdag_asked"
"""Cookie of a token that is to sign its browser in once its user has said so."""
NEXT = "artdag_next"
"""Cookie of the page that somebody wanted who had to sign in first."""
ASKED_SECONDS = 600
COOKIE_SECONDS = 30 * 86_400
NO_STORE = {"Cache-Control": "no-store"}
ARRIVED = {**NO_STORE, "Referrer-Policy": "no-referrer"}
"""Of answers to addresses that hold a token."""

HANDLE = "@giles@artdag.example.org"
WHO = {
    "signed_in": True,
    "user": "u-4q2k6nwbhx5d3vjr7ycm0aetpz",
    "handle": HANDLE,
    "expires_at": 1767787200,
    "asking": None,
    "l2_server": "https://artdag.example.org",
}
HTML: dict[str, Any] = {"content": {"text/html": {"schema": {"type": "string"}, "example": "<!doctype html>…"}}}


def _shown(example: Any, *problems: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route that shows browsers a page and programs JSON."""
    documented = answers(example, *problems)
    for status in documented.keys() & {200, 401, 503}:
        documented[status]["content"] |= HTML["content"]
    return documented


LEADS_ON: dict[int | str, dict[str, Any]] = {303: {"description": "Signed in, or to be confirmed: go there"}}
LEADS_TO: dict[int | str, dict[str, Any]] = {303: {"description": "A browser is led to `/auth`"}}


# --- signing in -----------------------------------------------------------------------------------------------------


@router.get("/auth", summary="Sign in by L2's link, or see who is signed in", responses=_shown(WHO, 401) | LEADS_ON)
async def auth(
    request: Request,
    parts: Parts,
    auth_token: Annotated[str | None, Query(description="From L2")] = None,
    following: Annotated[str, Query(alias="next", description="Path of this server to go on to")] = "",
) -> Response:
    """With a token: L2 is asked whose it is, once; from then on it signs its holder in here.

    A browser that comes from somewhere else than L2, or is signed in as somebody else, is asked to confirm. Without a
    token: who is signed in, and where to attach this server.
    """
    if auth_token is not None:
        return await _arrive(request, parts, auth_token, following, parts.settings.l2_server)
    return await _who(request, parts, following)


@router.get("/login", summary="Sign in by the operator's link", status_code=303, responses=answers("", 401, status=303))
async def login(
    request: Request, parts: Parts, token: str = "", following: Annotated[str, Query(alias="next")] = ""
) -> Response:
    """The link that `artdag up` prints: keeps the token in a cookie that no script can read."""
    return await _arrive(request, parts, token, following, "", typed=True)


@router.post(
    "/auth",
    summary="Confirm that the token of a link is to sign this browser in",
    status_code=303,
    openapi_extra=takes(
        {"decision": "yes or no", "shown": "SHA-256 of the token that was asked about"},
        {"decision": "yes", "shown": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
    ),
    responses=answers("", 401, 413, 415, 422, status=303),
)
async def confirm(request: Request, parts: Parts) -> Response:
    """Takes the answer to the question that `GET /auth` shows; only from a page of this server."""
    parts.access.check_same_origin(request)
    fields = await read_fields(request)
    token = request.cookies.get(ASKED, "")
    if not token or not compare_digest(fields.get("shown", "").encode(), hash_token(token).encode()):
        return RedirectResponse("/auth", 303, headers=NO_STORE)  # another link came meanwhile: ask about that one
    if fields.get("decision") != "yes":
        response: Response = RedirectResponse("/auth", 303, headers=NO_STORE)
        response.delete_cookie(ASKED, path="/auth")
        return response
    session = await parts.access.sessions.of(token, attach=True)
    return _signed_in(parts, session, token, local_path(request.cookies.get(NEXT, "")))


async def _arrive(
    request: Request, parts: Gateway, token: str, following: str, origin: str, typed: bool = False
) -> Response:
    """Sign the browser in that brings a token, or have its user asked first."""
    following = local_path(following) or local_path(request.cookies.get(NEXT, ""))
    present = await parts.access.present(request)
    asks = not comes_from(request.headers, origin, typed)
    if not asks and present is not None and not compare_digest(present.token_hash, hash_token(token)):
        asks = (await _holder(parts, token))[0] != present.user
    if not asks:
        return _signed_in(parts, await parts.access.sessions.of(token, attach=True), token, following)
    response = RedirectResponse("/auth", 303, headers=ARRIVED)
    keep(parts, response, ASKED, token, ASKED_SECONDS, "/auth")
    if following:
        keep(parts, response, NEXT, following, ASKED_SECONDS)
    return response


def _signed_in(parts: Gateway, session: Session, token: str, following: str) -> Response:
    response = RedirectResponse(following or "/", 303, headers=ARRIVED)
    left = session.expires_at - int(time.time()) if session.expires_at else COOKIE_SECONDS
    keep(parts, response, COOKIE, token, max(1, min(left, COOKIE_SECONDS)))
    response.delete_cookie(ASKED, path="/auth")
    response.delete_cookie(NEXT)
    return response


async def _who(request: Request, parts: Gateway, following: str) -> Response:
    present = await parts.access.present(request)
    asked, asking = request.cookies.get(ASKED, ""), ""
    if asked:
        try:
            user, asking = await _holder(parts, asked)
        except NOBODY as error:
            refused: Response = await request.app.exception_handlers[ArtdagError](request, error)
            refused.delete_cookie(ASKED, path="/auth")
            return refused
        if present is not None and present.user == user:
            asked = asking = ""  # it is so already
    handle = await parts.people.handle(present.user) if present else ""
    server = parts.settings.l2_server
    if pages.wanted(request):
        response: Response = await (
            _question(request, asked, asking, handle) if asked else _greeting(request, handle, server, present)
        )
    else:
        response = Json(
            {
                "signed_in": present is not None,
                "user": present.user if present else None,
                "handle": handle or None,
                "expires_at": (present.expires_at or None) if present else None,
                "asking": asking or None,
                "l2_server": server or None,
            },
            headers=NO_STORE,
        )
    if present is None and COOKIE in request.cookies:
        response.delete_cookie(COOKIE)
    if present is None and (path := local_path(following)):
        keep(parts, response, NEXT, path, ASKED_SECONDS)
    return response


async def _question(request: Request, token: str, asking: str, handle: str) -> Response:
    now = f"You are signed in as {handle} now." if handle else ""
    return await pages.sheet(
        request,
        f"Sign in as {asking}?",
        pages.text("A link wants to sign this browser in here.", now),
        pages.text("Say yes only if you followed that link on purpose: what you do here will be done as", f"{asking}."),
        pages.row(
            pages.button("/auth", f"Sign in as {asking}", "main", decision="yes", shown=hash_token(token)),
            pages.button("/auth", "No", decision="no", shown=hash_token(token)),
        ),
    )


async def _greeting(request: Request, handle: str, server: str, present: Session | None) -> Response:
    if handle and present is not None:
        operator = present.user == OPERATOR
        until = pages.until("This browser is signed in until", present.expires_at)
        return await pages.sheet(
            request,
            f"Signed in as {handle}",
            pages.panel("This browser", until, pages.button("/logout", "Sign out", "main")),
            pages.panel(
                "Programs",
                pages.text("A program that asks you for a code, or shows you one, is signed in by it as you."),
                pages.row(
                    pages.link("/auth/device", "Enter a code", ""),
                    pages.link("/download/client", "Get the command line client", ""),
                ),
            ),
            pages.panel(
                "Everywhere",
                pages.text(
                    "Signs you out in all browsers and programs at once.",
                    "Your own token as the operator ends with them: to come in again, stop the system, remove the file"
                    " `token` from its state folder, and start it."
                    if operator
                    else "",
                ),
                pages.row(
                    pages.button("/auth/revoke-user", "Sign out everywhere", "bad"),
                    pages.link("/auth/revoke", "Revoke a single token", ""),
                ),
            ),
        )
    if server:
        said = pages.text("People come here from their registry: sign in there, and attach this server.")
        return await pages.sheet(request, "Not signed in", said, pages.link(server, f"Go to {server}"))
    return await pages.sheet(
        request,
        "Not signed in",
        pages.text("This is a personal server. Its operator signs in by the link that `artdag up` prints."),
        pages.text(
            "It is printed again by `artdag up`, where the system runs already. You can look around without it."
        ),
        pages.link("/", "Look around", ""),
    )


async def _holder(parts: Gateway, token: str) -> tuple[str, str]:
    """Return id and handle of whom a token would sign in; the id is empty where they were never here."""
    session = await parts.access.sessions.find(token)
    if session is not None:
        return session.user, await parts.people.handle(session.user)
    if parts.l2 is None:
        raise UnauthenticatedError("no such token is known here; `artdag token` prints the local owner's")
    said = await parts.auth.verify(token, attach=False)
    return str(said["user_id"]), str(said["handle"])


def keep(parts: Gateway, response: Response, name: str, value: str, seconds: int, path: str = "/") -> None:
    """Set a cookie that no script can read and no other site's form sends."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=path,
        httponly=True,
        samesite="lax",
        secure=parts.settings.public_url.startswith("https:"),
    )


# --- signing out ----------------------------------------------------------------------------------------------------


@router.get("/logout", summary="Sign out", responses=_shown({"signed_in": False}) | LEADS_TO)
async def logout_by_link(request: Request, parts: Parts) -> Response:
    """As `POST /logout`. Whoever is sent here by another site's page is asked first."""
    if request.headers.get("sec-fetch-site", "none").lower() not in ("none", "same-origin"):
        return await pages.sheet(
            request,
            "Sign out?",
            pages.text("Another site's page has sent you here. Nothing is done before you say so."),
            pages.row(pages.button("/logout", "Sign out", "main"), pages.link("/", "No, stay signed in", "")),
        )
    return await _sign_out(request, parts)


@router.post("/logout", summary="Sign out", responses=_shown({"signed_in": False}) | LEADS_TO)
async def logout(request: Request, parts: Parts) -> Response:
    """Forgets the cookie and revokes the token here. The operator's own token stays good: programs have it too."""
    if not bearer_of(request) and COOKIE in request.cookies:
        parts.access.check_same_origin(request)
    return await _sign_out(request, parts)


async def _sign_out(request: Request, parts: Gateway) -> Response:
    session = await parts.access.present(request)
    if session is not None and not compare_digest(session.token_hash, parts.settings.owner_token_hash):
        with contextlib.suppress(Pending):  # it is kept, and done as soon as the auth service is there
            command = RevokeToken(session.token_hash, session.user, "signed out")
            await parts.issuer.issue(command, str(uuid4()), "/auth")
    response: Response = Json({"signed_in": False}, headers=NO_STORE)
    if pages.wanted(request):
        response = RedirectResponse("/auth", 303, headers=NO_STORE)
    for name, path in ((COOKIE, "/"), (ASKED, "/auth"), (NEXT, "/")):
        response.delete_cookie(name, path=path)
    return response
