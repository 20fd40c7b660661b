"""Runs that were completed elsewhere, at the planner: noted whole, and never executed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from artdag_common.cid import cid_of
from artdag_common.commands import CancelRun, DeleteRun, ImportRun
from artdag_common.errors import (
    BrokenHistoryError,
    InvalidInputsError,
    InvalidRecipeError,
    QuotaExceededError,
    RunAlreadyFinishedError,
)
from services.planner.needs import Limits
from tests.integration.events.test_planner import GRAPH, Planner, World
from tests.unit.cli import test_run_file
from tests.unit.cli.test_run_file import GIVEN, MADE, Archive, make

HERE = "11111111-9a3b-5d6e-8c1f-2b3a4c5d6e7f"


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Archive:
    """A run of a recipe that is one."""
    monkeypatch.setattr(test_run_file, "RECIPE", GRAPH.canonical())
    return make(owner="somebody there")


async def store(world: World, archive: Archive, content: Mapping[str, bytes]) -> ImportRun:
    """Store manifest, events and content, and return what asks for the run."""
    for data in content.values():
        await world.blobs.put(data)
    manifest = await world.blobs.put(archive.manifest.write())
    events = await world.blobs.put(b"".join(each.line() for each in archive.events))
    return ImportRun(HERE, "ada", manifest.cid, events.cid)


@pytest.fixture
def planner(world: World) -> Planner:
    return world.planner()


async def test_it_is_noted_whole_and_nothing_is_sent(world: World, planner: Planner, archive: Archive) -> None:
    command = await store(world, archive, archive.content)
    for repeat in ("import", "import", "again"):
        outcome = await planner.commands.import_run(command, repeat)
        assert outcome.accepted
    types = Counter(each.type for each in await world.store.load(f"run-{HERE}"))
    assert types == {"RunRequested": 1, "RunStepsPlanned": 1, "RunPlanned": 1, "RunCompleted": 1}
    await planner.engine.proceed(HERE, "later")
    await world.planner().engine.reconcile(HERE, "later still")
    assert planner.sent == []
    assert not await world.pool.fetch("SELECT FROM es_events WHERE stream LIKE 'step-%'")
    assert not await world.pool.fetch("SELECT FROM planner_active")
    with pytest.raises(RunAlreadyFinishedError):
        await planner.commands.cancel_run(CancelRun(HERE, "", "ada"), "cancel")
    held = {row["cid"]: row["whose"] for row in await world.pool.fetch("SELECT cid, whose FROM content_holds")}
    assert held == dict.fromkeys((*archive.content, command.manifest_cid, command.events_cid), "ada")
    await planner.commands.delete_run(DeleteRun(HERE, "ada"), "delete")
    assert not await world.pool.fetch("SELECT FROM content_holds")


async def test_what_it_gave_is_no_hit_for_the_same_step(world: World, planner: Planner, archive: Archive) -> None:
    """Whoever asks: the planner finds outputs by steps' events, and it has none."""
    await planner.commands.import_run(await store(world, archive, archive.content), "import")
    latest = await world.store.latest([f"step-{test_run_file.CACHE_ID}"])
    assert latest == {}


@pytest.mark.parametrize("data", [GIVEN, MADE, b"hardware"])
async def test_content_that_is_not_here_is_named(world: World, planner: Planner, archive: Archive, data: bytes) -> None:
    left = {cid: each for cid, each in archive.content.items() if each != data}
    with pytest.raises(InvalidInputsError, match=f"not stored here: {cid_of(data)}; .*upload it.*rerun it there"):
        await planner.commands.import_run(await store(world, archive, left), "import")
    assert await world.store.load(f"run-{HERE}") == []


async def test_a_recipe_that_is_none_is_refused(world: World, planner: Planner) -> None:
    archive = make()
    with pytest.raises(InvalidRecipeError):
        await planner.commands.import_run(await store(world, archive, archive.content), "import")
    assert await world.store.load(f"run-{HERE}") == []


async def test_a_large_history_is_not_read(
    world: World, planner: Planner, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = await store(world, archive, archive.content)
    for name in ("EVENTS_BYTES", "MANIFEST_BYTES", "DOCUMENT_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(f"services.planner.importing.{name}", 10)
            with pytest.raises(BrokenHistoryError, match="at most 10 are read"):
                await planner.commands.import_run(command, f"import {name}")


async def test_an_output_beyond_the_quota_is_refused(world: World, planner: Planner, archive: Archive) -> None:
    command = await store(world, archive, archive.content)
    planner.engine._limits = Limits(quota_bytes=len(MADE) - 1, user_runs=1, runs=1)
    with pytest.raises(QuotaExceededError, match=f"has {len(MADE)} bytes, and you use 0 of {len(MADE) - 1}"):
        await planner.commands.import_run(command, "import")
    assert await world.store.load(f"run-{HERE}") == []
