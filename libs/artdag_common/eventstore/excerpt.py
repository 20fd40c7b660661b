"""The events of some streams as they are stored, each with its link of the hash chain.

A link covers an event, its position and the link before it. With that one beside it, every event can be checked without
the rest of the log; that the whole chain leads there is what ``artdag replay`` checks where the log is.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson

from artdag_common.errors import BrokenHistoryError
from artdag_common.eventstore.chain import link
from artdag_common.eventstore.port import Recorded

PAGE = 1000
LINE_BYTES = 8 << 20

EXCERPT = """SELECT l.position, l.hash, coalesce(p.hash, $4) AS previous,
    e.stream, e.version, e.event_id, e.type, e.data, e.recorded_at
FROM es_log l JOIN es_events e USING (stream, version) LEFT JOIN es_log p ON p.position = l.position - 1
WHERE l.stream = ANY ($1::text[]) AND l.position > $2 ORDER BY l.position LIMIT $3"""


@dataclass(frozen=True, slots=True)
class Chained:
    """A stored event, the link of the chain before it, and its own."""

    event: Recorded
    previous: bytes
    hash: bytes

    def line(self) -> bytes:
        """Return it as a line of JSON."""
        event = self.event
        document = {
            "position": event.position,
            "stream": event.stream,
            "version": event.version,
            "event_id": str(event.event_id),
            "type": event.type,
            "data": base64.b64encode(event.data).decode(),
            "recorded_at": event.recorded_at.isoformat(),
            "previous": self.previous.hex(),
            "hash": self.hash.hex(),
        }
        return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def read_line(line: bytes) -> Chained:
    """Return the event in a line.

    Raises:
        BrokenHistoryError: there is none.
    """
    try:
        document = orjson.loads(line)
        event = Recorded(
            str(document["stream"]),
            int(document["version"]),
            UUID(document["event_id"]),
            str(document["type"]),
            base64.b64decode(document["data"], validate=True),
            int(document["position"]),
            datetime.fromisoformat(document["recorded_at"]),
        )
        return Chained(event, bytes.fromhex(document["previous"]), bytes.fromhex(document["hash"]))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, binascii.Error) as error:
        raise BrokenHistoryError(f"a line of the history is no event: {line[:80]!r}") from error


async def excerpt(pool: asyncpg.Pool, streams: Sequence[str]) -> AsyncIterator[Chained]:
    """Yield the events of streams in the order of the log, as far as they have their positions."""
    position = 0
    genesis = bytes(32)
    while rows := await pool.fetch(EXCERPT, list(streams), position, PAGE, genesis):
        for row in rows:
            position = row["position"]
            event = Recorded(
                row["stream"],
                row["version"],
                row["event_id"],
                row["type"],
                row["data"],
                position,
                row["recorded_at"],
            )
            yield Chained(event, row["previous"], row["hash"])


def checked(events: Iterable[Chained]) -> list[Recorded]:
    """Return events whose links fit: nothing changed, dropped from within a stream, moved or added.

    Raises:
        BrokenHistoryError: names the first event that does not fit.
    """
    good: list[Recorded] = []
    versions: dict[str, int] = {}
    before: Chained | None = None
    for each in events:
        event = each.event
        place = f"event {event.version} of {event.stream}, position {event.position}"
        if before and event.position <= before.event.position:
            raise BrokenHistoryError(f"{place}: comes after position {before.event.position}")
        if before and event.position == before.event.position + 1 and each.previous != before.hash:
            raise BrokenHistoryError(f"{place}: is not chained to the event before it")
        expected = link(
            each.previous, event.position, event.stream, event.version, event.event_id, event.type, event.data
        )
        if each.hash != expected:
            raise BrokenHistoryError(f"{place}: is not what was chained")
        if event.version != versions.get(event.stream, 0) + 1:
            raise BrokenHistoryError(f"{place}: version {versions.get(event.stream, 0) + 1} is missing")
        versions[event.stream] = event.version
        good.append(event)
        before = each
    return good
