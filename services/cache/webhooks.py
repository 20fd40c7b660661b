"""Commands about webhooks: add, edit, switch, ping, repeat a notice, remove."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic

from artdag_common.application import Application
from artdag_common.commands import (
    AddWebhook,
    Command,
    EditWebhook,
    PingWebhook,
    RemoveWebhook,
    RepeatNotice,
    SwitchWebhook,
)
from artdag_common.domain.webhook import PING, Notice, Webhook, envelope, told_events
from artdag_common.errors import (
    AppendRefusedError,
    DeliveryNotFoundError,
    InvalidRequestError,
    VersionConflictError,
    WebhookDisabledError,
    WebhookNotFoundError,
)
from artdag_common.eventstore.port import Call
from artdag_common.messaging.bus import Outcome
from artdag_common.messaging.commands import CommandHandler
from services.cache.handlers import CONSUMER
from services.cache.telling import Teller
from services.cache.webhook_calls import Caller
from services.cache.webhook_queue import MOST_WEBHOOKS, WebhookQueue, change, note


class Webhooks:
    """Keeps the ``webhook-`` streams."""

    def __init__(self, app: Application, queue: WebhookQueue, caller: Caller, teller: Teller) -> None:
        self._app = app
        self._queue = queue
        self._caller = caller
        self._teller = teller

    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """Return the handler of each command."""
        return {
            AddWebhook: self.add,
            EditWebhook: self.edit,
            SwitchWebhook: self.switch,
            RemoveWebhook: self.remove,
            PingWebhook: self.ping,
            RepeatNotice: self.repeat,
        }

    async def add(self, command: AddWebhook, command_id: str) -> Outcome:
        """Add a webhook; it is told of what ends from now on."""
        await self._caller.permit(command.url)
        if await self._app.find(Webhook, command.webhook_id) is not None:
            raise VersionConflictError(f"webhook {command.webhook_id} is there already")
        webhook = Webhook.create(
            Webhook.Added,
            command.webhook_id,
            self._app.clock(),
            owner=command.owner,
            url=command.url,
            events=told_events(command.events),
        )
        try:
            return await self._keep(webhook, command_id, change(webhook, command.sealed))
        except AppendRefusedError as refused:
            raise InvalidRequestError(
                f"you have {MOST_WEBHOOKS} webhooks, as many as one may have; remove one first", problems=[]
            ) from refused

    async def edit(self, command: EditWebhook, command_id: str) -> Outcome:
        """Change a webhook; what it did not take is tried again."""
        webhook = await self._wanted(command.webhook_id, command.owner)
        if command.url != webhook.url:
            await self._caller.permit(command.url)
        webhook.edit(command.url, told_events(command.events), bool(command.sealed), self._app.clock())
        again = bool(webhook.pending_events)
        return await self._keep(webhook, command_id, change(webhook, command.sealed, resume=again))

    async def switch(self, command: SwitchWebhook, command_id: str) -> Outcome:
        """Tell a webhook of runs, and of what waited; or nothing for now."""
        webhook = await self._wanted(command.webhook_id, command.owner)
        webhook.switch(command.enabled, self._app.clock())
        again = bool(webhook.pending_events) and command.enabled
        return await self._keep(webhook, command_id, change(webhook, resume=again))

    async def remove(self, command: RemoveWebhook, command_id: str) -> Outcome:
        """Forget a webhook, its secret, and what it was still to be told."""
        webhook = await self._wanted(command.webhook_id, command.owner)
        webhook.remove(self._app.clock(), command.by)
        return await self._keep(webhook, command_id, change(webhook))

    async def ping(self, command: PingWebhook, command_id: str) -> Outcome:
        """Send a message that tells nothing. Where it is taken, what waits is tried at once."""
        webhook = await self._wanted(command.webhook_id, command.owner)
        target = await self._queue.target(webhook.key)
        if target is None:
            raise WebhookNotFoundError(f"no webhook {webhook.key}", webhook=webhook.key)
        body = envelope(PING, self._app.clock(), {"webhook_id": webhook.key})
        began = monotonic()
        reply = await self._caller.call(webhook.key, target.url, target.sealed, command_id, body)
        ms = round((monotonic() - began) * 1000)
        facts = {"ok": reply.taken, "status": reply.status, "reason": reply.reason, "duration_ms": ms}
        return await self._keep(webhook, command_id, change(webhook, resume=reply.taken), **facts)

    async def repeat(self, command: RepeatNotice, command_id: str) -> Outcome:
        """Tell a webhook again what it was told, under the same id; at once where it waits."""
        webhook = await self._wanted(command.webhook_id, command.owner)
        webhook.can_be_told()
        notice = await self._app.find(Notice, command.notice_id)
        if notice is None or notice.webhook_id != webhook.key:
            raise DeliveryNotFoundError(
                f"webhook {webhook.key} was told nothing under {command.notice_id}", delivery=command.notice_id
            )
        notice.repeat(self._app.clock())
        outcome = Outcome.of(webhook_id=webhook.key, notice_id=notice.key, version=notice.version)
        if notice.pending_events:
            await self._settle(notice, command_id, outcome, note(notice, await self._teller.body_of(notice)))
        else:
            await self._queue.hurry(notice.key)
            await self._app.store.keep_outcome(CONSUMER, command_id, outcome.encode())
        self._teller.wake()
        return outcome

    async def _wanted(self, webhook_id: str, owner: str) -> Webhook:
        webhook = await self._app.find(Webhook, webhook_id)
        if webhook is None or webhook.owner != owner:
            raise WebhookNotFoundError(f"no webhook {webhook_id}", webhook=webhook_id)
        webhook.exists()
        return webhook

    async def _keep(self, webhook: Webhook, command_id: str, also: Call, **values: object) -> Outcome:
        outcome = Outcome.of(webhook_id=webhook.key, version=webhook.version, **values)
        await self._settle(webhook, command_id, outcome, also)
        self._teller.wake()
        return outcome

    async def _settle(self, changed: Webhook | Notice, command_id: str, outcome: Outcome, also: Call) -> None:
        """Store what was decided, with its outcome.

        Raises:
            WebhookDisabledError: it was disabled, or removed, in this moment.
            VersionConflictError: somebody else changed it first.
        """
        try:
            result = await self._app.append(changed, command_id, CONSUMER, outcome.encode(), also, inbox=True)
        except AppendRefusedError as refused:
            if refused.values["rule"] != "changed":
                raise
            raise WebhookDisabledError(f"{changed.id} is told nothing any more") from refused
        if result == "conflict":
            raise VersionConflictError(f"{changed.id} changed meanwhile", stream=changed.id)
