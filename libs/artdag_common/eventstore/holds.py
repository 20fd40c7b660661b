"""Who needs content, in Postgres: read for a decision, written in the transaction of the append that it leads to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg

from artdag_common.domain.retention import ARRIVING, Hold
from artdag_common.eventstore.port import Call
from artdag_common.eventstore.postgres import refusal

UNCOUNTED = -1
"""Size of content that counts for nobody's quota by this need, and is in the books already."""


@dataclass(frozen=True, slots=True)
class Need:
    """Content that somebody needs from now on.

    Attributes:
        stamp: of the file that was seen; 0: none was.
        size_bytes: also take it into the books, and count it for the owner.
    """

    cid: str
    kind: str
    stamp: int = 0
    size_bytes: int = UNCOUNTED


@dataclass(frozen=True, slots=True)
class Book:
    """What the books say of content: see ``content_books`` in the schema."""

    cid: str
    size_bytes: int
    origin: str
    stamp: int
    gone: int | None
    unused_s: float


def columns(needs: Iterable[Need]) -> list[list[Any]]:
    """Return needs as the arrays that the database functions take: CIDs, kinds, stamps, sizes."""
    kept = sorted({(need.cid, need.kind): need for need in needs}.values(), key=lambda need: (need.cid, need.kind))
    return [
        [need.cid for need in kept],
        [need.kind for need in kept],
        [need.stamp for need in kept],
        [need.size_bytes for need in kept],
    ]


def hold(
    holder: str,
    needs: Iterable[Need],
    *,
    owner: str = "",
    quota_bytes: int = 0,
    origin: str = "",
    arrived: bool = False,
) -> Call:
    """Return the call that notes what ``holder`` needs, for ``owner``.

    ``arrived``: it was announced, see :meth:`Holds.announce`.

    The append is refused (:class:`AppendRefusedError`) where content was given up, or the owner's quota is too small.
    """
    cids, kinds, stamps, sizes = columns(needs)
    return Call(
        "content_hold",
        (
            (holder, "text"),
            (owner, "text"),
            (quota_bytes, "bigint"),
            (cids, "text[]"),
            (kinds, "text[]"),
            (stamps, "bigint[]"),
            (sizes, "bigint[]"),
            (origin, "text"),
            (arrived, "boolean"),
        ),
    )


def release(holder: str, kinds: Sequence[str] = (), cid: str = "") -> Call:
    """Return the call that notes what ``holder`` no longer needs. No kinds: of any; no CID: any."""
    return Call("content_release", ((holder, "text"), (list(kinds), "text[]"), (cid, "text")))


def evict(cid: str, known: Iterable[Hold], stamp: int) -> Call:
    """Return the call that gives content up, if exactly these hold it."""
    return Call("content_evict", ((cid, "text"), (_written(known), "text[]"), (stamp, "bigint")))


def disown(cid: str, known: Iterable[Hold], holder: str) -> Call:
    """Return the call that takes one owner's holds off, if exactly these hold it."""
    return Call("content_disown", ((cid, "text"), (_written(known), "text[]"), (holder, "text")))


def _written(holds: Iterable[Hold]) -> list[str]:
    return [f"{hold.kind} {hold.holder}" for hold in holds]


class Holds:
    """Questions to the tables."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def of(self, cids: Iterable[str]) -> dict[str, list[Hold]]:
        """Return who needs content, for each of ``cids``."""
        found: dict[str, list[Hold]] = {cid: [] for cid in cids}
        for row in await self._pool.fetch(
            "SELECT cid, kind, holder, whose FROM content_holds WHERE cid = ANY ($1::text[])", list(found)
        ):
            found[row["cid"]].append(Hold(row["kind"], row["holder"], row["whose"]))
        return found

    async def books(self, cids: Iterable[str]) -> dict[str, Book]:
        """Return what the books say, of those that are in them."""
        rows = await self._pool.fetch(f"{BOOKS} WHERE cid = ANY ($1::text[])", list(cids))
        return {row["cid"]: Book(**row) for row in rows}

    async def unneeded(self, weak: Iterable[str], older_than_s: float, after: str, limit: int) -> list[Book]:
        """Return content that was not used for so long and that only ``weak`` kinds hold, by CID from ``after`` on."""
        rows = await self._pool.fetch(
            f"""{BOOKS} b WHERE gone IS NULL AND used_at <= now() - make_interval(secs => $1) AND cid > $2
            AND NOT EXISTS (SELECT FROM content_holds h WHERE h.cid = b.cid AND NOT h.kind = ANY ($3::text[]))
            ORDER BY cid LIMIT $4""",
            older_than_s,
            after,
            list(weak),
            limit,
        )
        return [Book(**row) for row in rows]

    async def gone(self, after: str, limit: int) -> list[Book]:
        """Return content that was given up and may still be here, by CID from ``after`` on."""
        rows = await self._pool.fetch(
            f"{BOOKS} WHERE gone IS NOT NULL AND NOT removed AND cid > $1 ORDER BY cid LIMIT $2", after, limit
        )
        return [Book(**row) for row in rows]

    async def note_removed(self, books: Iterable[Book]) -> None:
        """Note that the files of what was given up are no more."""
        rows = [(book.cid, book.gone) for book in books]
        await self._pool.execute(
            """UPDATE content_books b SET removed = true FROM unnest($1::text[], $2::bigint[]) r (cid, gone)
            WHERE b.cid = r.cid AND b.gone = r.gone""",
            *map(list, zip(*rows, strict=True)),
        )

    async def keep(self, holder: str, needs: Iterable[Need]) -> None:
        """Note what the system itself needs, which no event tells."""
        await self._run(hold(holder, needs))

    async def stored(self, facts: Mapping[str, tuple[int, str, int]]) -> None:
        """Take content into the books: CID → size in bytes, origin, stamp.

        Raises:
            AppendRefusedError: some was given up, and not stored since; nothing was noted.
        """
        await self._run(stored(facts))

    async def announce(self, cid: str) -> None:
        """Note that content is about to be stored, and then to be entered: it is not given up meanwhile."""
        await self._pool.execute("SELECT content_announce($1, $2)", cid, f"upload-{uuid4()}")

    async def arrived(self, cid: str) -> None:
        """Note that content that was announced is not entered."""
        await self._pool.execute("SELECT content_arrived($1::text[])", [cid])

    async def forget_announced(self, older_than_s: float) -> None:
        """Drop announcements of those who died before they entered anything."""
        await self._pool.execute(
            "DELETE FROM content_holds WHERE kind = $1 AND since < now() - make_interval(secs => $2)",
            ARRIVING,
            older_than_s,
        )

    async def orphaned(self, cid: str, size_bytes: int, stamp: int) -> bool:
        """Give a file up that nobody took into the books. False: somebody did, or needs it."""
        return bool(await self._pool.fetchval("SELECT content_orphan($1, $2, $3)", cid, size_bytes, stamp))

    async def used(self, owner: str) -> int:
        """Return the bytes that an owner's uploads and outputs take, each content once."""
        return int(await self._pool.fetchval("SELECT content_used($1)", owner))

    async def _run(self, call: Call) -> None:
        arguments = ", ".join(f"${place}::{kind}" for place, (_, kind) in enumerate(call.args, 1))
        try:
            await self._pool.execute(f"SELECT {call.function}({arguments})", *(value for value, _ in call.args))
        except asyncpg.PostgresError as error:
            raise refusal(error) or error from None


BOOKS = """SELECT cid, size_bytes, origin, stamp, gone, extract(epoch FROM now() - used_at)::float8 AS unused_s
FROM content_books"""


def stored(facts: Mapping[str, tuple[int, str, int]]) -> Call:
    """Return the call that takes content into the books, or back into them: CID → size in bytes, origin, stamp."""
    cids = sorted(facts)
    return Call(
        "content_stored",
        (
            (cids, "text[]"),
            ([facts[cid][0] for cid in cids], "bigint[]"),
            ([facts[cid][1] for cid in cids], "text[]"),
            ([facts[cid][2] for cid in cids], "bigint[]"),
        ),
    )
