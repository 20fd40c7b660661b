"""What every answer says for the safety of those who read it, and of those who share a cache with them."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from artdag_common.connections import SAFE_HEADERS

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:;"
    " font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
CONTENT_POLICY = "sandbox; default-src 'none'"
"""Of what users put in: whatever it claims to be, it may not act in this server's name."""

HTML = b"text/html"
HSTS = "max-age=31536000"
OWN = "private, no-cache"
"""Of answers that depend on who asks, which is nearly all of them: kept by nobody but who asked, and asked for anew."""

IMMUTABLE = "private, max-age=31536000, immutable"
"""Of content by its CID: it never changes, but not everybody may have it."""

VARIES = "Accept, Authorization, Cookie, HX-Request"
"""What an answer hangs on besides its address: who asks, and whether for a page or for data."""


def safe_headers(public_url: str) -> dict[str, str]:
    """Return what every answer of the server at this address says, unless it says something of its own."""
    secure = {"Strict-Transport-Security": HSTS} if public_url.lower().startswith("https:") else {}
    return SAFE_HEADERS | secure


class SafeHeaders:
    """Middleware: adds to every answer what it does not say itself."""

    def __init__(self, app: ASGIApp, public_url: str) -> None:
        self._app = app
        self._lines = [
            (name.lower().encode(), value.encode())
            for name, value in safe_headers(public_url).items()
            if name != "Content-Security-Policy"
        ]
        self._policy = SAFE_HEADERS["Content-Security-Policy"].encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def complete(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self._completed(message["status"], message.get("headers", ()))
            await send(message)

        await self._app(scope, receive, complete)

    def _completed(self, status: int, given: Any) -> list[tuple[bytes, bytes]]:
        said = {name.lower(): value for name, value in given}
        headers = [(name, value) for name, value in given if name.lower() != b"vary"]
        headers += [line for line in self._lines if line[0] not in said]
        if b"content-security-policy" not in said:
            page = said.get(b"content-type", b"").startswith(HTML)
            headers.append((b"content-security-policy", PAGE_POLICY.encode() if page else self._policy))
        if b"cache-control" not in said:
            headers.append((b"cache-control", b"no-store" if status >= 400 else OWN.encode()))
        varies = said.get(b"vary", b"")
        if not said.get(b"cache-control", b"").startswith(b"public"):  # what everybody may keep hangs on nobody
            varies = _varying(varies.decode("latin-1"))
        if varies:
            headers.append((b"vary", varies))
        return headers


def _varying(said: str) -> bytes:
    """Return ``Vary`` with who asks in it."""
    if not said:
        return VARIES.encode()
    names = [each.strip() for each in said.split(",")]
    known = {each.lower() for each in names}
    return ", ".join(names + [each for each in VARIES.split(", ") if each.lower() not in known]).encode("latin-1")
