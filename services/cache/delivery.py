"""Activities to the registry, in the background: each until it has decided, those about one thing in their order.

What is to be sent stands in the queue since the transaction of the event that it tells of; what came of it is appended
in the transaction that takes it off. Whoever is killed in between leaves a row whose lease runs out. The next one sends
the same bytes under the same id, which the registry takes once, and appends only what is not there yet.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric import rsa

from artdag_common import tracing
from artdag_common.application import ATTEMPTS, Application, decode, rebuild
from artdag_common.commands import Command, SettleActivity
from artdag_common.domain.content import Object
from artdag_common.errors import L2UnavailableError, NotPublishedError, VersionConflictError
from artdag_common.federation.documents import Document, Documents, Published, Unpublished, encode, in_context
from artdag_common.federation.l2 import Answer
from artdag_common.messaging.bus import Outcome
from artdag_common.messaging.commands import CommandHandler
from services.cache.delivery_queue import DeliveryQueue, Sending, settled
from services.cache.handlers import CONSUMER
from services.cache.replication import wait_seconds
from services.cache.sending import Sender

AT_ONCE = 4
RESUME_SECONDS = 2.0
NOBODY = "the person is none of the registry's any more"

log = structlog.get_logger(__name__)

Actor = Callable[[str], Awaitable[str]]
"""``user id → URL of the actor``; empty: there is none."""


class Registry(Protocol):
    """What is needed of L2."""

    async def deliver(self, activity: bytes, key: rsa.RSAPrivateKey, key_id: str) -> Answer:
        """Send an activity.

        Raises:
            L2UnavailableError: it has not decided.
        """


class Records(Protocol):
    """What is needed of the content store."""

    async def read(self, cid: str) -> bytes:
        """Return content, whole."""


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom this server speaks."""

    documents: Documents
    key: rsa.RSAPrivateKey


class Deliverer(Sender[Sending]):
    """Sends activities."""

    def __init__(
        self,
        app: Application,
        queue: DeliveryQueue,
        records: Records,
        registry: Registry,
        identity: Identity,
        actor: Actor,
    ) -> None:
        super().__init__("activities", queue, AT_ONCE)
        self._app = app
        self._queue = queue
        self._records = records
        self._registry = registry
        self._identity = identity
        self._actor = actor

    async def _deliver(self, sending: Sending) -> None:
        body = sending.body
        if body is None:
            document = await self._document(sending)
            if document is None:
                await self._settle(sending, Answer(False, NOBODY), sending.attempt)
                return
            body = await self._queue.keep(sending, encode(in_context(document)))
        try:
            with tracing.span("tell registry", {"attempt": sending.attempt + 1}, kind="client", above="") as span:
                answer = await self._registry.deliver(body, self._identity.key, self._identity.documents.key_id)
                span.set(taken=answer.taken)
        except L2UnavailableError as error:
            await self._again(sending, error)
            return
        await self._settle(sending, answer, sending.attempt + 1)
        await self._queue.resume(RESUME_SECONDS)

    async def _again(self, sending: Sending, error: L2UnavailableError) -> None:
        asked = float(error.values.get("retry_after", 0.0))
        if error.values.get("circuit"):
            await self._queue.pause(sending, asked)
            return
        wait = wait_seconds(sending.attempt + 1, random.random())  # noqa: S311  (nobody has to be kept from guessing it)
        log.info("the registry has not decided", activity=sending.activity_id, reason=error.message)
        await self._queue.later(sending, max(wait, asked), error.message, told=asked > wait)

    async def _document(self, sending: Sending) -> Document | None:
        """Return the activity; None: nobody at the registry is behind it any more.

        Raises:
            ArtdagError: what belongs to it cannot be read now.
        """
        history = await self._app.store.load(Object.stream(sending.cid))
        content = rebuild(history)
        assert isinstance(content, Object)
        documents = self._identity.documents
        for event in map(decode, history):
            match event:
                case Object.Published(activity_id=sending.activity_id):
                    actor = await self._actor(event.owner)
                    if not actor:
                        return None
                    return documents.create(
                        Published(
                            activity_id=event.activity_id,
                            cid=content.key,
                            media_type=content.media_type,
                            name=event.name,
                            description=event.description,
                            published_at=event.timestamp,
                            person=actor,
                            run_id=event.run_id,
                            recipe_cid=event.recipe_cid,
                            provenance_cid=event.provenance_cid,
                            record=await self._record(event.provenance_cid),
                        )
                    )
                case Object.Unpublished(activity_id=sending.activity_id):
                    gone = Unpublished(event.activity_id, event.object_id, content.media_type, event.timestamp)
                    return documents.delete(gone)
        raise NotPublishedError(f"{sending.cid} has no activity {sending.activity_id}", cid=sending.cid)

    async def _record(self, cid: str) -> Mapping[str, object]:
        return dict(json.loads(await self._records.read(cid))) if cid else {}

    async def _settle(self, sending: Sending, answer: Answer, attempts: int) -> None:
        words = answer.url if answer.taken else answer.reason
        await settle(self._app, sending.cid, sending.activity_id, answer.taken, words, attempts)
        await self._queue.drop(sending.activity_id)


async def settle(app: Application, cid: str, activity_id: str, taken: bool, words: str, attempts: int = 0) -> int:
    """Append what the registry decided, if it is not there yet, and return the version of the content's stream.

    Raises:
        NotPublishedError: there is no such activity.
        VersionConflictError: others changed the content all the time.
    """
    for _ in range(ATTEMPTS):
        content = await app.find(Object, cid)
        if content is None or activity_id not in content.activities:
            raise NotPublishedError(f"{cid} has no activity {activity_id}", cid=cid)
        content.settle(activity_id, taken, words, attempts, app.clock())
        if not content.pending_events:
            return content.version
        cause = f"settle/{activity_id}/{content.version}"
        if await app.append(content, cause, also=settled(activity_id)) != "conflict":
            return content.version
    raise VersionConflictError(f"{cid} changed {ATTEMPTS} times meanwhile", cid=cid)


class Decisions:
    """Takes what the registry decides after it has answered."""

    def __init__(self, app: Application) -> None:
        self._app = app

    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """Return the handler of each command."""
        return {SettleActivity: self.settle}

    async def settle(self, command: SettleActivity, command_id: str) -> Outcome:
        """Note a decision. One that is known already changes nothing."""
        version = await settle(self._app, command.cid, command.activity_id, command.taken, command.words)
        outcome = Outcome.of(cid=command.cid, version=version)
        await self._app.store.keep_outcome(CONSUMER, command_id, outcome.encode())
        return outcome
