"""The queue of copies in Postgres: what each storage provider has yet to get, who is at it, when it is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from artdag_common.errors import ServiceUnavailableError
from artdag_common.eventstore.postgres import LOST

LEASE_SECONDS = 15.0
"""How long a copy is its maker's without another word from it."""

DUE = "make_interval(secs => {})"

MISSING = """SELECT p.storage_id, p.owner, o.cid
FROM storage_providers p JOIN storage_owned o USING (owner)
WHERE p.state = 'enabled' AND NOT EXISTS (
    SELECT FROM storage_copies c WHERE c.storage_id = p.storage_id AND c.cid = o.cid
) LIMIT $1"""

ASKED_AGAIN = """SELECT p.storage_id, p.owner, c.cid
FROM storage_copies c JOIN storage_providers p USING (storage_id)
WHERE c.state = 'failed' AND c.asked < p.asked AND p.state = 'enabled' LIMIT $1"""

ENQUEUE = """INSERT INTO storage_copies (storage_id, cid, state, asked, due_at)
SELECT storage_id, t.cid, 'waiting', p.asked, now()
FROM unnest($1::text[], $2::text[]) AS t (storage_id, cid) JOIN storage_providers p USING (storage_id)
ON CONFLICT (storage_id, cid) DO UPDATE SET state = 'waiting', attempt = 0, asked = EXCLUDED.asked, due_at = now()
WHERE storage_copies.state = 'failed'"""

OPEN = """(p.state = 'purging' OR (p.state = 'enabled' AND NOT p.refusing))"""
TO_DO = """(c.state IN ('waiting', 'copying') OR (p.state = 'purging' AND c.state = 'made'))"""

READY = f"""SELECT p.storage_id, p.state FROM storage_providers p
WHERE {OPEN} AND p.resume_at <= now() AND (
    EXISTS (SELECT FROM storage_copies c WHERE c.storage_id = p.storage_id AND {TO_DO} AND c.due_at <= now())
    OR (p.state = 'purging' AND NOT EXISTS (
        SELECT FROM storage_copies c WHERE c.storage_id = p.storage_id AND {TO_DO}
    ))
)"""

NEXT = f"""SELECT extract(epoch FROM min(greatest(c.due_at, p.resume_at)) - now())::float8
FROM storage_providers p JOIN storage_copies c USING (storage_id) WHERE {OPEN} AND {TO_DO}"""

CLAIM = f"""UPDATE storage_copies SET state = CASE state WHEN 'made' THEN 'made' ELSE 'copying' END,
    due_at = now() + {DUE.format("$2")}
WHERE (storage_id, cid) = (
    SELECT c.storage_id, c.cid FROM storage_copies c JOIN storage_providers p USING (storage_id)
    WHERE storage_id = $1 AND {TO_DO} AND c.due_at <= now() ORDER BY c.due_at, c.cid LIMIT 1
) RETURNING cid, attempt"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A copy that is to be asked for."""

    storage_id: str
    owner: str
    cid: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A copy that is ours to make, or to remove, for :data:`LEASE_SECONDS`."""

    storage_id: str
    cid: str
    attempt: int


class CopyQueue:
    """Rows of ``storage_copies``: an index of the ``copy-`` streams, put right from them wherever both differ."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def own(self, owned: Sequence[tuple[str, str]]) -> None:
        """Note what is whose: (owner, CID)."""
        await self._run(
            "INSERT INTO storage_owned SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING",
            [owner for owner, _ in owned],
            [cid for _, cid in owned],
        )

    async def disown(self, given_up: Sequence[tuple[str, str]]) -> None:
        """Note what is an owner's no longer, or with an empty owner, nobody's. Copies that are made stay."""
        await self._run(
            """DELETE FROM storage_owned o USING unnest($1::text[], $2::text[]) AS g (owner, cid)
            WHERE o.cid = g.cid AND (o.owner = g.owner OR g.owner = '')""",
            [owner for owner, _ in given_up],
            [cid for _, cid in given_up],
        )

    async def wanted(self, limit: int) -> tuple[list[Wanted], list[Wanted]]:
        """Return copies that nobody asked for yet, and those that failed before they were asked for again."""
        new = await self._run(MISSING, limit)
        again = await self._run(ASKED_AGAIN, limit)
        return [Wanted(*row) for row in new], [Wanted(*row) for row in again]

    async def enqueue(self, wanted: Sequence[Wanted]) -> None:
        """Let copies wait, whose events say that they were asked for."""
        await self._run(ENQUEUE, [each.storage_id for each in wanted], [each.cid for each in wanted])

    async def ready(self) -> dict[str, str]:
        """Return the providers at which there is something to do now, with their state."""
        return {row["storage_id"]: row["state"] for row in await self._run(READY)}

    async def busy(self, storage_ids: Sequence[str]) -> set[str]:
        """Return those of the providers at which a copy is being made or removed, or is still to be."""
        rows = await self._run(
            f"""SELECT DISTINCT p.storage_id FROM storage_providers p JOIN storage_copies c USING (storage_id)
            WHERE p.storage_id = ANY ($1::text[]) AND {TO_DO}""",
            list(storage_ids),
        )
        return {row["storage_id"] for row in rows}

    async def next_seconds(self) -> float | None:
        """Return in how many seconds the next copy is due; None: nothing waits."""
        (row,) = await self._run(NEXT)
        return None if row[0] is None else max(0.0, float(row[0]))

    async def claim(self, storage_id: str) -> Claimed | None:
        """Take the next copy of a provider; while it does not answer, only one at a time is tried."""
        async with self._connection() as connection, connection.transaction():
            provider = await connection.fetchrow(
                """SELECT state, refusing, failures, resume_at <= now() AS resumed FROM storage_providers
                WHERE storage_id = $1 FOR UPDATE""",
                storage_id,
            )
            if provider is None or not provider["resumed"] or (provider["refusing"] and provider["state"] != "purging"):
                return None
            if provider["state"] == "disabled":
                return None
            if provider["failures"] and await connection.fetchval(
                """SELECT EXISTS (
                    SELECT FROM storage_copies WHERE storage_id = $1 AND state = 'copying' AND due_at > now()
                )""",
                storage_id,
            ):
                return None
            row = await connection.fetchrow(CLAIM, storage_id, LEASE_SECONDS)
            return Claimed(storage_id, row["cid"], row["attempt"]) if row else None

    async def extend(self, claimed: Claimed) -> None:
        """Keep a copy ours."""
        await self._run(
            f"""UPDATE storage_copies SET due_at = now() + {DUE.format("$3")}
            WHERE storage_id = $1 AND cid = $2 AND state IN ('copying', 'made')""",
            claimed.storage_id,
            claimed.cid,
            LEASE_SECONDS,
        )

    async def reserve(self, claimed: Claimed, size_bytes: int, capacity_bytes: int) -> int | None:
        """Reserve room for a copy; returns None, or where it does not fit, how many bytes others take.

        Args:
            capacity_bytes: what the provider may hold; 0: no limit.
        """
        async with self._connection() as connection, connection.transaction():
            await connection.execute(
                "SELECT FROM storage_providers WHERE storage_id = $1 FOR UPDATE", claimed.storage_id
            )
            if capacity_bytes:
                used = int(
                    await connection.fetchval(
                        """SELECT coalesce(sum(size_bytes), 0) FROM storage_copies
                        WHERE storage_id = $1 AND cid <> $2 AND state IN ('made', 'copying')""",
                        claimed.storage_id,
                        claimed.cid,
                    )
                )
                if used + size_bytes > capacity_bytes:
                    return used
            await connection.execute(
                "UPDATE storage_copies SET size_bytes = $3 WHERE storage_id = $1 AND cid = $2",
                claimed.storage_id,
                claimed.cid,
                size_bytes,
            )
        return None

    async def made(self, claimed: Claimed) -> None:
        """Note that a copy is there, and that its provider answers."""
        await self._run(
            """WITH done AS (
                UPDATE storage_copies SET state = 'made', due_at = now() WHERE storage_id = $1 AND cid = $2
            )
            UPDATE storage_providers SET failures = 0, resume_at = '-infinity'
            WHERE storage_id = $1 AND failures > 0""",
            claimed.storage_id,
            claimed.cid,
        )

    async def failed(self, claimed: Claimed) -> None:
        """Note that a copy failed for good: it takes no room, and waits for being asked for again."""
        await self._run(
            "UPDATE storage_copies SET state = 'failed', size_bytes = 0 WHERE storage_id = $1 AND cid = $2",
            claimed.storage_id,
            claimed.cid,
        )

    async def later(self, claimed: Claimed, seconds: float) -> None:
        """Let a copy wait for its next attempt."""
        await self._run(
            f"""UPDATE storage_copies SET state = 'waiting', size_bytes = 0, attempt = attempt + 1,
            due_at = now() + {DUE.format("$3")} WHERE storage_id = $1 AND cid = $2 AND state = 'copying'""",
            claimed.storage_id,
            claimed.cid,
            seconds,
        )

    async def release(self, claimed: Claimed) -> None:
        """Give a copy back as it was: somebody else may take it at once."""
        await self._run(
            """UPDATE storage_copies SET state = CASE state WHEN 'copying' THEN 'waiting' ELSE state END, due_at = now()
            WHERE storage_id = $1 AND cid = $2""",
            claimed.storage_id,
            claimed.cid,
        )

    async def failures(self, storage_id: str) -> int:
        """Return how many attempts in a row a provider did not answer."""
        rows = await self._run("SELECT failures FROM storage_providers WHERE storage_id = $1", storage_id)
        return int(rows[0][0]) if rows else 0

    async def pause(self, storage_id: str, seconds: float) -> None:
        """Leave a provider alone for a while: it did not answer."""
        await self._run(
            f"""UPDATE storage_providers SET failures = failures + 1,
            resume_at = greatest(resume_at, now() + {DUE.format("$2")}) WHERE storage_id = $1""",
            storage_id,
            seconds,
        )

    async def drop(self, claimed: Claimed) -> None:
        """Forget a copy."""
        await self._run(
            "DELETE FROM storage_copies WHERE storage_id = $1 AND cid = $2", claimed.storage_id, claimed.cid
        )

    async def left(self, storage_id: str) -> int:
        """Return how many copies of a provider there are rows for."""
        (row,) = await self._run("SELECT count(*) FROM storage_copies WHERE storage_id = $1", storage_id)
        return int(row[0])

    async def providers_of(self, owner: str) -> int:
        """Return how many providers a user has."""
        (row,) = await self._run(
            "SELECT count(*) FROM storage_providers WHERE owner = $1 AND state <> 'purging'", owner
        )
        return int(row[0])

    async def secrets(self, storage_id: str) -> dict[str, bytes]:
        """Return the sealed secrets of a provider."""
        rows = await self._run("SELECT field, sealed FROM storage_secrets WHERE storage_id = $1", storage_id)
        return {row["field"]: row["sealed"] for row in rows}

    def _connection(self) -> Any:
        return _Connection(self._pool)

    async def _run(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        async with self._connection() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *arguments)
            return rows


class _Connection:
    """A connection of the pool; what says that Postgres does not answer becomes the error that says so."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._acquired = pool.acquire()

    async def __aenter__(self) -> Any:
        try:
            return await self._acquired.__aenter__()
        except LOST as error:
            raise ServiceUnavailableError(f"Postgres does not answer: {error}") from error

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        await self._acquired.__aexit__(kind, error, trace)
        if isinstance(error, LOST) and not isinstance(error, asyncio.CancelledError):
            raise ServiceUnavailableError(f"Postgres does not answer: {error}") from error
