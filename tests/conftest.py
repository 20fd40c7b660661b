"""What tests share: real servers, started by the code that starts them for a laptop user."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from artdag_cli.system import ROOT, System, system

# Processes that tests start find the packages as these do, also where pytest is started by itself.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "libs")])


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder that Postgres may enter whoever runs the tests."""
    folder = tmp_path_factory.mktemp("state")
    for each in (folder, *folder.parents[:2]):
        if each.stat().st_uid == os.geteuid():
            each.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
async def backing(state: Path) -> AsyncIterator[System]:
    """NATS, Postgres and Redis, without services."""
    async with system(state / "backing", 0, services=False) as it:
        yield it


@pytest.fixture(scope="session")
async def live(state: Path) -> AsyncIterator[System]:
    """The whole system."""
    async with system(state / "live", 0, logs_to_files=True) as it:
        yield it
