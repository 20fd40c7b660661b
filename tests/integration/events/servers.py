"""Servers that a test has for itself, to kill or to empty."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from artdag_cli.backing import Launch, wait_until_ready
from artdag_cli.supervisor import Child, Supervisor


@dataclass(frozen=True, slots=True)
class Server:
    """A running server that is started again when it dies."""

    url: str
    launch: Launch
    supervisor: Supervisor
    child: Child

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal."""
        pid = self.child.pid
        assert pid > 0, "it does not run"
        os.kill(pid, number)

    async def back(self, restarts: int) -> None:
        """Wait until it was started again ``restarts`` times and answers."""
        while self.child.restarts < restarts or not self.child.pid:
            await asyncio.sleep(0.01)
        assert self.child.process
        await wait_until_ready(self.launch, self.child.process)


@asynccontextmanager
async def serving(make: Callable[[Path], tuple[str, Launch]], folder: Path) -> AsyncIterator[Server]:
    """Start a server with its data below ``folder``; stop it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    url, launch = await asyncio.to_thread(make, folder)
    supervisor = Supervisor()
    child = Child(launch.name, launch.command, launch.log, launch.stop_signal)
    await supervisor.start(child)
    try:
        assert child.process
        await wait_until_ready(launch, child.process)
        yield Server(url, launch, supervisor, child)
    finally:
        await supervisor.stop()
