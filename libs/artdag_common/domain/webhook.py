"""Webhook: an address of a user's own that is told how the user's runs end. Its secret is never in events.

What is told, and how it is signed, follows Standard Webhooks 1.0 (https://www.standardwebhooks.com).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID, uuid5

from artdag_common.domain.aggregate import Aggregate, Creation, DomainEvent, aggregate
from artdag_common.domain.failure import ADVICE, kind_of
from artdag_common.domain.run import Run
from artdag_common.errors import InvalidRequestError, WebhookDisabledError, WebhookNotFoundError

NOTICE_IDS = UUID("c1d1b8a2-5b0f-5a6e-8f64-61727464616e")
TOLD: Mapping[type[DomainEvent], str] = {
    Run.Completed: "run.completed",
    Run.Failed: "run.failed",
    Run.Cancelled: "run.cancelled",
}
"""Ends of runs, and what a webhook calls them."""

PING = "ping"
CANCELLED = "cancelled"
SECRET_PREFIX = "whsec_"  # noqa: S105  (what secrets begin with)
LEAST_SECRET_BYTES, MOST_SECRET_BYTES = 24, 64


@aggregate
class Webhook(Aggregate, created_event_name="Added"):
    """One address of one user. Appended by the cache service only."""

    TOPIC = "webhook"

    class Event(Aggregate.Event):
        TOPIC: ClassVar[str] = "webhook.event"

    class Added(Event, Creation):
        """A user named an address that is to be told. ``events``: of what."""

        TOPIC: ClassVar[str] = "webhook.added"
        owner: str
        url: str
        events: tuple[str, ...]

    class Edited(Event):
        """Another address, or other events; ``resealed``: the secret was set anew."""

        TOPIC: ClassVar[str] = "webhook.edited"
        url: str
        events: tuple[str, ...]
        resealed: bool

        def apply(self, webhook: Webhook) -> None:
            webhook.url, webhook.events = self.url, self.events

    class Disabled(Event):
        """It is told nothing for now. ``reason``: why the server did so; empty: its owner did."""

        TOPIC: ClassVar[str] = "webhook.disabled"
        reason: str

        def apply(self, webhook: Webhook) -> None:
            webhook.enabled = False

    class Enabled(Event):
        """It is told again, of what ends from now on and of what waited."""

        TOPIC: ClassVar[str] = "webhook.enabled"

        def apply(self, webhook: Webhook) -> None:
            webhook.enabled = True

    class Removed(Event):
        """It is gone, with its secret. ``by``: who removed it, where it was not its owner."""

        TOPIC: ClassVar[str] = "webhook.removed"
        by: str

        def apply(self, webhook: Webhook) -> None:
            webhook.removed, webhook.enabled = True, False

    def __init__(self, owner: str, url: str, events: tuple[str, ...]) -> None:
        self.owner = owner
        self.url = url
        self.events = events
        self.enabled = True
        self.removed = False

    def edit(self, url: str, events: tuple[str, ...], resealed: bool, now: datetime) -> None:
        """Change address and events; ``resealed``: the secret too."""
        self.exists()
        if (url, events) != (self.url, self.events) or resealed:
            self.record(Webhook.Edited, now, url=url, events=events, resealed=resealed)

    def switch(self, enabled: bool, now: datetime, reason: str = "") -> None:
        """Tell it again, or nothing for now; ``reason``: why, where it is not its owner who asks."""
        self.exists()
        if enabled and not self.enabled:
            self.record(Webhook.Enabled, now)
        elif self.enabled and not enabled:
            self.record(Webhook.Disabled, now, reason=reason)

    def remove(self, now: datetime, by: str = "") -> None:
        """Forget it."""
        self.exists()
        self.record(Webhook.Removed, now, by=by)

    def exists(self) -> None:
        """Make sure that it is there.

        Raises:
            WebhookNotFoundError: it was removed. So do all that change it.
        """
        if self.removed:
            raise WebhookNotFoundError(f"no webhook {self.key}", webhook=self.key)

    def can_be_told(self) -> None:
        """Make sure that it is told anything at all.

        Raises:
            WebhookDisabledError: it is disabled.
        """
        self.exists()
        if not self.enabled:
            raise WebhookDisabledError(f"webhook {self.key} is disabled, and told nothing", webhook=self.key)


@aggregate
class Notice(Aggregate, created_event_name="Requested"):
    """What one webhook is told of one end of a run: one for each, however often the end is heard of. Its key is the
    ``webhook-id`` of every attempt. Appended by the cache service only."""

    TOPIC = "notice"

    class Event(Aggregate.Event):
        TOPIC: ClassVar[str] = "notice.event"

    class Requested(Event, Creation):
        """A run ended whose owner has a webhook for that.

        Attributes:
            told: one of :data:`TOLD`.
            end: version of the event in the run's stream that it tells of.
        """

        TOPIC: ClassVar[str] = "notice.requested"
        webhook_id: str
        run_id: str
        told: str
        end: int

    class Delivered(Event):
        """It was answered with ``status``, a success. ``attempts``: since it was requested, or repeated."""

        TOPIC: ClassVar[str] = "notice.delivered"
        attempts: int
        status: int

        def apply(self, notice: Notice) -> None:
            notice.state = "delivered"

    class GaveUp(Event):
        """It is not tried any more. ``status``: of the last answer; 0: there was none."""

        TOPIC: ClassVar[str] = "notice.gave_up"
        attempts: int
        status: int
        reason: str

        def apply(self, notice: Notice) -> None:
            notice.state = "gave-up"

    class Repeated(Event):
        """Its owner wants it sent again."""

        TOPIC: ClassVar[str] = "notice.repeated"

        def apply(self, notice: Notice) -> None:
            notice.state = "waiting"

    def __init__(self, webhook_id: str, run_id: str, told: str, end: int) -> None:
        self.webhook_id = webhook_id
        self.run_id = run_id
        self.told = told
        self.end = end
        self.state = "waiting"

    @classmethod
    def key_of(cls, webhook_id: str, run_id: str, told: str) -> str:
        """Return the key of what a webhook is told of an end of a run: the same for whoever derives it."""
        return str(uuid5(NOTICE_IDS, f"{webhook_id}/{run_id}/{told}"))

    @classmethod
    def of_end(cls, webhook_id: str, event: DomainEvent, now: datetime) -> Notice:
        """Return the notice of the event that ended a run."""
        run_id, told = event.originator_id.partition("-")[2], TOLD[type(event)]
        return cls.create(
            Notice.Requested,
            cls.key_of(webhook_id, run_id, told),
            now,
            webhook_id=webhook_id,
            run_id=run_id,
            told=told,
            end=event.originator_version,
        )

    def deliver(self, attempts: int, status: int, now: datetime) -> None:
        """Note that it was taken; one that is not waited for any more is settled already."""
        if self.state == "waiting":
            self.record(Notice.Delivered, now, attempts=attempts, status=status)

    def give_up(self, attempts: int, status: int, reason: str, now: datetime) -> None:
        """Note that it was not taken for too long, or never will be."""
        if self.state == "waiting":
            self.record(Notice.GaveUp, now, attempts=attempts, status=status, reason=reason)

    def repeat(self, now: datetime) -> None:
        """Send it again; one that waits need not be asked for."""
        if self.state != "waiting":
            self.record(Notice.Repeated, now)


# --- what is told -----------------------------------------------------------------------------------------------------


def message(requested: Run.Requested, end: DomainEvent, public_url: str) -> bytes:
    """Return what a webhook is told of the end of a run: JSON, the same bytes each time.

    Args:
        public_url: ``L1_PUBLIC_URL``; every link begins with it.
    """
    run_id, base = end.originator_id.partition("-")[2], public_url.rstrip("/")
    output = end.output_cid if isinstance(end, Run.Completed) else ""
    provenance = end.provenance_cid if isinstance(end, Run.Completed) else ""
    url = f"{base}/runs/{run_id}"

    def raw(cid: str) -> str | None:
        return f"{base}/cache/{cid}/raw" if cid else None

    data: dict[str, Any] = {
        "run_id": run_id,
        "status": TOLD[type(end)].partition(".")[2],
        "recipe": requested.recipe_name,
        "recipe_cid": requested.recipe_cid,
        "output_name": requested.output_name,
        "output_cid": output or None,
        "output_url": raw(output),
        "provenance_cid": provenance or None,
        "provenance_url": raw(provenance),
        "error": _error(end),
        "rerun_of": requested.rerun_of or None,
        "links": {"self": url, "plan": f"{base}/api/run/{run_id}/plan"},
    }
    return envelope(TOLD[type(end)], end.timestamp, data)


def _error(end: DomainEvent) -> dict[str, Any] | None:
    match end:
        case Run.Failed():
            code, step, node, reason = end.error, end.step, end.node, end.reason
        case Run.Cancelled():
            code, step, node, reason = CANCELLED, -1, "", end.reason
        case _:
            return None
    kind = kind_of(code)
    return {
        "code": code,
        "kind": kind,
        "step": step if step >= 0 else None,
        "node": node or None,
        "reason": reason,
        "advice": ADVICE[kind],
    }


def envelope(told: str, at: datetime, data: Mapping[str, Any]) -> bytes:
    """Return a message as it travels."""
    moment = at.isoformat().replace("+00:00", "Z")
    return json.dumps({"type": told, "timestamp": moment, "data": data}, ensure_ascii=False).encode()


# --- how it is signed -------------------------------------------------------------------------------------------------


def secret_text(key: bytes) -> str:
    """Return a secret as people see it."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def secret_key(text: str) -> bytes:
    """Return the key that a secret stands for.

    Raises:
        InvalidRequestError: it is not ``whsec_`` and 24 to 64 bytes in base64. The message does not show it.
    """
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(SECRET_PREFIX) or not LEAST_SECRET_BYTES <= len(key) <= MOST_SECRET_BYTES:
        rule = f"{SECRET_PREFIX} and {LEAST_SECRET_BYTES} to {MOST_SECRET_BYTES} bytes in base64; or left out"
        problem = {"field": "secret", "value": "", "problem": rule}
        raise InvalidRequestError(f"secret: it has to be {rule}: then one is made", problems=[problem])
    return key


def signed_headers(secret: str, message_id: str, seconds: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove who sends a message, and when.

    Args:
        seconds: unix time of this attempt.
    """
    said = f"{message_id}.{seconds}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret_key(secret), said, "sha256")).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{signature}",
    }


def told_events(events: Sequence[str]) -> tuple[str, ...]:
    """Return events in their one order; of none, all that there are.

    Raises:
        InvalidRequestError: one of them is none of ours.
    """
    known = tuple(TOLD.values())
    if unknown := [each for each in events if each not in known]:
        rule = f"one of {', '.join(known)}"
        raise InvalidRequestError(
            f"events: {unknown[0][:80]!r} is not {rule}",
            problems=[{"field": "events", "value": unknown[0][:80], "problem": rule}],
        )
    return tuple(each for each in known if each in events) or known
