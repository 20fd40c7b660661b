"""Where a request comes from: which address, and which page in a browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from artdag_common.addresses import Network, client_of
from artdag_common.errors import ArtdagError, ForeignOriginError

OWN_SITES = ("same-origin", "none")
"""What ``Sec-Fetch-Site`` is where our own page asks, or the person at the browser."""

FRAMES = ("embed", "frame", "iframe", "object")


def check_page(method: str, headers: Headers) -> None:
    """Raise where a browser says that a page of another origin asks, and not just by a link that somebody follows.

    Cookies know no ports, so a page on another port of this very machine would come with ours.

    Raises:
        ForeignOriginError: it says so.
    """
    if method == "OPTIONS" and "access-control-request-method" in headers:
        raise ForeignOriginError("pages of other origins may ask nothing of this server; no preflight will change that")
    site = headers.get("sec-fetch-site")
    if site is None or site in OWN_SITES:
        return
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") not in FRAMES
    if not followed or method not in ("GET", "HEAD"):
        raise ForeignOriginError("a page of another origin asks this (Sec-Fetch-Site); only links may lead here")


class TrueClient:
    """Middleware: has ``client`` be whoever asks, where a trusted proxy passes it on."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        """Look.

        Args:
            trusted: proxies whose word is taken for where a request comes from.
        """
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._trusted and scope.get("client"):
            peer, port = scope["client"]
            address = client_of(peer, scope["headers"], self._trusted)
            scope["client"] = (address, port if address == peer else 0)
        await self._app(scope, receive, send)


class OwnPagesOnly:
    """Middleware: refuses what pages of other origins ask."""

    def __init__(self, app: ASGIApp, refuse: Callable[[Request, ArtdagError], Awaitable[Response]]) -> None:
        self._app = app
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                check_page(scope["method"], Headers(scope=scope))
            except ForeignOriginError as error:
                response = await self._refuse(Request(scope), error)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)
