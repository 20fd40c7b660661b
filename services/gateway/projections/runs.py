"""Runs and their steps, as people look at them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import orjson

from artdag_common.codec import decode_event
from artdag_common.domain.failure import kind_of
from artdag_common.domain.run import FINISHED, FailedStep, Run
from artdag_common.domain.step import Step
from services.gateway import visibility
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import arrays, update, upsert

KINDS = (Run.TOPIC, Step.TOPIC)
TABLES = ("rm_run_steps", "rm_runs")

DDL = """
CREATE TABLE IF NOT EXISTS rm_runs (
    run_id         text PRIMARY KEY,
    position       bigint      NOT NULL,
    owner          text        NOT NULL,
    recipe_cid     text        NOT NULL,
    recipe_name    text        NOT NULL,
    inputs         jsonb       NOT NULL,
    output_name    text        NOT NULL,
    hold           boolean     NOT NULL,
    status         text        NOT NULL,
    plan_cid       text        NOT NULL,
    plan_id        text        NOT NULL,
    output         integer     NOT NULL,
    analyses       jsonb       NOT NULL,
    output_cid     text        NOT NULL,
    provenance_cid text        NOT NULL,
    error_code     text        NOT NULL,
    error          text        NOT NULL,
    error_step     integer     NOT NULL,
    error_node     text        NOT NULL,
    total          integer     NOT NULL,
    cached         integer     NOT NULL,
    completed      integer     NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    deleted        boolean     NOT NULL,
    published      boolean     NOT NULL,
    priority       text        NOT NULL,
    on_failure     text        NOT NULL,
    forced         jsonb       NOT NULL,
    rerun_of       text        NOT NULL,
    deadline_us    bigint      NOT NULL,
    wait_timeout_ms bigint     NOT NULL,
    step_timeout_ms bigint     NOT NULL
);
CREATE INDEX IF NOT EXISTS rm_runs_own ON rm_runs (owner, position DESC) WHERE NOT deleted;
CREATE INDEX IF NOT EXISTS rm_runs_published ON rm_runs (position DESC) WHERE published AND NOT deleted;
CREATE INDEX IF NOT EXISTS rm_runs_plan ON rm_runs (plan_id);
CREATE INDEX IF NOT EXISTS rm_runs_going ON rm_runs (position DESC)
    WHERE NOT deleted AND status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX IF NOT EXISTS rm_runs_failed ON rm_runs (position DESC) WHERE NOT deleted AND status = 'failed';

CREATE TABLE IF NOT EXISTS rm_run_steps (
    run_id      text    NOT NULL,
    step        integer NOT NULL,
    node        text    NOT NULL,
    type        text    NOT NULL,
    cache_id    text    NOT NULL,
    level       integer NOT NULL,
    label       text    NOT NULL,
    config      text    NOT NULL,
    inputs      integer[] NOT NULL,
    status      text    NOT NULL,
    output_cid  text    NOT NULL,
    started_at  timestamptz,
    duration_ms bigint,
    error       text    NOT NULL,
    attempt     integer NOT NULL,
    error_code  text    NOT NULL,
    lost        boolean NOT NULL,
    attempts    text    NOT NULL,
    forced      boolean NOT NULL,
    PRIMARY KEY (run_id, step)
);
CREATE INDEX IF NOT EXISTS rm_run_steps_cache_id ON rm_run_steps (cache_id);
"""

RUN_COLUMNS = {
    "run_id": "text",
    "position": "bigint",
    "owner": "text",
    "recipe_cid": "text",
    "recipe_name": "text",
    "inputs": "jsonb",
    "output_name": "text",
    "hold": "boolean",
    "status": "text",
    "plan_cid": "text",
    "plan_id": "text",
    "output": "integer",
    "analyses": "jsonb",
    "output_cid": "text",
    "provenance_cid": "text",
    "error_code": "text",
    "error": "text",
    "error_step": "integer",
    "error_node": "text",
    "total": "integer",
    "cached": "integer",
    "completed": "integer",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "deleted": "boolean",
    "published": "boolean",
    "priority": "text",
    "on_failure": "text",
    "forced": "jsonb",
    "rerun_of": "text",
    "deadline_us": "bigint",
    "wait_timeout_ms": "bigint",
    "step_timeout_ms": "bigint",
}
STEP_FIXED = ("node", "type", "level", "label", "config", "forced", "inputs")
STEP_MOVING = {
    "run_id": "text",
    "step": "integer",
    "status": "text",
    "output_cid": "text",
    "started_at": "timestamptz",
    "duration_ms": "bigint",
    "error": "text",
    "attempt": "integer",
    "error_code": "text",
    "lost": "boolean",
    "attempts": "text",
}
STEP_LOADED = ", ".join(f"s.{name}" for name in (*STEP_MOVING, "cache_id"))
ASKED = frozenset({"scheduled", "running", "waiting"})
"""Statuses of a step that was handed out and has no end yet; ``waiting``: between two attempts."""

UNDER_WAY = frozenset({"running", "waiting"})
"""Statuses of a step that an executor has."""

UNFINISHED = ASKED | {"pending"}
"""Statuses of a step that may still give something."""

GIVEN = ("cached", "completed")
"""Statuses of a step whose output is there."""

LISTENING = ASKED | {"failed"}
"""Statuses in which what an executor says of a step concerns a run that goes on; a failed one may be tried again."""

ATTEMPTS_KEPT = 20
"""Attempts of a step, the newest, that a row tells of; all of them are events."""

CHOSEN = """($2::text IS NULL OR t.status = $2) AND ($3::text IS NULL OR t.owner = $3)
AND (NOT $4::boolean OR t.published)"""
WRITE_RUNS = upsert("rm_runs", RUN_COLUMNS, ("run_id",))
WRITE_STEPS = update("rm_run_steps", STEP_MOVING, ("run_id", "step"))

# ``OFFSET 0`` has each wanted row looked up by its index. Postgres plans these once for all batches, without knowing
# how many are wanted, and would else read the whole table where it thinks that a few large runs are most of it.
REQUESTS = """SELECT e.stream, e.type, e.data FROM unnest($1::text[]) AS wanted (stream)
    CROSS JOIN LATERAL (SELECT * FROM es_events e WHERE e.stream = wanted.stream AND e.version = 1 OFFSET 0) e"""
STEPS_BY_PLACE = f"""SELECT {STEP_LOADED} FROM unnest($1::text[], $2::integer[]) AS wanted (run_id, step)
    CROSS JOIN LATERAL (SELECT * FROM rm_run_steps s
        WHERE s.run_id = wanted.run_id AND s.step = wanted.step OFFSET 0) s"""
STEPS_OF_RUNS = f"""SELECT {STEP_LOADED} FROM unnest($1::text[]) AS wanted (run_id)
    CROSS JOIN LATERAL (SELECT * FROM rm_run_steps s WHERE s.run_id = wanted.run_id OFFSET 0) s"""
STEPS_THAT_READ = """SELECT s.run_id, s.step, s.inputs FROM unnest($1::text[]) AS wanted (run_id)
    CROSS JOIN LATERAL (SELECT * FROM rm_run_steps s WHERE s.run_id = wanted.run_id OFFSET 0) s"""
STEPS_GOING_ON = f"""SELECT {STEP_LOADED} FROM unnest($1::text[]) AS wanted (cache_id)
    CROSS JOIN LATERAL (SELECT * FROM rm_run_steps s WHERE s.cache_id = wanted.cache_id OFFSET 0) s
    CROSS JOIN LATERAL (SELECT status FROM rm_runs r WHERE r.run_id = s.run_id OFFSET 0) r
    WHERE r.status <> ALL ($2::text[])"""
STEPS_UNDER_WAY = f"""SELECT {STEP_LOADED} FROM unnest($1::text[]) AS wanted (cache_id)
    CROSS JOIN LATERAL (SELECT * FROM rm_run_steps s WHERE s.cache_id = wanted.cache_id OFFSET 0) s
    WHERE s.status = ANY ($2::text[])"""


@dataclass(slots=True)
class RunRow:
    """A row of ``rm_runs``. ``position`` is that of the request; ``inputs`` and ``analyses`` are JSON.

    ``published``: the owner published what the run gave; kept by the projection of content. ``imported_from`` and what
    follows: of a run that was completed elsewhere, as in :class:`Run.Requested`; not columns, since gateways of 0.1.0
    read the table too: see :func:`_with_origins`.
    """

    run_id: str
    position: int
    owner: str
    recipe_cid: str
    recipe_name: str
    inputs: str
    output_name: str
    hold: bool
    status: str
    created_at: datetime
    updated_at: datetime
    plan_cid: str = ""
    plan_id: str = ""
    output: int = -1
    analyses: str = "[]"
    output_cid: str = ""
    provenance_cid: str = ""
    error_code: str = ""
    error: str = ""
    error_step: int = -1
    error_node: str = ""
    priority: str = ""
    on_failure: str = ""
    forced: str = "[]"
    rerun_of: str = ""
    deadline_us: int = 0
    wait_timeout_ms: int = 0
    step_timeout_ms: int = 0
    imported_from: str = ""
    imported_events: str = ""
    imported_run: str = ""
    total: int = 0
    cached: int = 0
    completed: int = 0
    deleted: bool = False
    published: bool = False

    @property
    def finished(self) -> bool:
        """True once no step can change any more."""
        return self.status in FINISHED

    @property
    def active(self) -> bool:
        """True while something is going on that a reader may wait for."""
        return not self.finished and self.status not in ("planned", "paused")

    @property
    def going(self) -> str:
        """The status that a run has while it is neither paused nor over."""
        return "running" if self.output >= 0 else "analyzing" if self.total else "requested"


@dataclass(slots=True)
class StepRow:
    """A row of ``rm_run_steps``; the fixed columns only where the row is new.

    Attributes:
        lost: the run does without the step, whatever an executor may still make of it.
        attempts: JSON of those that gave no output, in order, as :func:`_add_attempt` writes them; empty: none.
    """

    run_id: str
    step: int
    status: str
    output_cid: str
    started_at: datetime | None
    duration_ms: int | None
    error: str
    attempt: int
    error_code: str
    lost: bool
    attempts: str
    cache_id: str
    fixed: tuple[Any, ...] | None = None


@dataclass(slots=True)
class _Batch:
    """The rows that a batch of events concerns, changed in memory event by event, then written set by set."""

    runs: dict[str, RunRow] = field(default_factory=dict)
    steps: dict[tuple[str, int], StepRow] = field(default_factory=dict)
    places: defaultdict[str, list[StepRow]] = field(default_factory=lambda: defaultdict(list))
    of_run: defaultdict[str, list[StepRow]] = field(default_factory=lambda: defaultdict(list))
    touched: dict[tuple[str, int], StepRow] = field(default_factory=dict)
    read_by: defaultdict[str, defaultdict[int, list[int]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    """Run → step → the steps that read it; only of runs of which a step fails in this batch."""

    def add(self, row: StepRow) -> None:
        key = (row.run_id, row.step)
        if key not in self.steps:
            self.steps[key] = row
            self.places[row.cache_id].append(row)
            self.of_run[row.run_id].append(row)

    def move(self, row: StepRow, status: str) -> None:
        """Set a step's status and count it at its run."""
        run = self.runs[row.run_id]
        run.completed += (status == "completed") - (row.status == "completed")
        run.cached += (status == "cached") - (row.status == "cached")
        row.status = status
        self.touched[(row.run_id, row.step)] = row

    def apply(self, fact: Fact) -> None:
        event = fact.event
        if isinstance(event, Run.Event):
            if isinstance(event, Run.Requested):
                self.runs[fact.key] = _requested(fact, event)
            run = self.runs[fact.key]
            run.updated_at = event.timestamp
            self._apply_to_run(run, event)
        elif isinstance(event, Step.Event):
            for row in self.places.get(fact.key, ()):
                run = self.runs[row.run_id]
                if row.status in LISTENING and not row.lost and not run.finished:
                    run.updated_at = event.timestamp
                    self._apply_to_step(row, event)
                elif row.status == "pending":  # steps are sent while it is being stored that they are
                    self._apply_early(row, event)

    def _apply_to_run(self, run: RunRow, event: Run.Event) -> None:
        match event:
            case Run.StepsPlanned():
                for step in event.steps:
                    row = _planned(run, step)
                    self.add(row)
                    run.total += 1
                    run.cached += row.status == "cached"
                if run.status == "requested":
                    run.status = "analyzing"
            case Run.InputsAnalyzed():
                run.analyses = orjson.dumps(event.analyses).decode()
            case Run.Planned():
                run.plan_cid, run.plan_id, run.output = event.plan_cid, event.plan_id, event.output
                run.status = "planned" if run.hold else "running"
            case Run.Released():
                run.hold, run.status = False, run.going
            case Run.StepsScheduled():
                for scheduled in event.steps:
                    self._schedule(self.steps[run.run_id, scheduled.step])
            case Run.StepsSatisfied():
                for satisfied in event.steps:
                    row = self.steps[run.run_id, satisfied.step]
                    row.output_cid = satisfied.output_cid
                    row.error = row.error_code = ""
                    self.move(row, "completed")
            case Run.StepsFailed():
                for failed in event.steps:
                    self._lose(run, failed)
            case Run.Paused():
                run.status = "paused"
            case Run.Resumed():
                run.status = run.going
            case Run.Completed():
                run.status = "completed"
                run.output_cid, run.provenance_cid = event.output_cid, event.provenance_cid
            case Run.Failed():
                run.status, run.error_code, run.error = "failed", event.error, event.reason
                run.error_step, run.error_node = event.step, event.node
                self._end(run, blamed=event.step)
            case Run.Cancelled():
                run.status, run.error_code, run.error = "cancelled", "cancelled", event.reason
                self._end(run)
            case Run.Deleted():
                run.deleted = True

    def _schedule(self, row: StepRow) -> None:
        """Note that a step was asked for; where it is under way for another run, it is for this one too."""
        self.move(row, "scheduled")
        twin = next((each for each in self.places[row.cache_id] if each.status in UNDER_WAY), None)
        if twin is not None:
            row.started_at, row.attempt, row.attempts = twin.started_at, twin.attempt, twin.attempts
            row.error, row.error_code = twin.error, twin.error_code
            self.move(row, twin.status)
        elif row.started_at is not None and row.duration_ms is None:
            self.move(row, "running")

    def _lose(self, run: RunRow, failed: FailedStep) -> None:
        """Close a step that the run does without, and all that needs it."""
        row = self.steps[run.run_id, failed.step]
        row.error, row.error_code, row.lost = failed.reason, failed.error, True
        self.move(row, "failed")
        read_by = self.read_by[run.run_id]
        left = list(read_by[failed.step])
        while left:
            reader = self.steps[run.run_id, left.pop()]
            if reader.status == "pending":
                self.move(reader, "skipped")
                left += read_by[reader.step]

    def _end(self, run: RunRow, blamed: int = -1) -> None:
        """Close the steps of a run that gives up: nobody waits for them any more."""
        for row in self.of_run[run.run_id]:
            if row.lost:
                continue
            if row.step == blamed:
                row.error, row.error_code = run.error, run.error_code
                self.move(row, "failed")
            elif row.status == "pending":
                self.move(row, "skipped")
            elif row.status in ASKED:
                self.move(row, "cancelled")

    def _apply_early(self, row: StepRow, event: Step.Event) -> None:
        """Note what an executor makes of a step that its run has not asked for yet, as far as is known here."""
        match event:
            case Step.Started():
                row.attempt, row.started_at, row.duration_ms = event.attempt, event.timestamp, None
            case Step.Completed():
                row.attempt, row.duration_ms = event.attempt, event.duration_ms
            case _:
                row.attempt, row.started_at, row.duration_ms = 0, None, None
        self.touched[(row.run_id, row.step)] = row

    def _apply_to_step(self, row: StepRow, event: Step.Event) -> None:
        match event:
            case Step.Started():
                row.attempt, row.started_at, row.duration_ms = event.attempt, event.timestamp, None
                self.move(row, "running")
            case Step.AttemptFailed():
                _add_attempt(row, event)
                row.error, row.error_code = event.reason, event.error
                self.move(row, "waiting")
            case Step.Completed():
                row.attempt, row.output_cid, row.duration_ms = event.attempt, event.output_cid, event.duration_ms
                row.error = row.error_code = ""
                self.move(row, "completed")
            case Step.Failed():
                _add_attempt(row, event)
                row.error, row.error_code = event.reason, event.error
                self.move(row, "failed")
            case Step.Cancelled():
                _add_attempt(row, event)
                self.move(row, "scheduled")  # somebody wants it after all: another attempt follows


def _add_attempt(row: StepRow, event: Step.AttemptFailed | Step.Failed | Step.Cancelled) -> None:
    """Note an attempt that gave no output: when, why, and when the next one follows."""
    known = orjson.loads(row.attempts) if row.attempts else []
    if known and known[-1]["attempt"] == event.attempt:  # it had failed, and the next one was not waited for
        return
    code = "" if isinstance(event, Step.Cancelled) else event.error
    retry = event.timestamp + timedelta(milliseconds=event.retry_ms) if isinstance(event, Step.AttemptFailed) else None
    known.append(
        {
            "attempt": event.attempt,
            "began_at": row.started_at if row.attempt == event.attempt else None,
            "ended_at": event.timestamp,
            "status": "cancelled" if isinstance(event, Step.Cancelled) else "failed",
            "code": code or None,
            "kind": (event.kind or kind_of(code)) if not isinstance(event, Step.Cancelled) else None,
            "reason": None if isinstance(event, Step.Cancelled) else event.reason,
            "retry_at": retry,
        }
    )
    row.attempt = event.attempt
    row.attempts = orjson.dumps(known[-ATTEMPTS_KEPT:]).decode()


def _requested(fact: Fact, event: Run.Requested) -> RunRow:
    return RunRow(
        run_id=fact.key,
        position=fact.position,
        owner=event.owner,
        recipe_cid=event.recipe_cid,
        recipe_name=event.recipe_name,
        inputs=orjson.dumps(event.inputs).decode(),
        output_name=event.output_name,
        hold=event.hold,
        status="requested",
        created_at=event.timestamp,
        updated_at=event.timestamp,
        priority=event.priority,
        on_failure=event.on_failure,
        forced=orjson.dumps(event.forced).decode(),
        rerun_of=event.rerun_of,
        deadline_us=event.deadline_us,
        wait_timeout_ms=event.wait_timeout_ms,
        step_timeout_ms=event.step_timeout_ms,
    )


def _planned(run: RunRow, step: Any) -> StepRow:
    return StepRow(
        run_id=run.run_id,
        step=run.total,
        status="cached" if step.output_cid else "pending",
        output_cid=step.output_cid,
        started_at=None,
        duration_ms=None,
        error="",
        attempt=0,
        error_code="",
        lost=False,
        attempts="",
        cache_id=step.cache_id,
        fixed=tuple(getattr(step, name) for name in STEP_FIXED),
    )


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in. Equal events give equal rows, however they are cut into batches."""
    batch = _Batch()
    await _load(connection, facts, batch)
    await _load_readers(connection, facts, batch)
    for fact in facts:
        batch.apply(fact)
    if batch.runs:
        await connection.execute(WRITE_RUNS, *arrays(batch.runs.values(), RUN_COLUMNS))
    new = [row for row in batch.steps.values() if row.fixed is not None]
    if new:
        columns = (*STEP_MOVING, "cache_id")
        records = [(*(getattr(row, name) for name in columns), *(row.fixed or ())) for row in new]
        await connection.copy_records_to_table("rm_run_steps", records=records, columns=[*columns, *STEP_FIXED])
    changed = [row for row in batch.touched.values() if row.fixed is None]
    if changed:
        await connection.execute(WRITE_STEPS, *arrays(changed, STEP_MOVING))


async def _load(connection: Any, facts: Sequence[Fact], batch: _Batch) -> None:
    runs, whole, cache_ids = set(), set(), set()
    shared: set[str] = set()
    pairs: list[tuple[str, int]] = []
    for fact in facts:
        match fact.event:
            case Run.StepsScheduled(steps=steps) | Run.StepsSatisfied(steps=steps):
                pairs += [(fact.key, each.step) for each in steps]
                if isinstance(fact.event, Run.StepsScheduled):
                    shared.update([each.cache_id for each in fact.event.steps])
            case Run.StepsFailed() | Run.Failed() | Run.Cancelled():
                whole.add(fact.key)
            case Step.Event():
                cache_ids.add(fact.key)
        if isinstance(fact.event, Run.Event):
            runs.add(fact.key)
    asked: tuple[tuple[str, Collection[object], Sequence[Sequence[object]]], ...] = (
        (STEPS_BY_PLACE, pairs, ([run for run, _ in pairs], [step for _, step in pairs])),
        (STEPS_OF_RUNS, whole, (list(whole),)),
        (STEPS_GOING_ON, cache_ids, (list(cache_ids), list(FINISHED))),
        (STEPS_UNDER_WAY, shared, (list(shared), list(UNDER_WAY))),
    )
    for statement, wanted, arguments in asked:
        for row in await connection.fetch(statement, *arguments) if wanted else ():
            batch.add(StepRow(**row))
            runs.add(row["run_id"])
    if runs:
        for row in await connection.fetch("SELECT * FROM rm_runs WHERE run_id = ANY ($1::text[])", list(runs)):
            batch.runs[row["run_id"]] = RunRow(**row)


async def _load_readers(connection: Any, facts: Sequence[Fact], batch: _Batch) -> None:
    """Note which steps read which, of runs of which a step fails in this batch."""
    failing = {fact.key for fact in facts if isinstance(fact.event, Run.StepsFailed)}
    if not failing:
        return
    for row in await connection.fetch(STEPS_THAT_READ, list(failing)):
        for source in row["inputs"]:
            batch.read_by[row["run_id"]][source].append(row["step"])
    totals = {run_id: run.total for run_id, run in batch.runs.items()}
    for fact in facts:  # in order, as their rows will be made
        if fact.key in failing and isinstance(fact.event, Run.StepsPlanned):
            for step in fact.event.steps:
                index = totals.get(fact.key, 0)
                for source in step.inputs:
                    batch.read_by[fact.key][source].append(index)
                totals[fact.key] = index + 1


# --- questions ------------------------------------------------------------------------------------------------------


async def find(pool: asyncpg.Pool, run_id: str) -> RunRow | None:
    """Return a run that is not deleted."""
    row = await pool.fetchrow("SELECT * FROM rm_runs WHERE run_id = $1 AND NOT deleted", run_id)
    return (await _with_origins(pool, [RunRow(**row)]))[0] if row else None


async def _with_origins(pool: asyncpg.Pool, rows: list[RunRow]) -> list[RunRow]:
    """Return runs with where they were imported from: what their first events say of it.

    Only those are asked about that can be imports: completed, and nothing of them was computed.
    """
    asked = {Run.stream(row.run_id): row for row in rows if row.status == "completed" and not row.completed}
    for first in await pool.fetch(REQUESTS, list(asked)) if asked else ():
        event = decode_event(first["type"], first["stream"], 1, first["data"])
        if isinstance(event, Run.Requested) and event.imported_from:
            row = asked[first["stream"]]
            row.imported_from, row.imported_events = event.imported_from, event.imported_events
            row.imported_run = event.imported_run
    return rows


async def newest(
    pool: asyncpg.Pool,
    viewer: str,
    limit: int,
    before: int | None,
    status: str | None,
    owner: str | None = None,
    published: bool = False,
) -> tuple[list[RunRow], int]:
    """Return up to ``limit`` runs that a viewer sees, and how many those are.

    Args:
        before: only those requested before this position; newest first.
        status, owner: only these.
        published: only those that gave what is published.
    """
    chosen = (status, owner, published)
    rows = await pool.fetch(visibility.page("rm_runs", CHOSEN, arguments=3), viewer, *chosen, limit, before)
    total = await pool.fetchval(visibility.count("rm_runs", CHOSEN), viewer, *chosen)
    return await _with_origins(pool, [RunRow(**row) for row in rows]), int(total)


async def held(pool: asyncpg.Pool, owner: str, plan: str) -> str | None:
    """Return the owner's newest run that waits with this plan; ``plan``: plan id or CID of the plan."""
    found: str | None = await pool.fetchval(
        """SELECT run_id FROM rm_runs
        WHERE (plan_id = $1 OR plan_cid = $1) AND owner = $2 AND status = 'planned' AND NOT deleted
        ORDER BY position DESC LIMIT 1""",
        plan,
        owner,
    )
    return found


async def plan_known(pool: asyncpg.Pool, owner: str, plan: str) -> bool:
    """Return whether a run of the owner's has this plan; ``plan``: plan id or CID of the plan."""
    statement = "SELECT 1 FROM rm_runs WHERE (plan_id = $1 OR plan_cid = $1) AND owner = $2 LIMIT 1"
    return bool(await pool.fetchval(statement, plan, owner))


async def steps(
    pool: asyncpg.Pool, run_id: str, status: str = "", after: int = 0, limit: int | None = None
) -> list[asyncpg.Record]:
    """Return the steps of a run in order, all or those in a status; without the first so many, and at most so many."""
    rows: list[asyncpg.Record] = await pool.fetch(
        """SELECT * FROM rm_run_steps WHERE run_id = $1 AND $2 IN ('', status) ORDER BY step OFFSET $3 LIMIT $4""",
        run_id,
        status,
        after,
        limit,
    )
    return rows


async def made(pool: asyncpg.Pool, run_id: str, after: int, limit: int) -> list[asyncpg.Record]:
    """Return steps of a run that gave an output, in the order in which they did, without the first so many."""
    rows: list[asyncpg.Record] = await pool.fetch(
        """SELECT step, node, type, status, output_cid FROM rm_run_steps WHERE run_id = $1 AND output_cid <> ''
        ORDER BY started_at + duration_ms * interval '1 ms' NULLS FIRST, step OFFSET $2 LIMIT $3""",
        run_id,
        after,
        limit,
    )
    return rows


async def neighbours(pool: asyncpg.Pool, run_id: str, number: int) -> tuple[list[asyncpg.Record], list[asyncpg.Record]]:
    """Return the steps that a step reads, in its own order, and those that read it: ``step`` and ``node`` of each."""
    reads: list[asyncpg.Record] = await pool.fetch(
        """SELECT s.step, s.node FROM rm_run_steps t
        CROSS JOIN unnest(t.inputs) WITH ORDINALITY AS input (step, place)
        JOIN rm_run_steps s ON s.run_id = t.run_id AND s.step = input.step
        WHERE t.run_id = $1 AND t.step = $2 ORDER BY input.place""",
        run_id,
        number,
    )
    readers: list[asyncpg.Record] = await pool.fetch(
        "SELECT step, node FROM rm_run_steps WHERE run_id = $1 AND $2 = ANY (inputs) ORDER BY step", run_id, number
    )
    return reads, readers


async def counts(pool: asyncpg.Pool, run_id: str) -> dict[str, int]:
    """Return how many steps a run has in each status."""
    rows = await pool.fetch("SELECT status, count(*) FROM rm_run_steps WHERE run_id = $1 GROUP BY status", run_id)
    return {row["status"]: row["count"] for row in rows}


async def running(pool: asyncpg.Pool, run_id: str, limit: int = 50) -> list[asyncpg.Record]:
    """Return the steps that executors work on, in order."""
    rows: list[asyncpg.Record] = await pool.fetch(
        """SELECT step, node, type, label, started_at, attempt FROM rm_run_steps
        WHERE run_id = $1 AND status = 'running' ORDER BY step LIMIT $2""",
        run_id,
        limit,
    )
    return rows


async def step(pool: asyncpg.Pool, run_id: str, number: int) -> asyncpg.Record | None:
    """Return a step of a run by its index."""
    return await pool.fetchrow("SELECT * FROM rm_run_steps WHERE run_id = $1 AND step = $2", run_id, number)


async def waiting(pool: asyncpg.Pool, run_id: str, limit: int = 50) -> list[asyncpg.Record]:
    """Return the steps that are between two attempts, in order."""
    return await _standing(pool, run_id, "waiting", limit)


async def failed(pool: asyncpg.Pool, run_id: str, limit: int = 50) -> list[asyncpg.Record]:
    """Return the steps that failed, in order."""
    return await _standing(pool, run_id, "failed", limit)


async def _standing(pool: asyncpg.Pool, run_id: str, status: str, limit: int) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await pool.fetch(
        "SELECT * FROM rm_run_steps WHERE run_id = $1 AND status = $2 ORDER BY step LIMIT $3", run_id, status, limit
    )
    return rows


async def last_outputs(pool: asyncpg.Pool, run_id: str, limit: int = 100) -> list[asyncpg.Record]:
    """Return the steps of a run that gave an output which no further one read: how far each branch came, in order."""
    rows: list[asyncpg.Record] = await pool.fetch(
        """SELECT step, node, type, label, output_cid FROM rm_run_steps
        WHERE run_id = $1 AND status = ANY ($2::text[]) AND type NOT IN ('SOURCE', 'SOURCE_LIST') AND step NOT IN (
            SELECT unnest(inputs) FROM rm_run_steps WHERE run_id = $1 AND status = ANY ($2::text[]))
        ORDER BY step LIMIT $3""",
        run_id,
        list(GIVEN),
        limit,
    )
    return rows


async def not_forced_yet(pool: asyncpg.Pool, run_id: str) -> list[str]:
    """Return the nodes of which a step was to be computed again, and was not."""
    rows = await pool.fetch(
        "SELECT DISTINCT node FROM rm_run_steps WHERE run_id = $1 AND forced AND status <> 'completed' ORDER BY node",
        run_id,
    )
    return [row["node"] for row in rows]


async def places(pool: asyncpg.Pool, cache_id: str) -> list[tuple[str, int, str]]:
    """Return where a cache id is needed now: run id, step, node of every run that is going on."""
    rows = await pool.fetch(
        """SELECT s.run_id, s.step, s.node FROM rm_run_steps s JOIN rm_runs r USING (run_id)
        WHERE s.cache_id = $1 AND r.status <> ALL ($2::text[])""",
        cache_id,
        list(FINISHED),
    )
    return [(row["run_id"], row["step"], row["node"]) for row in rows]
