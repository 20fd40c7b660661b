"""What went wrong, as an error of ours: its code says of which kind it is (see :mod:`artdag_common.domain.failure`)."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from artdag_common.errors import ArtdagError, StepBrokenError, StepOutOfMemoryError, StorageFullError
from services.executor.step_log import shown_trace

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
COUNTS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"), Path("/proc/vmstat"))
"""Where the system counts what it killed for want of memory: in this container (cgroup 2, 1), on this machine."""


@dataclass(frozen=True, slots=True)
class Broken:
    """An attempt failed.

    Attributes:
        error, reason: name and text of the error.
        trace: where, if nobody thought of it.
        retry_after: seconds that a server asks us to wait for.
        final: what it stands on was tried again already, as often as it makes sense.
    """

    error: str
    reason: str
    trace: str = ""
    retry_after: float = 0.0
    final: bool = False


def broken_by(error: Exception) -> Broken:
    """Return what an exception means for an attempt."""
    failure = failure_of(error)
    trace = "" if isinstance(error, ArtdagError) or not isinstance(failure, StepBrokenError) else shown_trace(error)
    return Broken(failure.code, failure.message, trace, float(failure.values.get("retry_after", 0.0)))


def failure_of(error: Exception) -> ArtdagError:
    """Return an error of ours for whatever broke a step."""
    number = getattr(error, "errno", None)
    if isinstance(error, ArtdagError):
        return error
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return StepOutOfMemoryError("the step needed more memory than it may have")
    if number in NO_ROOM:
        return StorageFullError("the disk is full; nothing of the step was stored")
    return StepBrokenError(f"{type(error).__name__}: {error}")


def killed_for_memory() -> int | None:
    """Return how many processes were killed here so far for want of memory; None: the system does not say."""
    for place in (*_own_groups(), *COUNTS):
        try:
            lines = place.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill" and count.isdigit():
                return int(count)
    return None


def _own_groups() -> list[Path]:
    """Return where the count of this process's own control group is, where that can be seen."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    root, found = Path("/sys/fs/cgroup"), []
    for line in lines:  # number:controllers:/path
        _, controllers, group = line.split(":", 2)
        if not controllers:
            found.append(root / group.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            found.append(root / "memory" / group.lstrip("/") / "memory.oom_control")
    return found
