"""Dataclasses ↔ the protobuf messages of ``proto/artdag/v1``. Stored bytes and bus payloads are the same bytes.

Class and message share their name and their field names; a test holds them equal. An event's stream and version are
columns and headers, its time is ``at_us``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, get_args, get_origin, get_type_hints

from google.protobuf.message import DecodeError, Message

from artdag_common.commands import COMMANDS, Command
from artdag_common.domain import (  # noqa: F401  (known by this)
    access,
    audit,
    content,
    copy,
    effect,
    recipe,
    run,
    step,
    storage,
    webhook,
)
from artdag_common.domain.aggregate import Creation, DomainEvent, event_class
from artdag_common.errors import MalformedMessageError
from artdag_common.pb import commands_pb2, events_pb2

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ENVELOPE = frozenset({"originator_id", "originator_version", "timestamp", "originator_topic"})


@dataclasses.dataclass(frozen=True, slots=True)
class _Shape:
    """How one dataclass maps to its message."""

    message: type[Message]
    scalars: tuple[str, ...]
    get: Callable[[Any], tuple[Any, ...]]
    lists: tuple[str, ...]
    nested: tuple[tuple[str, _Shape, Callable[..., Any]], ...]

    def to_message(self, value: Any) -> Any:
        fields: dict[str, Any] = dict(zip(self.scalars, self.get(value), strict=True))
        for name in self.lists:
            fields[name] = getattr(value, name)
        for name, shape, _ in self.nested:
            fields[name] = [shape.to_message(item) for item in getattr(value, name)]
        return self.message(**fields)

    def to_fields(self, message: Any) -> dict[str, Any]:
        fields: dict[str, Any] = dict(zip(self.scalars, self.get(message), strict=True))
        for name in self.lists:
            fields[name] = tuple(getattr(message, name))
        for name, shape, make in self.nested:
            fields[name] = tuple([make(**shape.to_fields(item)) for item in getattr(message, name)])
        return fields


def message_class(name: str) -> type[Message]:
    """Return the generated message of this name."""
    found = getattr(events_pb2, name, None) or getattr(commands_pb2, name)
    assert isinstance(found, type)
    return found


_SHAPES: dict[type[Any], _Shape] = {}


def _shape(cls: type[Any], name: str) -> _Shape:
    if cls not in _SHAPES:
        _SHAPES[cls] = _make_shape(cls, name)
    return _SHAPES[cls]


def _make_shape(cls: type[Any], name: str) -> _Shape:
    hints = get_type_hints(cls)
    scalars, lists, nested = [], [], []
    for field in dataclasses.fields(cls):
        if field.name in ENVELOPE:
            continue
        hint = hints[field.name]
        if get_origin(hint) is not tuple:
            scalars.append(field.name)
            continue
        item: Any = get_args(hint)[0]
        if hasattr(item, "__dataclass_fields__"):
            nested.append((field.name, _shape(item, item.__name__), item))
        else:
            lists.append(field.name)
    return _Shape(message_class(name), tuple(scalars), _getter(scalars), tuple(lists), tuple(nested))


def _getter(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that gives these attributes of an object, in order."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple([getattr(value, name) for name in names])


def encode_event(event: DomainEvent) -> bytes:
    """Return the stored bytes of an event."""
    message = _shape(type(event), event.type_name).to_message(event)
    message.at_us = (event.timestamp - EPOCH) // MICROSECOND
    return bytes(message.SerializeToString(deterministic=True))


def decode_event(type_name: str, stream: str, version: int, data: bytes) -> DomainEvent:
    """Return the event that ``data`` holds.

    Raises:
        UnknownEventTypeError: this version knows no such event.
        MalformedMessageError: the bytes are not this message.
    """
    cls = event_class(type_name)
    shape = _shape(cls, type_name)
    try:
        message: Any = shape.message.FromString(data)
        timestamp = EPOCH + message.at_us * MICROSECOND
    except (DecodeError, OverflowError) as error:
        raise MalformedMessageError(f"{type_name} {version} of {stream} cannot be decoded: {error}") from error
    fields = shape.to_fields(message)
    if issubclass(cls, Creation):
        fields["originator_topic"] = stream.partition("-")[0]
    make: Callable[..., DomainEvent] = cls
    return make(
        originator_id=stream,
        originator_version=version,
        timestamp=timestamp,
        **fields,
    )


def encode_command(command: Command) -> bytes:
    """Return the bytes of a command as it travels."""
    return bytes(_shape(type(command), type(command).__name__).to_message(command).SerializeToString())


def decode_command(name: str, data: bytes) -> Command:
    """Return the command that ``data`` holds.

    Raises:
        MalformedMessageError: no such command, or not its bytes.
    """
    cls = COMMANDS.get(name)
    if cls is None:
        raise MalformedMessageError(f"unknown command {name!r}", name=name)
    shape = _shape(cls, name)
    try:
        return cls(**shape.to_fields(shape.message.FromString(data)))
    except DecodeError as error:
        raise MalformedMessageError(f"{name} cannot be decoded: {error}", name=name) from error
