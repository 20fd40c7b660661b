"""Processes of this machine, as tests look at them."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path


def below(pid: int) -> set[int]:
    """Return the processes below one, however deep."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    left = [pid]
    while left:
        for child in children.get(left.pop(), ()):
            found.add(child)
            left.append(child)
    return found


def hear_signals() -> None:
    """Undo what ``nohup`` and a shell's ``&`` do to all that is started below them, before a program is started."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
