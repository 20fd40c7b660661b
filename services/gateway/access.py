"""Who may ask: Host and Origin have to be ours, and every write needs a token."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from artdag_common.domain.access import hash_token
from artdag_common.errors import (
    ArtdagError,
    ForeignOriginError,
    L2RefusedError,
    TokenExpiredError,
    TokenRevokedError,
    UnauthenticatedError,
    WrongScopeError,
)
from services.gateway.sessions import Session, Sessions

__all__ = ["COOKIE", "NOBODY", "Access", "Addresses", "OwnAddressOnly", "bearer_of", "hash_token", "session_of"]

COOKIE = "artdag_token"
NOBODY = (UnauthenticatedError, TokenRevokedError, TokenExpiredError, WrongScopeError, L2RefusedError)
"""What a token is answered with that signs nobody in."""

PLACE = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
"""A host as requests and origins name it, with or without a port: nothing before it, nothing behind."""

METRICS = "/metrics"
"""Asked for by address: a Prometheus that looks replicas up has no names for them."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Addresses:
    """The names under which this server may be spoken to."""

    def __init__(self, public_url: str) -> None:
        public = urlsplit(public_url)
        self._hosts = LOOPBACK | {(public.hostname or "").lower()}
        self._public = (public.scheme, public.netloc.lower())

    def check(self, host: str, origin: str | None) -> None:
        """Raise unless Host and Origin name this server.

        Raises:
            ForeignOriginError: one of them does not.
        """
        if _host(host) not in self._hosts:
            raise ForeignOriginError(
                f"Host {host!r} is not this server ({', '.join(sorted(self._hosts - {''}))}); set L1_PUBLIC_URL to"
                " the address that people use",
                host=host,
            )
        if origin is not None and _host(urlsplit(origin).netloc) not in self._hosts:
            raise ForeignOriginError(f"Origin {origin!r} is not this server", origin=origin)

    def check_same_origin(self, host: str, origin: str | None) -> None:
        """Raise unless a page of this very server sends the request: a cookie alone proves nothing.

        Raises:
            ForeignOriginError: no Origin, or another one.
        """
        given = urlsplit(origin or "")
        place = given.netloc.lower()
        ours = (given.scheme, place) == self._public or (place == host.lower() and place != self._public[1])
        if not place or not ours:
            raise ForeignOriginError(
                "a write that is signed in by cookie needs this server's own Origin; programs send"
                " Authorization: Bearer instead",
                origin=origin or "",
            )


def _host(place: str) -> str:
    """Return the host of ``host:port`` in lower case; an invalid one: empty."""
    if PLACE.fullmatch(place) is None:
        return ""
    try:
        parts = urlsplit(f"//{place}")
        parts.port  # noqa: B018  (raises for what is not a port)
    except ValueError:
        return ""
    return (parts.hostname or "").lower()


class OwnAddressOnly:
    """Middleware: refuses requests that name another host or come from another origin."""

    def __init__(
        self, app: ASGIApp, addresses: Addresses, refuse: Callable[[Request, ArtdagError], Awaitable[Response]]
    ) -> None:
        self._app = app
        self._addresses = addresses
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if scope["path"] == METRICS and _is_own_address(scope, headers.get("host", "")) and "origin" not in headers:
                await self._app(scope, receive, send)
                return
            try:
                self._addresses.check(headers.get("host", ""), headers.get("origin"))
            except ForeignOriginError as error:
                response = await self._refuse(Request(scope), error)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_own_address(scope: Scope, host: str) -> bool:
    """Return whether ``Host`` is the very IP address that the connection came to: no name leads a browser here so."""
    own = scope.get("server")
    return own is not None and host != "" and _host(host) == own[0].lower()


class Access:
    """Tells who sends a request."""

    def __init__(self, sessions: Sessions, addresses: Addresses) -> None:
        self.sessions = sessions
        self.addresses = addresses

    async def session(self, request: Request) -> Session | None:
        """Return what signs a request in; None: it carries no token.

        Raises:
            UnauthenticatedError: it carries one that signs nobody in.
            TokenRevokedError: nobody any more.
            TokenExpiredError: nobody any more: its time is over.
            ForeignOriginError: a write signed in by cookie that no page of ours sends.
        """
        if known := session_of(request):
            return known
        token = bearer_of(request)
        if not token:
            token = request.cookies.get(COOKIE, "")
            if not token:
                return None
            if request.method not in READING:
                self.check_same_origin(request)
        request.state.session = session = await self.sessions.of(token)
        return session

    async def present(self, request: Request) -> Session | None:
        """Return what signs a request in; None: nothing. A token that signs nobody in is as good as none.

        Raises:
            ForeignOriginError: as :meth:`session`.
            ServiceUnavailableError: nobody answers who could say.
        """
        try:
            return await self.session(request)
        except NOBODY:
            return None

    async def user(self, request: Request) -> str:
        """Return who is signed in.

        Raises:
            UnauthenticatedError: nobody; else as :meth:`session`.
        """
        session = await self.session(request)
        if session is None:
            raise UnauthenticatedError(
                "this needs a token: send Authorization: Bearer <token>; `artdag token` prints the local owner's,"
                " `artdag login` fetches yours"
            )
        return session.user

    def check_same_origin(self, request: Request) -> None:
        """Raise unless a page of this very server sends the request.

        Raises:
            ForeignOriginError: no Origin, or another one.
        """
        self.addresses.check_same_origin(request.headers.get("host", ""), request.headers.get("origin"))

    def check_no_foreign_page(self, request: Request) -> None:
        """Raise where a page of another origin asks; programs, which have none, may.

        Raises:
            ForeignOriginError: it names an Origin that is not this server's own.
        """
        if "origin" in request.headers:
            self.check_same_origin(request)


def session_of(request: Request) -> Session | None:
    """Return what a request was found to be signed in by; None: nothing, or nobody looked."""
    session: Session | None = getattr(request.state, "session", None)
    return session


def bearer_of(request: Request) -> str:
    """Return the token of the Authorization header; empty: there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
