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
    """

    recorded: Recorded
    event: DomainEvent | None

    @property
    def position(self) -> int:
        """Its place in the one order of all events."""
        return self.recorded.position

    @property
    def stream(self) -> str:
        """The aggregate it belongs to, ``<kind>-<key>``."""
        return self.recorded.stream

    @property
    def key(self) -> str:
        """The aggregate's key: a run id, a cache id, a CID, the hash of a token."""
        return self.recorded.stream.partition("-")[2]


def fact(recorded: Recorded) -> Fact:
    """Decode a stored event."""
    try:
        return Fact(recorded, decode(recorded))
    except UnknownEventTypeError:
        log.warning("event of a newer version is passed over", type=recorded.type, position=recorded.position)
        return Fact(recorded, None)
