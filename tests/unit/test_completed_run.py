"""A run that comes from elsewhere: what is believed of it, and what whoever made it up is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest

from artdag_common import completed_run
from artdag_common.cid import cid_of
from artdag_common.codec import message_class
from artdag_common.completed_run import CompletedRun, check_content, read_completed
from artdag_common.domain.provenance import Infrastructure
from artdag_common.domain.retention import ANALYSIS, INPUT, OUTPUT, PLAN, PROVENANCE, RECIPE, SOURCE
from artdag_common.domain.run import Run
from artdag_common.errors import BrokenHistoryError
from artdag_common.eventstore.chain import GENESIS
from artdag_common.run_archive import Item
from services.planner.needs import UNLIMITED, change_call, import_needs, needed
from tests.unit.cli.test_run_file import CACHE_ID, GIVEN, MADE, NOW, RUN_ID, Archive, chained, make

HERE = "11111111-9a3b-5d6e-8c1f-2b3a4c5d6e7f"
MANIFEST_CID, EVENTS_CID = cid_of(b"manifest"), cid_of(b"events")


@pytest.fixture
def archive() -> Archive:
    """A file that proves what it states."""
    return make(owner="somebody there")


def read(archive: Archive) -> CompletedRun:
    return read_completed(archive.manifest.write(), BytesIO(b"".join(each.line() for each in archive.events)))


def record(found: CompletedRun) -> Run:
    return found.record(HERE, "ada", MANIFEST_CID, EVENTS_CID, NOW)


def check(archive: Archive) -> tuple[Run, dict[str, tuple[str, ...]]]:
    """Read all of it, as the planner does."""
    found = read(archive)
    run = record(found)
    content = archive.content
    return run, check_content(found, run, content[found.planned.plan_cid], content[found.completed.provenance_cid])


def forge(archive: Archive, type_name: str, change: Callable[[Any], object]) -> None:
    """Change events of a type, and chain all anew, as whoever makes a history up would."""
    previous = GENESIS
    for index, each in enumerate(archive.events):
        event = each.event
        if event.type == type_name:
            message = message_class(type_name).FromString(event.data)
            change(message)
            event = dataclasses.replace(event, data=message.SerializeToString())
        archive.events[index] = chained(event, previous)
        previous = archive.events[index].hash
    end(archive)


def end(archive: Archive) -> None:
    """State the end that the events have."""
    last = archive.events[-1]
    archive.manifest = dataclasses.replace(archive.manifest, position=last.event.position, head=last.hash.hex())


def state(archive: Archive, **changed: Any) -> None:
    """State something else of the run."""
    archive.manifest = dataclasses.replace(archive.manifest, state=archive.manifest.state | changed)


def refused(archive: Archive, said: str) -> None:
    with pytest.raises(BrokenHistoryError, match=said):
        check(archive)


def test_a_run_is_shown_as_it_was_and_nothing_of_it_is_to_be_done(archive: Archive) -> None:
    run, _ = check(archive)
    assert (run.status, run.owner, run.key) == ("completed", "ada", HERE)
    assert (run.imported_from, run.imported_events, run.imported_run) == (MANIFEST_CID, EVENTS_CID, RUN_ID)
    assert (run.output_cid, run.provenance_cid) == (cid_of(MADE), archive.manifest.state["provenance_cid"])
    assert (run.output_name, run.recipe_name, run.plan_cid) == ("it", "x", archive.manifest.state["plan_cid"])
    assert run.states == ["cached", "cached"]
    assert run.outputs == [cid_of(GIVEN), cid_of(MADE)]
    assert not run.startable
    assert run.unsatisfied == 0
    names = [type(event).__name__ for event in run.pending_events]
    assert names == ["Requested", "StepsPlanned", "Planned", "Completed"]


def test_an_imported_run_needs_what_any_run_does_and_its_own_record(archive: Archive) -> None:
    run, named = check(archive)
    kinds: dict[str, set[str]] = {}
    for need in import_needs(run, named):
        kinds.setdefault(need.cid, set()).add(need.kind)
    assert kinds[MANIFEST_CID] == kinds[EVENTS_CID] == kinds[run.provenance_cid] == {PROVENANCE}
    assert kinds[cid_of(GIVEN)] == {INPUT, SOURCE}
    assert kinds[cid_of(MADE)] == {OUTPUT}
    assert kinds[run.recipe_cid] == {RECIPE}
    assert kinds[run.plan_cid] == {PLAN}
    assert kinds[cid_of(b"software")] == kinds[cid_of(b"hardware")] == {PROVENANCE}
    assert set(kinds) == {*named, MANIFEST_CID, EVENTS_CID}
    assert ANALYSIS not in set().union(*kinds.values())
    assert needed(run, Infrastructure("ours", "ours", "host")) == [], "it was not rendered with what is here"


def test_an_imported_run_takes_no_place_among_those_that_go_on(archive: Archive) -> None:
    """Whoever has as many runs going on as they may can still import one."""
    run, _ = check(archive)
    begins, waits, finished = (change_call(run, [], UNLIMITED).args[place][0] for place in (1, 2, 4))
    assert (begins, waits, finished) == (False, [], True)


@pytest.mark.parametrize("status", ["failed", "cancelled", "running", None, ["completed"]])
def test_only_what_was_completed_is_imported(archive: Archive, status: Any) -> None:
    state(archive, status=status)
    refused(archive, "only completed runs can be imported. Retry it where it ran")


def cycle(message: Any) -> None:
    message.steps[1].inputs[:] = [1]


def later(message: Any) -> None:
    message.steps[0].inputs[:] = [1]


def before(message: Any) -> None:
    message.steps[1].inputs[:] = [-1]


def no_cache_id(message: Any) -> None:
    message.steps[1].cache_id = "../" * 20


def another_cache_id(message: Any) -> None:
    message.steps[1].cache_id = "f" * 64


def twin(message: Any) -> None:
    message.steps[1].cache_id = message.steps[0].cache_id


def level(message: Any) -> None:
    message.steps[1].level = 2**31 - 1


def cursor(message: Any) -> None:
    message.steps[1].label = "\x1b[2J"


def zero(message: Any) -> None:
    message.steps[1].node = "a\0b"


def long(message: Any) -> None:
    message.steps[1].label = "x" * 1001


def no_parameters(message: Any) -> None:
    message.steps[1].config = "[]"


def other_words(message: Any) -> None:
    message.steps[1].config = '{ "salt": "x" }'


def nul(message: Any) -> None:
    message.steps[1].config = '{"salt":"\\u0000"}'


def open_source(message: Any) -> None:
    message.steps[0].output_cid = ""


def large(message: Any) -> None:
    message.steps[1].config = f'{{"salt":"{"x" * 1_000_000}"}}'


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cycle, "step 1 reads a step that is not before it"),
        (later, "step 0 reads a step that is not before it"),
        (before, "step 1 reads a step that is not before it"),
        (no_cache_id, "which is none"),
        (another_cache_id, f"events that are not the run's: step-{CACHE_ID}"),
        (twin, "step 1 has the cache id of another computation"),
        (level, "step 1 is on level 2147483647"),
        (cursor, "cannot be printed"),
        (zero, "cannot be printed"),
        (long, "too long for a name"),
        (no_parameters, "has parameters that are not written"),
        (other_words, "has parameters that are not written"),
        (nul, "has parameters that are not written"),
        (open_source, "step 0 is a source that is not given"),
        (large, "one alone says more than"),
    ],
)
def test_steps_that_cannot_be_are_refused(archive: Archive, change: Callable[[Any], object], said: str) -> None:
    forge(archive, "RunStepsPlanned", change)
    refused(archive, said)


def other_step(message: Any) -> None:
    message.steps[0].step = 99


def given_step(message: Any) -> None:
    message.steps[0].step = 0


def nothing(message: Any) -> None:
    message.steps[0].output_cid = ""


@pytest.mark.parametrize("change", [other_step, given_step, nothing])
def test_outputs_that_cannot_be_are_refused(archive: Archive, change: Callable[[Any], object]) -> None:
    forge(archive, "RunStepsSatisfied", change)
    refused(archive, "gives an output that it cannot give")


@pytest.mark.parametrize(
    ("type_name", "change", "said"),
    [
        ("RunPlanned", {"output": 9}, "Planned does not belong into a run that was completed"),
        ("RunPlanned", {"output": 0}, "Completed does not belong"),
        ("RunPlanned", {"plan_id": "another"}, "is not that of the run's events"),
        ("RunPlanned", {"plan_id": "a\0"}, "cannot be printed"),
        ("RunCompleted", {"output_cid": cid_of(GIVEN)}, "Completed does not belong"),
        ("RunCompleted", {"provenance_cid": cid_of(GIVEN)}, "another state than run.json states"),
        ("RunRequested", {"imported_from": MANIFEST_CID}, "is itself an import"),
        ("RunRequested", {"recipe_name": "\x1b]0;"}, "cannot be printed"),
        ("RunRequested", {"recipe_cid": cid_of(GIVEN)}, "events that are not the run's: recipe-"),
    ],
)
def test_facts_that_do_not_fit_are_refused(archive: Archive, type_name: str, change: dict[str, Any], said: str) -> None:
    def forged(message: Any) -> None:
        for name, value in change.items():
            setattr(message, name, value)

    forge(archive, type_name, forged)
    refused(archive, said)


def test_a_plan_of_something_else_is_refused(archive: Archive) -> None:
    found = read(archive)
    for plan in (b"{}", b"[", archive.content[found.planned.plan_cid].replace(CACHE_ID.encode(), b"f" * 64)):
        archive.content[found.planned.plan_cid] = plan
        refused(archive, "bafy.* is (no JSON|not that of the run)")


def test_a_record_of_another_run_is_refused() -> None:
    refused(make(lambda record: record.update(task_id="another")), "says task_id 'another'")
    refused(make(lambda record: record["inputs"].clear()), "does not name the input")
    refused(make(lambda record: record.pop("rendered_by")), "is not what it has to be: rendered_by: Field required")
    refused(make(lambda record: record.update(rendered_at="once")), "is not what it has to be: rendered_at")


def test_content_that_the_run_does_not_name_does_not_come_with_it(archive: Archive) -> None:
    """Else it would be shown to whoever lists it."""
    more = (*archive.manifest.content, Item(cid_of(b"secret"), ("output",), 6))
    archive.manifest = dataclasses.replace(archive.manifest, content=more)
    refused(archive, f"do not agree on content {cid_of(b'secret')}")


@pytest.mark.parametrize("name", ["plan_cid", "provenance_cid"])
def test_nothing_is_read_that_is_not_listed(archive: Archive, name: str) -> None:
    """Whoever imports was asked for what is listed only."""
    less = tuple(item for item in archive.manifest.content if item.cid != archive.manifest.state[name])
    archive.manifest = dataclasses.replace(archive.manifest, content=less)
    with pytest.raises(BrokenHistoryError, match="does not list"):
        read(archive)


@pytest.mark.parametrize("steps", ["both", 5, None, [1, 2]])
def test_a_state_that_is_none_is_refused(archive: Archive, steps: Any) -> None:
    state(archive, steps=steps)
    refused(archive, r"run\.json")


def test_what_goes_on_after_its_end_or_never_ends_is_refused(archive: Archive) -> None:
    last = archive.events[-1].event
    again = dataclasses.replace(last, position=last.position + 1, version=last.version + 1)
    archive.events.append(chained(again, archive.events[-1].hash))
    end(archive)
    refused(archive, "goes on after the run was completed")
    del archive.events[-2:]
    end(archive)
    refused(archive, "does not lead to the end of run")


@pytest.mark.parametrize(("index", "position"), [(0, 0), (0, -1), (-1, 2**62 + 1), (-1, 2**64 - 1)])
def test_positions_that_there_are_not_are_refused(archive: Archive, index: int, position: int) -> None:
    """They can be asked for by no page."""
    events = archive.events
    events[index] = chained(dataclasses.replace(events[index].event, position=position), events[index].previous)
    if position == 0:  # right before the next one, which is chained to it
        events[1] = chained(events[1].event, events[0].hash)
        for before, each in enumerate(events[2:], 1):
            events[before + 1] = chained(each.event, events[before].hash)
    end(archive)
    refused(archive, "a position that there is not")


def test_events_that_cannot_be_read_are_refused(archive: Archive) -> None:
    previous = GENESIS
    for index, each in enumerate(archive.events):
        event = (
            dataclasses.replace(each.event, type="StepTakenBack") if each.event.type == "StepStarted" else each.event
        )
        archive.events[index] = chained(event, previous)
        previous = archive.events[index].hash
    end(archive)
    refused(archive, "cannot be read by this version")


@pytest.mark.parametrize("most", ["STEPS", "EDGES"])
def test_more_steps_than_there_may_be_are_refused(archive: Archive, most: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completed_run, most, 0)
    refused(archive, "more steps than")


def test_a_history_without_the_run_is_refused(archive: Archive) -> None:
    archive.manifest = dataclasses.replace(archive.manifest, run_id=HERE)
    refused(archive, "does not begin with the request of run")
