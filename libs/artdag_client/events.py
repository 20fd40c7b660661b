"""Server-sent events, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

ENDINGS = frozenset({"RunCompleted", "RunFailed", "RunCancelled", "RunDeleted"})
"""Types of the events after which a run has no more."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a run, or a word of a step's log.

    Attributes:
        position: its place in the server's log of events; 0: it is not kept there (progress).
        type: such as ``RunPlanned``, ``StepStarted``, ``RunCompleted``, ``progress``.
        data: as the server sends it; of stored events a CloudEvent, whose own ``data`` is :attr:`facts`.
    """

    position: int
    type: str
    data: dict[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """What happened, without the envelope."""
        facts: dict[str, Any] = self.data.get("data", self.data)
        return facts

    @property
    def is_last(self) -> bool:
        """Whether the run is over with it."""
        return self.type in ENDINGS


class EventReader:
    """Makes events of lines."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def take(self, line: str) -> Event | None:
        """Take the next line; return the event that it completes."""
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            known = self._fields.get("data")
            self._fields[name] = f"{known}\n{value}" if name == "data" and known is not None else value
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        return Event(int(fields.get("id") or 0), fields.get("event", "message"), json.loads(fields["data"]))
