"""Steps executed for real: once, whatever is delivered twice, dies, hangs, refuses or goes away meanwhile."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from artdag_common.application import Application, decode
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.blobs.port import Blob
from artdag_common.commands import ExecuteStep
from artdag_common.domain.failure import AWAY, BUSY, DEFECT, LOST, MEMORY, POLICIES, TIMEOUT
from artdag_common.domain.step import MOST_DEATHS, Step
from artdag_common.errors import ProviderBusyError, ServiceUnavailableError, StorageFullError
from artdag_common.eventstore import postgres
from artdag_common.messaging import subjects
from artdag_common.pb.commands_pb2 import StepTick
from services.executor import wiring
from tests.integration.events.appends import PATIENCE, eventually
from tests.integration.events.servers import Server
from tests.integration.executor.conftest import CACHE_ID, Bench

STARTED, COMPLETED, FAILED = "StepStarted", "StepCompleted", "StepFailed"
AGAIN, CANCELLED = "StepAttemptFailed", "StepCancelled"
ABSENT = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
OTHER = "cd" * 32


def tried(kind: str) -> list[str]:
    """The history of a step that fails, and fails in the same way each time that it is tried."""
    return [STARTED, AGAIN] * (POLICIES[kind].attempts - 1) + [STARTED, FAILED]


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


async def test_a_step_whose_executors_all_went_away_is_to_blame(bench: Bench) -> None:
    for _ in range(MOST_DEATHS):
        await started_elsewhere(bench)
    async with bench.executor():
        await bench.send(bench.trial("write"))
        step = await bench.reaches(*[STARTED] * (MOST_DEATHS + 1), FAILED)
    assert f"{MOST_DEATHS} executors in a row" in step.reason


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
        step = await bench.reaches(STARTED, AGAIN, STARTED, COMPLETED)
        await bench.empty()
    assert step.attempt == 2


async def test_a_step_that_kills_its_workers_fails(bench: Bench) -> None:
    """On one and the same executor, each attempt is a new one. What it did in another life does not count."""
    async with bench.executor():
        await bench.send(bench.trial("crash"))
        step = await bench.reaches(*tried(LOST))
        assert f"exit code -9 (the last of {POLICIES[LOST].attempts} attempts)" in step.reason
        await bench.empty()
        await bench.send(bench.trial("crash", version=step.version))
        await bench.reaches(*tried(LOST), *tried(LOST))
        await bench.empty()
    assert len(bench.attempts()) == 2 * POLICIES[LOST].attempts


async def test_a_step_that_cannot_succeed_fails_at_once(bench: Bench) -> None:
    async with bench.executor():
        await bench.send(bench.trial("refuse"))
        step = await bench.reaches(STARTED, FAILED)
        await bench.empty()
    assert step.reason == "the input is unreadable"


@pytest.mark.parametrize(
    ("what", "kind", "code", "reason"),
    [
        ("break", DEFECT, "step-broken", "KeyError: 'nobody thought of it'"),
        ("swell", MEMORY, "step-out-of-memory", "the step needed more memory than it may have"),
    ],
)
async def test_a_step_is_tried_as_often_as_its_kind_of_failure_says(
    bench: Bench, what: str, kind: str, code: str, reason: str
) -> None:
    async with bench.executor():
        await bench.send(bench.trial(what))
        step = await bench.reaches(*tried(kind))
        await bench.empty()
    assert step.reason == f"{reason} (the last of {POLICIES[kind].attempts} attempts)"
    failed = [decode(each) for each in await bench.store.load(f"step-{CACHE_ID}") if each.type in (AGAIN, FAILED)]
    assert {(each.error, each.kind) for each in failed} == {(code, kind)}  # type: ignore[attr-defined]


async def test_what_breaks_the_executor_itself_fails_in_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(path: Path, shelf: str = "", cid: str = "") -> None:
        raise OSError("input/output error")

    monkeypatch.setattr("artdag_common.blobs.local.LocalBlobStore.adopt", lambda self, *rest: broken(*rest))
    async with bench.executor():
        await bench.send(bench.trial("write"))
        step = await bench.reaches(*tried(DEFECT))
        await bench.empty()
    assert step.reason.startswith("OSError: input/output error (")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "no space left"), BUSY),
        (StorageFullError("the disk is full"), BUSY),
        (ServiceUnavailableError("S3 cannot be reached", retry_after=0.01), AWAY),
        (ProviderBusyError("S3 answered 503", retry_after=0.01), BUSY),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
async def test_where_an_output_cannot_be_stored_now_it_is_made_again_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str
) -> None:
    adopt, tries = LocalBlobStore.adopt, 0

    async def broken(store: LocalBlobStore, *rest: Any) -> Blob:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise error
        return await adopt(store, *rest)

    monkeypatch.setattr(LocalBlobStore, "adopt", broken)
    async with bench.executor():
        await bench.send(bench.trial("write"))
        await bench.reaches(STARTED, AGAIN, STARTED, COMPLETED)
        await bench.empty()
    failed = decode((await bench.store.load(f"step-{CACHE_ID}"))[1])
    assert isinstance(failed, Step.AttemptFailed)
    assert failed.kind == kind
    assert failed.retry_ms >= 1000 * getattr(error, "values", {}).get("retry_after", 0)


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
    async with bench.executor(ARTDAG_STEP_TIMEOUT=3):
        await bench.send(bench.trial("wait"))
        pids = await bench.begun(POLICIES[TIMEOUT].attempts)
        step = await bench.reaches(*tried(TIMEOUT))
        await bench.empty()
        assert step.reason.startswith("the step took longer than 3 s")
        assert not any(lives(pid) for pid in pids)


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
            own_postgres.kill(signal.SIGQUIT)  # as sudden for us; it waits for its children, which the next one needs
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
        step = await bench.reaches(STARTED, AGAIN, STARTED, COMPLETED)
        await bench.reaches(STARTED, COMPLETED, cache_id=OTHER)
        await bench.empty()
    assert step.attempt == 2


async def test_signs_of_life_outlast_a_bus_that_is_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missed one does not end them: the step is not given to another while it is rendered."""
    import nats

    monkeypatch.setattr(wiring, "ACK_WAIT", 3.0)
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
