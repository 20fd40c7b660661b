"""Files that are there only once they are whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

from artdag_client.errors import FileInTheWayError


def check_place(target: Path, replace: bool) -> None:
    """See that a file can come to be there.

    Raises:
        FileInTheWayError: there is one, or something that is never written over: a folder, a device.
        FileNotFoundError: there is no such folder.
    """
    if target.exists() and not target.is_file():
        raise FileInTheWayError(f"{target} is there already, and is no file")
    if target.exists() and not replace:
        raise FileInTheWayError(f"{target} is there already")
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(target.parent))


@contextmanager
def saving(target: Path, replace: bool) -> Iterator[IO[bytes]]:
    """Give a file that becomes ``target`` once all of it is written; however else it ends, nothing of it is left.

    Args:
        replace: write over a file that is there.

    Raises:
        FileInTheWayError, FileNotFoundError: see :func:`check_place`.
        OSError: it cannot be written; names the target.
    """
    check_place(target, replace)
    part = target.with_name(f".artdag-{uuid4().hex}")  # its own name may be as long as a name can be
    try:
        file = part.open("xb")
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), str(target)) from error
    try:
        with file:
            yield file
        part.replace(target)
    except OSError as error:
        if error.filename is None and error.errno:  # such as a full disk, of which the system names no file
            raise OSError(error.errno, os.strerror(error.errno), str(target)) from error
        raise
    finally:
        part.unlink(missing_ok=True)
