"""Lays out what is in an image: ``python services/image.py SERVICE FOLDER``, in the folder of the sources.

A service gets its own code and the shared library, the operator's tools the libraries. Standard library only: it runs
before anything is installed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

SERVICES = ("auth", "cache", "planner", "executor", "gateway")
OPERATOR = "operator"
SHARED = "libs/artdag_common"
PROBED = "services/healthcheck.py"
SHOWN = ("docs/effects", "examples/recipes")
"""What the gateway's pages show besides what is in its package."""

PROGRAM = """#!/bin/sh
exec python -m artdag_cli "$@"
"""


def contents(service: str) -> dict[str, str]:
    """Return what goes into the image of a service: where it is, and where it goes below ``app``.

    Raises:
        ValueError: there is no such service.
    """
    if service == OPERATOR:
        return {"libs": "libs"}
    if service not in SERVICES:
        raise ValueError(f"SERVICE is {service!r} and has to be one of {', '.join((*SERVICES, OPERATOR))}")
    names = {SHARED: SHARED, PROBED: "healthcheck.py"}
    for name in ("services/__init__.py", f"services/{service}", *(SHOWN if service == "gateway" else ())):
        names[name] = name
    return names


def lay_out(service: str, sources: Path, folder: Path) -> None:
    """Copy what a service runs to ``folder``, all of it readable by everybody and writable by nobody else."""
    for source, place in contents(service).items():
        target = folder / "app" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if (sources / source).is_dir():
            shutil.copytree(sources / source, target, ignore=shutil.ignore_patterns("__pycache__", "requirements.lock"))
        else:
            shutil.copy(sources / source, target)
    if service == OPERATOR:
        program = folder / "bin" / "artdag"
        program.write_text(PROGRAM)
        program.chmod(0o755)
    for each in (folder / "app", *(folder / "app").rglob("*")):
        each.chmod(0o755 if each.is_dir() else 0o644)


if __name__ == "__main__":
    lay_out(sys.argv[1], Path.cwd(), Path(sys.argv[2]))
