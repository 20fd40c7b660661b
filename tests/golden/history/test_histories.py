"""What was stored by an earlier version gives the state that it gave then. The files are never changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from artdag_common.application import rebuild
from artdag_common.codec import decode_event, encode_event
from artdag_common.domain.aggregate import EVENTS
from tests.golden.history.histories import FOLDER, replay, state_of
from tests.golden.history.record import HISTORIES, ticks

FILES = sorted(FOLDER.glob("*.json"))


def read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


def known(new: Any, old: Any) -> Any:
    """Return ``new`` without the fields that ``old`` does not know, however deep."""
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: known(new[key], old[key]) for key in old if key in new}
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [known(a, b) for a, b in zip(new, old, strict=True)]
    return new


@pytest.mark.parametrize("name", [f.stem for f in FILES])
def test_an_old_history_gives_the_old_state(name: str) -> None:
    """State that was added since is not in the file; what is in the file is still so."""
    document = read(name)
    state = state_of(replay(document["stream"], document["events"]))
    assert known(state, document["state"]) == document["state"]


@pytest.mark.parametrize("name", [f.stem for f in FILES])
def test_old_bytes_encode_to_themselves(name: str) -> None:
    """Bytes that are read and written again, by an export for instance, keep their hash."""
    document = read(name)
    for event in document["events"]:
        data = bytes.fromhex(event["data"])
        assert encode_event(decode_event(event["type"], document["stream"], event["version"], data)) == data


def test_every_type_of_event_is_in_a_history() -> None:
    recorded = {event["type"] for f in FILES for event in read(f.stem)["events"]}
    assert recorded >= set(EVENTS), "add a history to record.py and run it"


def test_every_history_was_recorded() -> None:
    assert {make.__name__ for make in HISTORIES} <= {f.stem for f in FILES}, "run record.py"


@pytest.mark.parametrize("make", HISTORIES, ids=lambda make: str(make.__name__))
def test_an_aggregate_is_what_its_events_made_it(make: Any) -> None:
    """The decisions change nothing but by their events: replayed, they give the very same state."""
    aggregate = make(ticks())
    before = state_of(aggregate)
    document = read(make.__name__)
    assert before == state_of(replay(aggregate.id, document["events"]))


def test_a_history_without_events_is_nothing() -> None:
    assert rebuild([]) is None
