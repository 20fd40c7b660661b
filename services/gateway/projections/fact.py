"""An event as projections and the live stream see it: decoded, with its position."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from artdag_common.application import decode
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.errors import UnknownEventTypeError
from artdag_common.eventstore.port import Recorded

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Fact:
    """A stored event.

    Attributes:
        event: None for a type that only a newer version knows; it changes nothing here.
        kind: kind of the aggregate it belongs to: run, step, recipe, object, token.
        key: that aggregate's key: a run id, a cache id, a CID, the hash of a token.
    """

    recorded: Recorded
    event: DomainEvent | None
    kind: str
    key: str

    @property
    def position(self) -> int:
        """Its place in the one order of all events."""
        return self.recorded.position

    @property
    def stream(self) -> str:
        """The aggregate it belongs to, ``<kind>-<key>``."""
        return self.recorded.stream


def fact(recorded: Recorded) -> Fact:
    """Decode a stored event."""
    kind, _, key = recorded.stream.partition("-")
    try:
        return Fact(recorded, decode(recorded), kind, key)
    except UnknownEventTypeError:
        log.warning("event of a newer version is passed over", type=recorded.type, position=recorded.position)
        return Fact(recorded, None, kind, key)
