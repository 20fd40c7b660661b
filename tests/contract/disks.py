"""Servers that have a disk for themselves, which can be full."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from artdag_cli.backing import Launch
from tests.integration.events.servers import serving

# A file system in memory, mounted in a namespace of the server's own: that needs no right but to make such namespaces.
ALONE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
MOUNT = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'


class Disk:
    """A server's disk, as it is reached from outside its namespace."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"

    def fill(self, free_bytes: int) -> None:
        """Take all room but so many bytes."""
        facts = os.statvfs(self._folder)
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, facts.f_bavail * facts.f_frsize - free_bytes)

    def make_room(self) -> None:
        """Give the room back."""
        self._ballast.unlink()


@asynccontextmanager
async def serving_on_a_disk(
    make: Callable[[Path], tuple[str, Launch]], folder: Path, data: str, size_bytes: int
) -> AsyncIterator[tuple[str, Disk]]:
    """Start a server below ``folder``; what is in its subfolder ``data`` is on a disk of its own. Gives its address.

    Skips the test where this machine lets nobody mount anything.
    """
    place = folder / data
    place.mkdir(parents=True)
    alone = (*ALONE, MOUNT, "sh", str(size_bytes), str(place))
    trial = await asyncio.create_subprocess_exec(*alone, "true", stderr=asyncio.subprocess.PIPE)
    _, said = await trial.communicate()
    if trial.returncode:
        pytest.skip(f"no disk can be mounted here: {said.decode().strip()}")

    def made(folder: Path) -> tuple[str, Launch]:
        url, launch = make(folder)
        return url, dataclasses.replace(launch, command=(*alone, *launch.command))

    async with serving(made, folder) as server:
        yield server.url, Disk(Path(f"/proc/{server.child.pid}/root{place}"))
