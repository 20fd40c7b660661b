"""Media worker processes: one for each running step, forked from a warm server, killed on their own."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from artdag_common import metrics
from artdag_common.errors import (
    ArtdagError,
    ExecutorStoppingError,
    MediaWorkerLostError,
    StepOutOfMemoryError,
    StepTimeoutError,
)
from services.executor.failing import Broken, killed_for_memory
from services.executor.worker import Finished, Long, Progress, WorkOrder, work

PIECE_BYTES = 1 << 16
PRELOADED = ["av", "numpy", "artdag_common.steps.registry", "artdag_common.media.check", "services.executor.worker"]


class MediaPool:
    """Runs steps in processes of their own, so that a crash, a leak or a hang stays one step's."""

    def __init__(self, slots: int, timeout: float) -> None:
        """``slots`` steps run at once; each has ``timeout`` seconds."""
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._slots = asyncio.Semaphore(slots)
        self._timeout = timeout
        self._running: set[ForkServerProcess] = set()
        self._closing = False
        metrics.STEP_LIMIT.of().set(timeout)
        metrics.WORKERS.of().set(slots)
        metrics.WORKERS_BUSY.of().set_function(lambda: float(len(self._running)))

    async def run(
        self,
        order: WorkOrder,
        on_progress: Callable[[Progress], Awaitable[None]],
        hear: Callable[[bytes], None] = lambda data: None,
    ) -> Finished | Long | Broken:
        """Run a step and return what came of it.

        Args:
            hear: is given what the process prints; nothing, when there is no more.

        Raises:
            MediaWorkerLostError: its process died.
            StepOutOfMemoryError: the system killed it, for want of memory.
            StepTimeoutError: it took too long and was killed.
            ExecutorStoppingError: the pool is being closed.
        """
        async with self._slots:
            self._check_open()
            killed = await asyncio.to_thread(killed_for_memory)
            receiver, sender = self._context.Pipe(duplex=False)
            ears, mouth = self._context.Pipe(duplex=False)
            process = self._context.Process(target=work, args=(order, sender, mouth), daemon=True)
            try:
                await self._start(process)
            except BaseException:
                receiver.close()
                ears.close()
                raise
            finally:
                sender.close()
                mouth.close()
            self._running.add(process)
            listening = _listen(ears, hear)
            try:
                self._check_open()  # it may have been closed while the process started
                async with asyncio.timeout(self._timeout):
                    return await self._follow(process, receiver, on_progress, killed)
            except TimeoutError:
                raise StepTimeoutError(f"the step took longer than {self._timeout:g} s") from None
            finally:
                self._running.discard(process)
                process.kill()
                await asyncio.to_thread(process.join)
                listening()
                receiver.close()

    async def _start(self, process: ForkServerProcess) -> None:
        """Start a process; if that is broken off, there is none."""
        starting = asyncio.ensure_future(asyncio.to_thread(process.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError, EOFError):
                await starting
                process.kill()
                await asyncio.to_thread(process.join)
            raise

    async def _follow(
        self,
        process: ForkServerProcess,
        receiver: Connection,
        on_progress: Callable[[Progress], Awaitable[None]],
        killed: int | None,
    ) -> Finished | Long | Broken:
        """Wait for what comes of it. ``killed``: processes that had been killed for want of memory before."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(receiver.fileno(), readable.set)
        try:
            while True:
                await readable.wait()
                readable.clear()
                while receiver.poll():
                    try:
                        message = receiver.recv()
                    except (EOFError, OSError):
                        self._check_open()
                        await asyncio.to_thread(process.join)
                        raise _lost(process.exitcode, killed, await asyncio.to_thread(killed_for_memory)) from None
                    if not isinstance(message, Progress):
                        return message  # type: ignore[no-any-return]
                    await on_progress(message)
        finally:
            loop.remove_reader(receiver.fileno())

    def _check_open(self) -> None:
        if self._closing:
            raise ExecutorStoppingError("this executor is stopping")

    async def close(self) -> None:
        """Kill what still runs; its steps go back to the queue."""
        self._closing = True
        for process in list(self._running):
            with contextlib.suppress(ValueError):
                process.kill()


def _lost(code: int | None, killed_before: int | None, killed: int | None) -> ArtdagError:
    """Return the error of a process that ended without a word; it was not this executor that killed it.

    Args:
        code: its exit code; minus a signal's number.
        killed_before, killed: how many processes were killed here for want of memory, before it began and now.
    """
    if code == -signal.SIGKILL and killed_before is not None and killed is not None and killed > killed_before:
        return StepOutOfMemoryError("the machine ran out of memory and killed the process of the step")
    return MediaWorkerLostError(f"the process of the step died with exit code {code}")


def _listen(ears: Connection, hear: Callable[[bytes], None]) -> Callable[[], None]:
    """Hear what a process prints, from now on. Returns what hears the rest, and ends it."""
    loop = asyncio.get_running_loop()
    descriptor = ears.fileno()
    os.set_blocking(descriptor, False)
    listening = True

    def take() -> bool:
        try:
            data = os.read(descriptor, PIECE_BYTES)
        except BlockingIOError:
            return False
        if data:
            hear(data)
        else:
            rest()
        return bool(data)

    def rest() -> None:
        nonlocal listening
        if listening:
            listening = False
            loop.remove_reader(descriptor)

    def close() -> None:
        while listening and take():
            pass
        rest()
        hear(b"")
        ears.close()

    loop.add_reader(descriptor, take)
    return close
