"""ExecuteSteps: fetch the inputs, run, check, store, complete. Each step's result is recorded once."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from uuid import uuid4
from weakref import WeakValueDictionary

import nats
import structlog
from nats.aio.msg import Msg
from pydantic import ValidationError

from artdag_common.application import Application
from artdag_common.blobs.layered import LayeredBlobStore
from artdag_common.blobs.port import Blob
from artdag_common.codec import decode_command
from artdag_common.commands import ExecuteStep, ExecuteSteps
from artdag_common.domain.aggregate import Aggregate
from artdag_common.domain.step import Step
from artdag_common.effects.named import have_effects
from artdag_common.errors import (
    ArtdagError,
    ContentNotFoundError,
    MalformedMessageError,
    MediaWorkerLostError,
    StepConfigError,
    StepError,
    StorageFullError,
)
from artdag_common.messaging.bus import Bus
from artdag_common.pb.events_pb2 import StoredEvent
from artdag_common.steps.registry import find_step_type
from artdag_common.tasks import end
from services.executor.division import JOIN, Division, divided
from services.executor.pool import MediaPool
from services.executor.worker import Broken, Finished, Long, Progress, WorkOrder

ATTEMPTS = 3
ANALYSIS_SHELF = "analysis"
ANALYSES = ("ANALYZE", "ANALYSIS")
RETRY_DELAY = 0.5
BROKEN_DELAY = 5.0

Tick = Callable[[Progress], Awaitable[None]]

log = structlog.get_logger(__name__)


class StepHandler:
    """Executes steps taken from the work queue."""

    def __init__(
        self,
        name: str,
        bus: Bus,
        app: Application,
        blobs: LayeredBlobStore,
        pool: MediaPool,
        division: Division,
        heartbeat: float,
    ) -> None:
        """``heartbeat``: seconds between signs of life to the work queue."""
        self._name = name
        self._bus = bus
        self._app = app
        self._blobs = blobs
        self._pool = pool
        self._division = division
        self._heartbeat = heartbeat
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._withdrawn: set[str] = set()
        self._rendering: set[str] = set()
        self._dealing: set[asyncio.Task[None]] = set()
        self._freed: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    async def stop(self, message: Msg) -> None:
        """Break a step off that nobody waits for any more."""
        cache_id = message.subject.rpartition(".")[2]
        task = self._running.get(cache_id)
        if task is None:
            return
        self._withdrawn.add(cache_id)
        if cache_id in self._rendering:  # at most once, and not while its end is being recorded
            self._rendering.discard(cache_id)
            task.cancel()

    async def take(self, message: Msg) -> None:
        """Deal with a message that holds one step; return when that is done, or when others do what is to be done."""
        freed = self._freed.setdefault(message.subject.rpartition(".")[2], asyncio.Event())
        dealing = asyncio.create_task(self.execute(message))
        self._dealing.add(dealing)
        dealing.add_done_callback(self._dealt_with)
        free = asyncio.create_task(freed.wait())
        await asyncio.wait((dealing, free), return_when=asyncio.FIRST_COMPLETED)
        await end(free)

    def _dealt_with(self, dealing: asyncio.Task[None]) -> None:
        self._dealing.discard(dealing)
        if not dealing.cancelled() and (error := dealing.exception()):
            log.error("message is left unanswered", exc_info=error)

    async def finish(self) -> None:
        """Wait until what was begun is through: ended, or handed back."""
        await asyncio.gather(*self._dealing, return_exceptions=True)

    async def execute(self, message: Msg) -> None:
        """Deal with one message; acknowledge it once the end of all its steps is committed."""
        try:
            await self._deal_with(message)
        except (nats.errors.Error, TimeoutError) as error:  # it comes again, and finds what was done
            log.info("message is left unanswered", error=repr(error))

    async def _deal_with(self, message: Msg) -> None:
        try:
            work = decode_command("ExecuteSteps", message.data)
        except MalformedMessageError as error:
            await self._bus.dead_letter("executor", "ExecuteSteps", message.data, error.message, {})
            await message.ack()
            return
        assert isinstance(work, ExecuteSteps)
        beat = asyncio.create_task(self._stay_alive(message))
        try:
            left = await self._pass_on_at_once(work.steps)
            results = await asyncio.gather(*(self._once(each) for each in left), return_exceptions=True)
            delays = [self._delay(command, result) for command, result in zip(left, results, strict=True)]
            if any(delays):
                await message.nak(delay=max(delays))
            elif False not in results:
                await message.ack()
        finally:
            beat.cancel()

    async def _once(self, command: ExecuteStep) -> bool:
        """Execute a step, or wait for it where it is being executed here already. True: it has ended."""
        task = self._running.get(command.cache_id)
        if task is None:
            task = asyncio.create_task(self._run(command))
            self._running[command.cache_id] = task
            task.add_done_callback(lambda _: self._forget(command.cache_id))
        return await asyncio.shield(task)

    def _forget(self, cache_id: str) -> None:
        self._running.pop(cache_id, None)
        self._withdrawn.discard(cache_id)

    def _delay(self, command: ExecuteStep, result: bool | BaseException) -> float:
        """Return after how many seconds a step is to be tried again; 0: not at all."""
        if isinstance(result, ArtdagError):
            log.warning("step is tried again later", step=command.label, error=result.code, reason=result.message)
            if isinstance(result, StorageFullError):
                return BROKEN_DELAY
            return float(result.values.get("retry_after", RETRY_DELAY))
        if isinstance(result, Exception):
            log.error("step broke", step=command.label, exc_info=result)
            return BROKEN_DELAY
        if isinstance(result, BaseException):
            raise result
        return 0.0

    async def _stay_alive(self, message: Msg) -> None:
        while True:
            await asyncio.sleep(self._heartbeat)
            with contextlib.suppress(nats.errors.Error):  # the bus may be back before the message is given to another
                await message.in_progress()

    async def _run(self, command: ExecuteStep) -> bool:
        """Execute a step. True: it has ended, by us or by another."""
        try:
            passed = await self._passed_on(command)
        except ArtdagError as error:
            if error.retryable:
                raise
            return await self._refuse(command, error)
        if passed:
            return await self._pass_on(command, passed)
        step = await self._attempt(command, lambda step: None)
        if step is None:
            return True
        began = time.monotonic()
        folder = self._blobs.temporary()
        try:
            if command.cache_id in self._withdrawn:
                raise asyncio.CancelledError
            self._rendering.add(command.cache_id)
            folder.mkdir()
            await self._render(command, step, folder, began)
        except asyncio.CancelledError:
            if command.cache_id not in self._withdrawn:
                raise
            step.cancel(self._app.clock())
        except MediaWorkerLostError as error:
            if step.tries < ATTEMPTS:
                raise
            step.fail(error.code, f"{error.message}, the last of {step.tries} attempts", self._app.clock())
        except ArtdagError as error:
            if error.retryable:
                raise
            step.fail(error.code, error.message, self._app.clock())
        except Exception as error:  # nobody thought of it: it may be chance, but not for ever
            if step.tries < ATTEMPTS:
                raise
            log.error("step breaks time and again", step=command.label, exc_info=error)
            step.fail(StepError("").code, f"{type(error).__name__}: {error}", self._app.clock())
        finally:
            self._rendering.discard(command.cache_id)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return await self._end(command, step)

    async def _passed_on(self, command: ExecuteStep) -> Blob | None:
        """Return the input that is the step's output as it is, or None where there is something to compute.

        Raises:
            StepError: that input is gone, or the configuration is not one that this version knows.
            UnknownStepTypeError: it does not even know the type.
            ServiceUnavailableError: the input, or an effect, lies where nobody answers now.
        """
        await have_effects(self._blobs, [command.config])
        kind = find_step_type(command.step_type)
        try:
            passes = kind.passes(kind.params.model_validate_json(command.config))
        except ValidationError as error:
            raise StepConfigError(f"{kind.name} does not take {command.config}: {error}") from error
        if passes is None:
            return None
        try:
            cid = command.inputs[passes]
            return Blob(cid, (await self._blobs.path(cid)).stat().st_size)
        except (ContentNotFoundError, FileNotFoundError, IndexError) as error:
            raise StepError(f"an input is gone: {error}") from error

    async def _pass_on_at_once(self, commands: Sequence[ExecuteStep]) -> list[ExecuteStep]:
        """Complete, in common commits, steps never tried whose output is one of their inputs; return the others."""
        left: list[ExecuteStep] = []
        passed: list[ExecuteStep] = []
        decided: list[tuple[Aggregate, str]] = []
        now = self._app.clock()
        attempt = uuid4().hex
        for command in commands:
            blob = None
            if command.version == 0:
                with contextlib.suppress(ArtdagError):  # refused by itself, below
                    blob = await self._passed_on(command)
            if blob is None:
                left.append(command)
                continue
            step = Step.begin(command.cache_id, self._name, command.step_type, command.what, now)
            step.complete(blob.cid, blob.size_bytes, "", 0, now)
            passed.append(command)
            decided.append((step, f"{self._name}/{command.cache_id}/{attempt}"))
        try:
            results = await self._app.append_all(decided)
        except Exception as error:  # one by one it shows whose it is
            log.info("steps are ended one by one", error=repr(error))
            return list(commands)
        return left + [c for c, result in zip(passed, results, strict=True) if result == "conflict"]

    async def _attempt(self, command: ExecuteStep, decide: Callable[[Step], None]) -> Step | None:
        """Begin an attempt; None: the step ended since it was asked for, and whoever waits is told again."""
        now = self._app.clock()
        # An id of this very attempt: with one that the next could have too, its append would pass for this one's.
        cause = f"{self._name}/{command.cache_id}/{uuid4().hex}"
        fresh = command.version == 0
        while True:
            step = None if fresh else await self._app.find(Step, command.cache_id)
            if step is None:
                step = Step.begin(command.cache_id, self._name, command.step_type, command.what, now)
            elif await self._is_over(step, command):
                await self._tell_again(command.cache_id)
                return None
            else:
                step.start(self._name, command.step_type, command.what, now)
            decide(step)
            if await self._app.append(step, cause) != "conflict":
                return step
            fresh = False

    async def _is_over(self, step: Step, command: ExecuteStep) -> bool:
        if step.status == "completed":
            return bool(await self._blobs.present([step.output_cid]))
        return step.status == "failed" and step.version > command.version  # an older failure is not the answer

    async def _pass_on(self, command: ExecuteStep, blob: Blob) -> bool:
        """Complete a step whose output is one of its inputs, in one append."""

        def complete(step: Step) -> None:
            step.complete(blob.cid, blob.size_bytes, "", 0, self._app.clock())

        await self._attempt(command, complete)
        return True

    async def _refuse(self, command: ExecuteStep, error: ArtdagError) -> bool:
        """Fail a step that cannot even begin, in one append."""

        def fail(step: Step) -> None:
            step.fail(error.code, error.message, self._app.clock())

        await self._attempt(command, fail)
        return True

    async def _render(self, command: ExecuteStep, step: Step, folder: Path, began: float) -> None:
        async with AsyncExitStack() as stack:
            paths = await self._held(stack, command.inputs)
            await self._render_from(paths, command, step, folder, began)

    async def _held(self, stack: AsyncExitStack, cids: Sequence[str]) -> list[Path]:
        """Return local files that stay until the stack is left.

        Raises:
            StepError: one is gone.
        """
        try:
            return await stack.enter_async_context(self._blobs.held(cids))
        except ContentNotFoundError as error:
            raise StepError(f"an input is gone: {error.message}") from error

    async def _render_from(
        self, paths: Sequence[Path], command: ExecuteStep, step: Step, folder: Path, began: float
    ) -> None:
        order = WorkOrder(
            command.step_type,
            command.config,
            tuple(map(str, paths)),
            str(folder),
            seed=int(command.cache_id[:16], 16),
            deliver=command.deliver,
            content=str(self._blobs.folder),
            divide=await self._division.pays(command),
        )

        async def tick(progress: Progress) -> None:
            await self._bus.tick(command.cache_id, progress.done, progress.total)

        result = await self._pool.run(order, tick)
        if isinstance(result, Long):
            result = await self._in_parts(command, order, result, tick)
        if isinstance(result, Broken):
            step.fail(result.error, result.reason, self._app.clock())
            return
        shelf = ANALYSIS_SHELF if command.step_type in ANALYSES else ""
        blob = await self._blobs.adopt(Path(result.path), shelf)
        elapsed = round((time.monotonic() - began) * 1000)
        step.complete(blob.cid, blob.size_bytes, result.media_type, elapsed, self._app.clock())

    async def _in_parts(self, command: ExecuteStep, order: WorkOrder, film: Long, tick: Tick) -> Finished | Broken:
        """Have the parts of a film made, and join them. Our hand is free meanwhile, for a part too."""
        if freed := self._freed.get(command.cache_id):
            freed.set()
        made = await self._division.make(divided(command, film), tick)
        if isinstance(made, Broken):
            return made
        async with AsyncExitStack() as stack:
            paths = await self._held(stack, made)
            inputs = (order.inputs[0], *map(str, paths))
            join = replace(order, step_type=JOIN, config="{}", inputs=inputs, divide=False)
            result = await self._pool.run(join, tick)
        assert not isinstance(result, Long)
        return result

    async def _end(self, command: ExecuteStep, step: Step) -> bool:
        """Record the end. False: somebody took the step over, thinking us dead; it is theirs."""
        result = await self._app.append(step, f"{self._name}/{command.cache_id}/{step.attempt}/end")
        if result == "conflict":
            log.warning("step was taken over meanwhile", step=command.label)
            return False
        return True

    async def _tell_again(self, cache_id: str) -> None:
        latest = (await self._app.store.latest([Step.stream(cache_id)]))[Step.stream(cache_id)]
        await self._bus.hint_again(
            [StoredEvent(stream=latest.stream, version=latest.version, type=latest.type, data=latest.data)]
        )
