"""Slots in Postgres do as the model does that scheduling is tested with, and are never more than there may be."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.planner import slots
from services.planner.slots import Claim, Most, PostgresSlots, Slots
from tests.unit.planner.books import Books, ModelSlots

MOST = Most({"cpu": 3, "gpu": 1}, {"cpu": 2})
STEPS, USERS, RUNS = ("a", "b", "c", "d", "e", "f"), ("ada", "bob", "eve"), ("r1", "r2")
TYPES = ("StepStarted", "StepAttemptFailed", "StepCompleted", "StepFailed", "StepCancelled")

claims = st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(USERS)), min_size=1, max_size=6).map(
    lambda found: [Claim(step, user) for step, user in dict(found).items()]
)
deeds = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from(RUNS), st.sampled_from(STEPS)),
    st.tuples(st.just("leave"), st.sampled_from(RUNS), st.none()),
    st.tuples(st.just("event"), st.sampled_from(TYPES), st.sampled_from(STEPS)),
    st.tuples(st.just("pass"), st.sampled_from([3000, 6000, 11000]), st.none()),
    st.tuples(st.just("take"), st.sampled_from(["cpu", "gpu"]), claims),
    st.tuples(st.just("give back"), st.none() | st.sets(st.sampled_from(STEPS)), st.booleans()),
)


class Kept:
    """The same deeds, done to the model and to Postgres."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.books = Books()
        self.both: tuple[Slots, Slots] = (ModelSlots(self.books, MOST), PostgresSlots(pool, MOST))

    async def do(self, deed: str, one: object, other: object) -> None:
        match deed, one, other:
            case "wait", str(run), str(step):
                self.books.waits[step].add(run)
                await self.pool.execute("INSERT INTO planner_waits VALUES ($1, $2) ON CONFLICT DO NOTHING", step, run)
            case "leave", str(run), _:
                for waiting in self.books.waits.values():
                    waiting.discard(run)
                await self.pool.execute("DELETE FROM planner_waits WHERE run_id = $1", run)
            case "event", str(kind), str(step):
                self.books.streams[step].append(kind)
                await self.pool.execute(
                    "INSERT INTO es_events (stream, version, event_id, type, data) VALUES ($1, $2, $3, $4, '')",
                    f"step-{step}",
                    len(self.books.streams[step]),
                    uuid4(),
                    kind,
                )
            case "pass", int(seconds), _:
                self.books.now += seconds
                await self.pool.execute(
                    "UPDATE planner_slots SET taken_at = taken_at - $1 * interval '1 s',"
                    " left_at = left_at - $1 * interval '1 s'",
                    seconds,
                )
            case "take", str(work_class), list(wanted):
                versions = {step: len(events) for step, events in self.books.streams.items()}
                asked = [Claim(c.cache_id, c.user, versions.get(c.cache_id, 0)) for c in wanted]
                model, real = [await each.take(work_class, asked) for each in self.both]
                assert model == real
            case "give back", among, bool(abandoned):
                assert among is None or isinstance(among, set)
                model, real = [sorted(await each.give_back(among, abandoned)) for each in self.both]
                assert model == real

    async def rows(self) -> dict[str, tuple[object, ...]]:
        found = await self.pool.fetch("SELECT *, left_at IS NOT NULL AS leaving FROM planner_slots")
        return {r["cache_id"]: (r["class"], r["owner"], r["version"], r["wanted"], r["leaving"]) for r in found}

    def modelled(self) -> dict[str, tuple[object, ...]]:
        return {
            step: (s.work_class, s.user, s.version, s.wanted, s.left_at is not None)
            for step, s in self.books.slots.items()
        }


@pytest.fixture
def generous(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans that no test takes, however slow the machine is."""
    monkeypatch.setattr(slots, "STOP_SECONDS", 5000.0)
    monkeypatch.setattr(slots, "UNSEEN_SECONDS", 10_000.0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(deeds, min_size=5, max_size=25))
async def test_postgres_does_as_the_model_does(
    pool: asyncpg.Pool, generous: None, history: list[tuple[str, object, object]]
) -> None:
    await pool.execute("TRUNCATE planner_slots, planner_waits, es_events")
    kept = Kept(pool)
    for deed in history:
        await kept.do(*deed)
        assert await kept.rows() == kept.modelled(), deed


async def test_planners_that_ask_at_once_get_no_more_than_there_are(pool: asyncpg.Pool) -> None:
    most = Most({"cpu": 7}, {"cpu": 3})
    askers = [PostgresSlots(pool, most) for _ in range(8)]
    wanted = [[Claim(f"{asker}-{n}", USERS[n % 3]) for n in range(6)] for asker in range(8)]
    answers = await asyncio.gather(*(each.take("cpu", some) for each, some in zip(askers, wanted, strict=True)))
    granted = [cache_id for taken in answers for cache_id in taken.cache_ids]
    assert len(granted) == len(set(granted)) == 7
    each_user = await pool.fetch("SELECT count(*) FROM planner_slots GROUP BY owner")
    assert max(row["count"] for row in each_user) == 3
    assert answers[-1].full or any(taken.full for taken in answers)
    again = await asyncio.gather(*(each.take("cpu", some) for each, some in zip(askers, wanted, strict=True)))
    assert [taken.cache_ids for taken in again] == [taken.cache_ids for taken in answers], "whoever has one keeps it"


async def test_whoever_looks_at_the_same_time_gives_each_back_once(pool: asyncpg.Pool) -> None:
    most = Most({"cpu": 100})
    await PostgresSlots(pool, most).take("cpu", [Claim(f"{n}", "ada") for n in range(50)])
    askers = [PostgresSlots(pool, most) for _ in range(6)]
    left = await asyncio.gather(*(each.give_back(None, abandoned=True) for each in askers))
    assert sorted(int(step) for some in left for _, step in some) == list(range(50))
    assert await pool.fetchval("SELECT count(*) FROM planner_slots") == 0
