"""Steps executed for real: once, whatever is delivered twice, dies, hangs, refuses or goes away meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from artdag_common.application import Application
from artdag_common.commands import ExecuteStep
from artdag_common.domain.step import Step
from artdag_common.eventstore import postgres
from artdag_common.messaging import subjects
from artdag_common.pb.commands_pb2 import StepTick
from services.executor import wiring
from services.executor.handlers import ATTEMPTS
from tests.integration.events.appends import PATIENCE, eventually
from tests.integration.events.servers import Server
from tests.integration.executor.conftest import CACHE_ID, Bench

STARTED, COMPLETED, FAILED = "StepStarted", "StepCompleted", "StepFailed"
ABSENT = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
OTHER = "cd" * 32


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- once -----------------------------------------------------------------------------------------------------------


async def test_a_clip_is_cut(bench: Bench, tmp_path: Path) -> None:
    """The real thing: a media step on real media, its output stored before the event that names it."""
    from artdag_cli.demo_media import make_cat
    from artdag_common.media.probe import probe

    make_cat(tmp_path / "cat.mp4", 20)
    source = await bench.blobs.put((tmp_path / "cat.mp4").read_bytes())
    async with bench.executor():
        await bench.send(ExecuteStep(CACHE_ID, "SEGMENT", '{"duration":0.3}', "t.cut.segment", (source.cid,)))
        step = await bench.reaches(STARTED, COMPLETED)
        await bench.empty()
    assert probe(await bench.blobs.path(step.output_cid), "output").frames == 9


async def test_two_deliveries_at_once_are_one_execution(bench: Bench) -> None:
    async with bench.executor():
        await bench.send(bench.trial("wait"), "cpu")
        await bench.send(bench.trial("wait"), "inline")
        await bench.begun(1)
        bench.let_go()
        await bench.empty()
    assert await bench.types() == [STARTED, COMPLETED]
    assert len(bench.attempts()) == 1


@pytest.mark.parametrize("what", ["write", "refuse"])
async def test_what_ended_is_told_again_and_not_executed(bench: Bench, what: str) -> None:
    """By the executor that ended it, whose acknowledgement got lost; and by one that comes after it."""
    end = COMPLETED if what == "write" else FAILED
    for _ in range(2):
        async with bench.executor():
            for _ in range(2):
                await bench.send(bench.trial(what))
                await bench.empty()
    assert await bench.types() == [STARTED, end]
    assert len(bench.attempts()) == 1

    async def told() -> bool:
        return bench.told == [(end, 2)] * 4

    await eventually(told, "told once, and three times again")


async def test_a_failure_that_the_run_knew_of_is_tried_again(bench: Bench) -> None:
    async with bench.executor():
        await bench.send(bench.trial("refuse"))
        await bench.reaches(STARTED, FAILED)
        await bench.empty()
        await bench.send(bench.trial("refuse", version=2))
        await bench.reaches(STARTED, FAILED, STARTED, FAILED)


async def test_an_output_that_is_gone_is_made_again(bench: Bench) -> None:
    async with bench.executor():
        await bench.send(bench.trial("write"))
        step = await bench.reaches(STARTED, COMPLETED)
        await bench.empty()
        (await bench.blobs.path(step.output_cid)).unlink()
        await bench.send(bench.trial("write"))
        await bench.reaches(STARTED, COMPLETED, STARTED, COMPLETED)
        await bench.empty()
    assert await bench.blobs.present([step.output_cid])


# --- attempts -------------------------------------------------------------------------------------------------------


async def started_elsewhere(bench: Bench) -> None:
    """Another executor begins an attempt."""
    app = Application(bench.store)
    step = await app.find(Step, CACHE_ID)
    if step is None:
        step = Step.begin(CACHE_ID, "elsewhere", "TRIAL", "t", app.clock())
    else:
        step.start("elsewhere", "TRIAL", "t", app.clock())
    assert await app.append(step, f"elsewhere/{step.attempt}") == "appended"


async def test_what_another_began_and_left_is_the_next_attempt(bench: Bench) -> None:
    await started_elsewhere(bench)
    async with bench.executor():
        await bench.send(bench.trial("write"))
        step = await bench.reaches(STARTED, STARTED, COMPLETED)
    assert step.attempt == 2


async def test_a_zombie_drops_its_result_and_leaves_the_message(bench: Bench, impatient: None) -> None:
    async with bench.executor():
        await bench.send(bench.trial("wait"))
        await bench.begun(1)
        await started_elsewhere(bench)
        bench.let_go()
        await bench.begun(2)  # not acknowledged, so it came again, since elsewhere nothing ended
        assert await bench.left() == 1
        assert await bench.types() == [STARTED, STARTED, STARTED]
        bench.let_go()
        step = await bench.reaches(STARTED, STARTED, STARTED, COMPLETED)
        await bench.empty()
    assert step.attempt == 3


async def test_a_killed_media_worker_costs_an_attempt(bench: Bench) -> None:
    async with bench.executor():
        await bench.send(bench.trial("wait"))
        (pid,) = await bench.begun(1)
        os.kill(pid, signal.SIGKILL)
        await bench.begun(2)
        bench.let_go()
        step = await bench.reaches(STARTED, STARTED, COMPLETED)
        await bench.empty()
    assert step.attempt == 2


async def test_a_step_that_kills_its_workers_fails(bench: Bench) -> None:
    """On one and the same executor, each attempt is a new one. What it did in another life does not count."""
    async with bench.executor():
        await bench.send(bench.trial("crash"))
        step = await bench.reaches(*[STARTED] * ATTEMPTS, FAILED)
        assert f"exit code -9, the last of {ATTEMPTS} attempts" in step.reason
        await bench.empty()
        await bench.send(bench.trial("crash", version=step.version))
        await bench.reaches(*([*[STARTED] * ATTEMPTS, FAILED] * 2))
        await bench.empty()
    assert len(bench.attempts()) == 2 * ATTEMPTS


@pytest.mark.parametrize(
    ("what", "reason"), [("refuse", "the input is unreadable"), ("break", "KeyError: 'nobody thought of it'")]
)
async def test_a_step_that_cannot_succeed_fails_at_once(bench: Bench, what: str, reason: str) -> None:
    async with bench.executor():
        await bench.send(bench.trial(what))
        step = await bench.reaches(STARTED, FAILED)
        await bench.empty()
    assert step.reason == reason


async def test_what_breaks_the_executor_itself_fails_in_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(path: Path, shelf: str = "") -> None:
        raise OSError("input/output error")

    monkeypatch.setattr("artdag_common.blobs.local.LocalBlobStore.adopt", lambda self, *rest: broken(*rest))
    async with bench.executor():
        await bench.send(bench.trial("write"))
        step = await bench.reaches(*[STARTED] * ATTEMPTS, FAILED)
        await bench.empty()
    assert step.reason == "OSError: input/output error"


@pytest.mark.parametrize(
    ("work_class", "step_type", "config", "reason"),
    [
        ("inline", "NOOP", "{}", f"an input is gone: no content {ABSENT} is stored here"),
        ("cpu", "SEGMENT", "{}", f"an input is gone: no content {ABSENT} is stored here"),
        ("cpu", "SEGMENT", '{"offset":-1}', "SEGMENT does not take"),
        ("cpu", "SEGMNT", "{}", "unknown step type 'SEGMNT'; did you mean SEGMENT?"),
    ],
)
async def test_what_can_never_begin_fails_instead_of_coming_again(
    bench: Bench, work_class: str, step_type: str, config: str, reason: str
) -> None:
    async with bench.executor():
        await bench.send(ExecuteStep(CACHE_ID, step_type, config, "t", (ABSENT,)), work_class)
        step = await bench.reaches(STARTED, FAILED)
        await bench.empty()
    assert step.reason.startswith(reason)


async def test_a_step_that_takes_too_long_is_stopped(bench: Bench) -> None:
    async with bench.executor(ARTDAG_STEP_TIMEOUT=1):
        await bench.send(bench.trial("wait"))
        (pid,) = await bench.begun(1)
        step = await bench.reaches(STARTED, FAILED)
        await bench.empty()
        assert step.reason == "the step took longer than 1 s"
        assert not lives(pid)


async def test_progress_is_told(bench: Bench) -> None:
    ticks: list[tuple[int, int]] = []

    async def hear(message: Msg) -> None:
        tick = StepTick.FromString(message.data)
        ticks.append((tick.done, tick.total))

    await bench.bus.nc.subscribe(subjects.tick(CACHE_ID), cb=hear)
    async with bench.executor():
        await bench.send(bench.trial("tick"))
        await bench.reaches(STARTED, COMPLETED)
        await bench.empty()
        await bench.bus.nc.flush()
    assert ticks == [(1, 3), (2, 3), (3, 3)]


# --- the surroundings -----------------------------------------------------------------------------------------------


async def test_a_message_that_nobody_can_read_goes_to_the_dead_letters(bench: Bench) -> None:
    async with bench.executor():
        await bench.bus.js.publish(subjects.work("cpu", CACHE_ID), b"\xff\xff")

        async def kept() -> bool:
            return (await bench.bus.js.stream_info(subjects.DEAD_LETTERS)).state.messages == 1

        await eventually(kept, "a dead letter")
        await bench.empty()
        await bench.send(bench.trial("write"))
        await bench.reaches(STARTED, COMPLETED)


async def test_a_step_that_ends_while_postgres_is_away_is_recorded_once(
    bench: Bench, own_postgres: Server, mortal_database: str
) -> None:
    pool = await postgres.connect(mortal_database)
    try:
        bench.store = postgres.PostgresEventStore(pool)
        async with bench.executor(DATABASE_URL=mortal_database):
            await bench.send(bench.trial("wait"))
            await bench.begun(1)
            restarts = own_postgres.child.restarts
            own_postgres.kill()
            bench.let_go()
            await own_postgres.back(restarts + 1)
            await bench.reaches(STARTED, COMPLETED)
            await bench.empty()
    finally:
        pool.terminate()
    assert len(bench.attempts()) == 1


async def test_an_executor_that_stops_hands_back_what_it_has(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, long before anybody would take it for dead; what there was no room for was never taken."""
    monkeypatch.setattr(wiring, "ACK_WAIT", 600.0)
    async with bench.executor(ARTDAG_SLOTS=1):
        await bench.send(bench.trial("wait"))
        (pid,) = await bench.begun(1)
        await bench.send(replace(bench.trial("wait"), cache_id=OTHER))
    assert not lives(pid)
    assert len(bench.attempts()) == 1
    assert await bench.types(OTHER) == []
    async with bench.executor():
        await bench.begun(3)
        bench.let_go()
        bench.let_go()
        await bench.reaches(STARTED, STARTED, COMPLETED)
        await bench.reaches(STARTED, COMPLETED, cache_id=OTHER)
        await bench.empty()


async def test_signs_of_life_outlast_a_bus_that_is_away(
    bench: Bench, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missed one does not end them: the step is not given to another while it is rendered."""
    import nats

    alive, signs, enough = Msg.in_progress, 0, asyncio.Event()

    async def away_once(message: Msg) -> None:
        nonlocal signs
        signs += 1
        if signs == 1:
            raise nats.errors.OutboundBufferLimitError
        await alive(message)
        if signs == 6:  # the message would have come again by now
            enough.set()

    monkeypatch.setattr(Msg, "in_progress", away_once)
    async with bench.executor():
        await bench.send(bench.trial("wait"))
        await bench.begun(1)
        async with asyncio.timeout(PATIENCE):
            await enough.wait()
        info = await bench.bus.js.consumer_info(subjects.WORK, "executor-cpu")
        assert info.num_redelivered == 0
        bench.let_go()
        await bench.reaches(STARTED, COMPLETED)
        await bench.empty()
