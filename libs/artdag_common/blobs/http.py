"""Requests to a far place over HTTP: bounded in time, to allowed addresses only, errors translated, secrets unsaid."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from artdag_common.blobs.endpoints import Endpoint, Hosts, is_forbidden, refusal, shown
from artdag_common.errors import ProviderBusyError, ServiceUnavailableError, StorageRefusedError

PIECE_BYTES = 2**20
CONNECT_SECONDS = 5.0
BUSY = (429, 503)
"""Statuses by which a server says "later" (RFC 6585, RFC 9110)."""

LATEST_SECONDS = 3600.0
"""No server makes us wait for longer."""


def busy(message: str, retry_after: str | None, **values: Any) -> ProviderBusyError:
    """Return the error of a server that says "later".

    Args:
        retry_after: its ``Retry-After`` header: seconds, or a date; what is neither counts as none.
    """
    seconds = 0.0
    with contextlib.suppress(TypeError, ValueError):
        text = retry_after or "0"
        seconds = float(text) if text.strip().isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
    return ProviderBusyError(message, retry_after=min(max(seconds, 0.0), LATEST_SECONDS), **values)


class HttpPlace:
    """Connections to one endpoint, made at the first request.

    Args:
        name: of the place, for messages.
        token: sent as ``Authorization: Bearer …``; empty: none.
        timeout_seconds: for each wait, unless told otherwise.
    """

    def __init__(self, endpoint: Endpoint, name: str, token: str, hosts: Hosts | None, timeout_seconds: float) -> None:
        self.endpoint = endpoint
        self.name = name
        self._token = token
        self._hosts = hosts or Hosts.everywhere()
        self._timeout = timeout_seconds
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def answer(
        self,
        doing: str,
        method: str,
        path: str,
        *,
        seconds: float | None = None,
        body: Callable[[Callable[[float], None]], AsyncIterator[bytes]] | None = None,
        **more: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for something; the answer's head is there when the block is entered.

        Args:
            doing: what is asked for, for messages: "read X".
            seconds: for the head of the answer.
            body: gives the pieces of the request's body; is given the function that extends the time.
        """
        session = await self._connected()
        async with contextlib.AsyncExitStack() as stack:
            async with self.waiting(doing, seconds) as extend:
                if body:
                    more["data"] = body(extend)
                answer = await stack.enter_async_context(
                    session.request(method, self.endpoint.url + path, allow_redirects=False, **more)
                )
            yield answer

    async def pieces(self, answer: aiohttp.ClientResponse, doing: str) -> AsyncIterator[bytes]:
        """Give the body of an answer, piece by piece."""
        while True:
            async with self.waiting(doing):
                piece = await answer.content.read(PIECE_BYTES)
            if not piece:
                return
            yield piece

    @contextlib.asynccontextmanager
    async def waiting(self, doing: str, seconds: float | None = None) -> AsyncIterator[Callable[[float], None]]:
        """Bound the time, and turn the client's errors into ours. Gives the function that extends the time.

        Raises:
            ServiceUnavailableError: it cannot be reached, or does not answer in time.
            StorageRefusedError: its certificate does not fit, or its address is not allowed.
        """
        loop = asyncio.get_running_loop()
        bound = seconds or self._timeout
        try:
            async with asyncio.timeout(bound) as limit:
                yield lambda more: limit.reschedule(loop.time() + bound + more)
        except TimeoutError as error:
            raise ServiceUnavailableError(f"{self.name} did not answer in time when asked to {doing}") from error
        except aiohttp.ClientSSLError as error:
            raise StorageRefusedError(f"{self.name}: its certificate does not fit: {self.shown(error)}") from error
        except (aiohttp.ClientError, OSError) as error:
            if is_forbidden(error):
                raise refusal(self.endpoint, self._hosts.setting) from error
            raise ServiceUnavailableError(
                f"{self.name} cannot be reached to {doing}: {self.shown(error)}; check the address if this lasts"
            ) from error

    def shown(self, text: object) -> str:
        """Return what was said there as a message may quote it."""
        return shown(text, self._token)

    async def close(self) -> None:
        """Let connections go."""
        if self._session:
            await self._session.close()
            self._session = None

    async def _connected(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                await self._hosts.permit(self.endpoint)
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(socket_factory=self._hosts.sockets(self.endpoint)),
                    headers={"Authorization": f"Bearer {self._token}"} if self._token else {},
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(CONNECT_SECONDS, self._timeout)),
                )
            return self._session
