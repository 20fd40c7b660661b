"""The hash chain over all events: each link covers an event, its position, and the link before it.

Who changes, drops, adds or moves a stored event breaks every link from there on. ``artdag replay`` checks it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

import asyncpg

GENESIS = bytes(32)
"""What the first link follows."""

PAGE = 5000

LINKS = """SELECT l.position, l.stream, l.version, l.hash, e.event_id, e.type, e.data
FROM es_log l LEFT JOIN es_events e USING (stream, version)
WHERE l.position > $1 AND ($2::bigint IS NULL OR l.position <= $2) ORDER BY l.position LIMIT $3"""


def link(
    previous: bytes, position: int, stream: str, version: int, event_id: UUID, type_name: str, data: bytes
) -> bytes:
    """Return the hash that chains an event to the one before it: 32 bytes."""
    fields = (
        previous,
        str(position).encode(),
        stream.encode(),
        str(version).encode(),
        event_id.bytes,
        type_name.encode(),
        hashlib.sha256(data).digest(),
    )
    return hashlib.sha256(b"\0".join(fields)).digest()


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of the chain found.

    Attributes:
        length: how many positions from the first on are as they were written.
        head: hash of the last of them; compare it with a copy kept elsewhere to notice that the end was cut off.
        broken_at: the first position that does not fit, or None.
        reason: what is wrong there.
    """

    length: int
    head: bytes
    broken_at: int | None = None
    reason: str = ""

    @property
    def intact(self) -> bool:
        """True if everything checked fits."""
        return self.broken_at is None


async def verify_chain(pool: asyncpg.Pool, upto: int | None = None) -> Verified:
    """Compute every link again from the stored events; ``upto``: only to this position."""
    position, head = 0, GENESIS
    while rows := await pool.fetch(LINKS, position, upto, PAGE):
        for row in rows:
            reason = ""
            if row["position"] != position + 1:
                reason = f"position {position + 1} is missing"
            elif row["event_id"] is None:
                reason = f"event {row['version']} of {row['stream']} is missing"
            else:
                expected = link(
                    head, position + 1, row["stream"], row["version"], row["event_id"], row["type"], row["data"]
                )
                if expected != row["hash"]:
                    reason = f"event {row['version']} of {row['stream']} is not what was chained"
            if reason:
                return Verified(position, head, position + 1, reason)
            position, head = position + 1, expected
    return Verified(position, head)
