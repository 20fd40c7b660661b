"""Webhooks are told how runs end: each end noted once for each of them, and sent until it is taken or given up.

A notice stands in the queue since the transaction of its first event; what came of it is appended in the transaction
that takes it off. Whoever is killed in between leaves a row whose lease runs out. The next one sends the same bytes
under the same id, by which the receiver knows them again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from artdag_common import tracing
from artdag_common.application import ATTEMPTS, Application
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.run import Run
from artdag_common.domain.webhook import TOLD, Notice, Webhook, message
from artdag_common.errors import AppendRefusedError, VersionConflictError
from services.cache import webhook_queue
from services.cache.replication import wait_seconds
from services.cache.sending import Sender
from services.cache.webhook_calls import GONE, Caller, Reply
from services.cache.webhook_queue import Telling, WebhookQueue

FOLLOWER = "cache-webhooks"
FOLLOWED = ("evt.run.*.RunCompleted", "evt.run.*.RunFailed", "evt.run.*.RunCancelled")
AT_ONCE = 16
MOST_GIVEN_UP = 5
"""Notices in a row that a webhook never took, after which it is told nothing any more."""
DEAD_LETTER = "WebhookDelivery"

Bury = Callable[[str, bytes, str, Mapping[str, str]], Awaitable[None]]
"""``(name, JSON, reason, headers)``: keeps what gave up for the operator."""

log = structlog.get_logger(__name__)


class Teller(Sender[Telling]):
    """Tells webhooks."""

    def __init__(self, app: Application, queue: WebhookQueue, caller: Caller, bury: Bury, public_url: str) -> None:
        """``public_url``: links in what is told begin with it."""
        super().__init__("webhooks", queue, AT_ONCE)
        self._app = app
        self._queue = queue
        self._caller = caller
        self._bury = bury
        self._public_url = public_url

    async def note_ended(self, events: Sequence[DomainEvent]) -> None:
        """Note who is to be told of the ends of runs. What was noted is not noted again."""
        ends = {event.originator_id: event for event in events if type(event) in TOLD}
        if not ends or not await self._queue.any():
            return
        begun = await self._queue.events([(stream, 1) for stream in ends])
        of_runs = {stream: event for (stream, _), event in begun.items() if isinstance(event, Run.Requested)}
        # Nobody waits for the end of a run that was over when it came here.
        own = [stream for stream in ends if not of_runs[stream].imported_from]
        wanted = await self._queue.wanted((of_runs[stream].owner, ends[stream]) for stream in own)
        for stream, webhook_id in wanted:
            notice = Notice.of_end(webhook_id, ends[stream], self._app.clock())
            body = message(of_runs[stream], ends[stream], self._public_url)
            try:
                await self._app.append(notice, f"notice/{notice.key}", also=webhook_queue.note(notice, body))
            except AppendRefusedError:
                log.info("a webhook went in this moment", webhook=webhook_id)
        if wanted:
            self.wake()

    async def body_of(self, notice: Notice) -> bytes:
        """Return what a notice tells, again."""
        stream = Run.stream(notice.run_id)
        events = await self._queue.events([(stream, 1), (stream, notice.end)])
        requested = events[stream, 1]
        assert isinstance(requested, Run.Requested)
        return message(requested, events[stream, notice.end], self._public_url)

    async def _deliver(self, sending: Telling) -> None:
        if sending.over:
            await self._put_away(sending, sending.status, sending.last_error)
            return
        told = {"attempt": sending.attempt + 1}
        with tracing.span("tell webhook", told, kind="client", above=await self._trace_of(sending)) as span:
            reply = await self._caller.call(
                sending.webhook_id, sending.url, sending.sealed, sending.notice_id, sending.body
            )
            span.set(**{"http.response.status_code": reply.status})
            if not reply.taken:
                span.fail(str(reply.status) if reply.status else "no-answer")
        if reply.taken:
            await self._settle(sending, reply)
            await self._queue.drop(sending)
        elif reply.status == GONE or sending.last:
            await self._give_up(sending, reply)
        else:
            await self._again(sending, reply)

    async def _trace_of(self, sending: Telling) -> str:
        """Return the trace of the run that is told of; empty: it has none, or nobody records it."""
        if not tracing.recording() or (notice := await self._app.find(Notice, sending.notice_id)) is None:
            return ""
        first = (Run.stream(notice.run_id), 1)
        requested = (await self._queue.events([first])).get(first)
        return requested.traceparent if isinstance(requested, Run.Requested) else ""

    async def _again(self, sending: Telling, reply: Reply) -> None:
        log.info("a webhook does not take a notice", webhook=sending.webhook_id, reason=reply.reason)
        wait, pause = [
            max(reply.retry_after, wait_seconds(failures + 1, random.random()))  # noqa: S311  (nobody need not guess it)
            for failures in (sending.attempt, sending.failures)
        ]
        await self._queue.later(sending, wait, pause, reply.status, reply.reason)

    async def _give_up(self, sending: Telling, reply: Reply) -> None:
        log.warning("a webhook's notice is given up", webhook=sending.webhook_id, reason=reply.reason)
        if reply.status == GONE:
            await self._disable(sending.webhook_id, f"it answers {GONE}: it is gone")
        elif sending.gave_up + 1 >= MOST_GIVEN_UP:
            reason = f"it did not take {sending.gave_up + 1} notices in a row, each for a day; the last: {reply.reason}"
            await self._disable(sending.webhook_id, reason)
        await self._settle(sending, reply)
        await self._put_away(sending, reply.status, reply.reason)

    async def _put_away(self, sending: Telling, status: int, reason: str) -> None:
        """Put a notice that gave up among the dead letters: after its event, and before its row is gone."""
        notice = await self._app.find(Notice, sending.notice_id)
        webhook = await self._app.find(Webhook, sending.webhook_id)
        if notice is not None and webhook is not None and notice.state == "gave-up" and not webhook.removed:
            letter = {
                "webhook_id": webhook.key,
                "owner": webhook.owner,
                "notice_id": notice.key,
                "run_id": notice.run_id,
                "told": notice.told,
                "status": status,
            }
            data = json.dumps(letter).encode()
            await self._bury(DEAD_LETTER, data, reason, {"Nats-Msg-Id": f"{notice.key}/{notice.version}"})
        await self._queue.drop(sending)

    async def _settle(self, sending: Telling, reply: Reply) -> None:
        """Append what came of a notice, if it is not there yet."""
        for _ in range(ATTEMPTS):
            notice = await self._app.find(Notice, sending.notice_id)
            assert notice is not None
            now, attempts = self._app.clock(), sending.attempt + 1
            if reply.taken:
                notice.deliver(attempts, reply.status, now)
            else:
                notice.give_up(attempts, reply.status, reply.reason, now)
            if not notice.pending_events:
                return
            also = webhook_queue.settle(notice)
            if await self._app.append(notice, f"told/{notice.key}/{notice.version}", also=also) != "conflict":
                return
        raise VersionConflictError(f"notice {sending.notice_id} changed {ATTEMPTS} times meanwhile")

    async def _disable(self, webhook_id: str, reason: str) -> None:
        webhook = await self._app.find(Webhook, webhook_id)
        if webhook is None or webhook.removed:
            return
        webhook.switch(False, self._app.clock(), reason)
        await self._app.save(webhook, f"disable/{webhook_id}/{webhook.version}", webhook_queue.change(webhook))
