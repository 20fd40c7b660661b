"""uvicorn as a part of our process: our socket, our signals, our stop."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from artdag_common.addresses import LOOPBACK
from artdag_common.connections import ConnectionLimits, GuardedHttp
from artdag_common.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

GRACE_SECONDS = 5
KEPT_DESCRIPTORS = 256
"""Open files that connections never take: content, servers, logs."""

LIMITS = ConnectionLimits(unlimited=LOOPBACK)


class _Server(uvicorn.Server):
    """Leaves signals to :mod:`artdag_common.process` and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def listen(host: str, port: int, prefix: str = "") -> socket.socket:
    """Return a listening socket. ``prefix``: of the settings that name its address, for the error.

    Raises:
        ConfigurationError: the address cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(f"{prefix}HOST={host!r}, {prefix}PORT={port}: cannot listen there: {error}") from error


@asynccontextmanager
async def serving(
    app: ASGIApp,
    listener: socket.socket,
    before_stop: Callable[[], Awaitable[None]] | None = None,
    limits: ConnectionLimits = LIMITS,
) -> AsyncIterator[None]:
    """Serve until the block is left. ``before_stop`` ends what would otherwise never end: streams."""
    # uvicorn asks for a class and calls it like a function
    protocol = partial(GuardedHttp, limits=_affordable(limits), opened=Counter())
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=protocol,  # type: ignore[arg-type]
        proxy_headers=False,  # uvicorn would believe every client on this machine
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve([listener]), name="http")
    # A server that ends by itself takes the process along, so that whoever watches it starts another.
    task.add_done_callback(lambda _: None if server.should_exit else signal.raise_signal(signal.SIGTERM))
    try:
        await server.listening.wait()
        yield
    finally:
        if before_stop:
            await before_stop()
        server.should_exit = True
        await task
        listener.close()


def _affordable(limits: ConnectionLimits) -> ConnectionLimits:
    """Return limits within what this process may open: beyond that, nobody new would even be refused."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return limits
    return replace(limits, connections=min(limits.connections, max(1, descriptors - KEPT_DESCRIPTORS)))
