"""The real executor in this process: real bus, real database, real media worker processes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from artdag_common.application import Application
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.codec import encode_command
from artdag_common.commands import ExecuteStep, ExecuteSteps
from artdag_common.config import Settings
from artdag_common.domain import failure
from artdag_common.domain.plan import canonical_json
from artdag_common.domain.step import Step
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.pb.events_pb2 import EventBatch
from artdag_common.steps.base import STEP_TYPES
from services.executor import handlers, wiring
from services.executor import pool as media
from services.executor.wiring import executor
from tests.integration.events.appends import eventually
from tests.integration.events.servers import Server
from tests.integration.executor.trial import NAME, TRIAL

CACHE_ID = "ab" * 32


class Bench:
    """An executor's surroundings."""

    def __init__(self, bus: Bus, pool: asyncpg.Pool, environment: dict[str, Any], folder: Path) -> None:
        self.bus = bus
        self.pool = pool
        self.environment = environment
        self.folder = folder
        self.blobs = LocalBlobStore(environment["CACHE_DIR"])
        self.store = PostgresEventStore(pool)
        self.told: list[tuple[str, int]] = []  # type and version of what was hinted
        os.mkfifo(folder / "go")
        self._go = os.open(folder / "go", os.O_RDWR)  # held open, so that writing never waits for a reader

    def executor(self, **more: Any) -> AbstractAsyncContextManager[None]:
        """An executor, from connected to closed."""
        return executor(Settings.model_validate(self.environment | more))

    def trial(self, what: str, cache_id: str = CACHE_ID, version: int = 0) -> ExecuteStep:
        config = canonical_json({"what": what, "folder": str(self.folder)}).decode()
        return ExecuteStep(cache_id, NAME, config, f"t.{what}.trial", (), version)

    async def send(self, step: ExecuteStep, work_class: str = "cpu") -> None:
        """Put a step on the work queue; it is there when this returns."""
        await self.bus.js.publish(subjects.work(work_class, step.cache_id), encode_command(ExecuteSteps((step,))))

    def let_go(self) -> None:
        """Let one waiting attempt go on."""
        os.write(self._go, b".")

    def attempts(self) -> list[int]:
        """Return the processes in which the trial step was executed."""
        return [int(path.stem) for path in self.folder.glob("*.attempt")]

    async def begun(self, count: int) -> list[int]:
        """Wait until it was executed so often."""

        async def there() -> list[int]:
            return pids if len(pids := self.attempts()) >= count else []

        found: list[int] = await eventually(there, f"{count} attempts")
        return found

    async def types(self, cache_id: str = CACHE_ID) -> list[str]:
        return [e.type for e in await self.store.load(f"step-{cache_id}")]

    async def reaches(self, *types: str, cache_id: str = CACHE_ID) -> Step:
        """Wait until the step's history is this; return the step."""

        async def reached() -> bool:
            found = await self.types(cache_id)
            assert found[: len(types)] == list(types)[: len(found)], found
            return len(found) >= len(types)

        await eventually(reached, ", ".join(types))
        step = await Application(self.store).find(Step, cache_id)
        assert step
        return step

    async def left(self) -> int:
        """Return how many messages are on the work queue."""
        return (await self.bus.js.stream_info(subjects.WORK)).state.messages

    async def empty(self) -> None:
        """Wait until the last message was acknowledged."""

        async def none() -> bool:
            return not await self.left()

        await eventually(none, "the work queue is empty")

    async def tidy(self) -> None:
        """Wait until no step's folder is left."""

        async def none() -> bool:
            return not list((self.environment["CACHE_DIR"] / "incoming").iterdir())

        await eventually(none, "no folder is left")

    def close(self) -> None:
        os.close(self._go)


@pytest.fixture(scope="session", autouse=True)
def forks() -> Iterator[None]:
    """Media workers that know the trial step."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    preloaded = list(media.PRELOADED)
    media.PRELOADED.append("tests.integration.executor.preloaded")
    yield
    media.PRELOADED[:] = preloaded
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


async def _bench(bus: Bus, pool: asyncpg.Pool, nats_url: str, database: str, folder: Path) -> AsyncIterator[Bench]:
    work = folder / "work"
    work.mkdir()
    environment = {
        "NATS_URL": nats_url,
        "DATABASE_URL": database,
        "CACHE_DIR": folder / "cache",
        "ARTDAG_SLOTS": 2,
        "ARTDAG_STEP_TIMEOUT": 60,
    }
    it = Bench(bus, pool, environment, work)

    async def hear(message: Any) -> None:
        it.told += [(e.type, e.version) for e in EventBatch.FromString(message.data).events]

    await bus.nc.subscribe(subjects.STEP_HINTS, cb=hear)
    try:
        yield it
        await it.tidy()
    finally:
        it.close()


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial step is known here, and nobody waits long for another attempt."""
    monkeypatch.setitem(STEP_TYPES, NAME, TRIAL)
    monkeypatch.setattr(handlers, "RETRY_DELAY", 0.02)
    monkeypatch.setattr(handlers, "BROKEN_DELAY", 0.02)
    soon = {kind: replace(policy, first_s=0.02, most_s=0.02) for kind, policy in failure.POLICIES.items()}
    monkeypatch.setattr(failure, "POLICIES", soon)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not acknowledged comes again soon."""
    monkeypatch.setattr(wiring, "ACK_WAIT", 0.5)


@pytest.fixture
async def bench(bus: Bus, pool: asyncpg.Pool, own_nats: Server, database: str, tmp_path: Path) -> AsyncIterator[Bench]:
    """An executor's surroundings."""
    async for it in _bench(bus, pool, own_nats.url, database, tmp_path):
        yield it
