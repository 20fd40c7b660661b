"""Keeps processes running: starts them, starts them again when they die, stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from artdag_cli.messages import errors
from artdag_common.tasks import end

RESTART_DELAYS = (0.0, 0.2, 0.5, 1.0)
STEADY_SECONDS = 10.0
GRACE_SECONDS = 10.0


@dataclass(slots=True)
class Child:
    """A supervised process."""

    name: str
    command: tuple[str, ...]
    log: Path | None  # None: our own standard error
    stop_signal: int = signal.SIGTERM
    environment: Mapping[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    guard: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id, 0 while it does not run."""
        return self.process.pid if self.process and self.process.returncode is None else 0


class Supervisor:
    """Processes by name, in the order in which they were started."""

    def __init__(self) -> None:
        self.children: dict[str, Child] = {}
        self._changed: Callable[[], None] = lambda: None
        self._stopping = False

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever a process got another id."""
        self._changed = callback

    async def start(self, child: Child) -> None:
        """Start a process and keep it running."""
        self.children[child.name] = child
        await self._launch(child)
        child.guard = asyncio.create_task(self._keep(child), name=f"keep {child.name}")

    async def stop(self) -> None:
        """Stop gateways, then the other services, then backing servers; whoever does not stop in time is killed.

        A gateway that stops still hands over what it collected.
        """
        self._stopping = True
        for child in reversed(self.children.values()):
            if child.guard:
                child.guard.cancel()
        await asyncio.gather(*(c.guard for c in self.children.values() if c.guard), return_exceptions=True)
        for turn in range(3):
            await asyncio.gather(*(self._end(child) for child in self.children.values() if _turn(child) == turn))

    async def remove(self, name: str, stop_signal: int = 0) -> Child:
        """Stop a process and keep it stopped; return it, as :meth:`start` takes it.

        Args:
            stop_signal: 0: the process's own.
        """
        child = self.children.pop(name)
        await end(child.guard)
        usual, child.stop_signal = child.stop_signal, stop_signal or child.stop_signal
        await self._end(child)
        child.stop_signal = usual
        self._changed()
        return child

    async def _launch(self, child: Child) -> None:
        log: IO[bytes] | None = None
        if child.log:
            child.log.parent.mkdir(parents=True, exist_ok=True)
            log = child.log.open("ab")
        try:
            child.process = await asyncio.create_subprocess_exec(
                *child.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **child.environment},
                start_new_session=True,
            )
        finally:
            if log:
                log.close()
        self._changed()

    async def _keep(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        deaths = 0
        while True:
            assert child.process
            began = loop.time()
            await child.process.wait()
            if self._stopping:
                return
            deaths = 0 if loop.time() - began > STEADY_SECONDS else deaths
            await asyncio.sleep(RESTART_DELAYS[min(deaths, len(RESTART_DELAYS) - 1)])
            if self._stopping:
                return
            deaths += 1
            child.restarts += 1
            try:
                await self._launch(child)
            except OSError as error:  # no memory for it, or a full disk: it may pass, and whoever waits goes on trying
                told = f"{child.name} cannot be started again, or that be noted: {error}; it is tried on"
                errors.print(told, highlight=False, markup=False, soft_wrap=True)

    async def _end(self, child: Child) -> None:
        process = child.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(child.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), GRACE_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _turn(child: Child) -> int:
    """Return when a process is to stop: those that serve others after those that they serve."""
    if not child.environment:
        return 2  # a backing server
    return 0 if child.name.startswith("gateway") else 1
