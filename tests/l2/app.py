"""The registry over HTTP: pages for people, ``/auth/verify`` and the inbox for L1 servers, documents for everybody."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs, quote, urlencode

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.l2 import documents, pages
from tests.l2.books import Books
from tests.l2.courier import Courier
from tests.l2.inbox import Inbox, RefusedError
from tests.l2.names import NAME, NotAnAddressError, origin_of
from tests.l2.tokens import LONGEST_SECONDS, TokenRefusedError, Tokens

COOKIE = "l2_session"
BODY_BYTES = 256 * 1024
PASSWORD_CHARACTERS = 8
ACTIVITY = "application/activity+json"
HEADERS = {
    # No form-action: attaching is a form whose answer leads to the L1 server.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # L1 servers see by it that a link comes from here, and sign its holder in without asking.
    "Referrer-Policy": "strict-origin",
    "Cache-Control": "no-store",
}


class Part(Protocol):
    """What is closed when the registry ends."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Registry:
    """The registry's parts."""

    public_url: str
    domain: str
    clock: Callable[[], float]
    books: Books
    tokens: Tokens
    courier: Courier
    inbox: Inbox


class TooLongError(Exception):
    """A body has more bytes than are read."""


def create_app(registry: Registry, parts: tuple[Part, ...]) -> Starlette:
    """Return the application; it closes ``parts`` when it ends."""

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        registry.courier.start()
        yield
        for part in parts:
            await part.close()

    app = Starlette(
        routes=[
            Route("/", home),
            Route("/health", health),
            Route("/signup", sign_up_page),
            Route("/signup", sign_up, methods=["POST"]),
            Route("/login", login_page),
            Route("/login", login, methods=["POST"]),
            Route("/logout", logout, methods=["POST"]),
            Route("/renderers", renderers_page),
            Route("/renderers", add_renderer, methods=["POST"]),
            Route("/renderers/attach", attach, methods=["POST"]),
            Route("/tokens", tokens_page),
            Route("/tokens", make_token, methods=["POST"]),
            Route("/tokens/{jti}/revoke", revoke_token, methods=["POST"]),
            Route("/calls", calls_page),
            Route("/auth/verify", verify, methods=["POST"]),
            Route("/inbox", inbox, methods=["POST"]),
            Route("/actor", actor),
            Route("/actor/outbox", everybodys_outbox),
            Route("/users/{name}", user),
            Route("/users/{name}/outbox", users_outbox),
            Route("/assets/{asset_id}", asset),
            Route("/.well-known/webfinger", webfinger),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=_guard)],
        exception_handlers={TooLongError: _too_long},
        lifespan=life,
    )
    app.state.registry = registry
    return app


async def _guard(request: Request, go_on: RequestResponseEndpoint) -> Response:
    """Refuse what pages of other servers send in people's names, and keep answers to themselves."""
    origin = request.headers.get("origin")
    if request.method == "POST" and origin is not None and origin != _registry(request).public_url:
        return JSONResponse({"error": f"Origin {origin} is not this registry"}, 403)
    answer = await go_on(request)
    answer.headers.update(HEADERS)
    return answer


async def _too_long(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": f"a body has at most {BODY_BYTES} bytes"}, 413)


def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    return registry


def _person(request: Request) -> str:
    return _registry(request).books.session(request.cookies.get(COOKIE, ""))


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_BYTES:
            raise TooLongError
    return body


async def _form(request: Request) -> dict[str, str]:
    fields = parse_qs((await _body(request)).decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0].strip() for name, values in fields.items()}


def _wants(request: Request, kind: str) -> bool:
    return kind in request.headers.get("accept", "")


def _own_path(text: str) -> str:
    """Return a path of this registry; what is none leads to the renderers."""
    plain = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if plain else "/renderers"


def _to(path: str) -> Response:
    return RedirectResponse(path, 303)


def _sign_in_first(request: Request) -> Response:
    address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return _to(f"/login?next={quote(address if request.method == 'GET' else '/renderers', safe='')}")


# --- people ---------------------------------------------------------------------------------------------------------


async def home(request: Request) -> Response:
    """What everybody published."""
    return HTMLResponse(pages.home(_person(request), _registry(request).books.assets()))


async def health(_: Request) -> Response:
    """It answers."""
    return JSONResponse({"ready": True})


async def sign_up_page(request: Request) -> Response:
    """The form to open an account."""
    return HTMLResponse(pages.account("signup", _own_path(request.query_params.get("next", ""))))


async def sign_up(request: Request) -> Response:
    """Open an account, and sign in."""
    registry, form = _registry(request), await _form(request)
    name, password, following = form.get("name", ""), form.get("password", ""), _own_path(form.get("next", ""))
    if not NAME.fullmatch(name):
        return HTMLResponse(pages.account("signup", following, "A name is 2 to 30 of a-z, 0-9 and _"), 422)
    if len(password) < PASSWORD_CHARACTERS:
        return HTMLResponse(pages.account("signup", following, "A password has at least 8 characters"), 422)
    if registry.books.knows(name):
        return HTMLResponse(pages.account("signup", following, f"The name {name} is taken"), 409)
    registry.books.add_person(name, password, registry.clock())
    return _signed_in(request, name, following)


async def login_page(request: Request) -> Response:
    """The form to sign in."""
    return HTMLResponse(pages.account("login", _own_path(request.query_params.get("next", ""))))


async def login(request: Request) -> Response:
    """Sign in."""
    form = await _form(request)
    name, following = form.get("name", ""), _own_path(form.get("next", ""))
    if not _registry(request).books.check_password(name, form.get("password", "")):
        return HTMLResponse(pages.account("login", following, "Name or password are wrong"), 401)
    return _signed_in(request, name, following)


def _signed_in(request: Request, name: str, following: str) -> Response:
    registry, answer = _registry(request), _to(following)
    secret = registry.books.begin_session(name, registry.clock())
    answer.set_cookie(
        COOKIE, secret, path="/", httponly=True, samesite="lax", secure=registry.public_url.startswith("https:")
    )
    return answer


async def logout(request: Request) -> Response:
    """End a person's sessions and all tokens, here and on every L1 server that was attached."""
    registry, person = _registry(request), _person(request)
    if person:
        books = registry.books
        for row in books.tokens(person):
            _revoke(registry, row["jti"])
        for renderer in books.attached(person):
            registry.courier.tell(renderer, "/auth/revoke-user", {"username": person, "l2_server": registry.public_url})
        books.end_sessions(person)
    answer = _to("/")
    answer.delete_cookie(COOKIE, path="/")
    return answer


def _revoke(registry: Registry, jti: str) -> None:
    """Revoke a token here, and tell the L1 server that it is for; once, and not when it has expired."""
    row = registry.books.token(jti)
    if row is not None and row["revoked"] is None:
        registry.books.revoke(jti, registry.clock())
        registry.courier.tell(row["renderer"], "/auth/revoke", {"token_hash": row["hash"]})


# --- L1 servers and tokens ------------------------------------------------------------------------------------------


async def renderers_page(request: Request) -> Response:
    """The L1 servers. One that sends people here names itself in ``l1_server``, and the page they want in ``next``."""
    registry, person = _registry(request), _person(request)
    if not person:
        return _sign_in_first(request)
    asked, following, said = request.query_params.get("l1_server", ""), request.query_params.get("next", ""), ""
    listed = registry.books.renderers()
    try:
        asked = origin_of(asked) if asked else ""
    except NotAnAddressError as error:
        asked, said = "", str(error)
    if asked and asked not in listed:
        said = f"{asked} wants to sign you in. It is not listed here: add it if you know it."
    return HTMLResponse(
        pages.renderers(person, listed, registry.books.attached(person), asked, following, said),
        422 if not asked and said else 200,
    )


async def add_renderer(request: Request) -> Response:
    """List an L1 server."""
    registry, person = _registry(request), _person(request)
    if not person:
        return _sign_in_first(request)
    try:
        url = origin_of((await _form(request)).get("url", ""))
    except NotAnAddressError as error:
        books = registry.books
        return HTMLResponse(pages.renderers(person, books.renderers(), books.attached(person), said=str(error)), 422)
    registry.books.add_renderer(url, registry.clock())
    return _to(f"/renderers?{urlencode({'l1_server': url})}")


async def attach(request: Request) -> Response:
    """Make a token for an L1 server, and lead there with it."""
    registry, person = _registry(request), _person(request)
    if not person:
        return _sign_in_first(request)
    form = await _form(request)
    renderer = form.get("l1_server", "")
    if renderer not in registry.books.renderers():
        return HTMLResponse(pages.page("Renderers", person, "", f"{renderer} is not listed here"), 404)
    query = {"auth_token": registry.tokens.issue(person, renderer, "attach")}
    if form.get("next"):
        query["next"] = form["next"]
    return _to(f"{renderer}/auth?{urlencode(query)}")


async def tokens_page(request: Request) -> Response:
    """A person's tokens."""
    if not _person(request):
        return _sign_in_first(request)
    return _tokens(request)


def _tokens(request: Request, new: str = "", said: str = "", status: int = 200) -> Response:
    registry, person = _registry(request), _person(request)
    books = registry.books
    return HTMLResponse(
        pages.tokens(person, books.tokens(person), books.renderers(), registry.clock(), new, said), status
    )


async def make_token(request: Request) -> Response:
    """Make a token for a program."""
    registry, person = _registry(request), _person(request)
    if not person:
        return _sign_in_first(request)
    form = await _form(request)
    renderer, seconds = form.get("l1_server", ""), form.get("seconds", "")
    if renderer not in registry.books.renderers():
        return _tokens(request, said=f"{renderer} is not listed here", status=404)
    if not seconds.isdecimal() or not 0 < int(seconds) <= LONGEST_SECONDS:
        return _tokens(request, said=f"A token lasts 1 to {LONGEST_SECONDS:.0f} seconds", status=422)
    return _tokens(request, registry.tokens.issue(person, renderer, "program", float(seconds)))


async def revoke_token(request: Request) -> Response:
    """Revoke one of one's tokens."""
    registry, person = _registry(request), _person(request)
    if not person:
        return _sign_in_first(request)
    row = registry.books.token(request.path_params["jti"])
    if row is None or row["person"] != person:
        return _tokens(request, said="You have no such token", status=404)
    _revoke(registry, row["jti"])
    return _to("/tokens")


async def calls_page(request: Request) -> Response:
    """What L1 servers were told."""
    person = _person(request)
    return HTMLResponse(pages.calls(person, _registry(request).books.calls())) if person else _sign_in_first(request)


# --- for L1 servers -------------------------------------------------------------------------------------------------


async def verify(request: Request) -> Response:
    """Say whether a token is good on the L1 server that asks, and whose it is."""
    registry = _registry(request)
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    try:
        asked = json.loads(await _body(request))
        token, renderer = asked["token"], origin_of(asked["l1_server"])
        if scheme.lower() != "bearer" or bearer.strip() != token:
            raise ValueError("Authorization: Bearer has to hold the same token")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return JSONResponse({"valid": False, "error": f"token and l1_server are needed, both texts: {error}"}, 400)
    try:
        claims = registry.tokens.verify(token, renderer)
    except TokenRefusedError as refused:
        return JSONResponse({"valid": False, "error": str(refused)}, refused.status)
    return JSONResponse(
        {
            "valid": True,
            "username": claims.person,
            "actor": f"{registry.public_url}/users/{claims.person}",
            "l1_server": claims.renderer,
            "expires_at": int(claims.expires),
        }
    )


async def inbox(request: Request) -> Response:
    """Take what an L1 server publishes."""
    try:
        answer = await _registry(request).inbox.take(request.url.path, request.headers, await _body(request))
    except RefusedError as refused:
        headers = {"Retry-After": "1"} if refused.status == 503 else {}
        return JSONResponse({"error": str(refused)}, refused.status, headers)
    return JSONResponse(answer)


# --- documents ------------------------------------------------------------------------------------------------------


def _activity(document: dict[str, Any]) -> Response:
    return JSONResponse(document, media_type=ACTIVITY)


async def actor(request: Request) -> Response:
    """The registry's own actor."""
    registry = _registry(request)
    return _activity(documents.registry_actor(registry.public_url, registry.domain, registry.books.actor_key()))


async def everybodys_outbox(request: Request) -> Response:
    """What everybody published."""
    registry = _registry(request)
    return _activity(documents.outbox(registry.public_url, f"{registry.public_url}/actor", registry.books.assets()))


async def user(request: Request) -> Response:
    """A person: a page for people, an actor for servers."""
    registry, name = _registry(request), request.path_params["name"]
    if not registry.books.knows(name):
        return JSONResponse({"error": f"nobody here is called {name}"}, 404)
    if _wants(request, "text/html"):
        handle = f"@{name}@{registry.domain}"
        return HTMLResponse(pages.profile(name, _person(request), handle, registry.books.assets(name)))
    return _activity(documents.person_actor(registry.public_url, name))


async def users_outbox(request: Request) -> Response:
    """What a person published."""
    registry, name = _registry(request), request.path_params["name"]
    if not registry.books.knows(name):
        return JSONResponse({"error": f"nobody here is called {name}"}, 404)
    return _activity(
        documents.outbox(registry.public_url, f"{registry.public_url}/users/{name}", registry.books.assets(name))
    )


async def asset(request: Request) -> Response:
    """What somebody published: a page for people, an object for servers."""
    registry = _registry(request)
    row = registry.books.asset(request.path_params["asset_id"])
    if row is None:
        return JSONResponse({"error": "nothing is published under this address"}, 404)
    if _wants(request, "text/html"):
        return HTMLResponse(pages.asset(_person(request), row))
    return _activity({"@context": documents.CONTEXT} | documents.asset_object(registry.public_url, row))


async def webfinger(request: Request) -> Response:
    """Where a person's actor is."""
    registry = _registry(request)
    name, at, domain = request.query_params.get("resource", "").removeprefix("acct:").partition("@")
    if not at or domain != registry.domain or not registry.books.knows(name):
        return JSONResponse({"error": "nobody of this name is here"}, 404)
    document = documents.webfinger(registry.public_url, registry.domain, name)
    return JSONResponse(document, media_type="application/jrd+json")
