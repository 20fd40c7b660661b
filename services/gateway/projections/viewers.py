"""Who sees stored content: its owners, who gave it to a run or got it of one, and everybody where it is published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.gateway import visibility
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import UNLISTED, arrays, insert

TABLE = "rm_object_viewers"
DDL = """
CREATE TABLE IF NOT EXISTS rm_object_viewers (
    viewer   text        NOT NULL,
    cid      text        NOT NULL,
    position bigint      NOT NULL,
    since    timestamptz NOT NULL,
    kept     boolean     NOT NULL,
    own      boolean     NOT NULL,
    brought  boolean     NOT NULL,
    PRIMARY KEY (cid, viewer)
);
CREATE INDEX IF NOT EXISTS rm_object_viewers_newest ON rm_object_viewers (viewer, position DESC);
CREATE INDEX IF NOT EXISTS rm_object_viewers_kept ON rm_object_viewers (viewer, position DESC) WHERE kept;
"""

COLUMNS = {
    "viewer": "text",
    "cid": "text",
    "position": "bigint",
    "since": "timestamptz",
    "kept": "boolean",
    "own": "boolean",
    "brought": "boolean",
}
WRITE = f"""{insert(TABLE, COLUMNS)}
ON CONFLICT (cid, viewer) DO UPDATE SET kept = rm_object_viewers.kept OR EXCLUDED.kept,
    own = rm_object_viewers.own OR EXCLUDED.own, brought = rm_object_viewers.brought OR EXCLUDED.brought"""
END = """DELETE FROM rm_object_viewers v USING unnest($1::text[], $2::text[]) e (viewer, cid)
WHERE v.viewer = e.viewer AND v.cid = e.cid"""
LOOK_AGAIN = f"""INSERT INTO rm_object_viewers (viewer, cid, position, since, kept, own, brought)
SELECT w.viewer, w.cid, min(s.position), min(s.since), bool_or(s.kept), bool_or(s.own), bool_or(s.brought)
FROM unnest($1::text[], $2::text[]) w (viewer, cid) CROSS JOIN LATERAL (
    SELECT position, since, true AS kept, true AS own, true AS brought FROM rm_object_owners o
    WHERE o.cid = w.cid AND o.owner = w.viewer AND o.held
    UNION ALL SELECT position, since, role = ANY ($3), role = ANY ($4), false FROM rm_object_uses u
    WHERE u.cid = w.cid AND u.owner = w.viewer
    UNION ALL SELECT position, published_at, true, false, false FROM rm_object_publications p
    WHERE p.cid = w.cid AND w.viewer = '{visibility.EVERYBODY}') s
GROUP BY w.viewer, w.cid"""
"""Who sees content after something that let them is over: the least position and time of what is left."""


@dataclass(slots=True)
class ViewerRow:
    """A row of ``rm_object_viewers``: a user who sees content, or everybody (``""``), and since when.

    Attributes:
        kept: it is among what people look for: brought, given to a run or rendered by one, or published.
        own: it is the user's, to describe, publish and delete.
        brought: the user uploaded or imported it.
    """

    viewer: str
    cid: str
    position: int
    since: datetime
    kept: bool
    own: bool
    brought: bool


@dataclass(slots=True)
class Viewers:
    """Who begins to see content by a batch of events, and who perhaps ceases to.

    Attributes:
        lost: (viewer, cid) where something that let the viewer see the content is over.
    """

    rows: dict[tuple[str, str], ViewerRow] = field(default_factory=dict)
    lost: set[tuple[str, str]] = field(default_factory=set)

    def show(self, fact: Fact, viewer: str, cid: str, *, kept: bool, own: bool, brought: bool = False) -> None:
        """Let somebody see content from an event on."""
        assert fact.event
        row = self.rows.setdefault(
            (viewer, cid), ViewerRow(viewer, cid, fact.position, fact.event.timestamp, kept, own, brought)
        )
        row.kept, row.own, row.brought = row.kept or kept, row.own or own, row.brought or brought

    async def write(self, connection: Any) -> None:
        """Write the rows, after those by which people see content."""
        lost = {(viewer, cid) for viewer, cid in self.lost if viewer != UNLISTED}
        if lost:
            some = pairs(lost)
            await connection.execute(END, *some)
            await connection.execute(LOOK_AGAIN, *some, list(visibility.KEPT_ROLES), list(visibility.OWN_ROLES))
        if new := [row for pair, row in self.rows.items() if pair not in lost]:
            await connection.execute(WRITE, *arrays(new, COLUMNS))


def pairs(found: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return pairs as two arrays."""
    kept = list(found)
    return [[one for one, _ in kept], [other for _, other in kept]]
