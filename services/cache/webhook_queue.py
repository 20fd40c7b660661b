"""Webhooks in Postgres: what each has yet to be told, who tells it, when it is told again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from artdag_common.codec import decode_event
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.webhook import TOLD, Notice, Webhook
from artdag_common.eventstore.port import Call
from services.cache.rows import Rows

MOST_WEBHOOKS = 20
"""Of one user."""

LAST_SECONDS = 24 * 3600.0
"""For how long a webhook is told something before that is given up."""

LEASE_SECONDS = 60.0
"""How long a notice is its sender's; longer than an answer may take."""

PER_WEBHOOK = 4
"""Notices that are told to one webhook at once; only one while it does not take them."""

DUE = "make_interval(secs => {})"

READY = f"""n.due_at <= now() AND (n.over OR (w.enabled AND w.resume_at <= now() AND (
    SELECT count(*) FROM webhook_notices t WHERE t.webhook_id = w.webhook_id AND t.taken AND t.due_at > now()
) < CASE w.failures WHEN 0 THEN {PER_WEBHOOK} ELSE 1 END))"""

CLAIM = f"""UPDATE webhook_notices n SET taken = true, due_at = now() + {DUE.format("$1")} FROM webhooks w
WHERE w.webhook_id = n.webhook_id AND n.notice_id = (
    SELECT n.notice_id FROM webhook_notices n JOIN webhooks w USING (webhook_id) WHERE {READY}
    ORDER BY n.due_at, n.notice_id LIMIT 1 FOR UPDATE OF n SKIP LOCKED
) RETURNING n.notice_id, n.webhook_id, n.body, n.attempt, n.until <= now() AS last, n.over, n.status, n.last_error,
    w.url, w.sealed, w.failures, w.gave_up, n.due_at AS lease"""

NEXT = """SELECT extract(epoch FROM min(at) - now())::float8 FROM (
    SELECT CASE WHEN n.over THEN n.due_at ELSE greatest(n.due_at, w.resume_at) END AS at
    FROM webhook_notices n JOIN webhooks w USING (webhook_id) WHERE n.over OR w.enabled
) later WHERE at > now()"""
"""Not what is due already: that waits for one of its webhook's that is being sent."""

LATER = f"""WITH waits AS (
    UPDATE webhook_notices SET taken = false, attempt = attempt + 1, due_at = now() + {DUE.format("$3")},
        status = $5, last_error = $6 WHERE notice_id = $1 AND due_at = $7
) UPDATE webhooks SET failures = failures + 1, resume_at = greatest(resume_at, now() + {DUE.format("$4")})
WHERE webhook_id = $2"""

WANTED = """SELECT e.stream, w.webhook_id
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) AS e (stream, version, owner, told)
JOIN webhooks w ON w.owner = e.owner AND w.enabled AND e.told = ANY (w.events)
JOIN es_log l ON l.stream = e.stream AND l.version = e.version AND l.position > w.since
ORDER BY l.position, w.webhook_id"""


@dataclass(frozen=True, slots=True)
class Telling:
    """A notice that is ours to send for :data:`LEASE_SECONDS`.

    Attributes:
        attempt: how many failed before this one.
        last: it is not tried again after this.
        over: it was given up, and is to go to the dead letters; ``status`` and ``last_error`` say why.
        sealed: the webhook's secret.
        failures: attempts in a row that the webhook did not take.
        gave_up: notices in a row that it never took.
        lease: until when it is ours; whoever has another has taken it over.
    """

    notice_id: str
    webhook_id: str
    body: bytes
    attempt: int
    last: bool
    over: bool
    status: int
    last_error: str
    url: str
    sealed: bytes
    failures: int
    gave_up: int
    lease: datetime

    def __str__(self) -> str:
        return self.notice_id


@dataclass(frozen=True, slots=True)
class Target:
    """Where a webhook is, and its sealed secret."""

    url: str
    sealed: bytes


def change(webhook: Webhook, sealed: bytes = b"", *, resume: bool = False) -> Call:
    """Return the call that keeps the rows of a webhook in step with its events.

    Args:
        sealed: its secret, where that is set anew.
        resume: what waits is tried at once, and for as long as if it were new.
    """
    return Call(
        "webhook_change",
        (
            (webhook.key, "text"),
            ("" if webhook.removed else webhook.owner, "text"),
            (webhook.url, "text"),
            (list(webhook.events), "text[]"),
            (webhook.enabled, "boolean"),
            (sealed, "bytea"),
            (resume, "boolean"),
            (MOST_WEBHOOKS, "bigint"),
            (LAST_SECONDS, "double precision"),
        ),
    )


def note(notice: Notice, body: bytes) -> Call:
    """Return the call that has a webhook told something, from the beginning."""
    arguments = ((notice.key, "text"), (notice.webhook_id, "text"), (body, "bytea"), (LAST_SECONDS, "double precision"))
    return Call("webhook_note", arguments)


def settle(notice: Notice) -> Call:
    """Return the call that goes with the end of a notice."""
    delivered = notice.state == "delivered"
    return Call("webhook_settle", ((notice.key, "text"), (notice.webhook_id, "text"), (delivered, "boolean")))


class WebhookQueue(Rows):
    """Rows of ``webhooks`` and ``webhook_notices``."""

    async def any(self) -> bool:
        """Return whether anybody has a webhook."""
        (row,) = await self._run("SELECT EXISTS (SELECT FROM webhooks)")
        return bool(row[0])

    async def events(self, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], DomainEvent]:
        """Return stored events by stream and version, without the rest of their streams: runs are long."""
        rows = await self._run(
            """SELECT e.stream, e.version, e.type, e.data FROM es_events e
            JOIN unnest($1::text[], $2::bigint[]) AS p (stream, version) USING (stream, version)""",
            [stream for stream, _ in places],
            [version for _, version in places],
        )
        return {
            (r["stream"], r["version"]): decode_event(r["type"], r["stream"], r["version"], r["data"]) for r in rows
        }

    async def wanted(self, ends: Iterable[tuple[str, DomainEvent]]) -> list[tuple[str, str]]:
        """Return who is to be told of which ends of runs: (stream of the run, webhook id).

        A webhook is told of what came after it was added, or enabled, in the one order of all events.

        Args:
            ends: with the owner of each run.
        """
        kept = list(ends)
        rows = await self._run(
            WANTED,
            [event.originator_id for _, event in kept],
            [event.originator_version for _, event in kept],
            [owner for owner, _ in kept],
            [TOLD[type(event)] for _, event in kept],
        )
        return [(row["stream"], row["webhook_id"]) for row in rows]

    async def claim(self) -> Telling | None:
        """Take the next notice that is due, of a webhook that may be told one more now."""
        rows = await self._run(CLAIM, LEASE_SECONDS)
        return Telling(**rows[0]) if rows else None

    async def next_seconds(self) -> float | None:
        """Return in how many seconds the next notice is due; None: nothing waits."""
        (row,) = await self._run(NEXT)
        return None if row[0] is None else float(row[0])

    async def later(self, telling: Telling, seconds: float, pause: float, status: int, reason: str) -> None:
        """Let a notice wait for its next attempt, and its webhook, for ``pause`` seconds, for any."""
        await self._run(LATER, telling.notice_id, telling.webhook_id, seconds, pause, status, reason, telling.lease)

    async def pause(self, telling: Telling, seconds: float) -> None:
        """Let a notice wait that was not sent."""
        await self._run(
            f"""UPDATE webhook_notices SET taken = false, due_at = now() + {DUE.format("$2")}
            WHERE notice_id = $1 AND (over OR due_at = $3)""",
            telling.notice_id,
            seconds,
            telling.lease,
        )

    async def release(self, telling: Telling) -> None:
        """Give a notice back: somebody else may take it at once."""
        await self.pause(telling, 0.0)

    async def hurry(self, notice_id: str) -> None:
        """Let a notice that waits be tried at once, and so its webhook."""
        await self._run(
            """WITH waits AS (
                UPDATE webhook_notices SET due_at = now() WHERE notice_id = $1 AND NOT taken RETURNING webhook_id
            ) UPDATE webhooks w SET resume_at = '-infinity' FROM waits WHERE w.webhook_id = waits.webhook_id""",
            notice_id,
        )

    async def drop(self, telling: Telling) -> None:
        """Forget a notice that is settled, unless it was asked for again meanwhile."""
        await self._run(
            "DELETE FROM webhook_notices WHERE notice_id = $1 AND (over OR due_at = $2)",
            telling.notice_id,
            telling.lease,
        )

    async def target(self, webhook_id: str) -> Target | None:
        """Return where a webhook is, and what opens it; None: it is gone."""
        rows = await self._run("SELECT url, sealed FROM webhooks WHERE webhook_id = $1", webhook_id)
        return Target(**rows[0]) if rows else None
