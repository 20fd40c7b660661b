"""The queue of activities in Postgres: what the registry has yet to decide on, who asks it, when it is asked again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from artdag_common.domain.content import Object
from artdag_common.eventstore.holds import Need, columns
from artdag_common.eventstore.port import Call
from services.cache.rows import Rows

LEASE_SECONDS = 30.0
"""How long an activity is its sender's; longer than the registry may take to answer."""

DUE = "make_interval(secs => {})"

FIRST = "NOT EXISTS (SELECT FROM deliveries e WHERE e.cid = d.cid AND e.owner = d.owner AND e.n < d.n)"

CLAIM = f"""UPDATE deliveries SET due_at = now() + {DUE.format("$1")}
WHERE activity_id = (
    SELECT activity_id FROM deliveries d WHERE due_at <= now() AND {FIRST}
    ORDER BY due_at, n LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING activity_id, cid, owner, attempt, body"""

NEXT = f"SELECT extract(epoch FROM min(due_at) - now())::float8 FROM deliveries d WHERE {FIRST}"


@dataclass(frozen=True, slots=True)
class Sending:
    """An activity that is ours to send for :data:`LEASE_SECONDS`. ``body``: None: it was never sent."""

    activity_id: str
    cid: str
    owner: str
    attempt: int
    body: bytes | None

    def __str__(self) -> str:
        return self.activity_id


def change(content: Object, begins: str, needs: Iterable[Need], ends: str) -> Call:
    """Return the call that goes with publishing or unpublishing: what is needed, and what the registry is told.

    Args:
        content: with what was decided, not stored yet.
        begins: holder of ``needs`` from now on; empty: nobody.
        ends: holder that needs nothing any more; empty: nobody.
    """
    said = [event for event in content.pending_events if isinstance(event, Object.Published | Object.Unpublished)]
    cids, kinds, stamps, sizes = columns(needs)
    return Call(
        "delivery_change",
        (
            (begins, "text"),
            (cids, "text[]"),
            (kinds, "text[]"),
            (stamps, "bigint[]"),
            (sizes, "bigint[]"),
            (ends, "text"),
            (content.key, "text"),
            (said[0].owner if said else "", "text"),
            ([event.activity_id for event in said if event.deliver], "text[]"),
        ),
    )


def settled(activity_id: str) -> Call:
    """Return the call that notes that the registry has decided on an activity."""
    return Call("delivery_settled", ((activity_id, "text"),))


class DeliveryQueue(Rows):
    """Rows of ``deliveries``."""

    async def claim(self) -> Sending | None:
        """Take the next activity that is due."""
        rows = await self._run(CLAIM, LEASE_SECONDS)
        return Sending(**rows[0]) if rows else None

    async def keep(self, sending: Sending, body: bytes) -> bytes:
        """Keep what is about to be sent, and return what is to be: what was kept first."""
        rows = await self._run(
            "UPDATE deliveries SET body = coalesce(body, $2) WHERE activity_id = $1 RETURNING body",
            sending.activity_id,
            body,
        )
        return bytes(rows[0]["body"]) if rows else body

    async def later(self, sending: Sending, seconds: float, reason: str, *, told: bool) -> None:
        """Let an activity wait for its next attempt. ``told``: for as long as the registry asked."""
        await self._run(
            f"""UPDATE deliveries SET due_at = now() + {DUE.format("$2")}, attempt = attempt + 1, last_error = $3,
            told = $4 WHERE activity_id = $1""",
            sending.activity_id,
            seconds,
            reason,
            told,
        )

    async def pause(self, sending: Sending, seconds: float) -> None:
        """Let an activity wait that was not sent: the registry is known to be down."""
        await self._run(
            f"UPDATE deliveries SET due_at = now() + {DUE.format('$2')} WHERE activity_id = $1",
            sending.activity_id,
            seconds,
        )

    async def release(self, sending: Sending) -> None:
        """Give an activity back: somebody else may take it at once."""
        await self._run("UPDATE deliveries SET due_at = now() WHERE activity_id = $1", sending.activity_id)

    async def drop(self, activity_id: str) -> None:
        """Forget an activity that is decided on."""
        await self._run("DELETE FROM deliveries WHERE activity_id = $1", activity_id)

    async def resume(self, spread_seconds: float) -> None:
        """The registry answers: what waits only because it did not is due soon, not all at once."""
        await self._run(
            f"""UPDATE deliveries SET due_at = now() + random() * {DUE.format("$1")}
            WHERE attempt > 0 AND NOT told AND due_at > now() + {DUE.format("$2")}""",
            spread_seconds,
            LEASE_SECONDS,
        )

    async def next_seconds(self) -> float | None:
        """Return in how many seconds the next activity is due; None: nothing waits."""
        (row,) = await self._run(NEXT)
        return None if row[0] is None else max(0.0, float(row[0]))

    async def announce_key(self, pem: str) -> None:
        """Let everybody know the public half of the key that is signed with from now on."""
        await self._run(
            """INSERT INTO actor_keys (pem) VALUES ($1)
            ON CONFLICT (pem) DO UPDATE SET announced_at = clock_timestamp()""",
            pem,
        )
