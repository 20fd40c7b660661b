"""Every event and command against its published message: same fields, same types, same bytes each time."""

from __future__ import annotations

import dataclasses
from datetime import UTC
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from artdag_common.codec import (
    ENVELOPE,
    decode_command,
    decode_event,
    encode_command,
    encode_event,
    message_class,
)
from artdag_common.commands import COMMANDS, Command
from artdag_common.domain.aggregate import AGGREGATES, EVENTS, Creation, DomainEvent
from artdag_common.errors import MalformedMessageError, UnknownEventTypeError
from artdag_common.pb import commands_pb2, events_pb2

SCALARS = {
    str: FieldDescriptor.TYPE_STRING,
    int: FieldDescriptor.TYPE_INT64,
    bool: FieldDescriptor.TYPE_BOOL,
    bytes: FieldDescriptor.TYPE_BYTES,
    float: FieldDescriptor.TYPE_DOUBLE,
}
TRAVELLERS = {
    *("CommandOutcome", "ContentAnswer", "ContentQuestion", "CopyTick", "EventBatch", "StepTick", "StoredEvent"),
    *("ExecutorPresence", "HeldWork", "LetterQuestion", "LetterSettling", "StandingQuestion", "StepLogText"),
    *("GrantBeginning", "GrantPoll", "GrantQuestion", "InstancePresence", "NameQuestion", "RevokedHint"),
    "TokenQuestion",
}
"""Messages that are neither event nor command, nor part of one."""


def facts(cls: type[Any]) -> dict[str, Any]:
    """Return name and type of each fact of an event, command or part."""
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls) if f.name not in ENVELOPE}


def assert_same(cls: type[Any], message: Any, beside: frozenset[str] = frozenset()) -> None:
    """Class and message have the same fields of compatible types, nested ones too."""
    fields = {f.name: f for f in message.fields}
    assert set(facts(cls)) == set(fields) - beside, message.name
    for name, hint in facts(cls).items():
        field = fields[name]
        repeated = get_origin(hint) is tuple
        assert field.is_repeated == repeated, f"{message.name}.{name}"
        kind = get_args(hint)[0] if repeated else hint
        if dataclasses.is_dataclass(kind):
            assert isinstance(kind, type)
            assert field.message_type
            assert field.message_type.name == kind.__name__
            assert_same(kind, field.message_type)
        else:
            assert field.type == SCALARS[kind], f"{message.name}.{name} is {kind}"


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_an_event_has_the_fields_of_its_message(name: str) -> None:
    descriptor = message_class(name).DESCRIPTOR
    assert descriptor.fields_by_name["at_us"].number == 1
    assert_same(EVENTS[name], descriptor, frozenset({"at_us"}))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_has_the_fields_of_its_message(name: str) -> None:
    assert_same(COMMANDS[name], message_class(name).DESCRIPTOR)


def test_every_message_is_an_event_a_command_a_part_of_one_or_a_traveller() -> None:
    def parts(message: Any) -> set[str]:
        nested = [f.message_type for f in message.fields if f.message_type]
        return {m.name for m in nested}.union(*map(parts, nested))

    published = {*events_pb2.DESCRIPTOR.message_types_by_name, *commands_pb2.DESCRIPTOR.message_types_by_name}
    known = {*EVENTS, *COMMANDS, *TRAVELLERS}
    assert known <= published
    assert published - known <= set().union(*(parts(message_class(name).DESCRIPTOR) for name in known))


def test_stored_names_are_unique_and_explicit() -> None:
    topics = [cls.TOPIC for cls in EVENTS.values()]
    assert len(set(topics)) == len(topics)
    for name, cls in EVENTS.items():
        kind, _, what = cls.TOPIC.partition(".")
        assert AGGREGATES[kind].__name__ + "".join(map(str.capitalize, what.split("_"))) == name


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is tuple:
        return st.lists(of_type(get_args(hint)[0]), max_size=3).map(tuple)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return st.builds(hint, **{name: of_type(kind) for name, kind in facts(hint).items()})
    made: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        int: st.integers(-(2**63), 2**63 - 1),
        bool: st.booleans(),
        bytes: st.binary(max_size=20),
    }
    return made[hint]


def an_event(cls: type[DomainEvent]) -> st.SearchStrategy[DomainEvent]:
    envelope: dict[str, st.SearchStrategy[Any]] = {
        "originator_id": st.just(f"{cls.TOPIC.partition('.')[0]}-key"),
        "originator_version": st.integers(1, 2**63 - 1),
        "timestamp": st.datetimes(timezones=st.just(UTC)),
    }
    if issubclass(cls, Creation):
        envelope["originator_topic"] = st.just(cls.TOPIC.partition(".")[0])
    return st.builds(cls, **envelope, **{name: of_type(hint) for name, hint in facts(cls).items()})


def a_command(cls: type[Command]) -> st.SearchStrategy[Command]:
    return st.builds(cls, **{name: of_type(hint) for name, hint in facts(cls).items()})


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_an_event_comes_back_as_it_was(data: st.DataObject) -> None:
    event = data.draw(st.sampled_from(sorted(EVENTS)).flatmap(lambda name: an_event(EVENTS[name])))
    stored = encode_event(event)
    found = decode_event(event.type_name, event.originator_id, event.originator_version, stored)
    assert type(found) is type(event)
    assert vars(found) == vars(event)
    assert encode_event(found) == stored, "stored bytes are the same each time"


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_a_command_comes_back_as_it_was(data: st.DataObject) -> None:
    command = data.draw(st.sampled_from(sorted(COMMANDS)).flatmap(lambda name: a_command(COMMANDS[name])))
    sent = encode_command(command)
    found = decode_command(type(command).__name__, sent)
    assert found == command
    assert encode_command(found) == sent


@given(st.sampled_from(sorted(EVENTS)), st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_an_event_or_malformed(name: str, data: bytes) -> None:
    try:
        event = decode_event(name, "run-a", 1, data)
    except MalformedMessageError:
        return
    assert type(event) is EVENTS[name]


@given(st.sampled_from(sorted(COMMANDS)), st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_command_or_malformed(name: str, data: bytes) -> None:
    try:
        command = decode_command(name, data)
    except MalformedMessageError:
        return
    assert type(command) is COMMANDS[name]


@pytest.mark.parametrize("at_us", [2**62, -(2**62)])
def test_a_time_that_no_calendar_has_is_malformed(at_us: int) -> None:
    with pytest.raises(MalformedMessageError):
        decode_event("RunReleased", "run-a", 1, events_pb2.RunReleased(at_us=at_us).SerializeToString())


def test_an_unknown_event_type_is_named() -> None:
    with pytest.raises(UnknownEventTypeError, match="RunTeleported"):
        decode_event("RunTeleported", "run-a", 1, b"")


def test_an_unknown_command_is_named() -> None:
    with pytest.raises(MalformedMessageError, match="BurnEverything"):
        decode_command("BurnEverything", b"")


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    """Within v1 fields are only added: what is stored by a newer version is read by this one."""
    stored = events_pb2.RunCancelled(at_us=1, reason="r").SerializeToString() + bytes([15 << 3 | 2, 3]) + b"new"
    event = decode_event("RunCancelled", "run-a", 4, stored)
    assert vars(event)["reason"] == "r"


def test_a_field_that_was_not_there_yet_has_its_default() -> None:
    event = decode_event("StepStarted", "step-a", 1, events_pb2.StepStarted(at_us=1, attempt=1).SerializeToString())
    assert (vars(event)["executor"], vars(event)["label"]) == ("", "")
