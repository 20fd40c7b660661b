"""Calls to L1 servers: signed as the registry's actor, never redirected, never without an end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.l2.signatures import sign

SECONDS = 5.0
MAX_BYTES = 512 * 1024
ACTIVITY = "application/activity+json"


class CallFailedError(Exception):
    """An L1 server did not answer, or not as it has to; ``status`` is 0 where there was no answer."""

    def __init__(self, why: str, status: int = 0) -> None:
        super().__init__(why)
        self.status = status


class Caller:
    """An HTTP client that signs what it posts."""

    def __init__(self, key: rsa.RSAPrivateKey, key_id: str, clock: Callable[[], float]) -> None:
        self._key = key
        self._key_id = key_id
        self._clock = clock
        self._http = httpx.AsyncClient(timeout=SECONDS, trust_env=False, follow_redirects=False)

    async def close(self) -> None:
        """Call nobody any more."""
        await self._http.aclose()

    async def post(self, url: str, body: bytes) -> httpx.Response:
        """Send a signed request; the answer's body may be cut off.

        Raises:
            CallFailedError: nobody answered.
        """
        headers = {"content-type": "application/json"}
        headers |= sign(self._key, self._key_id, "POST", url, body, self._clock())
        status, _, answer = await self._send("POST", url, headers, body)
        return httpx.Response(status, content=answer)

    async def get(self, url: str, accept: str) -> bytes:
        """Return what is there.

        Raises:
            CallFailedError: nothing, or too much.
        """
        status, whole, answer = await self._send("GET", url, {"accept": accept}, None)
        if status != 200:
            raise CallFailedError(f"GET {url}: {status}", status)
        if not whole:
            raise CallFailedError(f"GET {url}: more than {MAX_BYTES} bytes", 200)
        return answer

    async def document(self, url: str, accept: str = "application/json") -> dict[str, Any]:
        """Return the JSON object that is there.

        Raises:
            CallFailedError: there is none.
        """
        try:
            found = json.loads(await self.get(url, accept))
        except ValueError as error:
            raise CallFailedError(f"GET {url}: not JSON", 200) from error
        if not isinstance(found, dict):
            raise CallFailedError(f"GET {url}: not a JSON object", 200)
        return found

    async def _send(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, bool, bytes]:
        try:
            place = httpx.URL(url)
            headers = headers | {"host": place.netloc.decode()}
            if place.host == "localhost":  # is this machine, also where nobody has written that down
                place = place.copy_with(host="127.0.0.1")
            async with self._http.stream(method, place, headers=headers, content=body) as response:
                answer = b""
                async for piece in response.aiter_bytes():
                    answer += piece
                    if len(answer) > MAX_BYTES:
                        return response.status_code, False, answer[:MAX_BYTES]
                return response.status_code, True, answer
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CallFailedError(f"{method} {url}: {error or type(error).__name__}") from error
