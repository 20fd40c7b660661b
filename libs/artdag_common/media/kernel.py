"""The compiled half of :mod:`artdag_common.media.rgb`: where it is, how it is made, how it is loaded.

``python kernel.py`` makes it for that Python's environment, as ``./artdag`` and the images do. Standard library only,
since that is before anything is imported, and nothing is compiled while a service runs.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("rgb.c")
FLAGS = ("-std=gnu11", "-O3", "-shared", "-fPIC")
SECONDS = 120


def place(prefix: str) -> Path:
    """Return where the kernel of this source is in an environment."""
    digest = hashlib.sha256(SOURCE.read_bytes() + " ".join(FLAGS).encode()).hexdigest()
    return Path(prefix, "lib", f"artdag-rgb-{digest[:16]}.so")


def build(prefix: str) -> str:
    """Make the kernel for an environment, unless it is there; return why it could not be, or nothing.

    Whoever makes it at the same time makes the same, and whole files alone are seen.
    """
    target = place(prefix)
    if target.exists():
        return ""
    compiler = shutil.which("cc")
    if compiler is None:
        return "there is no C compiler"
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=target.stem) as folder:
            made = Path(folder) / target.name
            command = [compiler, *FLAGS, "-o", str(made), str(SOURCE)]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=SECONDS
            )
            if done.returncode:
                return " ".join([f"{compiler} failed:", *done.stderr.split()])[:300]
            made.chmod(0o755)
            os.replace(made, target)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ""


@cache
def load() -> ctypes.CDLL | None:
    """Return the kernel of this process's environment; None: there is none, or it cannot be loaded."""
    try:
        return ctypes.CDLL(str(place(sys.prefix)))
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(build(sys.prefix) or 0)
