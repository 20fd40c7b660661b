"""What tests share: real servers, started by the code that starts them for a laptop user."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import hypothesis
import pytest

from artdag_cli.system import ROOT, System, system
from artdag_common.application import Application
from artdag_common.eventstore import postgres
from artdag_common.messaging.bus import Bus

# How long an example may take is no property of the code: a busy machine is slow.
hypothesis.settings.register_profile("artdag", deadline=None)
hypothesis.settings.load_profile("artdag")

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
    async with system(state / "live", 0, logs_to_files=True, probes=True) as it:
        yield it
        assert not refusals(it), "a service lacks what it does: see messaging/permissions.py and eventstore/roles.py"


@pytest.fixture(scope="session")
async def bus(live: System) -> AsyncIterator[Bus]:
    """A connection to the running system's bus."""
    it = await Bus.connect(live.environment["NATS_URL"], "test")
    yield it
    await it.close()


@pytest.fixture(scope="session")
async def events(live: System, bus: Bus) -> AsyncIterator[Application]:
    """The running system's event store."""
    pool = await postgres.connect(live.environment["DATABASE_URL"], 2)
    store = postgres.PostgresEventStore(pool, bus.committed)
    yield Application(store)
    await store.close()
    await pool.close()


def refusals(it: System) -> list[str]:
    """Return what NATS and Postgres refused to the services of a system, from their logs."""
    return [
        line
        for name, words in (("nats", "Violation"), ("postgres", "permission denied"))
        for line in (it.state / "logs" / f"{name}.log").read_text(errors="replace").splitlines()
        if words in line
    ]
