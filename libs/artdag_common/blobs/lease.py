"""Who uses a content file now, and when it was used last: what making room on the disk goes by.

A lease is a shared ``flock`` on the file itself, so it ends however its holder does.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Timespec(ctypes.Structure):
    """``struct timespec`` of ``utimensat(2)``."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


AT_FDCWD, UTIME_NOW, UTIME_OMIT = -100, (1 << 30) - 1, (1 << 30) - 2
NOW_AND_AS_IT_IS = (Timespec * 2)(Timespec(0, UTIME_NOW), Timespec(0, UTIME_OMIT))

libc = ctypes.CDLL(None)

NOTED_SECONDS = 60.0
"""How exactly it is known when a file was used last."""


def note_use(path: Path) -> None:
    """Write down that a file was used now: as its time of access, which no mount option has a say in.

    Its other time, the stamp, is left out: :func:`os.utime` would write the one that was read, and undo what another
    process notes meanwhile.
    """
    with contextlib.suppress(OSError):  # another's file, or gone: it is used all the same
        if time.time() - path.stat().st_atime > NOTED_SECONDS:
            libc.utimensat(AT_FDCWD, os.fsencode(path), NOW_AND_AS_IT_IS, 0)


def lease(path: Path) -> int | None:
    """Return a descriptor that keeps a file from going while it is open; None: the file is gone already."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # whoever removes holds it for a moment only
        if os.fstat(descriptor).st_nlink and path.exists():
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


@contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Say whether nobody holds a lease; if so, nobody gets one while the block runs."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
