"""Runs in motion: plans them, hands out their steps, takes completions in, finishes them.

Every change of a run is load → decide → append with the version it was decided on. Loaded runs are kept, since the
append itself tells when somebody else was faster; then they are loaded again and the decision is made anew. Where a
kept run leads to no append, nothing tells: before a refusal, or where a step that somebody awaits changes nothing, its
version is compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

import asyncpg
import orjson
import structlog

from artdag_common import metrics, tracing
from artdag_common.application import ATTEMPTS, Application, decode
from artdag_common.blobs.port import BlobStore
from artdag_common.commands import ExecuteStep
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.failure import STOPS
from artdag_common.domain.graph import Graph
from artdag_common.domain.plan import PlannedStep, canonical_json, plan_document, plan_id
from artdag_common.domain.provenance import Infrastructure, provenance_record
from artdag_common.domain.retention import OUTPUT, Hold
from artdag_common.domain.run import AnalysisResult, Run, Sign
from artdag_common.domain.step import Step
from artdag_common.effects.named import have_effects
from artdag_common.errors import (
    AppendRefusedError,
    ArtdagError,
    InvalidInputsError,
    QueueFullError,
    QuotaExceededError,
    RunNotFoundError,
    StepConfigError,
    SystemBusyError,
    VersionConflictError,
)
from artdag_common.eventstore.holds import Holds, Need
from artdag_common.messaging.bus import Outcome
from artdag_common.people import People
from artdag_common.steps.base import EffectUsed
from artdag_common.steps.registry import find_step_type
from services.planner.classes import Classes
from services.planner.dispatcher import Asker, Dispatcher
from services.planner.hands import OF_A_RUN
from services.planner.needs import UNLIMITED, Limits, change_call, needed
from services.planner.planning import Compiled, compile_plan, timings
from services.planner.reading import read_recipe
from services.planner.repairs import Repairs
from services.planner.scheduling import PRIORITIES

KEPT = 200
"""Runs that are kept loaded."""
OVER = 10_000
"""Runs that are known to be over, so that what is heard of them late does not load them again."""
QUEUE_SECONDS = 10
"""After how long whoever is refused for want of room may try again."""

log = structlog.get_logger(__name__)

Decision = Callable[[Run], Awaitable[None]]
Ended = Step.Completed | Step.Failed


def count_planned(steps: Sequence[PlannedStep]) -> None:
    """Count steps that joined a run, but not what it was given: once they are stored, since a plan may be in vain."""
    made = [step for step in steps if not step.is_source]
    for how, times in Counter("forced" if s.forced else "cached" if s.output_cid else "needed" for s in made).items():
        metrics.PLANNED.of(how).inc(times)


class Engine:
    """The runs that this planner works on. Replicas share the work: any of them may take the next event of a run."""

    def __init__(
        self,
        app: Application,
        pool: asyncpg.Pool,
        blobs: BlobStore,
        dispatcher: Dispatcher,
        infrastructure: Infrastructure,
        cluster_key: str,
        people: People,
        withdraw: Callable[[str, str], Awaitable[None]],
        limits: Limits = UNLIMITED,
        classes: Classes | None = None,
        repairs: Repairs | None = None,
        of_a_run: Callable[[], int] = lambda: OF_A_RUN,
    ) -> None:
        """``withdraw(work class, cache id)`` takes back a step that was sent.

        Args:
            of_a_run: how many steps of one run may be scheduled at once.
        """
        self._app = app
        self._pool = pool
        self._blobs = blobs
        self._dispatcher = dispatcher
        self._infrastructure = infrastructure
        self._cluster_key = cluster_key
        self._people = people
        self._withdraw = withdraw
        self._limits = limits
        self._classes = classes or Classes()
        self._repairs = repairs
        self._of_a_run = of_a_run
        # run → what the reconciler found: ends that no message had brought; when it was asked for, if nobody began it
        self._overlooked: dict[str, tuple[list[Ended], datetime | None]] = {}
        self._holds = Holds(pool)
        # run → content that was given up while the run was to need it
        self._lost: dict[str, set[str]] = {}
        self._runs: OrderedDict[str, Run] = OrderedDict()
        metrics.RUNS_KEPT.of().set_function(lambda: float(len(self._runs)))
        for how in ("cached", "needed", "forced"):
            metrics.PLANNED.of(how)
        self._over: OrderedDict[str, None] = OrderedDict()
        # run → cache id → version of the step's stream, of steps that were tried before the run wants them
        self._heads: dict[str, dict[str, int]] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # Steps that are sent before it is written that their run waits for them, by how many runs that goes for.
        self._early: Counter[str] = Counter()

    # --- changes ---

    async def change(
        self,
        run_id: str,
        decide: Decision,
        cause: str,
        *,
        create: Callable[[], Run] | None = None,
        consumer: str = "",
        outcome: Callable[[Run], Outcome] | None = None,
        doubt: bool = False,
        needs: Sequence[Need] = (),
    ) -> Run:
        """Load a run, decide, append; then send what was scheduled.

        Args:
            create: makes the run where it does not exist.
            consumer, outcome: also note in the inbox that message ``cause`` was handled.
            doubt: where nothing is decided, make sure that the kept run is not an old one.
            needs: content that the run needs besides what its events name.

        Raises:
            RunNotFoundError: no such run, and nothing to create it.
            InvalidInputsError: what a new run needs was deleted in this moment.
            VersionConflictError: others were faster time and again.
        """
        with tracing.about(run_id=run_id) as about:
            return await self._change(run_id, decide, cause, about, create, consumer, outcome, doubt, needs)

    async def _change(
        self,
        run_id: str,
        decide: Decision,
        cause: str,
        about: tracing.About,
        create: Callable[[], Run] | None,
        consumer: str,
        outcome: Callable[[Run], Outcome] | None,
        doubt: bool,
        needs: Sequence[Need],
    ) -> Run:
        """See :meth:`change`. ``about``: joins the trace of the run."""
        async with self._locks.setdefault(run_id, asyncio.Lock()):
            for _ in range(ATTEMPTS):
                kept = run_id in self._runs
                run = await self._load(run_id)
                if run is None and create is not None:
                    run = create()
                if run is None or run.deleted:
                    raise RunNotFoundError(f"no run {run_id}", run=run_id)
                about.join(run.traceparent)
                try:
                    version = run.version - len(run.pending_events)
                    try:
                        await decide(run)
                    except ArtdagError as error:
                        if error.retryable or not kept or not await self._is_old(run_id, version):
                            raise
                        self._forget(run_id)
                        continue
                    if not run.pending_events and outcome is None:
                        if doubt and kept and await self._is_old(run_id, version):
                            self._forget(run_id)
                            continue
                        self._remember(run)
                        return run
                    self._remember(run)
                    scheduled = [
                        each.step for e in run.pending_events if isinstance(e, Run.StepsScheduled) for each in e.steps
                    ]
                    stopped = _stopped(run)
                    planned = [step for e in run.pending_events if isinstance(e, Run.StepsPlanned) for step in e.steps]
                    early = version > 0 and not run.finished and not planned
                    with self._waited_for_early(run, scheduled if early else ()):
                        if early:
                            # Steps are shared by their cache ids and may run twice, so they need not wait for the
                            # commit. Those that are just planned do: whoever follows events has to know by then whose
                            # they are.
                            await self._send(run, scheduled)
                        found = await self._seen([*needs, *needed(run, self._infrastructure)], run)
                        result = await self._app.append(
                            run,
                            # Another decision on the same grounds, made at another version, is not the same message.
                            cause if outcome else f"{cause}@{version}",
                            consumer=consumer,
                            outcome=outcome(run).encode() if outcome else b"",
                            inbox=outcome is not None,
                            also=change_call(run, found, self._limits),
                        )
                except AppendRefusedError as refused:
                    self._forget(run_id)
                    decide = await self._after(refused, run_id, decide, new=version == 0)
                    continue
                except BaseException:
                    self._forget(run_id)
                    raise
                self._lost.pop(run_id, None)
                if result != "appended":  # replayed: by us before, or by another who may have decided otherwise
                    self._forget(run_id)
                if result == "conflict":
                    continue
                if result == "appended" and not run.imported_from:
                    count_planned(planned)
                if result == "duplicate":
                    return run
                if run.finished:
                    self._end(run_id)
                    unsent = await self._dispatcher.withdraw(run.key)
                    await self._withdraw_steps(run, [*run.outstanding(), *stopped], unsent)
                    return run
                if run.status == "paused":
                    await self._dispatcher.withdraw(run.key)
                if stopped:
                    unsent = await self._dispatcher.withdraw(run.key, {run.steps[i].cache_id for i in stopped})
                    await self._withdraw_steps(run, stopped, unsent)
                if not early:
                    await self._send(run, scheduled)
                return run
            raise VersionConflictError(f"run {run_id} changed {ATTEMPTS} times meanwhile", run=run_id)

    @contextlib.contextmanager
    def _waited_for_early(self, run: Run, steps: Sequence[int]) -> Iterator[None]:
        """Keep steps of a run from being taken for unwanted in the block, at whose end it is written who waits."""
        cache_ids = [run.steps[i].cache_id for i in steps]
        self._early.update(cache_ids)
        try:
            yield
        finally:
            self._early.subtract(cache_ids)
            self._early += Counter()  # without those of nobody

    async def _unwanted(self, cache_ids: Collection[str]) -> set[str]:
        """Return the steps that no run waits for, of any replica, or is just about to."""
        early = set(self._early)  # before it is read: then that may be written which was not read
        rows = await self._pool.fetch(
            "SELECT cache_id FROM planner_waits WHERE cache_id = ANY ($1::text[])", list(cache_ids)
        )
        return set(cache_ids) - {row["cache_id"] for row in rows} - early - self._early.keys()

    async def holders(self, cid: str) -> list[Hold]:
        """Return who needs content."""
        return (await self._holds.of([cid]))[cid]

    async def _seen(self, needs: Sequence[Need], run: Run) -> list[Need]:
        """Return needs with the stamps of the files that are here, that of the output with its size."""
        stamps = await self._blobs.stamps({need.cid for need in needs})
        found = [replace(need, stamp=stamps.get(need.cid, 0)) for need in needs]
        return [replace(n, size_bytes=await self._output_bytes(run)) if n.kind == OUTPUT else n for n in found]

    async def _output_bytes(self, run: Run) -> int:
        """Return the size of a run's output: as its step says, or the books, where it is content that was given."""
        step = run.steps[run.output]
        latest = await self._app.store.latest([Step.stream(step.cache_id)])
        for recorded in latest.values():
            event = decode(recorded)
            if isinstance(event, Step.Completed) and event.output_cid == run.output_cid:
                return event.size_bytes
        if book := (await self._holds.books([run.output_cid])).get(run.output_cid):
            return book.size_bytes
        return (await self._blobs.path(run.output_cid)).stat().st_size

    async def _after(self, refused: AppendRefusedError, run_id: str, decide: Decision, *, new: bool) -> Decision:
        """Return what to decide, since content is not what the decision was made on.

        Raises:
            InvalidInputsError: a new run needs what was given up.
            QuotaExceededError: a run that comes with its output is beyond its owner's.
        """
        match refused.values["rule"]:
            case "gone":
                gone: dict[str, int] = refused.values["gone"]
                if new:
                    missing = sorted(gone)
                    raise InvalidInputsError(
                        f"not stored here any more: {', '.join(missing)}; upload with POST /cache/upload first",
                        missing=missing,
                    ) from refused
                for cid, stamp in gone.items():  # what was given up and is still there would pass for stored
                    await self._blobs.remove(cid, stamp)
                self._lost.setdefault(run_id, set()).update(gone)
            case "quota" if new:  # it is over already, and made nothing that could be kept for later
                used, more, quota = (refused.values[f"{name}_bytes"] for name in ("used", "more", "quota"))
                raise QuotaExceededError(
                    f"the output has {more} bytes, and you use {used} of {quota}; delete what is no longer needed"
                ) from refused
            case "quota":
                return _beyond_quota(self._app, refused)
            case "queue":
                raise _queue_full(refused) from refused
        return decide

    async def _withdraw_steps(self, run: Run, steps: Sequence[int], unsent: Collection[str]) -> None:
        """Break off steps that a run gave up, where no other run waits for them.

        Args:
            unsent: cache ids of steps that waited here for their turn, so that there is nothing to take back.
        """
        asked = {run.steps[i].cache_id: run.steps[i] for i in steps if run.steps[i].cache_id not in unsent}
        if not asked:
            return
        unneeded = [asked[cache_id] for cache_id in await self._unwanted(asked)]
        # All at once: those that run are told to stop before the first answer is there.
        await asyncio.gather(*(self._withdraw(self._classes.of(s.type, s.config), s.cache_id) for s in unneeded))
        await self._dispatcher.recall([step.cache_id for step in unneeded])

    async def _load(self, run_id: str) -> Run | None:
        run = self._runs.get(run_id)
        if run is None and (run := await self._app.find(Run, run_id)) and not run.finished:
            await have_effects(self._blobs, [step.config for step in run.steps])  # it may have begun on another node
            pending = {step.cache_id for step, state in zip(run.steps, run.states, strict=True) if state == "pending"}
            latest = await self._app.store.latest([Step.stream(cache_id) for cache_id in pending])
            self._heads[run_id] = {stream.partition("-")[2]: last.version for stream, last in latest.items()}
        return run

    async def _is_old(self, run_id: str, version: int) -> bool:
        stream = Run.stream(run_id)
        return (await self._app.store.latest([stream]))[stream].version != version

    def _remember(self, run: Run) -> None:
        if run.finished and not run.pending_events:
            self._end(run.key)
            return
        self._runs[run.key] = run
        self._runs.move_to_end(run.key)
        while len(self._runs) > KEPT:
            self._forget(next(iter(self._runs)))

    def _forget(self, run_id: str) -> None:
        self._runs.pop(run_id, None)
        self._heads.pop(run_id, None)

    def _end(self, run_id: str) -> None:
        """Keep of a run that is over no more than that."""
        self._forget(run_id)
        self._over[run_id] = None
        while len(self._over) > OVER:
            self._over.popitem(last=False)

    def _heads_of(self, run: Run) -> dict[str, int]:
        return self._heads.setdefault(run.key, {})

    # --- planning ---

    async def proceed(self, run_id: str, cause: str) -> None:
        """Do whatever the state of a run asks for: plan it, go on after its analysis, send what is due, finish it."""
        if run_id in self._over:
            return
        await self.change(run_id, self._decide_next, cause)

    async def _decide_next(self, run: Run) -> None:
        now = self._app.clock()
        try:
            if run.executing and not run.planned:
                began = time.perf_counter()
                with tracing.span("plan") as span:
                    await self._plan(run)
                    span.set(steps=len(run.steps), complete=run.planned)
                metrics.PLAN_SECONDS.of().observe(time.perf_counter() - began)
            if run.executing:
                run.schedule(now, self._heads_of(run), self._of_a_run())
            if run.executing and run.planned and not run.unsatisfied:
                if run.failures:
                    run.conclude_failure(now)
                else:
                    await self._complete(run)
        except ArtdagError as error:
            if error.retryable:
                raise
            log.info("run fails", error=error.code, reason=error.message)
            run.fail(-1, error.code, error.message, now)

    async def _plan(self, run: Run) -> None:
        """Add the steps that are due: the analysis of the inputs first, all others once that is there."""
        now = self._app.clock()
        graph = await read_recipe(self._blobs, run.recipe_cid)
        compiled = self._compile(graph, run)
        if not run.steps:
            run.plan_steps(await self._found(compiled.steps[: compiled.analysis], run), now)
        run.schedule(now, self._heads_of(run), self._of_a_run())
        if run.unsatisfied:
            return
        if compiled.output < 0:
            wanted = timings(graph)
            documents = {
                node: orjson.loads(await self._blobs.read(run.outputs[whole]))
                for node, _, whole in compiled.analysed
                if node in wanted
            }
            compiled = self._compile(graph, run, documents)
        if compiled.analysed:
            results = tuple(AnalysisResult(n, run.outputs[media], run.outputs[i]) for n, media, i in compiled.analysed)
            run.record(Run.InputsAnalyzed, now, analyses=results)
        shaped_by = [compiled.steps[whole].cache_id for _, _, whole in compiled.analysed]
        plan = plan_id(run.recipe_cid, [(b.name, b.cids) for b in run.inputs], shaped_by)
        document = canonical_json(plan_document(plan, run.recipe_cid, compiled.steps, compiled.output))
        stored = await self._blobs.put(document, shelf="plans")
        run.plan_steps(await self._found(compiled.steps[len(run.steps) :], run), now)
        run.complete_plan(stored.cid, plan, compiled.output, now)

    async def _found(self, steps: Sequence[PlannedStep], run: Run) -> list[PlannedStep]:
        """Return steps with the outputs that exist already, and may be used."""
        again = {step.cache_id for step in steps if step.forced}
        found = await self._completed(
            [step.cache_id for step in steps], again, self._heads_of(run), self._lost.get(run.key)
        )
        return [replace(s, output_cid=found[s.cache_id]) if s.cache_id in found else s for s in steps]

    def _compile(self, graph: Graph, run: Run, analyses: Mapping[str, Any] | None = None) -> Compiled:
        """Plan. It is pure: what breaks now would break for ever, so the run ends, and says why.

        Args:
            analyses: documents of those that say what the plan is, by node; None: not there yet.

        Raises:
            ArtdagError: not retryable.
        """
        try:
            return compile_plan(graph, run.inputs, self._cluster_key, analyses, run.forced)
        except ArtdagError:
            raise
        except Exception as error:
            log.error("planning broke", exc_info=error)
            raise StepConfigError(f"the recipe cannot be planned: {type(error).__name__}: {error}") from error

    async def _completed(
        self, cache_ids: Sequence[str], again: Collection[str], heads: dict[str, int], lost: Collection[str] | None
    ) -> dict[str, str]:
        """Return the outputs that exist, by cache id: completed, and present. Note the ``heads`` of the others.

        Args:
            again: steps that are computed again, whatever exists.
            lost: content that was given up in this moment.
        """
        latest = await self._app.store.latest([Step.stream(c) for c in set(cache_ids)])
        outputs = {}
        for stream, recorded in latest.items():
            event = decode(recorded)
            cache_id = stream.partition("-")[2]
            if isinstance(event, Step.Completed) and cache_id not in again:
                outputs[cache_id] = event.output_cid
            heads[cache_id] = recorded.version
        present = await self._blobs.present(set(outputs.values()).difference(lost or ()))
        found = {cache_id: cid for cache_id, cid in outputs.items() if cid in present}
        for cache_id in found:
            del heads[cache_id]
        return found

    async def _complete(self, run: Run) -> None:
        now = self._app.clock()
        effects: list[EffectUsed] = []
        for step in run.steps:
            effects += [used for used in find_step_type(step.type).effects_used(step.config) if used not in effects]
        handle = await self._people.handle(run.owner)
        record = provenance_record(run, effects, self._infrastructure, handle, now)
        stored = await self._blobs.put(orjson.dumps(record, option=orjson.OPT_INDENT_2))
        run.complete(stored.cid, now)

    # --- steps ---

    async def _send(self, run: Run, indices: Sequence[int], again: bool = False) -> None:
        if not run.executing:
            return
        due = [(self._classes.of(run.steps[i].type, run.steps[i].config), _command(run, i)) for i in indices]
        asker = Asker(run.key, run.owner, PRIORITIES.index(run.priority) if run.priority else 0)
        if again:
            await self._dispatcher.repeat(asker, due)
        else:
            await self._dispatcher.submit(asker, due)

    async def repeat(self, cache_id: str) -> None:
        """Send a step again that was broken off, if a run wants it after all; else its room is free."""
        await self._dispatcher.recall(await self._unwanted([cache_id]))
        for run in [run for run in self._runs.values() if run.awaits(cache_id)]:
            await self._send(run, [i for i in run.places[cache_id] if run.states[i] == "scheduled"], again=True)

    async def take_kept(self, events: Sequence[Ended], cause: str) -> None:
        """Take ended steps in at the runs that are kept here. Hints reach every replica: each serves its own runs."""
        ended = {event.originator_id.partition("-")[2]: event for event in events}
        await self._dispatcher.settle(ended)
        concerned = {
            run_id: [c for c in run.places.keys() & ended if run.awaits(c)] for run_id, run in self._runs.items()
        }
        await self._take({r: {c: ended[c] for c in mine} for r, mine in concerned.items() if mine}, cause)

    async def waiting(self, cache_ids: Sequence[str]) -> dict[str, set[str]]:
        """Return the runs, of any replica, that wait for steps which have ended, by cache id; their room is free."""
        await self._dispatcher.settle(cache_ids)
        return await self._waits(cache_ids)

    async def _waits(self, cache_ids: Sequence[str]) -> dict[str, set[str]]:
        runs: dict[str, set[str]] = defaultdict(set)
        for row in await self._pool.fetch(
            "SELECT run_id, cache_id FROM planner_waits WHERE cache_id = ANY ($1::text[])", list(cache_ids)
        ):
            runs[row["cache_id"]].add(row["run_id"])
        return runs

    async def take(self, events: Sequence[Ended], waiting: Mapping[str, Collection[str]], cause: str) -> None:
        """Take ended steps in at the runs that wait for them: each run is changed once for all of them."""
        concerned: dict[str, dict[str, Ended]] = defaultdict(dict)
        for event in events:
            cache_id = event.originator_id.partition("-")[2]
            for run_id in waiting.get(cache_id, ()):
                concerned[run_id][cache_id] = event
        await self._take(concerned, cause)

    async def _take(self, concerned: Mapping[str, Mapping[str, Ended]], cause: str) -> None:
        """Change each run for its ended steps: all at once, those with the fewest first, which wait for the least."""

        async def take(run_id: str, mine: Mapping[str, Ended]) -> None:
            with contextlib.suppress(RunNotFoundError):  # deleted meanwhile
                await self.change(run_id, self._taking(mine), cause, doubt=True)

        few_first = sorted(concerned.items(), key=lambda each: len(each[1]))
        results = await asyncio.gather(*(take(*each) for each in few_first), return_exceptions=True)
        for broken in filter(None, results):  # of this run; the others did not wait for it
            raise broken

    def _taking(self, ended: Mapping[str, Ended]) -> Decision:
        async def decide(run: Run) -> None:
            now = self._app.clock()
            outputs = {c: e.output_cid for c, e in ended.items() if isinstance(e, Step.Completed)}
            if lost := self._lost.get(run.key, set()) & set(outputs.values()):
                lost -= await self._blobs.present(lost)
                again = [c for c, cid in outputs.items() if cid in lost and run.awaits(c)]
                await self._send(run, [i for c in again for i in run.places[c]], again=True)
                outputs = {c: cid for c, cid in outputs.items() if cid not in lost}
            if run.after:  # completed before the run asked for it: its output was gone then, and may be still
                early = {c: cid for c, cid in outputs.items() if run.asked_after(c, ended[c].originator_version)}
                present = await self._blobs.present(early.values())
                outdated = {c for c, cid in early.items() if cid not in present or run.forces(c)}
                outputs = {c: cid for c, cid in outputs.items() if c not in outdated}
            run.take(outputs, now, self._heads_of(run), self._of_a_run())
            failed = {c: e for c, e in ended.items() if isinstance(e, Step.Failed)}
            run.take_failures({c: (e.originator_version, e.error, e.reason) for c, e in failed.items()}, now)
            run.schedule(now, self._heads_of(run), self._of_a_run())  # in the room that failures leave
            if not run.finished and not run.unsatisfied:
                await self._decide_next(run)

        return decide

    async def forget_settled(self) -> None:
        """Drop steps that nobody waits for any more, in case their end, or that of their run, was not heard here.

        So are those that only runs wait for which another planner paused.
        """
        await self._dispatcher.settle(await self._unwanted(self._dispatcher.known()))
        if asking := await self._dispatcher.asking():
            paused = await self._pool.fetch(
                "SELECT run_id FROM planner_active WHERE paused AND run_id = ANY ($1::text[])", list(asking)
            )
            if paused:
                await self._dispatcher.withdraw_all(row["run_id"] for row in paused)

    async def reconcile(self, run_id: str, cause: str) -> None:
        """Do again what the state of a run implies, for messages that were lost; and what the clock asks for."""
        run = await self._caught_up(run_id, cause, doubt=True)
        if run.executing:
            await self._send(run, run.outstanding(), again=True)

    async def pass_time(self, run_id: str, cause: str) -> None:
        """End what takes longer than a run allows; :meth:`reconcile` does so too, less often."""
        await self._caught_up(run_id, cause)

    async def _caught_up(self, run_id: str, cause: str, doubt: bool = False) -> Run:
        try:
            run = await self.change(run_id, self._catch_up, cause, doubt=doubt)
            ends, requested_at = self._overlooked.get(run_id, ([], None))
            if self._repairs:
                self._repairs.ends_taken(run_id, ends, self._app.clock())
                if requested_at and run.steps:
                    self._repairs.run_begun(run_id, requested_at, self._app.clock())
            return run
        finally:
            self._overlooked.pop(run_id, None)

    async def _catch_up(self, run: Run) -> None:
        outstanding = [run.steps[i].cache_id for i in run.outstanding()]
        taken: list[Ended] = []
        self._overlooked[run.key] = taken, run.modified_on if run.executing and not run.steps else None
        signs: dict[str, Sign] = {}
        if outstanding:
            latest = await self._app.store.latest([Step.stream(c) for c in set(outstanding)])
            events = {stream.partition("-")[2]: decode(recorded) for stream, recorded in latest.items()}
            completed = {c: e.output_cid for c, e in events.items() if isinstance(e, Step.Completed)}
            present = await self._blobs.present(completed.values())
            ended = {
                c: event
                for c, event in events.items()
                if isinstance(event, Step.Failed) or (isinstance(event, Step.Completed) and completed[c] in present)
            }
            signs = {c: _sign(event) for c, event in events.items()}
            wanted = [c for c in ended if run.awaits(c)]
            await self._taking(ended)(run)
            taken += [ended[c] for c in wanted if not run.awaits(c)]
        run.pass_time(signs, self._app.clock())
        await self._decide_next(run)


def _command(run: Run, index: int) -> ExecuteStep:
    step = run.steps[index]
    return ExecuteStep(
        cache_id=step.cache_id,
        step_type=step.type,
        config=step.config,
        label=step.label,
        inputs=tuple([run.outputs[i] for i in step.inputs]),
        version=run.after.get(index, 0),
        deliver=step.deliver,
        forced=run.forces(step.cache_id),
        traceparent=run.traceparent,
    )


def _sign(event: DomainEvent) -> Sign:
    """Return what the last event of a step's stream says of the executors' part."""
    waits = timedelta(milliseconds=event.retry_ms) if isinstance(event, Step.AttemptFailed) else timedelta()
    return Sign(event.originator_version, event.timestamp + waits, isinstance(event, Step.Started))


def _stopped(run: Run) -> list[int]:
    """Return the steps that the run's new events give up, though an executor may be working on them."""
    stopped: list[int] = []
    for event in run.pending_events:
        match event:
            case Run.StepsFailed():
                stopped += [failed.step for failed in event.steps if failed.error in STOPS]
            case Run.Failed(step=step, error=error) if error in STOPS and step >= 0:
                stopped.append(step)
    return [i for i in stopped if run.finished or not run.awaits(run.steps[i].cache_id)]  # another may be the same one


def _queue_full(refused: AppendRefusedError) -> ArtdagError:
    most = refused.values["most"]
    if refused.values["scope"] == "owner":
        return QueueFullError(
            f"you have {most} runs going on, as many as one person may; wait for one to end, or cancel one",
            most=most,
            retry_after=QUEUE_SECONDS,
        )
    return SystemBusyError(
        f"{most} runs are going on, as many as this server takes; try again later",
        most=most,
        retry_after=QUEUE_SECONDS,
    )


def _beyond_quota(app: Application, refused: AppendRefusedError) -> Decision:
    """Return the decision that a run fails, since its owner has no room for what it gave."""
    used, more, quota = (refused.values[f"{name}_bytes"] for name in ("used", "more", "quota"))

    async def decide(run: Run) -> None:
        reason = (
            f"the output has {more} bytes, and {run.owner} uses {used} of {quota} (ARTDAG_QUOTA_BYTES); delete what is"
            " no longer needed, then start the run again: its steps are kept"
        )
        run.fail(-1, QuotaExceededError("").code, reason, app.clock())

    return decide
