"""Who may ask: Host and Origin have to be ours, and every write needs a token.

Postgres is the truth about tokens; Redis remembers an answer for half a minute. A revocation overwrites that answer
for longer than anybody can take between reading the one and writing the other, so a token never comes back.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

import asyncpg
import redis.asyncio
import structlog
from redis.exceptions import RedisError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from artdag_common.domain.access import Token
from artdag_common.errors import ArtdagError, ForeignOriginError, TokenRevokedError, UnauthenticatedError
from artdag_common.tasks import end
from services.gateway.projections import tokens
from services.gateway.projections.fact import Fact

COOKIE = "artdag_token"
REMEMBERED_SECONDS = 30
REVOKED_SECONDS = 600
RETRY_SECONDS = 1.0
REVOKED = "\0revoked"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})

log = structlog.get_logger(__name__)


def hash_token(token: str) -> str:
    """Return the SHA-256 of a token, hexadecimal: the only form in which it is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


class TokenCheck:
    """Answers whom a token signs in."""

    def __init__(self, pool: asyncpg.Pool, cache: redis.asyncio.Redis) -> None:
        self._pool = pool
        self._cache = cache
        self._revoked: set[str] = set()  # not yet told to Redis
        self._telling: asyncio.Task[None] | None = None

    async def holder(self, token: str) -> str:
        """Return the user whom ``token`` signs in.

        Raises:
            UnauthenticatedError: nobody.
            TokenRevokedError: nobody any more.
        """
        token_hash = hash_token(token)
        user = await self._remembered(token_hash)
        if user is None:
            user = await self._known(token_hash)
        if user == REVOKED:
            raise TokenRevokedError("this token was revoked; sign in again")
        return user

    async def forget_revoked(self, facts: Sequence[Fact]) -> None:
        """Overwrite what Redis remembers of tokens that were revoked; tried again until Redis takes it."""
        self._revoked.update(fact.key for fact in facts if isinstance(fact.event, Token.Revoked))
        if self._revoked and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._tell(), name="tell of revocations")

    async def stop(self) -> None:
        """Tell no more."""
        await end(self._telling)

    async def _tell(self) -> None:
        while self._revoked:
            token_hash = next(iter(self._revoked))
            try:
                await self._cache.set(_key(token_hash), REVOKED, ex=REVOKED_SECONDS)
            except (RedisError, OSError) as error:
                log.warning("revocation is told to redis later", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._revoked.discard(token_hash)

    async def _remembered(self, token_hash: str) -> str | None:
        if token_hash in self._revoked:
            return REVOKED
        try:
            value = await self._cache.get(_key(token_hash))
        except (RedisError, OSError) as error:
            log.warning("redis is passed over", error=str(error))
            return None
        return str(value) if value is not None else None

    async def _known(self, token_hash: str) -> str:
        row = await tokens.find(self._pool, token_hash)
        if row is None:
            raise UnauthenticatedError("no such token is known here; `artdag token` prints the local owner's")
        if row.revoked:
            return REVOKED
        try:
            await self._cache.set(_key(token_hash), row.holder, ex=REMEMBERED_SECONDS, nx=True)
        except (RedisError, OSError) as error:
            log.warning("redis is passed over", error=str(error))
        return row.holder


def _key(token_hash: str) -> str:
    return f"artdag:token:{token_hash}"


class Addresses:
    """The names under which this server may be spoken to."""

    def __init__(self, public_url: str) -> None:
        public = urlsplit(public_url)
        self._hosts = LOOPBACK | {(public.hostname or "").lower()}
        self._public_place = public.netloc.lower()

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
        place = urlsplit(origin or "").netloc.lower()
        if not place or place not in (host.lower(), self._public_place):
            raise ForeignOriginError(
                "a write that is signed in by cookie needs this server's own Origin; programs send"
                " Authorization: Bearer instead",
                origin=origin or "",
            )


def _host(place: str) -> str:
    """Return the host of ``host:port`` in lower case; an invalid one: empty."""
    try:
        parts = urlsplit(f"//{place}")
        parts.port  # noqa: B018  (raises for what is not a port)
    except ValueError:
        return ""
    return (parts.hostname or "").lower() if not parts.username and not parts.path else ""


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
            try:
                self._addresses.check(headers.get("host", ""), headers.get("origin"))
            except ForeignOriginError as error:
                response = await self._refuse(Request(scope), error)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Access:
    """Tells who sends a request."""

    def __init__(self, check: TokenCheck, addresses: Addresses) -> None:
        self._check = check
        self._addresses = addresses

    async def user(self, request: Request) -> str:
        """Return who is signed in.

        Raises:
            UnauthenticatedError: nobody.
            TokenRevokedError: nobody any more.
            ForeignOriginError: a write signed in by cookie that no page of ours sends.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return await self._check.holder(token.strip())
        token = request.cookies.get(COOKIE, "")
        if not token:
            raise UnauthenticatedError(
                "this needs a token: send Authorization: Bearer <token>; `artdag token` prints the local owner's"
            )
        if request.method not in READING:
            self._addresses.check_same_origin(request.headers.get("host", ""), request.headers.get("origin"))
        return await self._check.holder(token)

    async def holder(self, token: str) -> str:
        """Return whom a token signs in; raises as :meth:`user` does."""
        return await self._check.holder(token)
