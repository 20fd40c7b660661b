"""What keeps content, in the database: runs, recipes, publications and people, each from its own transaction."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from artdag_common.application import decode
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.commands import DeleteRecipe, DeleteRun, DescribeObject, ExecuteStep
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.run import Run
from artdag_common.domain.step import Step
from artdag_common.errors import (
    ArtdagError,
    ContentInUseError,
    ContentNotFoundError,
    InvalidInputsError,
    NotYoursError,
    OutputPublishedError,
    QuotaExceededError,
    VersionConflictError,
)
from services.planner.engine import Ended
from services.planner.needs import Limits
from tests.integration.cache.conftest import THING, Cache
from tests.integration.events.test_planner import Planner, World


async def computed(cache: Cache, command: ExecuteStep, output: bytes) -> Ended:
    """Complete a step with an output of its own, as an executor would."""
    blob = await cache.blobs.put(output)
    step = await cache.app.find(Step, command.cache_id)
    if step is None:
        step = Step.begin(command.cache_id, "x", command.step_type, command.label, cache.app.clock())
    else:
        step.start("x", command.step_type, command.label, cache.app.clock())
    step.complete(blob.cid, blob.size_bytes, "text/plain", 1, cache.app.clock())
    event = step.pending_events[-1]
    assert isinstance(event, Step.Completed)
    await cache.app.append(step, f"x/{command.cache_id}/{step.attempt}")
    await cache.books.note_arrivals([event])
    return event


async def rendered(cache: Cache, world: World, planner: Planner, output: bytes = b"the output") -> Run:
    """Render the recipe of :mod:`test_planner` to its end."""
    await world.begin(planner)
    for data in (b"left", b"right", output):
        command = planner.sent[[b"left", b"right", output].index(data)]
        await planner.take([await computed(cache, command, data)], f"took/{data!r}")
    run = await cache.app.find(Run, "run1")
    assert run
    for stream in (run.id, Recipe.stream(run.recipe_cid)):
        await cache.books.note_arrivals([decode(recorded) for recorded in await cache.app.store.load(stream)])
    return run


async def test_a_run_keeps_what_it_is_made_of_and_gave(cache: Cache, world: World, planner: Planner) -> None:
    source = await cache.upload(b"source")
    run = await rendered(cache, world, planner)
    assert run.status == "completed"
    assert await cache.kinds(source) == ["input run-run1", "uploaded user-me"]
    assert await cache.kinds(run.output_cid) == ["output run-run1"]
    assert await cache.kinds(run.plan_cid) == ["plan run-run1"]
    assert await cache.kinds(run.provenance_cid) == ["provenance run-run1"]
    assert await cache.kinds(run.recipe_cid) == [f"recipe recipe-{run.recipe_cid}/o", "recipe run-run1"]
    assert await cache.kinds(run.outputs[1]) == [], "an intermediate is let go of when the run is over"
    for cid, rule in ((source, "input"), (run.output_cid, "output"), (run.plan_cid, "record")):
        with pytest.raises(ContentInUseError) as refused:
            await cache.delete(cid, by="o", operator=True)
        assert refused.value.values["rule"] == rule
    await planner.commands.delete_run(DeleteRun("run1"), "delete")
    assert await cache.kinds(source) == ["uploaded user-me"]
    await cache.delete(source)
    assert not await cache.here(b"source")
    report = await cache.garbage.collect(False, 0.0)
    assert {run.output_cid, run.plan_cid, run.outputs[1]} <= {item.cid for item in report.items}
    with pytest.raises(ContentInUseError):
        await cache.delete(run.recipe_cid, by="o", operator=True)
    with pytest.raises(NotYoursError):
        await cache.delete(run.recipe_cid, by="owner", operator=True)
    await planner.commands.delete_recipe(DeleteRecipe(run.recipe_cid, "o"), "forget")
    assert await cache.kinds(run.recipe_cid) == []


async def test_steps_in_progress_are_kept_from_the_garbage_collection(
    cache: Cache, world: World, planner: Planner
) -> None:
    await world.begin(planner)
    event = await computed(cache, planner.sent[0], b"left")
    await planner.take([event], "left")
    report = await cache.garbage.collect(False, 0.0)
    assert event.output_cid not in {item.cid for item in report.items}
    assert await cache.here(b"left")


async def test_a_cached_step_whose_output_went_is_computed_again(cache: Cache, world: World, planner: Planner) -> None:
    run = await rendered(cache, world, planner)
    await planner.commands.delete_run(DeleteRun("run1"), "delete")
    await cache.garbage.collect(False, 0.0)
    world.start = type(world.start)("run2", run.recipe_cid, "o", world.start.inputs)
    source = await world.blobs.put(b"source")
    assert source.cid == world.start.inputs[0].cids[0]
    before = len(planner.sent)
    await planner.commands.start_run(world.start, "start2")
    assert [step.label for step in planner.sent[before:]] == ["g.left.noop", "g.right.noop"]


async def test_a_cached_step_whose_output_goes_while_the_run_is_planned(
    cache: Cache, world: World, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planner saw it; when it says that it needs it, it is gone, and the step is computed again."""
    run = await rendered(cache, world, planner)
    await planner.commands.delete_run(DeleteRun("run1"), "delete")
    seen = planner.engine._seen
    swept: list[int] = []

    async def sweep_first(*arguments: object) -> object:
        found = await seen(*arguments)  # type: ignore[arg-type]
        if any(need.kind == "step" for need in found) and not swept:
            swept.append(len((await cache.garbage.collect(False, 0.0)).items))
        return found

    monkeypatch.setattr(planner.engine, "_seen", sweep_first)
    world.start = type(world.start)("run2", run.recipe_cid, "o", world.start.inputs)
    before = len(planner.sent)
    await planner.commands.start_run(world.start, "start2")
    assert swept
    assert {step.label for step in planner.sent[before:]} == {"g.left.noop", "g.right.noop"}
    again = await cache.app.find(Run, "run2")
    assert again
    assert again.status == "running"


async def test_an_output_that_goes_before_the_run_has_taken_it_is_asked_for_again(
    cache: Cache, world: World, planner: Planner
) -> None:
    await world.begin(planner)
    event = await computed(cache, planner.sent[0], b"left")
    await cache.garbage.collect(False, 0.0)
    assert not await cache.here(b"left")
    before = len(planner.sent)
    await planner.take([event], "left")
    assert [step.label for step in planner.sent[before:]] == ["g.left.noop"]
    await planner.take([await computed(cache, planner.sent[0], b"left")], "left again")
    assert await cache.here(b"left")
    assert await cache.kinds(event.output_cid) == ["step run-run1"]
    assert not (await cache.object(event.output_cid)).evicted


async def test_a_run_that_starts_when_its_input_goes_is_refused(
    cache: Cache, world: World, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = await cache.upload(b"source")
    seen = planner.engine._seen

    async def delete_first(*arguments: object) -> object:
        found = await seen(*arguments)  # type: ignore[arg-type]
        await cache.enter(cid, len(b"source"))
        await cache.delete(cid)
        return found

    monkeypatch.setattr(planner.engine, "_seen", delete_first)
    with pytest.raises(InvalidInputsError) as refused:
        await world.begin(planner)
    assert refused.value.values["missing"] == [cid]
    assert await cache.app.find(Run, "run1") is None
    assert await cache.kinds(cid) == []


async def test_a_published_output_keeps_its_run(cache: Cache, world: World, planner: Planner) -> None:
    run = await rendered(cache, world, planner)
    await cache.publish(run.output_cid)
    with pytest.raises(OutputPublishedError):
        await planner.commands.delete_run(DeleteRun("run1"), "delete")
    shown = (await cache.object(run.output_cid)).object_ids["me"]
    assert await cache.kinds(run.output_cid) == ["output run-run1", f"published publication-{shown}"]


async def test_what_is_published_while_its_run_is_deleted(
    cache: Cache, world: World, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision was made before; the append is refused, and the decision made anew."""
    run = await rendered(cache, world, planner)
    holders = planner.engine.holders
    asked: list[str] = []

    async def publish_after(cid: str) -> object:
        found = await holders(cid)
        if not asked:
            asked.append(cid)
            await cache.publish(cid)
        return found

    monkeypatch.setattr(planner.engine, "holders", publish_after)
    with pytest.raises(OutputPublishedError):
        await planner.commands.delete_run(DeleteRun("run1"), "delete")
    kept = await cache.app.find(Run, "run1")
    assert kept
    assert not kept.deleted
    assert run.output_cid == asked[0]


async def test_a_name_keeps_content_until_it_is_taken_away(cache: Cache) -> None:
    cid = await cache.upload(owner="ann")
    named = DescribeObject(cid, "ben", ("name",), "mine", "", ())
    await cache.books.describe_object(named, "name")
    assert await cache.kinds(cid) == ["named user-ben", "uploaded user-ann"]
    outcome = await cache.delete(cid, by="ann")
    assert b'"deleted":false' in outcome.encode()
    await cache.books.describe_object(DescribeObject(cid, "ben", ("name",), "", "", ()), "unname")
    assert await cache.kinds(cid) == []
    with pytest.raises(NotYoursError):
        await cache.delete(cid, by="ann")
    await cache.delete(cid, by="owner", operator=True)
    assert not await cache.here()


async def test_the_same_command_twice_is_one_deletion(cache: Cache) -> None:
    cid = await cache.upload()
    await cache.delete(cid, command="once")
    await cache.upload()
    assert await cache.app.store.outcome("cache", "once") is not None, "who asks again is told what came of it"
    with pytest.raises(ArtdagError):
        await cache.delete(cid, by="nobody", command="another")
    assert await cache.here()


async def test_an_upload_that_was_announced_is_not_deleted_by_another(cache: Cache, tmp_path: Path) -> None:
    """Its bytes are here, the books do not know yet: the deletion of the one who had it before leaves them."""
    gateway = LocalBlobStore(tmp_path / "cache")
    gateway.announce = cache.holds.announce
    cid = await cache.upload(owner="ann")
    await gateway.put(THING)
    assert b'"deleted":false' in (await cache.delete(cid, by="ann")).encode()
    with pytest.raises(ContentInUseError) as refused:
        await cache.delete(cid, by="owner", operator=True)
    assert refused.value.values["rule"] == "arriving"
    assert await cache.garbage.collect(False, 0.0)
    await cache.enter(cid, len(THING), owner="ben")
    assert await cache.here()
    assert await cache.kinds(cid) == ["uploaded user-ben"]


async def test_content_that_a_service_just_stored_again_is_not_deleted(cache: Cache) -> None:
    cid = await cache.upload()
    await cache.blobs.put(THING)
    with pytest.raises(ContentInUseError) as refused:
        await cache.delete(cid)
    assert refused.value.values["rule"] == "arriving"
    await cache.enter(cid, len(THING))
    await cache.delete(cid)
    with pytest.raises(ContentNotFoundError):
        await cache.delete(cid)


# --- garbage --------------------------------------------------------------------------------------------------------


async def test_a_dry_run_changes_nothing(cache: Cache, world: World, planner: Planner) -> None:
    await rendered(cache, world, planner)
    before = [tuple(row) for row in await cache.pool.fetch("SELECT * FROM content_books ORDER BY cid")]
    report = await cache.garbage.collect(True, 0.0)
    assert {item.why for item in report.items} == {"unused"}
    values = report.values(dry_run=True)
    assert values["bytes"] == len(b"left") + len(b"right"), "the intermediates"
    assert values["count"] == values["why"]["unused"]["count"] == 2
    assert before == [tuple(row) for row in await cache.pool.fetch("SELECT * FROM content_books ORDER BY cid")]
    assert await cache.here(b"left")


async def test_what_was_used_lately_stays(cache: Cache, world: World, planner: Planner) -> None:
    await rendered(cache, world, planner)
    assert (await cache.garbage.collect(False, 86_400.0)).items == []
    await cache.pool.execute("UPDATE content_books SET used_at = now() - interval '2 days'")
    assert len((await cache.garbage.collect(False, None)).items) == 0, "no age: nothing goes for its age"
    assert len((await cache.garbage.collect(False, 86_400.0)).items) == 2


async def test_files_that_nobody_knows_go_after_a_day(cache: Cache) -> None:
    young, old, again = [await cache.blobs.put(data) for data in (b"young", b"old", b"again")]
    kept = await cache.upload(b"kept")
    yesterday = time.time_ns() - 2 * 86_400 * 10**9
    for cid in (old.cid, again.cid, kept):
        os.utime(await cache.blobs.path(cid), ns=(yesterday, yesterday))
    await cache.blobs.put(b"again")
    report = await cache.garbage.collect(False, None)
    assert [(item.cid, item.why) for item in report.items] == [(old.cid, "orphan")]
    assert await cache.blobs.present([young.cid, old.cid, again.cid, kept]) == {young.cid, again.cid, kept}
    assert await cache.upload(b"old") == old.cid
    assert await cache.here(b"old")


# --- quotas ---------------------------------------------------------------------------------------------------------


async def test_two_uploads_at_once_do_not_both_slip_through(cache: Cache) -> None:
    cache.quota_bytes = 150
    blobs = [await cache.blobs.put(bytes([i]) * 100) for i in range(6)]
    results = await asyncio.gather(*(cache.enter(blob.cid, 100) for blob in blobs), return_exceptions=True)
    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(refused) == 5
    assert all(isinstance(each, QuotaExceededError) for each in refused)
    assert refused[0].values["quota_bytes"] == 150  # type: ignore[attr-defined]
    assert await cache.holds.used("me") == 100
    assert len(await cache.blobs.present([blob.cid for blob in blobs])) == 1, "of what was refused nothing is kept"


async def test_content_counts_once_and_for_each_who_has_it(cache: Cache) -> None:
    cache.quota_bytes = 100
    data = b"x" * 80
    cid = await cache.upload(data)
    await cache.upload(data, name="again")
    await cache.upload(data, owner="other")
    assert (await cache.holds.used("me"), await cache.holds.used("other")) == (80, 80)
    with pytest.raises(QuotaExceededError):
        await cache.upload(b"y" * 30)
    await cache.delete(cid)
    assert await cache.holds.used("me") == 0
    await cache.upload(b"y" * 30)


async def test_a_run_beyond_the_quota_fails_and_says_so(cache: Cache, world: World, planner: Planner) -> None:
    planner.engine._limits = Limits(quota_bytes=20)
    run = await rendered(cache, world, planner, output=b"z" * 21)
    assert run.status == "failed"
    assert "21 bytes" in run.error
    assert "ARTDAG_QUOTA_BYTES" in run.error
    assert await cache.holds.used("o") == 0
    await planner.commands.delete_run(DeleteRun("run1"), "delete")


async def test_a_run_within_the_quota_counts(cache: Cache, world: World, planner: Planner) -> None:
    planner.engine._limits = Limits(quota_bytes=20)
    run = await rendered(cache, world, planner, output=b"z" * 20)
    assert run.status == "completed"
    assert await cache.holds.used("o") == 20


async def test_many_bring_the_same_at_once(cache: Cache) -> None:
    """Each in a process of its own: whoever loses decides again."""
    blob = await cache.blobs.put(THING)
    results = await asyncio.gather(
        *(cache.enter(blob.cid, len(THING), owner=f"user{i}") for i in range(4)), return_exceptions=True
    )
    assert all(not isinstance(each, BaseException) or isinstance(each, VersionConflictError) for each in results)
    entered = sum(not isinstance(each, BaseException) for each in results)
    assert entered
    assert len(await cache.kinds(blob.cid)) == entered
