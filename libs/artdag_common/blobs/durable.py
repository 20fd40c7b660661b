"""What storing on a disk takes: surviving a power cut, and saying that there is no room."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from artdag_common.errors import StorageFullError


def make_durable(path: Path) -> None:
    """Have a file's bytes, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def full_disk_is_named(then: str = "nothing was stored") -> Iterator[None]:
    """Turn "no space left" into the error that says so, and ``then`` what that means."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFullError(f"the disk that holds the cache is full; {then}") from error
