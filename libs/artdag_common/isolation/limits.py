"""What an isolated process may use at most, and the kernel's resource limits (setrlimit) that hold it to that."""

from __future__ import annotations

import resource
from dataclasses import dataclass

OPEN_FILES = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds.

    Attributes:
        memory_bytes: address space.
        cpu_seconds: processor time of all its threads together.
        start_seconds: from the start of the process until the code it is to run is loaded.
        silence_seconds: between two signs of life: frames, or reports of progress.
        threads: beside the first one; 0: none can be made.
        file_bytes: the largest file it may write.
        tmp_bytes: everything in its temporary folder together.
        printed_bytes: what it may print; the last of it is shown where it fails.
    """

    memory_bytes: int = 2 * 2**30
    cpu_seconds: int = 3600
    start_seconds: float = 30.0
    silence_seconds: float = 30.0
    threads: int = 0
    file_bytes: int = 256 * 2**20
    tmp_bytes: int = 256 * 2**20
    printed_bytes: int = 2**20


def apply(limits: Limits, tasks: int | None) -> None:
    """Bind this process. Lower limits that hold already stay.

    Args:
        tasks: how many processes and threads its user may have; None: as many as before.
    """
    _lower(resource.RLIMIT_AS, limits.memory_bytes)
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 5)
    _lower(resource.RLIMIT_FSIZE, limits.file_bytes)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_MEMLOCK, 0)
    _lower(resource.RLIMIT_MSGQUEUE, 0)
    if tasks is not None:
        _lower(resource.RLIMIT_NPROC, tasks)


def _lower(what: int, soft: int, hard: int | None = None) -> None:
    _, before = resource.getrlimit(what)
    most = soft if hard is None else hard
    if before != resource.RLIM_INFINITY:
        most = min(most, before)
    resource.setrlimit(what, (min(soft, most), most))
