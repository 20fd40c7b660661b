"""A connection to one server: requests that are repeated where that helps, streams that go on after a loss."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any

import httpx

from artdag_client.asking import Progress, address, nothing, proxy_of, query
from artdag_client.clocks import async_pause, monotonic
from artdag_client.errors import (
    ClientError,
    NoAnswerError,
    RefusedError,
    StillPendingError,
    WaitedTooLongError,
    refusal,
)
from artdag_client.events import Event, EventReader
from artdag_client.repeating import KEY, READING, Patience, is_pending, new_key, wait_after

NO_MORE = 204
PAGE = 100
"""Items that are asked for at once, at most."""

CONNECTIONS = 3
"""How often a connection is tried again for each request, before any of it is sent."""

CONNECT_SECONDS = 10.0
SEND_SECONDS = 60.0
SILENT_SECONDS = 60.0
"""After which a stream of events is taken for lost: the server gives a sign of life every 15 s."""

STEADY_SECONDS = 5.0
"""A stream that gave signs of life for so long is no failure, although no event came by it."""


class AsyncConnection:
    """Speaks HTTP to one server. Redirects are not followed: the token is for this server only."""

    def __init__(self, url: str, token: str, patience: Patience, timeout: float) -> None:
        self.url = address(url)
        self.patience = patience
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(min(timeout, SEND_SECONDS), read=timeout, connect=min(timeout, CONNECT_SECONDS)),
            transport=httpx.AsyncHTTPTransport(
                retries=CONNECTIONS if patience.request_seconds else 0,
                proxy=proxy_of(self.url),
                limits=httpx.Limits(max_connections=None),  # as many runs may be followed at once as there are
            ),
        )

    async def aclose(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def once(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Return the answer to one request, sent once.

        Raises:
            NoAnswerError: none comes.
            RefusedError: it is a refusal.
        """
        try:
            response = await self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise _no_answer(method, path, error) from error
        if response.is_error:
            raise refusal(response.status_code, response.headers, response.content)
        return response

    async def send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Return the answer to a request. It is sent again for some seconds where the connection breaks, or the server
        cannot answer now; a write has a key, so that it is done once.

        Args:
            arguments: as httpx takes them; ``files`` have to be open at their beginning.

        Raises:
            NoAnswerError: none comes in time.
            RefusedError: it is a refusal.
        """
        if method not in READING:
            arguments["headers"] = {KEY: new_key(), **(arguments.get("headers") or {})}
        until = monotonic() + self.patience.request_seconds
        while True:
            failed: ClientError
            wait: float | None
            try:
                response = await self._http.request(method, path, **arguments)
            except httpx.HTTPError as error:
                failed = _no_answer(method, path, error)
                failed.__cause__ = error
                wait = self.patience.again_seconds if isinstance(error, httpx.TransportError) else None
            else:
                if not response.is_error:
                    self._stay(response)
                    return response
                failed = refused = refusal(response.status_code, response.headers, response.content)
                wait = wait_after(refused, self.patience.again_seconds)
            if wait is None or monotonic() + wait > until:
                raise failed
            await async_pause(wait)
            for file in (arguments.get("files") or {}).values():
                file[1].seek(0)

    def _stay(self, response: httpx.Response) -> None:
        """Refuse to be sent elsewhere.

        Raises:
            NoAnswerError: the answer is a redirect, as of http:// to https://.
        """
        if response.has_redirect_location:
            there = response.headers["Location"]
            raise NoAnswerError(f"{self.url} sends on to {there}; give the address that it is reached by at once")

    async def ask(self, method: str, path: str, *, settle: bool = True, **arguments: Any) -> Any:
        """Return the JSON answer to a request; None: it has no body. Sent again as by :meth:`send`.

        Args:
            settle: wait until a write that the server keeps for later (202) is handled; else its answer is the 202's.

        Raises:
            StillPendingError: it is not handled in time.
        """
        if method not in READING:
            arguments["headers"] = {KEY: new_key(), **(arguments.get("headers") or {})}
        until = monotonic() + self.patience.pending_seconds
        while True:
            response = await self.send(method, path, **arguments)
            try:
                answer: Any = response.json() if response.content else None
            except ValueError as error:
                raise NoAnswerError(f"{method} {path}: {self.url} does not answer as an Art DAG server does") from error
            if not (settle and is_pending(response.status_code, answer)):
                return answer
            if monotonic() + self.patience.again_seconds > until:
                raise StillPendingError(answer)
            await async_pause(self.patience.again_seconds)

    async def pages(self, path: str, name: str, limit: int | None, /, **parameters: Any) -> AsyncIterator[Any]:
        """Yield the items of a list under their name, page by page, up to ``limit`` of them; None: all."""
        asked = query(**parameters)
        left = limit
        while left is None or left > 0:
            asked["limit"] = str(PAGE if left is None else min(left, PAGE))
            page = await self.ask("GET", path, params=asked)
            for item in page[name][:left]:
                yield item
            if page["next"] is None:
                return
            left = None if left is None else left - len(page[name])
            asked["cursor"] = page["next"]

    @asynccontextmanager
    async def stream(
        self, path: str, headers: dict[str, str] | None = None, timeout: float | None = None, **parameters: Any
    ) -> AsyncIterator[httpx.Response]:
        """Give the answer to a GET request before its body has come.

        Args:
            timeout: seconds without a byte; None: as all requests.

        Raises:
            RefusedError: it is a refusal.
            httpx.TransportError: it breaks off.
        """
        arguments: dict[str, Any] = {"params": query(**parameters), "headers": headers or {}}
        if timeout is not None:
            arguments["timeout"] = httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
        async with self._http.stream("GET", path, **arguments) as response:
            if response.is_error:
                raise refusal(response.status_code, response.headers, await response.aread())
            self._stay(response)
            yield response

    async def save(self, path: str, file: IO[bytes], progress: Progress = nothing) -> None:
        """Write the answer to a GET request to a file.

        Raises:
            NoAnswerError: it breaks off.
        """
        try:
            async with self.stream(path) as response:
                total = int(response.headers.get("Content-Length") or 0)
                async for block in response.aiter_bytes():
                    file.write(block)
                    progress(response.num_bytes_downloaded, total)
        except httpx.HTTPError as error:
            raise _no_answer("GET", path, error) from error

    async def listen(self, path: str, **parameters: Any) -> AsyncGenerator[Event]:
        """Yield server-sent events that are not stored, until the server ends them.

        Raises:
            NoAnswerError: they break off.
        """
        reader = EventReader()
        try:
            headers = {"Accept": "text/event-stream"}
            async with self.stream(path, headers, timeout=SILENT_SECONDS, **parameters) as response:
                async for line in response.aiter_lines():
                    if event := reader.take(line):
                        yield event
        except httpx.HTTPError as error:
            raise _no_answer("GET", path, error) from error

    async def follow(self, path: str, what: str, after: int = 0, timeout: float | None = None) -> AsyncGenerator[Event]:
        """Yield stored events until there are no more; goes on where it was after a lost connection.

        Args:
            what: whose events they are, for messages.
            after: the position of the last one that is known.
            timeout: seconds after which to stop listening; None: never.

        Raises:
            NoAnswerError: connections that brought nothing, one after the other.
            RefusedError: it is a refusal, and not only for the moment.
            WaitedTooLongError: ``timeout``.
        """
        position, losses = after, 0
        until = None if timeout is None else monotonic() + timeout
        while True:
            headers = {"Last-Event-ID": str(position)} if position else {}
            left = SILENT_SECONDS if until is None else min(SILENT_SECONDS, max(until - monotonic(), 0.001))
            began = heard = 0.0
            wait: float | None = None
            try:
                async with self.stream(path, headers, timeout=left) as response:
                    if response.status_code == NO_MORE:
                        return
                    began = heard = monotonic()
                    reader = EventReader()
                    async for line in response.aiter_lines():
                        heard = monotonic()
                        if event := reader.take(line):
                            losses = 0
                            position = event.position or position
                            yield event
                            if event.is_last:
                                return
                        if until is not None and monotonic() > until:
                            raise _too_long(what)
                lost = "the server ends it"
            except httpx.TransportError as error:
                lost = str(error) or type(error).__name__
            except RefusedError as error:
                wait = wait_after(error, self.patience.again_seconds)
                if wait is None or wait > self.patience.request_seconds:
                    raise
                lost = error.message
            if until is not None and monotonic() > until:
                raise _too_long(what)
            losses = 1 if heard - began > STEADY_SECONDS else losses + 1
            if losses > self.patience.losses:
                raise NoAnswerError(f"the events of {what} cannot be followed: {lost}")
            if losses > 1 or wait:
                await async_pause(wait or self.patience.again_seconds)


def _no_answer(method: str, path: str, error: Exception) -> ClientError:
    return NoAnswerError(f"{method} {path}: {str(error) or type(error).__name__}")


def _too_long(what: str) -> ClientError:
    return WaitedTooLongError(f"{what} is not over in time; it goes on")
