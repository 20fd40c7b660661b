"""The planner on its bus: commands answered, ends followed by hint and by stream, and whatever gets lost on the way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest

from artdag_common.application import Application
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.commands import CancelRun, ExecuteRun, ExecuteSteps, RegisterRecipe, StartRun
from artdag_common.config import Settings
from artdag_common.domain.graph import Graph, Node, Variable
from artdag_common.domain.run import InputBinding, Run
from artdag_common.eventstore.port import Append
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus, Outcome
from artdag_common.messaging.client import QuickClient
from services.executor.wiring import executor
from services.planner import following, wiring
from services.planner.dispatcher import Dispatcher
from services.planner.engine import Engine
from services.planner.hands import AHEAD, LEAST, WINDOW, Hands
from services.planner.wiring import planner
from tests.integration.events.appends import PATIENCE, eventually, names, relaying
from tests.integration.events.servers import Server
from tests.integration.events.test_planner import BEATS, GRAPH

NEVER = 3600.0


class Place:
    """A bus, a database and a cache folder; the services are the test's to start."""

    def __init__(self, bus: Bus, pool: asyncpg.Pool, settings: Settings) -> None:
        self.bus = bus
        self.pool = pool
        self.settings = settings
        self.blobs = LocalBlobStore(settings.cache_dir)
        self.store = PostgresEventStore(pool)

    @asynccontextmanager
    async def services(self, *those: Callable[[Settings], AbstractAsyncContextManager[object]]) -> AsyncIterator[None]:
        """Run services in this process."""
        async with AsyncExitStack() as stack:
            for service in those:
                await stack.enter_async_context(service(self.settings))
            yield

    async def request(self, command: Any, command_id: str) -> Outcome:
        outcome = await self.bus.request(command, command_id, timeout=15)
        assert outcome, "no answer"
        return outcome

    async def register(self, graph: Graph = GRAPH) -> StartRun:
        """Register the recipe; return a command that starts a run of it."""
        recipe = await self.blobs.put(graph.canonical())
        source = await self.blobs.put(b"source")
        outcome = await self.request(
            RegisterRecipe(recipe.cid, recipe.cid, "g", "1", "", "o"), f"register/{recipe.cid}"
        )
        assert outcome.accepted, outcome.message
        return StartRun("run1", recipe.cid, "o", tuple(InputBinding(v.name, (source.cid,)) for v in graph.variables))

    async def run(self, run_id: str = "run1") -> Run | None:
        return await Application(self.store).find(Run, run_id)

    async def types(self, run_id: str = "run1") -> Counter[str]:
        return Counter(names(await self.store.load(f"run-{run_id}")))

    async def reaches(self, status: str, run_id: str = "run1") -> None:
        """Wait for a status of the run."""

        async def reached() -> bool:
            run = await self.run(run_id)
            return run is not None and run.status == status

        await eventually(reached, f"{run_id} is {status}")


@pytest.fixture
async def place(bus: Bus, pool: asyncpg.Pool, own_nats: Server, database: str, tmp_path: Path) -> AsyncIterator[Place]:
    """With a relay, without services."""
    settings = Settings.model_validate(
        {"NATS_URL": own_nats.url, "DATABASE_URL": database, "CACHE_DIR": tmp_path / "cache", "ARTDAG_SLOTS": 1}
    )
    async with relaying(database, bus):
        yield Place(bus, pool, settings)


async def wake_only(bus: Bus, appends: Sequence[Append]) -> None:
    """In place of :meth:`Bus.committed`: every hint is lost."""
    await bus.nc.publish(subjects.WAKE_RELAY, b"")


@pytest.fixture
def no_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """No reconciling now and then: what the test sees was done by what the test is about."""
    monkeypatch.setattr(following, "RECONCILE_EVERY", NEVER)


# --- commands -------------------------------------------------------------------------------------------------------


async def test_one_start_twice_is_one_run(place: Place, no_net: None) -> None:
    async with place.services(planner, executor):
        start = await place.register()
        outcomes = [await place.request(start, "start") for _ in range(2)]
        assert [o.accepted for o in outcomes] == [True, True]
        assert outcomes[0].values == outcomes[1].values
        await place.reaches("completed")
    assert (await place.types())["RunRequested"] == 1


async def test_what_cannot_be_run_is_refused_and_nothing_is_stored(place: Place) -> None:
    async with place.services(planner):
        start = await place.register()
        absent = (await place.blobs.put(b"absent")).cid
        (await place.blobs.path(absent)).unlink()
        tried = {
            "recipe-not-found": StartRun("a", absent, "o", start.inputs),
            "invalid-inputs": StartRun("b", start.recipe_cid, "o", (InputBinding("src", (absent,)),)),
        }
        for code, command in tried.items():
            assert (await place.request(command, command.run_id)).code == code
        for run_id, inputs in {
            "unknown": (*start.inputs, InputBinding("sorce", start.inputs[0].cids)),
            "missing": (),
            "many": (InputBinding("src", start.inputs[0].cids * 2),),
            "none": (InputBinding("src", ()),),
        }.items():
            outcome = await place.request(StartRun(run_id, start.recipe_cid, "o", inputs), run_id)
            assert outcome.code == "invalid-inputs", run_id
    assert not await place.pool.fetchval("SELECT count(*) FROM es_events WHERE stream LIKE 'run-%'")
    assert not await place.pool.fetchval("SELECT count(*) FROM planner_active")


async def test_a_run_of_cached_steps_is_completed_without_a_dispatch(place: Place, no_net: None) -> None:
    async with place.services(planner, executor):
        start = await place.register()
        await place.request(start, "start")
        await place.reaches("completed")
    async with place.services(planner):
        again = StartRun("run2", start.recipe_cid, "o", start.inputs)
        assert (await place.request(again, "again")).accepted
        await place.reaches("completed", "run2")
    assert "RunStepsScheduled" not in await place.types("run2")
    assert not (await place.bus.js.stream_info(subjects.WORK)).state.messages


async def test_a_held_run_waits_for_its_release_which_comes_once(place: Place, no_net: None) -> None:
    async with place.services(planner, executor):
        start = await place.register()
        held = StartRun("run1", start.recipe_cid, "o", start.inputs, hold=True)
        assert (await place.request(held, "start")).accepted
        await place.reaches("planned")
        assert "RunStepsScheduled" not in await place.types()
        assert (await place.request(ExecuteRun("run1"), "go")).accepted
        assert (await place.request(ExecuteRun("run1"), "go again")).code == "run-not-planned"
        await place.reaches("completed")
        assert (await place.request(CancelRun("run1"), "cancel")).code == "run-already-finished"


async def test_inputs_are_analysed_before_the_rest_is_planned(place: Place, no_net: None) -> None:
    """What is no music has no beats: the analysis fails, and the run with it, before there is a plan."""
    async with place.services(planner):
        await place.request(await place.register(BEATS), "start")
        await place.reaches("analyzing")
        types = await place.types()
        assert (types["RunStepsScheduled"], types["RunPlanned"]) == (1, 0)
    async with place.services(planner, executor):
        await place.reaches("failed")
    run = await place.run()
    assert run
    assert [run.steps[i].node for i, s in enumerate(run.states) if s == "failed"] == ["analysis"]


# --- what gets lost -------------------------------------------------------------------------------------------------


async def test_without_hints_the_stream_completes_the_run(
    place: Place, no_net: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bus, "committed", wake_only)
    async with place.services(planner, executor):
        await place.request(await place.register(), "start")
        await place.reaches("completed")


async def test_a_planner_killed_between_commit_and_dispatch(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had scheduled is sent by the one that comes after it."""

    async def lost(bus: Bus, work_class: str, work: ExecuteSteps) -> None:
        pass

    with monkeypatch.context() as dying:
        dying.setattr(following, "RECONCILE_EVERY", NEVER)
        dying.setattr(Bus, "dispatch", lost)
        async with place.services(planner):
            await place.request(await place.register(), "start")
            assert (await place.types())["RunStepsScheduled"] == 2
    async with place.services(planner, executor):
        await place.reaches("completed")
    assert (await place.types())["RunStepsScheduled"] == 3


async def test_a_dispatch_that_was_lost_is_repeated_by_the_planner_that_thinks_it_was_made(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is restarted, and nobody reconnects: the state of the run implies work that nobody has."""
    dispatch, lost = Bus.dispatch, asyncio.Event()

    async def lost_once(bus: Bus, work_class: str, work: ExecuteSteps) -> None:
        if lost.is_set():
            await dispatch(bus, work_class, work)
        lost.set()

    monkeypatch.setattr(Bus, "dispatch", lost_once)
    async with place.services(planner, executor):
        await place.request(await place.register(), "start")
        await place.reaches("completed")
    assert lost.is_set()
    assert (await place.types())["RunStepsScheduled"] == 3


def test_what_was_lost_is_found_within_five_seconds() -> None:
    """A run is looked at by whoever looks first after it was left alone for so long: twice that at most."""
    assert 2 * following.RECONCILE_EVERY < 5


async def test_a_run_with_a_limit_is_ended_by_the_clock_though_nothing_is_heard_of_it(
    place: Place, no_net: None
) -> None:
    """No executor is there to take its steps."""
    async with place.services(planner):
        start = await place.register()
        assert (await place.request(replace(start, wait_timeout_ms=1), "start")).accepted
        await place.reaches("failed")
        late = StartRun("run2", start.recipe_cid, "o", start.inputs, hold=True, deadline_us=1)
        assert (await place.request(late, "late")).accepted
        await place.reaches("failed", "run2")
    run = await place.run()
    assert run
    assert run.error == "no executor took the step within 0.001 s"


async def test_whoever_is_refused_for_want_of_room_is_told_so_and_let_in_when_there_is(place: Place) -> None:
    """With the same command: a refusal of the moment is not kept as the answer for ever."""
    place.settings = place.settings.model_copy(update={"max_user_runs": 1})
    async with place.services(planner):
        start = await place.register()
        assert (await place.request(replace(start, hold=True), "start")).accepted
        second = replace(start, run_id="run2", hold=True)
        assert (await place.request(second, "second")).code == "queue-full"
        assert (await place.request(replace(second, run_id="run3", owner="p"), "another's")).accepted
        assert (await place.request(second, "second")).code == "queue-full"
        assert (await place.request(CancelRun("run1"), "cancel")).accepted
        assert (await place.request(second, "second")).accepted
    assert (await place.types("run2"))["RunRequested"] == 1


@pytest.mark.parametrize("broken", ["take_kept", "waiting", "proceed", "reconcile"])
async def test_a_planner_survives_what_nobody_thought_of(
    place: Place, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """An error that is not one of ours, once: what was heard then is dealt with later, and so is all that follows."""
    works = getattr(Engine, broken)
    broke = 0

    async def breaks(engine: Engine, *arguments: Any, **more: Any) -> Any:
        nonlocal broke
        broke += 1
        if broke == 1:
            raise KeyError("nobody thought of it")
        return await works(engine, *arguments, **more)

    monkeypatch.setattr(following, "RECONCILE_EVERY", 0.2)
    async with place.services(planner, executor):
        start = await place.register()
        monkeypatch.setattr(Engine, broken, breaks)
        await place.request(start, "start")
        await place.reaches("completed")

        async def once_more() -> bool:
            return broke > 1

        if broken != "reconcile":
            await eventually(once_more, "it is called again")


async def test_a_bus_that_is_away_when_an_event_is_acknowledged_ends_nothing(
    place: Place, no_net: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, refused = QuickClient.send, asyncio.Event()

    async def away_once(client: QuickClient, messages: Iterable[bytes]) -> None:
        held = list(messages)
        if any(b"$JS.ACK.EVENTS.planner" in message for message in held) and not refused.is_set():
            refused.set()
            raise nats.errors.OutboundBufferLimitError
        await send(client, held)

    monkeypatch.setattr(QuickClient, "send", away_once)
    monkeypatch.setattr(Bus, "committed", wake_only)  # so that only the stream can complete a run
    async with place.services(planner, executor):
        await place.request(await place.register(), "start")
        async with asyncio.timeout(PATIENCE):
            await refused.wait()
        await place.reaches("completed")


async def test_a_planner_that_stopped_hears_nothing_more(place: Place) -> None:
    """Its hints are not gathered for ever by a process that goes on."""
    before = len(place.bus.nc._subs)
    engine: Any = None
    it = following.Following(place.bus, place.pool, engine)
    await it.start()
    assert len(place.bus.nc._subs) > before
    await it._pull.start()
    await it.stop()

    async def gone() -> bool:
        return len(place.bus.nc._subs) <= before

    await eventually(gone, "no subscription is left")


async def test_hands_of_all_executors_are_counted(place: Place) -> None:
    hands, counted, there = Hands(place.bus), asyncio.Event(), 2 * place.settings.slots
    assert hands.window("cpu", shared=False) == LEAST

    async def more() -> None:
        counted.set()

    async with place.services(executor, executor):
        await hands.start(more)
        async with asyncio.timeout(PATIENCE):
            while hands.window("cpu", shared=False) < there + ceil(AHEAD * there):  # one may be ready before
                await counted.wait()
                counted.clear()
        await hands.stop()
    assert hands.window("cpu", shared=False) == there + ceil(AHEAD * there)
    assert hands.window("cpu", shared=True) == there


# --- many -----------------------------------------------------------------------------------------------------------


async def test_a_thousand_steps_pass_through_the_window(
    place: Place, no_net: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two layers, each wider than the window."""
    most = 0

    class Watched(Dispatcher):
        async def _fill(self) -> None:
            nonlocal most
            await super()._fill()
            most = max(most, len(self.outstanding()))

    monkeypatch.setattr(wiring, "Dispatcher", Watched)
    layers = [[Node(f"{n}{i}", "NOOP", {"salt": f"{n}{i}"}, (s,)) for i in range(500)] for n, s in (("a", "src"),)]
    layers.append([Node(f"b{i}", "NOOP", {"salt": f"b{i}"}, (f"a{i}", f"a{(i * 7) % 500}")) for i in range(500)])
    nodes = (Node("src", "SOURCE", {"input": True}), *layers[0], *layers[1])
    graph = Graph("wide", "1", "", "o", nodes, (Variable("src", "src"),), "b0")
    async with place.services(planner, executor):
        await place.request(await place.register(graph), "start")
        await place.reaches("completed")
    assert most == WINDOW
    types = await place.types()
    assert types["RunStepsScheduled"] == types["RunStepsSatisfied"] == 1000
    rows = await place.pool.fetch("SELECT count(*) FROM es_events WHERE type = 'StepCompleted' GROUP BY stream")
    assert [row["count"] for row in rows] == [1] * 1000
