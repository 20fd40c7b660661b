"""A run's file: what it proves, and that nothing in it can be changed unnoticed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from artdag_cli.run_file import RunFile, verify
from artdag_common.application import new_events
from artdag_common.cid import cid_of
from artdag_common.domain.aggregate import Aggregate, DomainEvent
from artdag_common.domain.plan import PlannedStep, canonical_json, plan_document
from artdag_common.domain.provenance import Infrastructure, provenance_record
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.run import InputBinding, Run
from artdag_common.domain.step import Step
from artdag_common.errors import ArtdagError, BrokenHistoryError, MalformedBlockError
from artdag_common.eventstore.chain import GENESIS, link
from artdag_common.eventstore.excerpt import Chained
from artdag_common.eventstore.port import Recorded
from artdag_common.ipld.car import CarFile, FolderCar, Source
from artdag_common.ipld.unixfs import dag_of_file
from artdag_common.run_archive import EVENTS, MANIFEST, Item, Manifest, content_path, named_content

NOW = datetime(2026, 11, 22, tzinfo=UTC)
RUN_ID = "7d0f4a52-9a3b-5d6e-8c1f-2b3a4c5d6e7f"
CACHE_ID = "c0ffee" * 10 + "c0ff"
GIVEN, MADE, RECIPE, SOURCE = b"given", b"made", b"{}", b"name: x"
INFRASTRUCTURE = Infrastructure(cid_of(b"software"), cid_of(b"hardware"), "host")


@dataclass
class Archive:
    """A run's file in parts, each of which a test may change."""

    manifest: Manifest
    events: list[Chained]
    content: dict[str, bytes]
    extra: dict[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write the file."""
        parts = {MANIFEST: self.manifest.write(), EVENTS: b"".join(each.line() for each in self.events)}
        parts |= {content_path(cid): data for cid, data in self.content.items()} | self.extra
        sources = {}
        for number, (path, data) in enumerate(parts.items()):
            place = folder / f"part-{number}"
            place.write_bytes(data)
            sources[path] = Source.at(place, dag_of_file(place))
        car = folder / "run.car"
        car.write_bytes(b"".join(FolderCar(sources)))
        return car


def stored(aggregate: Aggregate, log: list[Chained]) -> None:
    """Append what was decided on an aggregate to a log."""
    events = cast("Sequence[DomainEvent]", aggregate.collect_events())
    for event, new in zip(events, new_events(events, aggregate.id), strict=True):
        position, previous = len(log) + 1, log[-1].hash if log else GENESIS
        recorded = Recorded(aggregate.id, event.originator_version, new.event_id, new.type, new.data, position, NOW)
        log.append(chained(recorded, previous))


def chained(event: Recorded, previous: bytes) -> Chained:
    """An event with the link that fits."""
    hashed = link(previous, event.position, event.stream, event.version, event.event_id, event.type, event.data)
    return Chained(event, previous, hashed)


def make(
    tamper: Callable[[dict[str, Any]], object] = lambda record: None, owner: str = "owner", words: bytes = SOURCE
) -> Archive:
    """The file of a run of one step; ``tamper`` may change the provenance record before it is stored.

    ``words``: the recipe as the run's owner wrote it; if others than the first one's, who registered it before.
    """
    log: list[Chained] = []
    content = {cid_of(data): data for data in (GIVEN, MADE, RECIPE, words, b"software", b"hardware")}
    recipe = Recipe.create(
        Recipe.Registered,
        cid_of(RECIPE),
        NOW,
        name="x",
        recipe_version="1",
        description="",
        owner=owner if words == SOURCE else "the first one",
        source_cid=cid_of(SOURCE),
    )
    if words != SOURCE:
        recipe.register(owner, cid_of(words), NOW)
    stored(recipe, log)
    run = Run.create(
        Run.Requested,
        RUN_ID,
        NOW,
        recipe_cid=cid_of(RECIPE),
        recipe_name="x",
        owner=owner,
        inputs=(InputBinding("media", (cid_of(GIVEN),)),),
        output_name="it",
        hold=False,
    )
    source = PlannedStep("media", "SOURCE", "5" * 64, "{}", (), "x.media.source", 0, cid_of(GIVEN))
    run.plan_steps([source, PlannedStep("one", "NOOP", CACHE_ID, "{}", (0,), "x.one.noop", 1)], NOW)
    plan = canonical_json(plan_document("plan", run.recipe_cid, run.steps, 1))
    content[cid_of(plan)] = plan
    run.complete_plan(cid_of(plan), "plan", 1, NOW)
    run.schedule(NOW, {})
    stored(run, log)
    step = Step.begin(CACHE_ID, "executor", "NOOP", "x.one.noop", NOW)
    step.complete(cid_of(MADE), len(MADE), "text/plain", 1, NOW)
    stored(step, log)
    run.take({CACHE_ID: cid_of(MADE)}, NOW, {})
    record = provenance_record(run, [], INFRASTRUCTURE, "example", NOW)
    tamper(record)
    provenance = orjson.dumps(record)
    content[cid_of(provenance)] = provenance
    run.complete(cid_of(provenance), NOW)
    stored(run, log)
    items = tuple(
        Item(cid, roles, len(content[cid]) if cid in content else None)
        for cid, roles in named_content(run, cid_of(words), record).items()
    )
    state = {
        "status": "completed",
        "output_cid": cid_of(MADE),
        "provenance_cid": cid_of(provenance),
        "plan_cid": cid_of(plan),
        "steps": [
            {"node": "media", "status": "cached", "output_cid": cid_of(GIVEN)},
            {"node": "one", "status": "completed", "output_cid": cid_of(MADE)},
        ],
    }
    manifest = Manifest(RUN_ID, state, len(log), log[-1].hash.hex(), items)
    return Archive(manifest, log, content)


@pytest.fixture
def archive() -> Archive:
    """A file that proves what it states."""
    return make()


async def opened(archive: Archive, folder: Path) -> RunFile:
    """Write and verify it."""
    with CarFile(archive.write(folder)) as car:
        return await verify(car)


async def refused(archive: Archive, folder: Path, said: str, error: type[ArtdagError] = BrokenHistoryError) -> None:
    """Write it, and see it refused."""
    with pytest.raises(error, match=said):
        await opened(archive, folder)


async def test_a_file_proves_what_it_states(archive: Archive, tmp_path: Path) -> None:
    found = await opened(archive, tmp_path)
    assert found.run.output_cid == cid_of(MADE)
    assert len(found.events) == len(archive.events)
    assert found.missing == []


async def test_a_recipe_may_be_in_the_words_of_who_registered_it_later(tmp_path: Path) -> None:
    """The run's owner sees the recipe in words of their own, and these are in the file."""
    found = await opened(make(words=b"name: x  # mine"), tmp_path)
    assert content_path(cid_of(b"name: x  # mine")) in found.files
    assert cid_of(SOURCE) not in {item.cid for item in found.manifest.content}


async def test_what_is_listed_as_missing_may_be(archive: Archive, tmp_path: Path) -> None:
    del archive.content[cid_of(MADE)]
    await refused(archive, tmp_path, "do not agree on content/")
    items = tuple(
        dataclasses.replace(item, size_bytes=None) if item.cid == cid_of(MADE) else item
        for item in archive.manifest.content
    )
    archive.manifest = dataclasses.replace(archive.manifest, content=items)
    assert [item.cid for item in (await opened(archive, tmp_path)).missing] == [cid_of(MADE)]


async def test_content_that_nobody_lists_is_refused(archive: Archive, tmp_path: Path) -> None:
    archive.extra["content/virus.exe"] = b"MZ"
    await refused(archive, tmp_path, r"do not agree on content/virus\.exe")


async def test_content_that_the_run_does_not_name_is_refused(archive: Archive, tmp_path: Path) -> None:
    archive.content[cid_of(b"more")] = b"more"
    more = (*archive.manifest.content, Item(cid_of(b"more"), ("output",), 4))
    archive.manifest = dataclasses.replace(archive.manifest, content=more)
    await refused(archive, tmp_path, "do not agree on content bafy")


async def test_other_bytes_under_a_cid_are_refused(archive: Archive, tmp_path: Path) -> None:
    archive.content[cid_of(MADE)] = b"fake"
    await refused(archive, tmp_path, "is not the 4 bytes that run.json lists")


@pytest.mark.parametrize("part", ["position", "version", "stream", "type", "data", "event_id"])
async def test_a_changed_event_is_noticed(archive: Archive, tmp_path: Path, part: str) -> None:
    other = make(owner="somebody else").events[1].event
    event = archive.events[1].event
    values = {
        "position": 1000,
        "version": event.version + 1,
        "stream": other.stream[:-1] + "0",
        "type": "RunReleased",
        "data": other.data,
        "event_id": archive.events[2].event.event_id,
    }
    changed = dataclasses.replace(event, **{part: values[part]})
    archive.events[1] = dataclasses.replace(archive.events[1], event=changed)
    await refused(archive, tmp_path, "is not what was chained")


@pytest.mark.parametrize("index", [1, 3, -2])
async def test_a_dropped_event_is_noticed(archive: Archive, tmp_path: Path, index: int) -> None:
    """Even where all links of what is left fit."""
    del archive.events[index]
    await refused(archive, tmp_path, "is missing|has no events|another state")


async def test_a_forged_event_in_the_middle_is_noticed(archive: Archive, tmp_path: Path) -> None:
    """Chained anew by whoever forges it, but the next event was chained to the true one."""
    forged = dataclasses.replace(archive.events[1].event, data=make(owner="somebody else").events[1].event.data)
    archive.events[1] = chained(forged, archive.events[1].previous)
    await refused(archive, tmp_path, "is not chained to the event before it")


async def test_a_history_that_was_cut_off_is_noticed(archive: Archive, tmp_path: Path) -> None:
    del archive.events[-1]
    await refused(archive, tmp_path, "does not end at position")


async def test_a_state_that_the_events_do_not_lead_to_is_refused(archive: Archive, tmp_path: Path) -> None:
    for name, value in (("status", "failed"), ("output_cid", cid_of(GIVEN)), ("steps", [])):
        state = archive.manifest.state | {name: value}
        await refused(
            dataclasses.replace(archive, manifest=dataclasses.replace(archive.manifest, state=state)),
            tmp_path,
            f"another state than run.json states: {name}: stated",
        )


async def test_events_of_other_streams_are_refused(archive: Archive, tmp_path: Path) -> None:
    stored(Step.begin("f" * 64, "executor", "NOOP", "", NOW), archive.events)
    last = archive.events[-1]
    archive.manifest = dataclasses.replace(archive.manifest, position=last.event.position, head=last.hash.hex())
    await refused(archive, tmp_path, "events that are not the run's: step-ffff")


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda record: record["output"].update(cid=cid_of(GIVEN)), "says output"),
        (lambda record: record.update(task_id="another"), "says task_id 'another'"),
        (lambda record: record.update(recipe_cid=cid_of(GIVEN)), "says recipe_cid"),
        (lambda record: record.update(plan_cid=cid_of(GIVEN)), "says plan_cid"),
        (lambda record: record["inputs"].clear(), "does not name the input"),
    ],
)
async def test_a_provenance_record_of_something_else_is_refused(
    tmp_path: Path, tamper: Callable[[dict[str, Any]], object], said: str
) -> None:
    await refused(make(tamper), tmp_path, said)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": "artdag-run-1"}', b'{"format": "artdag-run-9"}'])
async def test_a_manifest_that_is_none_is_refused(archive: Archive, tmp_path: Path, data: bytes) -> None:
    archive.extra[MANIFEST] = data
    await refused(archive, tmp_path, r"run\.json")


async def test_names_that_would_move_a_cursor_are_refused(archive: Archive, tmp_path: Path) -> None:
    archive.manifest = dataclasses.replace(archive.manifest, run_id="\x1b[2J")
    await refused(archive, tmp_path, "cannot be printed")


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"[1]\n", b'{"stream": 1}\n', b"\xff\n"])
async def test_a_line_that_is_no_event_is_refused(archive: Archive, tmp_path: Path, line: bytes) -> None:
    archive.extra[EVENTS] = line
    await refused(archive, tmp_path, "is no event")


async def test_an_item_that_is_no_cid_is_refused(archive: Archive, tmp_path: Path) -> None:
    items = (*archive.manifest.content, Item("../../etc/passwd", (), None))
    archive.manifest = dataclasses.replace(archive.manifest, content=items)
    await refused(archive, tmp_path, "which is no CID")


async def test_a_folder_without_a_manifest_is_no_run(archive: Archive, tmp_path: Path) -> None:
    place = tmp_path / "x"
    place.write_bytes(b"x")
    file = tmp_path / "other.car"
    file.write_bytes(b"".join(FolderCar({"x": Source.at(place, dag_of_file(place))})))
    with CarFile(file) as car, pytest.raises(MalformedBlockError, match=r"no run\.json in it"):
        await verify(car)
