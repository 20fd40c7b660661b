"""Files of this machine on their way in: only from folders that the operator allowed, and through no link.

Every level of a path is opened by the descriptor of the one above it and never through a symbolic link, so that nothing
that is renamed or replaced meanwhile leads out of the allowed folder.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from artdag_common.errors import ContentNotFoundError
from services.gateway.uploads import refused

FILES = 10_000
DEPTH = 32
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Without O_NONBLOCK, opening a pipe would wait for its writer."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is open for reading. ``name``: its path below the folder that was asked for, or its own name."""

    descriptor: int
    name: str
    size_bytes: int


def place_of(path: str, allowed: Sequence[Path]) -> tuple[Path, tuple[str, ...]]:
    """Return the allowed folder that a path lies in, the innermost one, and the names that lead from it to the path.

    Raises:
        InvalidRequestError: it lies in none of them, or is not a plain absolute path.
    """
    if not allowed:
        raise refused("path", path[:200], "to be imported: ARTDAG_IMPORT_DIRS allows no folder here; upload it instead")
    if "\0" in path or not path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise refused("path", path[:200], "an absolute path without '..'")
    wanted = PurePosixPath(path)
    for folder in sorted(allowed, key=lambda each: -len(each.parts)):
        if wanted.is_relative_to(folder):
            return folder, wanted.relative_to(folder).parts
    raise refused("path", path[:200], f"in a folder that may be imported from: {', '.join(map(str, allowed))}")


@contextmanager
def opened(path: str, allowed: Sequence[Path]) -> Iterator[tuple[bool, Iterator[Found]]]:
    """Open a file, or a folder with all that is in it, in the order of names; links and devices in it are passed over.

    Gives whether it is a folder, and the files. Each is closed when the next one is asked for.

    Raises:
        InvalidRequestError: see :func:`place_of`; or a link is on the way, or it is neither file nor folder.
        ContentNotFoundError: there is no such file.
    """
    folder, names = place_of(path, allowed)
    with ExitStack() as stack:
        with _refusals(path):
            here = os.open(
                folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            )  # the operator's own word, links and all
            stack.callback(os.close, here)
            for name in names[:-1]:
                here = os.open(name, FOLDER, dir_fd=here)
                stack.callback(os.close, here)
            if names:
                here = os.open(names[-1], FILE, dir_fd=here)
                stack.callback(os.close, here)
            facts = os.fstat(here)
        if stat.S_ISDIR(facts.st_mode):
            yield True, _below(here)
        elif stat.S_ISREG(facts.st_mode):
            yield False, iter([Found(here, names[-1], facts.st_size)])
        else:
            raise refused("path", path[:200], "a file or a folder")


@contextmanager
def _refusals(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise ContentNotFoundError(f"there is no file {path[:200]}", path=path[:200]) from error
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            rule = "a plain path: a part of it is a symbolic link, a socket or no folder"
            raise refused("path", path[:200], rule) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG):
            raise refused("path", path[:200], f"readable by this server: {error.strerror}") from error
        raise


def _below(folder: int, prefix: str = "", depth: int = 0) -> Iterator[Found]:
    if depth > DEPTH:
        raise refused("path", prefix[:200], f"at most {DEPTH} folders deep")
    for name in sorted(os.listdir(folder)):
        try:
            descriptor = os.open(name, FILE, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENOENT):  # a link, a socket, or gone meanwhile
                continue
            with _refusals(f"{prefix}{name}"):
                raise
        try:
            facts = os.fstat(descriptor)
            if stat.S_ISDIR(facts.st_mode):
                yield from _below(descriptor, f"{prefix}{name}/", depth + 1)
            elif stat.S_ISREG(facts.st_mode):
                yield Found(descriptor, f"{prefix}{name}", facts.st_size)
        finally:
            os.close(descriptor)
