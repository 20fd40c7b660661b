"""Read models: made the same however events are cut, rebuilt equal, kept by several gateways at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from artdag_cli.system import System, system
from artdag_common.application import Application
from artdag_common.domain.access import Token
from artdag_common.domain.content import Object, Publication, Words
from artdag_common.domain.effect import Effect
from artdag_common.domain.plan import PlannedStep
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.run import InputBinding, Run
from artdag_common.domain.step import Step
from artdag_common.eventstore import postgres
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.relay import Relay
from services.gateway.projections import effects, objects, projector, publications, recipes, runs
from services.gateway.projections.fact import Fact
from services.gateway.projections.objects import FACTS, Filter
from services.gateway.projections.projector import Projector
from services.gateway.projections.rows import UNLISTED
from services.gateway.views import run_detail, step_view

NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
async def own(state: Path) -> AsyncIterator[System]:
    """Backing servers of this file alone: it loses streams on purpose."""
    async with system(state / "projections", 0, services=False) as it:
        yield it


@pytest.fixture(scope="module")
async def pool(own: System) -> AsyncIterator[asyncpg.Pool]:
    """Its database, with read models."""
    it = await postgres.connect(own.environment["DATABASE_URL"])
    await projector.prepare(it)
    yield it
    await it.close()


@pytest.fixture(scope="module")
async def own_bus(own: System) -> AsyncIterator[Bus]:
    """Its bus."""
    it = await Bus.connect(own.environment["NATS_URL"], "test")
    yield it
    await it.close()


@pytest.fixture(scope="module")
async def app(pool: asyncpg.Pool, own_bus: Bus) -> AsyncIterator[Application]:
    """Its event store."""
    store = postgres.PostgresEventStore(pool, own_bus.committed)
    yield Application(store)
    await store.close()


@pytest.fixture(scope="module")
async def history(app: Application, own: System, own_bus: Bus) -> int:
    """Runs of every fate, and all else that read models show; returns the last position."""
    await all_that_happens(app)
    relay = Relay(own.environment["DATABASE_URL"], own_bus)
    connection = await asyncpg.connect(own.environment["DATABASE_URL"])
    while await connection.fetchval("SELECT count(*) FROM es_outbox"):
        await relay.sequence(connection)
    last = await connection.fetchval("SELECT max(position) FROM es_log")
    await connection.close()
    return int(last)


def planned(run: str, count: int) -> list[PlannedStep]:
    """A chain whose first step is there already and whose second is shared by all runs."""
    steps = [PlannedStep("source", "SOURCE", "c0", "{}", (), "r.source", 0, "bafysource")]
    for i in range(1, count):
        cache_id = "shared" if i == 1 else f"{run}-c{i}"
        steps.append(PlannedStep(f"n{i}", "NOOP", cache_id, '{"salt":""}', (i - 1,), f"r.n{i}", i))
    return steps


class Life:
    """Makes one run live, event by event."""

    def __init__(self, app: Application, run_id: str, hold: bool = False, owner: str = "owner", **wishes: Any) -> None:
        self.app = app
        self.turn = 0
        self.run = Run.create(
            Run.Requested,
            run_id,
            self.now,
            recipe_cid="bafyrecipe",
            recipe_name="r",
            owner=owner,
            inputs=(InputBinding("media", ("bafysource",)),),
            output_name="out",
            hold=hold,
            **wishes,
        )

    @property
    def now(self) -> datetime:
        """A later moment each time."""
        self.turn += 1
        return NOW + timedelta(milliseconds=self.turn)

    async def save(self) -> None:
        """Store what happened."""
        await self.app.save(self.run, f"{self.run.id}/{self.turn}")

    async def plan(self, count: int = 4) -> None:
        """Plan and begin."""
        self.run.plan_steps(planned(self.run.key, count), self.now)
        self.run.complete_plan(f"bafyplan{self.run.key}", f"plan-{self.run.key}", count - 1, self.now)
        self.run.schedule(self.now, {})
        await self.save()

    async def step(self, cache_id: str, fails: bool = False) -> None:
        """Let an executor end a step, and the run take notice."""
        step = await self.app.find(Step, cache_id)
        if step is None:
            step = Step.begin(cache_id, "x", "NOOP", "l", self.now)
        else:
            step.start("x", "NOOP", "l", self.now)
        await self.app.save(step, f"{self.run.key}/{step.id}/{self.turn}/start")
        if fails:
            step.fail("step-input", "no good", self.now)
        else:
            step.complete(f"bafyout{cache_id}", 10, "video/mp4", 25, self.now)
        await self.app.save(step, f"{self.run.key}/{step.id}/{self.turn}/end")
        if fails:
            self.run.take_failures({cache_id: (step.version, "step-input", "no good")}, self.now)
        else:
            self.run.take({cache_id: f"bafyout{cache_id}"}, self.now, {})
        await self.save()


async def all_that_happens(app: Application) -> None:
    """Fill the store."""
    good, bad, stopped, waiting, shared = (Life(app, name) for name in ("good", "bad", "stopped", "waiting", "shared"))
    for life in (good, bad, stopped):
        await life.plan()
    held = Life(app, "held", hold=True)
    await held.plan()
    await bad.step("shared", fails=True)
    await waiting.save()
    await shared.plan(3)
    await shared.step("shared")
    good.run.take({"shared": "bafyoutshared"}, good.now, {})
    await good.save()
    await good.step("good-c2")
    await good.step("good-c3")
    good.run.complete("bafyprovenance", good.now)
    await good.save()
    stopped.run.cancel("enough", stopped.now)
    await stopped.save()
    held.run.release(held.now)
    held.run.take({"shared": "bafyoutshared"}, held.now, {})
    held.run.schedule(held.now, {"held-c2": 1})
    await held.save()
    bad.run.delete(bad.now)
    await bad.save()
    await branches(app)
    await shared_while_it_runs(app)

    recipe = Recipe.create(
        Recipe.Registered, "bafyr", NOW, name="r", recipe_version="1", description="", owner="o", source_cid="bafys"
    )
    await app.save(recipe, "recipe/1")
    recipe.delete("o", NOW)
    await app.save(recipe, "recipe/2")
    recipe.register("p", "bafysp", NOW)
    recipe.register("q", "bafysq", NOW)
    recipe.register("o", "bafys", NOW)
    await app.save(recipe, "recipe/3")
    recipe.delete("q", NOW)
    await app.save(recipe, "recipe/4")
    effect = Effect.create(
        Effect.Registered,
        "bafye",
        NOW,
        name="e",
        effect_version="1",
        author="",
        description="",
        kind="frame",
        owner="o",
    )
    effect.claim("p", NOW)
    await app.save(effect, "effect/1")
    effect.disown("o", NOW)
    await app.save(effect, "effect/2")
    content = Object.create(Object.Stored, "bafyo", NOW, size_bytes=3, media_type="video/mp4", origin="upload")
    content.name("owner", "cat", NOW)
    content.name("owner", "dog", NOW)
    content.claim("owner", NOW)
    await app.save(content, "object/1")
    content.describe("owner", Words("cat", "a cat", ("animal", "dance")), NOW)
    content.describe("other", Words("Katze"), NOW)
    said = Publication("Cat", "", "good", "bafyrecipe", "bafyprovenance")
    content.publish("owner", said, ("1", "2"), False, NOW)
    content.claim("other", NOW)
    await app.save(content, "object/2")
    content.disown("other", NOW)
    content.describe("owner", Words(name=""), NOW)
    await app.save(content, "object/3")
    shown = Object.create(Object.Stored, "bafyoutgood-c3", NOW, size_bytes=3, media_type="video/mp4", origin="step")
    shown.publish("owner", Publication("Film", "", "good", "bafyr", "bafyprovenance"), ("3", "4"), False, NOW)
    shown.publish("o", Publication("Film", "", "shared", "bafyr", ""), ("5", "6"), False, NOW)
    await app.save(shown, "shown/1")
    shown.unpublish("o", "7", NOW)
    shown.publish("owner", Publication("Film", "", "", "", ""), ("8", "9"), False, NOW)
    await app.save(shown, "shown/2")
    shown.unpublish("owner", "10", NOW)
    shown.publish("owner", Publication("Film", "", "good", "bafyr", "bafyprovenance"), ("11", "12"), False, NOW)
    await app.save(shown, "shown/3")
    taken_back = Object.create(Object.Stored, "bafye", NOW, size_bytes=3, media_type="text/x-python", origin="effect")
    taken_back.publish("p", Publication("e", ""), ("13", "14"), False, NOW)
    await app.save(taken_back, "taken/1")
    taken_back.unpublish("p", "15", NOW)
    await app.save(taken_back, "taken/2")
    lost = Object.create(Object.Stored, "bafylost", NOW, size_bytes=3, media_type="image/png", origin="upload")
    lost.claim("owner", NOW)
    lost.describe("owner", Words("lost", "it goes", ("gone",)), NOW)
    await app.save(lost, "lost/1")
    lost.evict("owner", "deleted", NOW)
    await app.save(lost, "lost/2")
    back = Object.create(Object.Stored, "bafyback", NOW, size_bytes=3, media_type="image/png", origin="upload")
    back.name("owner", "back", NOW)
    back.evict("gc", "old", NOW)
    back.restore("image/png", "step", NOW)
    await app.save(back, "back/1")
    await looked_into(app, "bafyo", "bafyfacts", "")
    await looked_into(app, "bafyback", "", "no good")
    await looked_into(app, "bafylost", "", "")
    token = Token.create(Token.Attached, "ab12", NOW, user="owner")
    await app.save(token, "token/1")
    token.revoke(NOW)
    await app.save(token, "token/2")


async def branches(app: Application) -> None:
    """A run that goes on without the branches that fail, is paused and resumed, and whose steps take attempts."""
    wishes = {"priority": "batch", "on_failure": "continue", "forced": ("left",), "rerun_of": "good"}
    life = Life(app, "branches", **wishes, deadline_us=1_800_000_000_000_000, wait_timeout_ms=1500)
    run = life.run

    def step(node: str, inputs: tuple[int, ...], forced: bool = False) -> PlannedStep:
        return PlannedStep(node, "NOOP", f"b-{node}", "{}", inputs, f"r.{node}", len(inputs), forced=forced)

    source = PlannedStep("source", "SOURCE", "c0", "{}", (), "r.source", 0, "bafysource")
    left, after = step("left", (0,), forced=True), step("after", (1,))
    run.plan_steps([source, left, after, step("right", (0,)), step("both", (2, 3)), step("slow", (0,))], life.now)
    run.pause(life.now, "owner")
    run.resume(life.now, "owner")
    run.complete_plan("bafyplanb", "planb", 4, life.now)
    run.pause(life.now, "owner")
    await life.save()
    run.resume(life.now, "owner")
    run.schedule(life.now, {})
    await life.save()
    tried = Step.begin("b-left", "x", "NOOP", "l", life.now)
    tried.fail_attempt("media-worker-lost", "it died", life.now)
    await app.save(tried, "branches/left/1")
    tried.start("y", "NOOP", "l", life.now)
    tried.fail("step-input", "no good", life.now)
    await app.save(tried, "branches/left/2")
    run.take_failures({"b-left": (tried.version, "step-input", "no good")}, life.now)
    await life.save()
    run.cancel_step(5, "not that", life.now)
    await life.save()
    slow = Step.begin("b-slow", "x", "NOOP", "l", life.now)
    slow.complete("bafyoutslow", 10, "video/mp4", 25, life.now)  # for somebody else
    await app.save(slow, "branches/slow")
    right = Step.begin("b-right", "x", "NOOP", "l", life.now)
    right.cancel(life.now)
    right.start("y", "NOOP", "l", life.now)
    right.fail_attempt("provider-busy", "later", life.now, 2.5)
    await app.save(right, "branches/right/1")
    right.start("y", "NOOP", "l", life.now)
    right.complete("bafyoutright", 10, "video/mp4", 25, life.now)
    await app.save(right, "branches/right/2")
    run.take({"b-right": "bafyoutright"}, life.now, {})
    run.conclude_failure(life.now)
    await life.save()


async def shared_while_it_runs(app: Application) -> None:
    """Two runs of other people that need one step, which has begun when the second one asks for it."""
    for run_id in ("early", "late", "prompt", "gone", "over"):
        life = Life(app, run_id, owner=run_id)
        source, step = planned(run_id, 2)
        cache_id = {"prompt": "at-once", "gone": "not-any-more", "over": "over-at-once"}.get(run_id, "begun")
        life.run.plan_steps([source, replace(step, cache_id=cache_id)], life.now)
        life.run.complete_plan(f"bafyplan{run_id}", f"plan-{run_id}", 1, life.now)
        if cache_id != "begun":
            await life.save()
            begun = Step.begin(cache_id, "x", "NOOP", "l", life.now)
            if run_id == "gone":
                begun.cancel(life.now)
            elif run_id == "over":
                begun.complete("bafyover", 3, "video/mp4", 7, life.now)
            await app.save(begun, f"{cache_id}/1")
        life.run.schedule(life.now, {})
        if run_id == "over":
            life.run.take({cache_id: "bafyover"}, life.now, {})
        await life.save()
        if run_id == "early":
            await app.save(Step.begin("begun", "x", "NOOP", "l", life.now), "begun/1")


async def looked_into(app: Application, cid: str, document: str, error: str) -> None:
    """Let a run find out what content holds; without document and error it does not come to an end."""
    run = Run.create(
        Run.Requested,
        f"look-{cid}",
        NOW,
        recipe_cid="bafyfactsrecipe",
        recipe_name=FACTS,
        owner=UNLISTED,
        inputs=(InputBinding("media", (cid,)),),
        output_name="",
        hold=False,
    )
    await app.save(run, f"{cid}/1")
    source = PlannedStep("media", "SOURCE", cid, "{}", (), "facts.media", 0, cid)
    run.plan_steps([source, PlannedStep("facts", "PROBE", f"p{cid}", "{}", (0,), "facts.facts", 1)], NOW)
    run.complete_plan("bafyplan", "plan", 1, NOW)
    run.schedule(NOW, {})
    await app.save(run, f"{cid}/2")
    if error:
        run.take_failures({f"p{cid}": (1, "step-input", error)}, NOW)
    elif document:
        run.take({f"p{cid}": document}, NOW, {})
        run.complete("bafyrecord", NOW)
    await app.save(run, f"{cid}/3")


async def dump(pool: asyncpg.Pool) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of all read models."""
    return {
        table: sorted((tuple(row.values()) for row in await pool.fetch(f"SELECT * FROM {table}")), key=repr)
        for table in projector.tables()
    }


async def cut(pool: asyncpg.Pool, size: int) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows that the events make in batches of ``size``."""
    await pool.execute(f"TRUNCATE {', '.join(projector.tables())}")
    await pool.execute("UPDATE rm_position SET position = 0")
    position = 0
    while facts := await projector.read(pool, position, size):
        position = await projector.commit(pool, facts)
    return await dump(pool)


async def test_rows_do_not_depend_on_how_events_are_cut_into_batches(pool, history):
    rebuilt = await projector.rebuild(pool)
    expected = await dump(pool)
    assert rebuilt == history
    for size in (1, 2, 3, 7, 50):
        assert await cut(pool, size) == expected, size


async def test_the_rows_say_what_happened(pool, history):
    await projector.rebuild(pool)
    runs = {row["run_id"]: row for row in await pool.fetch("SELECT * FROM rm_runs WHERE owner = 'owner'")}
    steps = {
        run_id: [
            row["status"]
            for row in await pool.fetch("SELECT status FROM rm_run_steps WHERE run_id = $1 ORDER BY step", run_id)
        ]
        for run_id in runs
    }
    assert {run_id: row["status"] for run_id, row in runs.items()} == {
        "good": "completed",
        "bad": "failed",
        "stopped": "cancelled",
        "waiting": "requested",
        "shared": "running",
        "held": "running",
        "branches": "failed",
    }
    assert steps["good"] == ["cached", "completed", "completed", "completed"]
    assert steps["bad"] == ["cached", "failed", "skipped", "skipped"]
    assert steps["stopped"] == ["cached", "completed", "skipped", "skipped"]  # the shared step ended before the stop
    assert steps["held"] == ["cached", "completed", "scheduled", "pending"]
    for run_id, row in runs.items():
        assert row["cached"] == steps[run_id].count("cached"), run_id
        assert row["completed"] == steps[run_id].count("completed"), run_id
        assert row["total"] == len(steps[run_id])
    assert runs["bad"]["deleted"]
    assert (runs["bad"]["error_code"], runs["bad"]["error_node"]) == ("step-input", "n1")
    again = await pool.fetchrow("SELECT * FROM rm_run_steps WHERE run_id = 'good' AND step = 1")
    assert (again["attempt"], again["duration_ms"], again["output_cid"]) == (2, 25, "bafyoutshared")


async def test_a_run_that_goes_on_without_what_failed_is_told_in_full(pool, history):
    await projector.rebuild(pool)
    run = await runs.find(pool, "branches")
    rows = {row["node"]: row for row in await runs.steps(pool, "branches")}
    assert {node: row["status"] for node, row in rows.items()} == {
        "source": "cached",
        "left": "failed",
        "after": "skipped",
        "right": "completed",
        "both": "skipped",
        "slow": "failed",
    }, "what an executor made of a step that the run does without is another run's"
    failed, given = await runs.failed(pool, "branches"), await runs.last_outputs(pool, "branches")
    view = run_detail(run, {}, [], {}, [], failed, given)
    assert (view["priority"], view["on_failure"], view["forced"]) == ("batch", "continue", ["left"])
    assert (view["rerun_of"], view["deadline"], view["wait_timeout"]) == ("good", "2027-01-15T08:00:00Z", 1.5)
    error = view["error"]
    assert (error["step"], error["code"], error["label"]) == (1, "step-input", "r.left")
    assert error["reason"] == "no good; 1 more failed: slow"
    assert [(each["attempt"], each["kind"], each["status"]) for each in error["attempts"]] == [
        (1, "lost", "failed"),
        (2, "bad-input", "failed"),
    ]
    assert error["attempts"][0]["retry_at"] is not None
    left, slow = view["steps"]["failed"]
    assert (left["reason"], slow["code"], slow["reason"]) == ("no good", "step-cancelled", "not that")
    assert [(each["node"], each["url"]) for each in view["artifacts"]] == [("right", "/cache/bafyoutright/raw")]
    right = step_view(rows["right"])
    assert [(each["attempt"], each["status"]) for each in right["attempts"]] == [
        (1, "cancelled"),
        (2, "failed"),
        (3, "completed"),
    ]
    assert (right["error"], right["advice"], right["retry_at"]) == (None, None, None)
    assert await runs.not_forced_yet(pool, "branches") == ["left"]


async def test_a_step_that_runs_for_another_is_shown_as_running(pool, history):
    """Its owner asked for it after it began."""
    rows = {run: await runs.step(pool, run, 1) for run in ("early", "late")}
    assert {run: (row["status"], row["attempt"]) for run, row in rows.items()} == dict.fromkeys(rows, ("running", 1))
    assert rows["late"]["started_at"] == rows["early"]["started_at"]


async def test_a_step_that_begins_while_it_is_being_asked_for_is_shown_as_running(pool, history):
    """What two services store at once may be ordered either way."""
    prompt, gone = [await runs.step(pool, run, 1) for run in ("prompt", "gone")]
    assert (prompt["status"], prompt["attempt"]) == ("running", 1)
    assert (gone["status"], gone["started_at"]) == ("scheduled", None)
    over = step_view(await runs.step(pool, "over", 1))
    assert (over["status"], over["output_cid"], over["attempt"]) == ("completed", "bafyover", 1)
    assert (over["duration_ms"], [each["status"] for each in over["attempts"]]) == (7, ["completed"])


async def test_the_rows_say_what_is_known_of_content(pool, history):
    await projector.rebuild(pool)
    assert await objects.find(pool, "bafylost") is None
    said = await objects.said_of(pool, "owner", ["bafyo", "bafylost", "bafyback"])
    assert {cid: (each.name, each.tags) for cid, each in said.items()} == {"bafyo": ("", ["animal", "dance"])}
    assert await objects.said_of(pool, "other", ["bafyo"]) == {}
    published = (await publications.publications_of(pool, ["bafyo"]))["bafyo"]
    assert [(each.owner, each.name, each.run_id) for each in published] == [("owner", "Cat", "good")]
    facts = await objects.facts_of(pool, ["bafyo", "bafylost", "bafyback"])
    assert {cid: (row.status, row.document_cid, row.error) for cid, row in facts.items()} == {
        "bafyo": ("known", "bafyfacts", ""),
        "bafyback": ("unreadable", "", "no good"),
        "bafylost": ("pending", "", ""),
    }
    assert await objects.runs_of(pool, "owner", "bafyback") == [], "who looks into content is on no list"
    used = {row["run_id"]: row["roles"] for row in await objects.runs_of(pool, "owner", "bafysource")}
    left = ("good", "stopped", "waiting", "shared", "held", "branches")
    assert used == {run: ["input"] for run in left}, "bad was deleted"
    seen = {row["run_id"]: row["roles"] for row in await objects.runs_of(pool, "other", "bafysource")}
    assert seen == {"good": ["input"]}, "of the others nothing is published"
    assert (await objects.origin_of(pool, "bafyoutgood-c3", "owner"))["run_id"] == "good"
    assert await objects.origin_of(pool, "bafyoutgood-c3", "other") is None


async def test_everybody_s_list_shows_what_they_see(pool, history):
    await projector.rebuild(pool)
    for viewer, chosen, found in (
        ("owner", Filter(), ["bafyoutgood-c3", "bafyo"]),
        ("owner", Filter(types=("video",)), ["bafyoutgood-c3", "bafyo"]),
        ("owner", Filter(types=("image/png", "audio")), []),
        ("owner", Filter(name="CAT"), ["bafyo"]),
        ("owner", Filter(name="ca_"), []),
        ("owner", Filter(tag="dance"), ["bafyo"]),
        ("owner", Filter(tag="dan"), []),
        ("owner", Filter(origin="step"), ["bafyoutgood-c3"]),
        ("owner", Filter(owner="owner"), ["bafyoutgood-c3", "bafyo"]),
        ("owner", Filter(owner="other"), []),
        ("owner", Filter(kept=True), ["bafyoutgood-c3", "bafyo"]),
        ("other", Filter(), ["bafyoutgood-c3", "bafyo"]),  # published
        ("other", Filter(tag="dance"), []),  # not other's word
        ("other", Filter(owner="other"), []),  # given up
        ("p", Filter(), ["bafyoutgood-c3", "bafyo", "bafye"]),
        ("o", Filter(owner="o"), []),
        ("", Filter(), ["bafyoutgood-c3", "bafyo"]),
        ("", Filter(owner="owner"), ["bafyoutgood-c3", "bafyo"]),
        ("", Filter(owner=""), []),
    ):
        rows, total = await objects.newest(pool, viewer, 10, None, chosen)
        assert (sorted(row.cid for row in rows), total) == (sorted(found), len(found)), (viewer, chosen)
    whole, _ = await objects.newest(pool, "p", 10, None, Filter())
    paged, before = [], None
    while rows := (await objects.newest(pool, "p", 1, before, Filter()))[0]:
        paged += rows
        before = rows[-1].position
    assert paged == whole


async def test_recipes_effects_and_runs_are_seen_by_who_has_them_or_where_published(pool, history):
    await projector.rebuild(pool)
    found = {viewer: await recipes.find(pool, viewer, "bafyr") for viewer in ("o", "p", "q", "owner", "")}
    assert {viewer: row.source_cid for viewer, row in found.items() if row} == {"o": "bafys", "p": "bafysp"}
    assert [row.owner for row in (await recipes.newest(pool, "p", 10, None))[0]] == ["p"]
    assert await recipes.newest(pool, "q", 10, None) == ([], 0)
    assert (await recipes.names(pool, "q"), await recipes.names(pool, "p")) == ([], ["r"])
    assert {viewer: bool(await effects.find(pool, viewer, "bafye")) for viewer in ("o", "p", "q", "")} == {
        "o": False,
        "p": True,
        "q": False,
        "": False,
    }
    for viewer, shown in (("owner", 6), ("other", 1), ("", 1)):
        rows, total = await runs.newest(pool, viewer, 10, None, None)
        assert (len(rows), total) == (shown, shown), viewer
    assert [row.run_id for row in (await runs.newest(pool, "other", 10, None, None))[0]] == ["good"]
    assert await runs.newest(pool, "other", 10, None, "running") == ([], 0)
    assert await runs.newest(pool, "other", 10, None, None, "other") == ([], 0)
    assert (await runs.held(pool, "other", "plan-held"), await runs.plan_known(pool, "other", "plan-held")) == (
        None,
        False,
    )


async def test_applied_positions_are_skipped_and_a_gap_is_refused(pool, history):
    await projector.rebuild(pool)
    expected = await dump(pool)
    facts = await projector.read(pool, 0)
    assert await projector.commit(pool, facts[3:9]) == history
    assert await dump(pool) == expected
    await pool.execute(f"TRUNCATE {', '.join(projector.tables())}")
    await pool.execute("UPDATE rm_position SET position = 0")
    assert await projector.commit(pool, facts[:20]) == 20
    assert await projector.commit(pool, facts[4:]) == history  # another gateway cut its batches elsewhere
    assert await dump(pool) == expected
    await pool.execute(f"TRUNCATE {', '.join(projector.tables())}")
    await pool.execute("UPDATE rm_position SET position = 0")
    assert await projector.commit(pool, facts[5:]) == 0
    assert not await pool.fetchval("SELECT count(*) FROM rm_runs")
    assert await projector.commit(pool, facts) == history
    assert await dump(pool) == expected


async def test_an_older_shape_is_made_anew(pool, history):
    await projector.rebuild(pool)
    await pool.execute("UPDATE rm_position SET shape = -1")
    await pool.execute("ALTER TABLE rm_tokens ADD COLUMN old text")
    assert await projector.prepare(pool) == 0
    columns = await pool.fetch("SELECT column_name FROM information_schema.columns WHERE table_name = 'rm_tokens'")
    assert "old" not in {row["column_name"] for row in columns}
    await projector.rebuild(pool)
    assert await pool.fetchval("SELECT count(*) FROM rm_runs") == 15


class Watched:
    """A projector, and the positions it told of."""

    def __init__(self, bus: Bus, pool: asyncpg.Pool) -> None:
        self.positions: list[int] = []
        self.projector = Projector(bus, pool, (self._hear,))

    async def _hear(self, facts: list[Fact]) -> None:
        self.positions += [fact.position for fact in facts]

    async def reach(self, position: int) -> None:
        """Wait until it stands there."""

        async def check() -> bool:
            return self.projector.position >= position

        assert await self.projector.until(check, 20)


async def one_more(app: Application, pool: asyncpg.Pool, name: str) -> int:
    """Let something happen, and return its position once the relay gave it one."""
    token = Token.create(Token.Attached, name, NOW, user="owner")
    await app.save(token, f"token/{name}")
    while True:
        position = await pool.fetchval("SELECT position FROM es_log WHERE stream = $1", token.id)
        if position:
            return int(position)
        await asyncio.sleep(0.005)


async def test_two_gateways_at_once_and_a_stream_that_is_lost(app, pool, own, own_bus, history):
    """Each tells of every event once and in order, the rows are written once, whatever becomes of the stream."""
    await pool.execute("UPDATE rm_position SET position = 0")
    await pool.execute(f"TRUNCATE {', '.join(projector.tables())}")
    relay = Relay(own.environment["DATABASE_URL"], own_bus)
    await relay.start()
    one, two = Watched(own_bus, pool), Watched(own_bus, pool)
    try:
        async with pool.acquire() as other, other.transaction():  # neither reads on before both have begun
            await other.execute("SELECT FROM rm_position FOR UPDATE")
            await asyncio.gather(one.projector.start(), two.projector.start())
        last = 0
        for turn in range(30):
            last = await one_more(app, pool, f"aa{turn}")
        await asyncio.gather(one.reach(last), two.reach(last))
        await own_bus.js.delete_stream(subjects.EVENTS)
        for turn in range(3):
            last = await one_more(app, pool, f"bb{turn}")
        await asyncio.gather(one.reach(last), two.reach(last))
        assert one.positions == two.positions == list(range(1, last + 1))
        assert one.projector.running
        assert two.projector.running
        assert await pool.fetchval("SELECT position FROM rm_position") == last
    finally:
        await asyncio.gather(one.projector.stop(), two.projector.stop())
        await relay.stop()
    live = await dump(pool)
    assert await projector.rebuild(pool) == last
    assert await dump(pool) == live


async def test_the_running_system_s_read_models_equal_rebuilt_ones(live, api, make_recipe, asset, finish):
    recipe = await make_recipe(3)
    started = await api.post("/runs", json={"recipe": recipe["recipe_id"], "inputs": [asset]})
    await finish(started.json()["run_id"])
    pool = await postgres.connect(live.environment["DATABASE_URL"], 2)
    try:
        while True:
            before = await pool.fetchval("SELECT position FROM rm_position")
            shown = await dump(pool)
            if await projector.rebuild(pool) == before:  # else something happened meanwhile
                again = await dump(pool)
                if await pool.fetchval("SELECT position FROM rm_position") == before:
                    break
        assert again == shown
        assert shown["rm_runs"]
    finally:
        await pool.close()
