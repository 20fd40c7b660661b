"""Folders, disks and files of this machine, as they are."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from artdag_cli.surroundings.facts import Folder, Secret, Space
from artdag_common.config import SECRETS
from artdag_common.config_rules import unusable
from artdag_common.environment import BY_FILE

KEPT = ("token", "actor.key", "secret.key", "l2.people", "s3.key", "s3.internal", "up.json")
"""Files of the state folder that hold secrets, besides those called ``*.password``."""

LOGINS = "logins"


def space(path: Path) -> Space | None:
    """Return how full the disk of a path is, or that of the nearest folder above it; None: that cannot be read."""
    there = next((each for each in (path, *path.parents) if os.path.lexists(each)), path)
    try:
        found, device = os.statvfs(there), there.stat().st_dev
    except OSError:
        return None
    size = found.f_frsize
    return Space(device, found.f_bavail * size, found.f_blocks * size, found.f_favail, found.f_files)


def folders(paths: Mapping[str, Path]) -> list[Folder]:
    """Return how folders stand that a system writes to, by what they are."""
    return [Folder(what, path, unusable(path), space(path)) for what, path in paths.items()]


def secrets(state: Path, environment: Mapping[str, str]) -> list[Secret]:
    """Return the files with secrets that are there: of the state folder, and those that settings name."""
    named = (Path(environment[name + BY_FILE]) for name in SECRETS if environment.get(name + BY_FILE))
    return [secret for path in (*_kept(state), *named) if (secret := _secret(path))]


def _kept(state: Path) -> Iterator[Path]:
    yield from (state / name for name in KEPT)
    for folder, pattern in ((state, "*.password"), (state / LOGINS, "*")):
        try:
            yield from sorted(folder.glob(pattern))
        except OSError:
            continue


def _secret(path: Path) -> Secret | None:
    try:
        found = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Secret(path, stat.S_IMODE(found.st_mode), found.st_uid in (os.geteuid(), 0))
