"""ExecuteSteps: fetch the inputs, run, check, store, complete. Each step's result is recorded once."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4
from weakref import WeakValueDictionary

import nats
import structlog
from nats.aio.msg import Msg
from pydantic import ValidationError

from artdag_common import metrics, tracing
from artdag_common.application import Application
from artdag_common.blobs.layered import LayeredBlobStore
from artdag_common.blobs.port import Blob
from artdag_common.codec import decode_command
from artdag_common.commands import ExecuteStep, ExecuteSteps
from artdag_common.domain.aggregate import Aggregate
from artdag_common.domain.failure import HANDED_BACK, POLICIES, kind_of
from artdag_common.domain.step import Step
from artdag_common.effects.named import have_effects
from artdag_common.errors import (
    ArtdagError,
    ContentNotFoundError,
    ExecutorStoppingError,
    MalformedMessageError,
    MediaWorkerLostError,
    StepConfigError,
    StepError,
)
from artdag_common.eventstore.port import Call
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.dead_letters import history
from artdag_common.messaging.signs_of_life import kept_alive
from artdag_common.pb.commands_pb2 import StepLogText
from artdag_common.pb.events_pb2 import StoredEvent
from artdag_common.steps.registry import find_step_type
from artdag_common.tasks import end
from artdag_common.turning import Turns
from services.executor.counting import (
    FAILED,
    PASSED_ON,
    TAKEN_OVER,
    count_attempt,
    count_end,
    count_failure,
    count_wait,
    end_of,
)
from services.executor.division import JOIN, Division, divided
from services.executor.failing import Broken, broken_by
from services.executor.pool import MediaPool
from services.executor.presence import Presence
from services.executor.step_log import LIVE_CHARACTERS, StepLog, input_names
from services.executor.worker import Finished, Long, Progress, WorkOrder

ANALYSIS_SHELF = "analysis"
ANALYSES = ("ANALYZE", "ANALYSIS")
RETRY_DELAY = 0.5
BROKEN_DELAY = 5.0
"""Seconds after which a message comes again whose attempt could not even be recorded."""

LIVE_SECONDS = 0.1
"""Between two messages to those who watch a step's log."""

Tick = Callable[[Progress], Awaitable[None]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Again:
    """An attempt gave nothing; another follows, after so many seconds."""

    delay: float


Result = bool | Again
"""What came of a step. True: it has ended, by us or by another; False: it was taken over, and is not ours to end."""


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
        presence: Presence,
    ) -> None:
        """``heartbeat``: seconds between signs of life to the work queue."""
        self._name = name
        self._bus = bus
        self._app = app
        self._blobs = blobs
        self._pool = pool
        self._division = division
        self._heartbeat = heartbeat
        self._presence = presence
        self._closing = False
        self._taken: Counter[str] = Counter()  # names of messages, which are cache ids where a step travels alone
        self._running: dict[str, asyncio.Task[Result]] = {}
        self._withdrawn: set[str] = set()
        self._logs: dict[str, StepLog] = {}
        self._rendering: set[str] = set()
        self._dealing: set[asyncio.Task[None]] = set()
        self._freed: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._turns = Turns()
        metrics.STEPS_RUNNING.of().set_function(lambda: float(len(self._running)))
        metrics.STEPS_OLDEST.of().set_function(lambda: self._turns.oldest_seconds)
        for kind in POLICIES:
            metrics.FAILURES.of(kind)

    async def stop(self, message: Msg) -> None:
        """Break a step off that nobody waits for any more."""
        cache_id = _name_of(message)
        task = self._running.get(cache_id)
        if task is None and not self._taken[cache_id]:
            return
        self._withdrawn.add(cache_id)
        if task and cache_id in self._rendering:  # at most once, and not while its end is being recorded
            self._rendering.discard(cache_id)
            task.cancel()

    async def take(self, message: Msg) -> None:
        """Deal with a message that holds one step; return when that is done, or when others do what is to be done."""
        freed = self._freed.setdefault(_name_of(message), asyncio.Event())
        dealing = asyncio.create_task(self.execute(message))
        self._hold(_name_of(message), dealing)
        self._dealing.add(dealing)
        dealing.add_done_callback(self._dealt_with)
        free = asyncio.create_task(freed.wait())
        await asyncio.wait((dealing, free), return_when=asyncio.FIRST_COMPLETED)
        await end(free)

    def _hold(self, name: str, dealing: asyncio.Task[None]) -> None:
        """Note, before anything else happens, that a message is here: from now on it can be withdrawn."""
        self._taken[name] += 1

        def done(_: object) -> None:
            self._taken[name] -= 1
            if self._taken[name] <= 0:
                del self._taken[name]
                self._withdrawn.discard(name)

        dealing.add_done_callback(done)

    def _dealt_with(self, dealing: asyncio.Task[None]) -> None:
        self._dealing.discard(dealing)
        if not dealing.cancelled() and (error := dealing.exception()):
            log.error("message is left unanswered", exc_info=error)

    def close(self) -> None:
        """Begin nothing more: what still comes goes back to the queue, at once."""
        self._closing = True

    async def answer_for_log(self, message: Msg) -> None:
        """Tell what a step has said so far, if it is being executed here."""
        if log := self._logs.get(_name_of(message)):
            said = StepLogText(cache_id=log.cache_id, attempt=log.attempt, offset=log.said, text=log.text)
            with contextlib.suppress(nats.errors.Error):
                await message.respond(said.SerializeToString())

    async def finish(self) -> None:
        """Wait until what was begun is through: ended, or handed back."""
        await asyncio.gather(*self._dealing, return_exceptions=True)

    async def execute(self, message: Msg) -> None:
        """Deal with one message; acknowledge it once the end of all its steps is committed."""
        try:
            if self._closing:
                await message.nak()
                return
            with self._presence.holding(message):
                await self._deal_with(message)
        except (nats.errors.Error, TimeoutError) as error:  # it comes again, and finds what was done
            log.info("message is left unanswered", error=repr(error))

    async def _deal_with(self, message: Msg) -> None:
        try:
            work = decode_command("ExecuteSteps", message.data)
        except MalformedMessageError as error:
            # The planner sends it again as long as a run waits for it: it is listed once.
            told = history(message) | {"Nats-Msg-Id": f"work/{hashlib.sha256(message.data).hexdigest()}"}
            await self._bus.dead_letter("executor", "ExecuteSteps", message.data, error.message, told)
            await message.ack()
            return
        assert isinstance(work, ExecuteSteps)
        work_class = message.subject.split(".")[1]
        count_wait(message, work_class)
        with kept_alive(message, self._heartbeat):
            left = await self._pass_on_at_once(work.steps)
            results = await asyncio.gather(*(self._once(each, work_class) for each in left), return_exceptions=True)
            delays = [self._delay(command, result) for command, result in zip(left, results, strict=True)]
            again = [delay for delay in delays if delay is not None]
            if again:
                await message.nak(delay=max(again))
            elif False not in results:
                await message.ack()

    async def _once(self, command: ExecuteStep, work_class: str) -> Result:
        """Execute a step, or wait for it where it is being executed here already."""
        task = self._running.get(command.cache_id)
        if task is None:
            task = asyncio.create_task(self._run(command, work_class))
            self._running[command.cache_id] = task
            task.add_done_callback(lambda _: self._running.pop(command.cache_id, None))
        return await asyncio.shield(task)

    def _delay(self, command: ExecuteStep, result: Result | BaseException) -> float | None:
        """Return after how many seconds a step's message is to come again; None: not at all."""
        if isinstance(result, Again):
            return result.delay
        if isinstance(result, ArtdagError):  # what happened to it could not be recorded
            log.warning("step is tried again later", step=command.label, error=result.code, reason=result.message)
            return float(result.values.get("retry_after", RETRY_DELAY))
        if isinstance(result, Exception):
            log.error("step broke", step=command.label, exc_info=result)
            return BROKEN_DELAY
        if isinstance(result, BaseException):
            raise result
        return None

    async def _run(self, command: ExecuteStep, work_class: str) -> Result:
        """Execute a step."""
        with (
            self._turns.turn(),
            tracing.span(
                f"step {command.step_type}",
                {"step_type": command.step_type, "work_class": work_class},
                kind="consumer",
                above=command.traceparent,
                cache_id=command.cache_id,
            ) as span,
        ):
            result = await self._execute(command, work_class, span)
            if isinstance(result, Again):
                span.set(again_after_seconds=result.delay)
            return result

    async def _execute(self, command: ExecuteStep, work_class: str, span: tracing.Span) -> Result:
        try:
            passed = await self._passed_on(command)
        except Exception as error:
            span.fail(broken_by(error).error)
            return await self._refuse(command, error)
        if passed:
            return await self._pass_on(command, passed)
        step = await self._attempt(command, lambda step: None)
        if step is None:
            return True
        span.set(attempt=step.attempt)
        began, ending = time.monotonic(), ""
        delay: float | None = None
        broken: Broken | None = None
        folder = self._blobs.temporary()
        with self._logged(command, step) as said:
            try:
                if command.cache_id in self._withdrawn:
                    raise asyncio.CancelledError
                self._rendering.add(command.cache_id)
                folder.mkdir()
                if broken := await self._render(command, step, folder, said, work_class):
                    span.fail(broken.error)
                    delay = self._fail(step, broken, said)
            except ExecutorStoppingError as error:
                span.fail(error.code)
                said.say("given up: this executor is told to stop")
                step.hand_back(self._app.clock())
                delay, ending = 0.0, HANDED_BACK
            except asyncio.CancelledError:
                if command.cache_id not in self._withdrawn:
                    raise
                span.fail("cancelled")
                step.cancel(self._app.clock())
                said.say("broken off: nobody waits for it any more")
            except Exception as error:
                broken = broken_by(error)
                span.fail(broken.error)
                delay = self._fail(step, broken, said)
            finally:
                self._rendering.discard(command.cache_id)
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            if not await self._end(command, step, said):
                count_attempt(command.step_type, TAKEN_OVER, began)
                return False
            count_attempt(command.step_type, ending or end_of(step), began)
            if broken:
                count_failure(kind_of(broken.error))
        return True if delay is None else Again(delay)

    @contextlib.contextmanager
    def _logged(self, command: ExecuteStep, step: Step) -> Iterator[StepLog]:
        """Keep a log of an attempt in the block, and tell it to whoever watches."""
        cache_id, attempt = command.cache_id, step.attempt
        waiting: list[str] = []
        loop = asyncio.get_running_loop()
        due: asyncio.TimerHandle | None = None
        telling: set[asyncio.Task[None]] = set()

        def tell(ended: bool = False) -> None:
            nonlocal due
            due = None
            text = "".join(waiting)[-LIVE_CHARACTERS:]
            waiting.clear()
            task = asyncio.create_task(self._bus.say(cache_id, attempt, said.said - len(text), text, ended))
            telling.add(task)
            task.add_done_callback(telling.discard)

        def add(offset: int, line: str) -> None:
            nonlocal due
            waiting.append(line)
            if due is None:
                due = loop.call_later(LIVE_SECONDS, tell)

        said = StepLog(cache_id, attempt, self._name, self._app.clock(), told=add)
        said.say(f"{command.step_type}, attempt {attempt}, on {self._name}")
        self._logs[cache_id] = said
        try:
            yield said
        finally:
            if self._logs.get(cache_id) is said:
                del self._logs[cache_id]
            if due:
                due.cancel()
            tell(ended=True)

    def _fail(self, step: Step, broken: Broken, said: StepLog) -> float | None:
        """Decide what a failed attempt leads to; return after how many seconds another follows, or None."""
        now = self._app.clock()
        said.say(f"failed: {broken.reason} ({broken.error}, kind {kind_of(broken.error)})")
        if broken.trace:
            said.say(broken.trace)
            log.error("attempt at a step broke", attempt=step.attempt, trace=broken.trace)
        if broken.final:
            step.fail(broken.error, broken.reason, now)
            return None
        delay = step.fail_attempt(broken.error, broken.reason, now, broken.retry_after)
        said.say("no further attempt" if delay is None else f"another attempt follows after {delay:.1f} s")
        return delay

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
                with contextlib.suppress(ArtdagError), tracing.about(cache_id=command.cache_id) as about:
                    about.join(command.traceparent)
                    blob = await self._passed_on(command)  # what is refused is refused by itself, below
            if blob is None:
                left.append(command)
                continue
            step = Step.begin(command.cache_id, self._name, command.step_type, command.what, now)
            step.complete(blob.cid, blob.size_bytes, "", 0, now)
            passed.append(command)
            decided.append((step, f"{self._name}/{command.cache_id}/{attempt}"))
        if not passed:
            return left
        first, *others = dict.fromkeys(command.traceparent for command in passed)
        try:
            with tracing.span("pass on", {"steps": len(passed)}, kind="consumer", above=first, links=others):
                results = await self._app.append_all(decided)
        except Exception as error:  # one by one it shows whose it is
            log.info("steps are ended one by one", error=repr(error))
            return list(commands)
        for command, result in zip(passed, results, strict=True):
            if result == "conflict":
                left.append(command)
            else:
                count_end(command.step_type, PASSED_ON)
        return left

    async def _attempt(self, command: ExecuteStep, decide: Callable[[Step], Call | None]) -> Step | None:
        """Begin an attempt; None: the step ended since it was asked for, and whoever waits is told again.

        Args:
            decide: may end it at once; returns what is written with that.
        """
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
                deadly = step.deadly
                step.start(self._name, command.step_type, command.what, now)
                if deadly:
                    lost = MediaWorkerLostError(
                        f"{step.tries - 1} executors in a row went away while they worked on it"
                    )
                    step.fail(lost.code, lost.message, now)
                    if await self._app.append(step, cause) == "conflict":
                        continue
                    count_failure(kind_of(lost.code))
                    count_end(command.step_type, FAILED)
                    return None
            also = decide(step)
            if await self._app.append(step, cause, also=also) != "conflict":
                return step
            fresh = False

    async def _is_over(self, step: Step, command: ExecuteStep) -> bool:
        if step.status == "completed":
            wanted = not command.forced or step.version > command.version
            return wanted and bool(await self._blobs.present([step.output_cid]))
        return step.status == "failed" and step.version > command.version  # an older failure is not the answer

    async def _pass_on(self, command: ExecuteStep, blob: Blob) -> bool:
        """Complete a step whose output is one of its inputs, in one append."""

        def complete(step: Step) -> None:
            step.complete(blob.cid, blob.size_bytes, "", 0, self._app.clock())

        if await self._attempt(command, complete):
            count_end(command.step_type, PASSED_ON)
        return True

    async def _refuse(self, command: ExecuteStep, error: Exception) -> Result:
        """Fail an attempt that cannot even begin, in one append."""
        broken = broken_by(error)
        delay: float | None = None

        def fail(step: Step) -> Call:
            nonlocal delay
            said = StepLog(command.cache_id, step.attempt, self._name, self._app.clock())
            said.say(f"{command.step_type}, attempt {step.attempt}, on {self._name}")
            delay = self._fail(step, broken, said)
            return said.kept()

        step = await self._attempt(command, fail)
        if step:
            count_end(command.step_type, end_of(step))
            count_failure(kind_of(broken.error))
        return True if step is None or delay is None else Again(delay)

    async def _render(
        self, command: ExecuteStep, step: Step, folder: Path, said: StepLog, work_class: str
    ) -> Broken | None:
        """Do what the step is for. Broken: it gave nothing, and its end is still to be decided."""
        async with AsyncExitStack() as stack:
            with tracing.span("inputs", {"inputs": len(command.inputs)}) as span:
                paths = await self._held(stack, command.inputs)
                if tracing.recording():
                    span.set(bytes=sum(path.stat().st_size for path in dict.fromkeys(paths)))
            said.name(input_names(paths, command.inputs, folder))
            for path, cid in zip(paths, command.inputs, strict=True):
                said.say(f"input {cid}, {path.stat().st_size} bytes")
            return await self._render_from(paths, command, step, folder, said, work_class)

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
        self, paths: Sequence[Path], command: ExecuteStep, step: Step, folder: Path, said: StepLog, work_class: str
    ) -> Broken | None:
        began = time.monotonic()
        order = WorkOrder(
            command.step_type,
            command.config,
            tuple(map(str, paths)),
            str(folder),
            seed=int(command.cache_id[:16], 16),
            deliver=command.deliver,
            content=str(self._blobs.folder),
            divide=await self._division.pays(command, work_class),
        )

        async def tick(progress: Progress) -> None:
            said.progress(progress.done, progress.total)
            await self._bus.tick(command.cache_id, progress.done, progress.total)

        with tracing.span("render", {"step_type": command.step_type}) as span:
            result = await self._pool.run(order, tick, said.hear)
            if isinstance(result, Broken):
                span.fail(result.error)
        if isinstance(result, Long):
            said.say(f"{result.frames} frames, made in parts by all executors that have a hand free")
            result = await self._in_parts(command, order, result, tick, said, work_class)
        if isinstance(result, Broken):
            return result
        shelf = ANALYSIS_SHELF if command.step_type in ANALYSES else ""
        with tracing.span("store") as span:
            blob = await self._blobs.adopt(Path(result.path), shelf)
            span.set(bytes=blob.size_bytes)
        elapsed = round((time.monotonic() - began) * 1000)
        step.complete(blob.cid, blob.size_bytes, result.media_type, elapsed, self._app.clock())
        said.say(f"completed: {blob.cid}, {blob.size_bytes} bytes of {result.media_type or 'data'}, {elapsed} ms")
        return None

    async def _in_parts(
        self, command: ExecuteStep, order: WorkOrder, film: Long, tick: Tick, said: StepLog, work_class: str
    ) -> Finished | Broken:
        """Have the parts of a film made, and join them. Our hand is free meanwhile, for a part too."""
        if freed := self._freed.get(command.cache_id):
            freed.set()
        parts = divided(command, film)
        with tracing.span("parts", {"parts": len(parts), "frames": film.frames}) as span:
            made = await self._division.make(parts, tick, work_class)
            if isinstance(made, Broken):
                span.fail(made.error)
                return made
        async with AsyncExitStack() as stack:
            paths = await self._held(stack, made)
            inputs = (order.inputs[0], *map(str, paths))
            join = replace(order, step_type=JOIN, config="{}", inputs=inputs, divide=False)
            with tracing.span("render", {"step_type": JOIN}):
                result = await self._pool.run(join, tick, said.hear)
        assert not isinstance(result, Long)
        return result

    async def _end(self, command: ExecuteStep, step: Step, said: StepLog) -> bool:
        """Record the end, and what the attempt said. False: somebody took the step over, thinking us dead."""
        cause = f"{self._name}/{command.cache_id}/{step.attempt}/end"
        result = await self._app.append(step, cause, also=said.kept())
        if result == "conflict":
            log.warning("step was taken over meanwhile", step=command.label)
            return False
        return True

    async def _tell_again(self, cache_id: str) -> None:
        latest = (await self._app.store.latest([Step.stream(cache_id)]))[Step.stream(cache_id)]
        await self._bus.hint_again(
            [StoredEvent(stream=latest.stream, version=latest.version, type=latest.type, data=latest.data)]
        )


def _name_of(message: Msg) -> str:
    """Return the last part of a subject: a cache id, or the name of steps that travel together."""
    return message.subject.rpartition(".")[2]
