"""How a golden history is written and read: stored events as hexadecimal bytes, and the state they lead to."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from artdag_common.application import rebuild
from artdag_common.codec import encode_event
from artdag_common.domain.aggregate import Aggregate, DomainEvent
from artdag_common.eventstore.port import Recorded

FOLDER = Path(__file__).parent
RECORDED_AT = datetime(2026, 11, 21, tzinfo=UTC)


def state_of(aggregate: Aggregate) -> dict[str, Any]:
    """Return what an aggregate's events made it, as JSON knows it."""
    facts = {name: value for name, value in vars(aggregate).items() if not name.startswith("_")}
    state: dict[str, Any] = json.loads(json.dumps(facts, default=_plain))
    return {"id": aggregate.id, "version": aggregate.version, **state}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} has no place in a golden history")


def stored(aggregate: Aggregate) -> list[dict[str, Any]]:
    """Return the events of a new aggregate as they are stored."""
    return [
        {"version": e.originator_version, "type": e.type_name, "data": encode_event(e).hex()}
        for e in aggregate.collect_events()
        if isinstance(e, DomainEvent)
    ]


def replay(stream: str, events: Sequence[dict[str, Any]]) -> Aggregate:
    """Return the aggregate that stored events lead to with today's code."""
    history = [
        Recorded(stream, e["version"], UUID(int=0), e["type"], bytes.fromhex(e["data"]), 0, RECORDED_AT) for e in events
    ]
    aggregate = rebuild(history)
    assert aggregate is not None
    return aggregate
