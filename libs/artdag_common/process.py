"""The life of a service process: start, run until told to stop, stop in order."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import structlog
import uvloop

from artdag_common import tracing
from artdag_common.config import SECRETS, Settings
from artdag_common.config_rules import refuse
from artdag_common.environment import BY_FILE
from artdag_common.errors import ArtdagError
from artdag_common.first_process import go_on_in_child
from artdag_common.observability import configure_logging

if TYPE_CHECKING:
    from artdag_common.probing import Parts

PR_SET_DUMPABLE = 4

log = structlog.get_logger(__name__)

Service = Callable[[Settings], AbstractAsyncContextManager["Parts"]]


def run(name: str, wiring: str) -> None:
    """Run a service until SIGTERM or SIGINT: read the settings, enter it, wait, leave it.

    Args:
        name: the service's.
        wiring: the module with the function of that name that builds it.
    """
    _leave_process_1()
    try:
        service = _imported(wiring, name)
        settings, problems = Settings.examine(os.environ, name)
        refuse(problems)
        configure_logging(settings, name)
        tracing.begin(name)
        gc.freeze()  # what it loads stays, too
        ours = [each + ending for each in SECRETS for ending in ("", BY_FILE)]
        keep_to_ourselves([*ours, *tracing.SECRETS])
        for problem in problems:
            log.warning("a setting is not as it seems", setting=problem.names[0], problem=str(problem))
        uvloop.run(_live(name, service, settings))
    except ArtdagError as error:
        print(f"{name}: {error.message}", file=sys.stderr)
        raise SystemExit(1) from error
    finally:
        tracing.end()


def _leave_process_1() -> None:
    """In a container that has no other process 1, leave being that to one that does nothing else."""
    if os.getpid() == 1:
        keep_to_ourselves(())  # the environment that it was started with stays in its memory
        go_on_in_child()


def _imported(module: str, name: str) -> Service:
    """Import a service without what only makes it start later: whoever waits for a restart waits for this."""
    gc.disable()  # nearly all that is made now stays, so garbage is looked for neither now nor among it later
    # NATS is spoken over TCP; its client would load aiohttp for web sockets. None here means that there is none.
    sys.modules["aiohttp"] = None  # type: ignore[assignment]
    try:
        import_module("nats.aio.transport")
        del sys.modules["aiohttp"]
        # Redis' client would load the metrics of OpenTelemetry's SDK, half a second's worth, and make no use of them.
        sys.modules["opentelemetry.sdk"] = None  # type: ignore[assignment]
        service: Service = getattr(import_module(module), name)
        return service
    finally:
        sys.modules.pop("opentelemetry.sdk", None)
        gc.freeze()
        gc.enable()


def keep_to_ourselves(secrets: Iterable[str]) -> None:
    """Take secrets out of the environment that processes of ours inherit, and let nobody read them out of this one.

    Media workers and the programs that people upload run beside us. On Linux the same user's processes can read neither
    this process's memory nor the environment it was started with from now on; it leaves no core dump either.
    """
    for name in secrets:
        os.environ.pop(name, None)
    if prctl := getattr(ctypes.CDLL(None), "prctl", None):
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


async def _live(name: str, service: Service, settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    from artdag_common.probing import probing  # after the service, for what it loads

    async with probing(name, settings, stopping) as probe, service(settings) as parts:
        probe.watch(parts)
        log.info("ready")
        await stopping.wait()
        log.info("stopping")


Close = Callable[[], Awaitable[object]]


@asynccontextmanager
async def cleanup() -> AsyncIterator[Callable[[Close], object]]:
    """Give a function that notes what has to be closed at the end, last first."""
    async with AsyncExitStack() as stack:
        yield lambda close: stack.push_async_callback(close)
