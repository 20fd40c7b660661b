"""Processes are kept running, whatever else goes wrong."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys

import pytest

from artdag_cli import supervisor as module
from artdag_cli.supervisor import Child, Supervisor

SLEEP = (sys.executable, "-c", "import signal; signal.pause()")


async def test_a_full_disk_does_not_end_the_keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESTART_DELAYS", (0.0,))
    changes: list[int] = []
    supervisor = Supervisor()
    child = Child("sleeper", SLEEP, None)

    def note() -> None:
        changes.append(child.pid)
        if len(changes) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    supervisor.on_change(note)
    await supervisor.start(child)
    try:
        async with asyncio.timeout(60):
            for times in (1, 2):
                os.kill(child.pid, signal.SIGKILL)
                while child.restarts < times or not child.pid:
                    await asyncio.sleep(0.01)
    finally:
        monkeypatch.setattr(supervisor, "_changed", lambda: None)
        await supervisor.stop()
    assert len(set(changes)) == 3
