"""Steps that nobody waits for any more: what was begun is gone with all its processes, what was not never begins."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from artdag_common.blobs.port import Blob
from artdag_common.commands import ExecuteStep
from artdag_common.domain import failure
from artdag_common.domain.plan import canonical_json
from services.executor.handlers import StepHandler
from services.executor.pool import MediaPool
from services.executor.worker import Progress, WorkOrder
from tests.integration.events.appends import PATIENCE, eventually
from tests.integration.executor.conftest import CACHE_ID, Bench
from tests.processes import below

STARTED, CANCELLED, COMPLETED = "StepStarted", "StepCancelled", "StepCompleted"
OTHER = "cd" * 32

ENDLESS = b"""# /// script
# requires-python = ">=3.10"
# [tool.artdag]
# name = "endless"
# version = "1"
# author = "t"
# description = "d"
# kind = "media"
# ///
import time

def process(inputs, output, params, ctx):
    print("it runs", flush=True)
    while True:
        ctx.progress(1, 0)
        time.sleep(0.01)
"""


def processes(mark: str) -> list[int]:
    """The processes whose command line holds ``mark``, and all that they started."""
    parents: dict[int, int] = {}
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if mark in (folder / "cmdline").read_text():
                found.add(int(folder.name))
        except OSError:
            continue
    while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= more
    return sorted(found)


async def unheard(progress: Progress) -> None:
    """Nobody listens."""


async def test_a_running_step_is_broken_off_with_all_that_it_started(bench: Bench) -> None:
    """The code of a stranger, in its own namespaces, too; what was written is gone."""
    source, effect = await bench.blobs.put(b"{}"), await bench.blobs.put(ENDLESS)
    config = canonical_json({"effect": effect.cid, "params": {}}).decode()
    mark = "artdag_common.isolation.runner"
    ours: set[int] = set()
    async with bench.executor():
        await bench.send(ExecuteStep(CACHE_ID, "EFFECT", config, "t.fx.effect", (source.cid,), deliver=True))

        async def begun() -> bool:
            ours.update(below(os.getpid()).intersection(processes(mark)))  # other tests run effects meanwhile
            return bool(ours)

        await eventually(begun, "the effect's process")
        await begun()  # and those that came with it
        await bench.bus.withdraw("cpu", CACHE_ID)
        await bench.reaches(STARTED, CANCELLED)

        async def ended() -> bool:
            return ours.isdisjoint(processes(mark))

        await eventually(ended, "all processes are gone")
        await bench.tidy()
        await bench.empty()
        (text,) = [r["text"] for r in await bench.pool.fetch("SELECT text FROM step_logs")]
        assert "broken off: nobody waits for it any more" in text


async def test_what_is_withdrawn_while_it_waits_never_begins(bench: Bench) -> None:
    async with bench.executor(ARTDAG_SLOTS=1):
        await bench.send(bench.trial("wait"))
        await bench.begun(1)
        await bench.send(bench.trial("write", OTHER))
        await bench.bus.withdraw("cpu", OTHER)
        bench.let_go()
        await bench.reaches(STARTED, COMPLETED)
        await bench.empty()
        await bench.send(bench.trial("write", "ef" * 32))  # the only hand is free for what comes next
        await bench.reaches(STARTED, COMPLETED, cache_id="ef" * 32)
    assert await bench.types(OTHER) == []


async def test_what_is_withdrawn_between_two_attempts_is_not_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = {kind: replace(policy, first_s=3600.0, most_s=3600.0) for kind, policy in failure.POLICIES.items()}
    monkeypatch.setattr(failure, "POLICIES", later)
    async with bench.executor():
        await bench.send(bench.trial("break"))
        await bench.reaches(STARTED, "StepAttemptFailed")
        await bench.bus.withdraw("cpu", CACHE_ID)
        await bench.empty()
    assert await bench.types() == [STARTED, "StepAttemptFailed"]


async def test_what_is_withdrawn_in_the_moment_when_it_is_taken_is_broken_off(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the message and the first event nothing shows that it is here."""
    begun, withdrawn = asyncio.Event(), asyncio.Event()
    passed_on, stop = StepHandler._passed_on, StepHandler.stop

    async def slow(handler: StepHandler, command: ExecuteStep) -> Blob | None:
        begun.set()
        await withdrawn.wait()
        return await passed_on(handler, command)

    async def told(handler: StepHandler, message: Msg) -> None:
        await stop(handler, message)
        withdrawn.set()

    monkeypatch.setattr(StepHandler, "_passed_on", slow)
    monkeypatch.setattr(StepHandler, "stop", told)
    async with bench.executor():
        await bench.send(bench.trial("wait"))
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
        await bench.bus.withdraw("cpu", CACHE_ID)
        await bench.reaches(STARTED, CANCELLED)
        await bench.empty()
    assert bench.attempts() == []


async def test_a_process_that_was_just_being_started_is_gone_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    starting, go_on = threading.Event(), threading.Event()
    start = ForkServerProcess.start
    started: list[ForkServerProcess] = []

    def slow(process: ForkServerProcess) -> None:
        starting.set()
        go_on.wait()
        start(process)
        started.append(process)

    monkeypatch.setattr(ForkServerProcess, "start", slow)
    step = bench.trial("wait")
    order = WorkOrder(step.step_type, step.config, (), str(bench.folder), seed=1, deliver=False)
    running = asyncio.create_task(MediaPool(1, 60).run(order, unheard))
    await asyncio.to_thread(starting.wait)
    running.cancel()
    await asyncio.sleep(0)  # it is told while the process is not there yet
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [process.exitcode for process in started] == [-signal.SIGKILL]
