"""The reconciler tells what it put back, and only that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from artdag_common.application import Application
from artdag_common.commands import ExecuteStep, ExecuteSteps
from artdag_common.domain.provenance import Infrastructure
from artdag_common.domain.step import Step
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.people import People
from services.planner import repairs as repairs_module
from services.planner.dispatcher import Dispatcher
from services.planner.engine import Engine
from services.planner.handlers import Commands
from services.planner.repairs import CONSUMER_MADE, END_TAKEN, RUN_BEGUN, STEP_SENT, Repairs
from tests.integration.events.appends import eventually
from tests.integration.events.test_planner import Planner, World

Noted = list[tuple[str, str, str]]


@pytest.fixture
async def repairs(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Repairs]:
    """Repairs that are written down at once; an end counts as late as soon as it is there."""
    monkeypatch.setattr(repairs_module, "LATE", timedelta(0))
    monkeypatch.setattr(repairs_module, "GATHER_SECONDS", 0.0)
    it = Repairs(world.pool, world.store, "here/1")
    await it.start()
    yield it
    await it.stop()


def planner_of(world: World, repairs: Repairs, bus: Bus | None = None) -> Planner:
    """A planner that notes its repairs; with a bus its steps go to the queue there."""
    sent: list[ExecuteStep] = []

    async def keep(_: str, work: ExecuteSteps) -> None:
        sent.extend(work.steps)

    async def withdraw(_: str, cache_id: str) -> None: ...

    def window(work_class: str, shared: bool) -> int:
        return 100

    app = Application(PostgresEventStore(world.pool))
    queue = Dispatcher(keep, window) if bus is None else Dispatcher(bus.dispatch, window, send_again=bus.dispatch_again)
    infrastructure = Infrastructure("s", "h", "host")
    people = People(world.pool)
    engine = Engine(app, world.pool, world.blobs, queue, infrastructure, "", people, withdraw, repairs=repairs)
    return Planner(app, engine, Commands(app, engine, world.blobs), sent, [])


async def noted(repairs: Repairs, pool: asyncpg.Pool) -> Noted:
    """Return the repairs that are written down, once all are: what was done to which run and step."""
    await eventually(lambda: _written(repairs), "repairs that are written down")
    rows = await pool.fetch("SELECT what, run_id, cache_id, planner FROM planner_repairs ORDER BY n")
    assert {row["planner"] for row in rows} <= {"here/1"}
    return [(row["what"], row["run_id"], row["cache_id"]) for row in rows]


async def _written(repairs: Repairs) -> bool:
    return not repairs._sent and not repairs._noted


async def test_an_end_that_no_message_brought_is_noted_once(world: World, repairs: Repairs) -> None:
    planner = planner_of(world, repairs)
    await world.begin(planner)
    await planner.engine.proceed("run1", "proceed")
    first = planner.sent[0]
    await world.execute(first)  # and its message is lost
    for turn in range(2):
        await planner.engine.reconcile("run1", f"reconcile/{turn}")
    assert await noted(repairs, world.pool) == [(END_TAKEN, "run1", first.cache_id)]


async def test_where_nothing_is_lost_nothing_is_noted(world: World, repairs: Repairs) -> None:
    planner = planner_of(world, repairs)
    await world.begin(planner)
    await planner.engine.proceed("run1", "proceed")
    done = 0
    while done < len(planner.sent):
        for command in planner.sent[done:]:
            done += 1
            await planner.engine.take_kept([await world.execute(command)], f"hint/{done}")
            await planner.engine.reconcile("run1", f"reconcile/{done}")
    assert (await world.types())["RunCompleted"] == 1
    assert await noted(repairs, world.pool) == []


async def test_what_messages_bring_that_have_come_already_is_not_lost(world: World, repairs: Repairs) -> None:
    planner = planner_of(world, repairs)
    await world.begin(planner)
    await planner.engine.proceed("run1", "proceed")
    await world.execute(planner.sent[0])
    repairs.busy = lambda: True
    await planner.engine.reconcile("run1", "reconcile")
    assert await noted(repairs, world.pool) == []


async def test_a_young_end_is_not_late(world: World, repairs: Repairs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairs_module, "LATE", timedelta(hours=1))
    planner = planner_of(world, repairs)
    await world.begin(planner)
    await planner.engine.reconcile("run1", "first")
    await world.execute(planner.sent[0])
    await planner.engine.reconcile("run1", "second")
    assert await noted(repairs, world.pool) == []


async def test_a_run_that_nobody_began_is_noted(
    world: World, repairs: Repairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = planner_of(world, repairs)

    async def killed(run_id: str, cause: str) -> None: ...

    monkeypatch.setattr(planner.engine, "proceed", killed)  # right after the command was accepted
    await world.begin(planner)
    await planner_of(world, repairs).engine.reconcile("run1", "reconcile")
    await planner_of(world, repairs).engine.reconcile("run1", "again")
    assert await noted(repairs, world.pool) == [(RUN_BEGUN, "run1", "")]


@pytest.fixture
def queued(world: World, repairs: Repairs, bus: Bus) -> Planner:
    """A planner with a work queue that nobody takes anything off."""
    bus.on_missing(repairs.sent_again)
    return planner_of(world, repairs, bus)


async def heard(bus: Bus) -> None:
    """Wait for the receipts of what was sent again."""

    async def all_heard() -> bool:
        await bus.nc.flush()
        return not bus._repeated

    await eventually(all_heard, "receipts")


async def test_a_step_that_the_queue_lost_is_noted_and_one_that_it_has_is_not(
    world: World, repairs: Repairs, bus: Bus, queued: Planner
) -> None:
    await world.begin(queued)
    await queued.engine.proceed("run1", "proceed")
    await queued.engine.reconcile("run1", "reconcile/1")
    await heard(bus)
    assert await noted(repairs, world.pool) == []
    info = await bus.js.stream_info(subjects.WORK, subjects_filter="work.>")
    assert info.state.messages == 1
    await bus.js.purge_stream(subjects.WORK)
    await queued.engine.reconcile("run1", "reconcile/2")
    await heard(bus)
    rows = await world.pool.fetch("SELECT cache_id FROM planner_waits ORDER BY 1")
    lost = sorted(await noted(repairs, world.pool))
    assert lost == [(STEP_SENT, "run1", row["cache_id"]) for row in rows]  # they travelled together
    assert (await bus.js.stream_info(subjects.WORK)).state.messages == 1
    counted = await world.pool.fetchval("SELECT count FROM planner_repaired WHERE what = $1", STEP_SENT)
    assert counted == len(rows) > 0


async def test_a_step_that_ended_in_the_very_moment_was_not_lost(
    world: World, repairs: Repairs, bus: Bus, queued: Planner, pool: asyncpg.Pool
) -> None:
    command = ExecuteStep("ab" * 32, "NOOP", "{}", "s", ())
    app = Application(world.store)
    step = Step.begin(command.cache_id, "x", "NOOP", "s", app.clock())
    step.complete("bafy", 1, "", 1, app.clock())
    await app.append(step, "x")  # and the executor took the message off the queue
    repairs.sent_again("cpu", ExecuteSteps((command,)))
    assert await noted(repairs, pool) == []
    failed_before = ExecuteStep("ab" * 32, "NOOP", "{}", "s", (), version=step.version)
    repairs.sent_again("cpu", ExecuteSteps((failed_before,)))  # that end is what it is asked for anew
    assert [what for what, _, _ in await noted(repairs, pool)] == [STEP_SENT]


async def test_repairs_are_kept_for_a_week_and_no_more_than_so_many(
    world: World, repairs: Repairs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await world.pool.execute(
        "INSERT INTO planner_repairs (at, planner, run_id, cache_id, what, detail)"
        " SELECT now() - interval '8 days', 'old', '', '', 'x', '' FROM generate_series(1, 3)"
    )
    await world.pool.execute(
        "INSERT INTO planner_repairs (at, planner, run_id, cache_id, what, detail)"
        " SELECT now(), 'here/1', '', '', 'y', '' FROM generate_series(1, $1)",
        repairs_module.KEPT_ROWS + 5,
    )
    repairs.note(CONSUMER_MADE, detail="EVENTS/planner")
    repairs.note(CONSUMER_MADE, detail="EVENTS/planner")
    kept = await noted(repairs, world.pool)
    assert len(kept) == repairs_module.KEPT_ROWS + 2
    assert [what for what, _, _ in kept[-2:]] == [CONSUMER_MADE] * 2
    assert await world.pool.fetchval("SELECT count FROM planner_repaired") == 2


async def test_while_postgres_is_away_repairs_wait(world: World, repairs: Repairs, tmp_path: Path) -> None:
    await world.pool.execute("ALTER TABLE planner_repairs RENAME TO elsewhere")
    repairs.note(CONSUMER_MADE, detail="EVENTS/planner")
    await repairs._write_safely()
    await world.pool.execute("ALTER TABLE elsewhere RENAME TO planner_repairs")

    async def written() -> bool:
        return bool(await world.pool.fetchval("SELECT count(*) FROM planner_repairs"))

    await eventually(written, "the repair")
