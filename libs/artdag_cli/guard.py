"""Starts a program that ends with us: ``python guard.py SIGNAL IDENTITY PROGRAM ARGUMENT…``.

The kernel sends SIGNAL to the program when the process that started it dies, however it dies. IDENTITY is ``same``;
``namespace``: a user namespace in which root is an ordinary user (Postgres refuses to run as root); or a user's name.
Uses the standard library only, since it runs before anything else.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
ORDINARY_ID = 1000


def become(identity: str) -> None:
    """Take on ``identity``."""
    if identity == "same":
        return
    if identity != "namespace":
        entry = pwd.getpwnam(identity)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        return
    uid, gid = os.geteuid(), os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "user namespaces are not available")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{ORDINARY_ID} {uid} 1"),
        ("gid_map", f"{ORDINARY_ID} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def main() -> None:
    """Take on the identity, ask to be told of the parent's death, become the program."""
    signal_number, identity, *program = sys.argv[1:]
    parent = os.getppid()
    become(identity)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal_number))
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
