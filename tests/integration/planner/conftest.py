"""What the planner's tests share: servers of their own, and planners on one database."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from artdag_cli.backing import guarded
from artdag_cli.system import ROOT, System, system
from artdag_common.messaging.bus import Bus
from tests.conftest import refusals
from tests.integration.events.test_planner import World
from tests.integration.gateway.people import SignIn, signing_in

WEBHOOK_HOST = "127.0.0.78"
"""The one host in the server's own network that its users may have webhooks on."""

LIMITS = {
    "ARTDAG_MAX_USER_RUNS": "10",
    "ARTDAG_MAX_RUNS": "14",
    "ARTDAG_CLASS_LIMITS": "cpu=2,gpu=1",
    "ARTDAG_USER_LIMITS": "cpu=1",
    "ARTDAG_STEP_CLASSES": "RESIZE=nobody,EFFECT:glitch=gpu",
    "ARTDAG_USER_WEIGHTS": "owner=4",
    "ARTDAG_SLOTS": "4",
    "ARTDAG_WEBHOOK_HOSTS": WEBHOOK_HOST,
}
"""RESIZE and the effect go to classes that the executor does not serve: such steps wait, unless a test starts one."""


@pytest.fixture
def world(pool: asyncpg.Pool, tmp_path: Path) -> World:
    """Planners that share an event store, without a bus: the test delivers, or loses, what they would hear."""
    return World(pool, tmp_path / "cache")


@pytest.fixture(scope="session")
async def limited(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """A whole system that lets little go on at once."""
    state = tmp_path_factory.mktemp("limited")
    for folder in (state, *state.parents[:2]):
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in LIMITS.items():
            patch.setenv(name, value)
        async with system(state, 0, logs_to_files=True) as it:
            yield it
            assert not refusals(it), (
                "a service lacks what it does: see messaging/permissions.py and eventstore/roles.py"
            )


@pytest.fixture
async def second(limited: System) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another planner of it."""
    command = (*guarded(), sys.executable, "-m", "services.planner")
    own = {**os.environ, **LIMITS, **limited.environment_of("planner")}
    process = await asyncio.create_subprocess_exec(*command, env=own, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL)
    yield process
    if process.returncode is None:
        process.terminate()
    await process.wait()


@pytest.fixture(scope="session")
async def books(limited: System) -> AsyncIterator[asyncpg.Pool]:
    """Its database, as its owner sees it."""
    async with asyncpg.create_pool(limited.environment["DATABASE_URL"], min_size=1, max_size=2) as pool:
        yield pool


@pytest.fixture
async def sign_in(limited: System) -> AsyncIterator[SignIn]:
    """Sign somebody in to it."""
    bus = await Bus.connect(limited.environment["NATS_URL"], "test")
    async with signing_in(f"http://127.0.0.1:{limited.port}", bus) as found:
        yield found
    await bus.close()
