"""The sources of released versions, kept beside this as ``<version>.tar.xz``.

A release adds its own: ``git archive COMMIT services libs/artdag_common`` without the pages' scripts, packed by xz.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
ENDING = ".tar.xz"
RELEASES = sorted(path.name.removesuffix(ENDING) for path in HERE.glob(f"*{ENDING}"))


def unpack(version: str, folder: Path) -> Path:
    """Put the sources of a release below ``folder``, and return where."""
    place = folder / version
    if not place.exists():
        with tarfile.open(HERE / f"{version}{ENDING}") as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 or later has it
            archive.extractall(place)  # noqa: S202  # an archive of ours, in this folder
    return place


def environment(place: Path) -> dict[str, str]:
    """Return what has Python find the packages of a release, or of this checkout."""
    return {"PYTHONPATH": os.pathsep.join([str(place), str(place / "libs")])}


def run(place: Path, script: str, *arguments: str) -> str:
    """Run a program with the packages of a release; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, **environment(place)},
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
