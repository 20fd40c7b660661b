"""What the reconciler put back that was lost, so that it can be asked what it did: ``artdag doctor``.

A repair is noted only where somebody would have waited in vain: a step that was to be on the queue and was not, an end
that no message had brought, a run that nobody had begun. What is repeated to be on the safe side, and changes nothing,
is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog

from artdag_common.application import decode
from artdag_common.commands import ExecuteSteps
from artdag_common.domain.step import Step
from artdag_common.errors import ArtdagError
from artdag_common.eventstore.port import EventStore
from artdag_common.eventstore.postgres import LOST
from artdag_common.turning import Loop

STEP_SENT = "step-sent-again"
END_TAKEN = "end-taken-in"
RUN_BEGUN = "run-begun"
CONSUMER_MADE = "consumer-made-again"
STREAM_MADE = "stream-made-again"
EXECUTOR_LOST = "executor-lost"

LATE = timedelta(seconds=1)
"""How old an end, or a new run, is that a message should have brought: that takes some 10 ms, the planner's own work
more."""

GATHER_SECONDS = 1.0
"""How long repairs gather before they are written down."""

KEPT_DAYS = 7
KEPT_ROWS = 10_000
MOST_WAITING = 10_000
"""Repairs that are remembered while Postgres does not answer; what is beyond is not noted."""

DETAIL_CHARACTERS = 300

WRITE = f"""WITH added AS (
    INSERT INTO planner_repairs (at, planner, run_id, cache_id, what, detail)
    SELECT r.at, $1, r.run_id, r.cache_id, r.what, r.detail
    FROM unnest($2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[])
        AS r (at, run_id, cache_id, what, detail)
    RETURNING what
), aged AS (
    DELETE FROM planner_repairs WHERE at < now() - interval '{KEPT_DAYS} days'
    OR n <= (SELECT max(n) FROM planner_repairs) - {KEPT_ROWS}
)
INSERT INTO planner_repaired AS known (what, count) SELECT what, count(*) FROM added GROUP BY what ORDER BY what
ON CONFLICT (what) DO UPDATE SET count = known.count + EXCLUDED.count"""

WAITING = (
    "SELECT cache_id, min(run_id) AS run_id FROM planner_waits WHERE cache_id = ANY ($1::text[]) GROUP BY cache_id"
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Repair:
    """Something that was put back."""

    what: str
    run_id: str
    cache_id: str
    detail: str
    at: datetime


class Repairs(Loop):
    """Notes what a planner put back. Costs nothing where nothing is lost."""

    def __init__(self, pool: asyncpg.Pool, store: EventStore, planner: str) -> None:
        """``planner``: name of this replica."""
        self._pool = pool
        self._store = store
        self._planner = planner
        self._noted: list[Repair] = []
        self._sent: list[tuple[Repair, int]] = []  # whose steps may have ended in the very moment
        self._some = asyncio.Event()
        self.busy: Callable[[], bool] = lambda: False
        """Whether messages have come that the planner has not dealt with: what they bring is not lost."""

    async def start(self) -> None:
        """Write down in the background."""
        self._begin_loop(self._work(), "note repairs")

    async def stop(self) -> None:
        """Write down what there is, if that can be done now."""
        await super().stop()
        if self._noted or self._sent:
            await self._write_safely()

    def note(self, what: str, run_id: str = "", cache_id: str = "", detail: str = "") -> None:
        """Note that something was put back."""
        repair = Repair(what, run_id, cache_id, detail[:DETAIL_CHARACTERS], datetime.now(UTC))
        log.warning("repaired", what=what, run_id=run_id, cache_id=cache_id, detail=detail)
        if len(self._noted) < MOST_WAITING:
            self._noted.append(repair)
        self._some.set()

    def sent_again(self, work_class: str, work: ExecuteSteps) -> None:
        """Note that the queue did not have steps which were sent again, unless they just ended."""
        now = datetime.now(UTC)
        for step in work.steps:
            if len(self._sent) < MOST_WAITING:
                repair = Repair(STEP_SENT, "", step.cache_id, f"{work_class}: {step.what}", now)
                self._sent.append((repair, step.version))
        self._some.set()

    def consumer_made(self, name: str) -> None:
        """Note that a consumer of ours had to be made again."""
        self.note(CONSUMER_MADE, detail=name)

    def given_to_others(self, executor: str, subject: str) -> None:
        """Note that something was taken from an executor that is gone."""
        self.note(EXECUTOR_LOST, cache_id=subject.rpartition(".")[2], detail=executor)

    def ends_taken(self, run_id: str, ends: Iterable[Step.Completed | Step.Failed], now: datetime) -> None:
        """Note the ends that the reconciler took in though a message should have brought them long since."""
        if self.busy():
            return
        for event in ends:
            if event.timestamp < now - LATE:
                self.note(END_TAKEN, run_id, event.originator_id.partition("-")[2], event.type_name)

    def run_begun(self, run_id: str, requested_at: datetime, now: datetime) -> None:
        """Note that the reconciler began a run which a message should have begun long since."""
        if not self.busy() and requested_at < now - LATE:
            self.note(RUN_BEGUN, run_id)

    async def _work(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._some.clear()
            await self._write_safely()

    async def _write_safely(self) -> None:
        try:
            await self._write()
        except (ArtdagError, asyncpg.PostgresError, *LOST) as error:
            log.warning("repairs are noted later", error=str(error) or type(error).__name__)
            self._some.set()

    async def _write(self) -> None:
        sent = list(self._sent)
        if sent:
            self._noted += await self._really_lost(sent)
            del self._sent[: len(sent)]
        noted = list(self._noted)
        if noted:
            await self._pool.execute(
                WRITE,
                self._planner,
                [each.at for each in noted],
                [each.run_id for each in noted],
                [each.cache_id for each in noted],
                [each.what for each in noted],
                [each.detail for each in noted],
            )
            del self._noted[: len(noted)]

    async def _really_lost(self, sent: Sequence[tuple[Repair, int]]) -> list[Repair]:
        """Return those whose step had not ended when it was sent again, with a run that waits for it.

        A message is off the queue a moment after its step's end is committed, and a moment before the planner knows.
        """
        cache_ids = list({each.cache_id for each, _ in sent})
        latest = await self._store.latest([Step.stream(cache_id) for cache_id in cache_ids])
        ended = {
            stream.partition("-")[2]: (recorded.version, recorded.recorded_at)
            for stream, recorded in latest.items()
            if isinstance(decode(recorded), Step.Completed | Step.Failed | Step.Cancelled)
        }
        runs = {row["cache_id"]: row["run_id"] for row in await self._pool.fetch(WAITING, cache_ids)}
        return [
            Repair(each.what, runs.get(each.cache_id, ""), each.cache_id, each.detail, each.at)
            for each, version in sent
            if each.cache_id not in ended or ended[each.cache_id][0] <= version or ended[each.cache_id][1] > each.at
        ]
