"""Media worker processes: one for each running step, forked from a warm server, killed on their own."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from artdag_common.errors import MediaWorkerLostError, ServiceUnavailableError, StepTimeoutError
from services.executor.worker import Broken, Finished, Long, Progress, WorkOrder, work

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

    async def run(
        self, order: WorkOrder, on_progress: Callable[[Progress], Awaitable[None]]
    ) -> Finished | Long | Broken:
        """Run a step and return what came of it.

        Raises:
            MediaWorkerLostError: its process died.
            StepTimeoutError: it took too long and was killed.
            ServiceUnavailableError: the pool is being closed.
        """
        async with self._slots:
            self._check_open()
            receiver, sender = self._context.Pipe(duplex=False)
            process = self._context.Process(target=work, args=(order, sender), daemon=True)
            await asyncio.to_thread(process.start)
            sender.close()
            self._running.add(process)
            try:
                self._check_open()  # it may have been closed while the process started
                async with asyncio.timeout(self._timeout):
                    return await self._follow(process, receiver, on_progress)
            except TimeoutError:
                raise StepTimeoutError(f"the step took longer than {self._timeout:g} s") from None
            finally:
                self._running.discard(process)
                process.kill()
                await asyncio.to_thread(process.join)
                receiver.close()

    async def _follow(
        self, process: ForkServerProcess, receiver: Connection, on_progress: Callable[[Progress], Awaitable[None]]
    ) -> Finished | Long | Broken:
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
                        raise MediaWorkerLostError(
                            f"the process of the step died with exit code {process.exitcode}"
                        ) from None
                    if not isinstance(message, Progress):
                        return message  # type: ignore[no-any-return]
                    await on_progress(message)
        finally:
            loop.remove_reader(receiver.fileno())

    def _check_open(self) -> None:
        if self._closing:
            raise ServiceUnavailableError("this executor is stopping")

    async def close(self) -> None:
        """Kill what still runs; its steps go back to the queue."""
        self._closing = True
        for process in list(self._running):
            with contextlib.suppress(ValueError):
                process.kill()
