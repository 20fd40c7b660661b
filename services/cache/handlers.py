"""The books of content: what is stored, where it came from, what it is called."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from weakref import WeakValueDictionary

import structlog

from artdag_common.application import ATTEMPTS, Application, event_id
from artdag_common.blobs.absence import absent
from artdag_common.blobs.port import BlobStore
from artdag_common.commands import Command, DescribeObject, ImportObject, PublishObject, UnpublishObject
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.content import Object, Publication, Words
from artdag_common.domain.effect import Effect
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.retention import NAMED, PUBLISHED, UPLOADED, publication, user
from artdag_common.domain.run import Run
from artdag_common.domain.step import Step
from artdag_common.errors import (
    AppendRefusedError,
    ArtdagError,
    ContentNotFoundError,
    PreconditionFailedError,
    QuotaExceededError,
    VersionConflictError,
)
from artdag_common.eventstore.holds import Holds, Need, hold, release
from artdag_common.eventstore.port import Call
from artdag_common.media.types import media_type_of
from artdag_common.messaging.bus import Outcome
from artdag_common.messaging.commands import CommandHandler
from services.cache import delivery_queue

CONSUMER = "cache"
FOLLOWED = (
    "evt.step.*.StepCompleted",
    "evt.run.*.RunPlanned",
    "evt.run.*.RunCompleted",
    "evt.recipe.*.RecipeRegistered",
    "evt.recipe.*.RecipeClaimed",
    "evt.recipe.*.RecipeRestored",
    "evt.effect.*.EffectRegistered",
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Content that an event names. Its bytes were stored before the event.

    Attributes:
        size_bytes, media_type: where the event says them.
    """

    cid: str
    origin: str
    size_bytes: int = 0
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """Content that arrived and is here."""

    cid: str
    origin: str
    size_bytes: int
    media_type: str
    stamp: int


def arrivals(events: Sequence[DomainEvent]) -> dict[str, Arrival]:
    """Return the content that events name, by CID."""
    found: dict[str, Arrival] = {}
    for event in events:
        match event:
            case Step.Completed():
                new = [Arrival(event.output_cid, "step", event.size_bytes, event.media_type)]
            case Run.Planned():
                new = [Arrival(event.plan_cid, "plan")]
            case Run.Completed():
                new = [Arrival(event.provenance_cid, "provenance")]
            case Recipe.Registered():
                new = [
                    Arrival(event.originator_id.partition("-")[2], "recipe"),
                    Arrival(event.source_cid, "recipe-source"),
                ]
            case Recipe.Claimed() | Recipe.Restored():
                new = [Arrival(event.source_cid, "recipe-source")] if event.source_cid else []
            case Effect.Registered():
                new = [Arrival(event.originator_id.partition("-")[2], "effect")]
            case _:
                new = []
        found.update((arrival.cid, arrival) for arrival in new if arrival.cid not in found)
    return found


async def nobody(owner: str) -> bool:
    """The registry is told of nothing that anybody publishes."""
    return False


class Books:
    """Keeps the ``object-`` streams."""

    def __init__(
        self,
        app: Application,
        blobs: BlobStore,
        holds: Holds,
        quota_bytes: int = 0,
        told: Callable[[str], Awaitable[bool]] = nobody,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing happens yet.

        Args:
            quota_bytes: what each user's uploads and outputs may take; 0: no limit.
            told: whether the registry is told of what an owner publishes.
            wake: called when something may have to be delivered to it.
        """
        self._app = app
        self._blobs = blobs
        self._holds = holds
        self._quota_bytes = quota_bytes
        self._told = told
        self._wake = wake
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def alone(self, cid: str) -> asyncio.Lock:
        """Return the lock under which this process changes content, so that many who want to need not try again."""
        return self._locks.setdefault(cid, asyncio.Lock())

    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """Return the handler of each command."""
        return {
            ImportObject: self.import_object,
            DescribeObject: self.describe_object,
            PublishObject: self.publish_object,
            UnpublishObject: self.unpublish_object,
        }

    async def import_object(self, command: ImportObject, command_id: str) -> Outcome:
        """Take uploaded bytes into the books, keep them for their owner, and give them the owner's name for them."""
        async with self.alone(command.cid):
            for _ in range(ATTEMPTS):
                if await absent(self._blobs, [command.cid]):
                    raise ContentNotFoundError(f"no content {command.cid} is stored here", cid=command.cid)
                content = await self._imported(command)
                outcome = Outcome.of(cid=command.cid)
                stamp = await self._stamp(command.cid)
                needs = [Need(command.cid, UPLOADED, stamp, command.size_bytes)]
                if command.name:
                    needs.append(Need(command.cid, NAMED, stamp))
                also = hold(
                    user(command.owner),
                    needs,
                    owner=command.owner,
                    quota_bytes=self._quota_bytes,
                    origin=command.origin,
                    arrived=True,
                )
                try:
                    result = await self._app.append(
                        content, command_id, consumer=CONSUMER, outcome=outcome.encode(), also=also, inbox=True
                    )
                except AppendRefusedError as refused:
                    if refused.values["rule"] == "quota":
                        await self._discard(command.cid, command.size_bytes, stamp)
                    raise _refusal(refused, command.cid) from refused
                if result != "conflict":
                    return outcome
        raise VersionConflictError(f"{content.id} changed meanwhile", stream=content.id)

    async def _imported(self, command: ImportObject) -> Object:
        now = self._app.clock()
        content = await self._stored(command, now)
        content.claim(command.owner, now)
        content.name(command.owner, command.name, now)
        return content

    async def _stored(self, what: ImportObject | Seen, now: datetime) -> Object:
        """Return content as it is in the books, entered now if it was not in them, or not any more."""
        content = await self._app.find(Object, what.cid)
        if content is None:
            content = Object.create(
                Object.Stored,
                what.cid,
                now,
                size_bytes=what.size_bytes,
                media_type=what.media_type,
                origin=what.origin,
            )
        content.restore(what.media_type, what.origin, now)
        return content

    async def _stamp(self, cid: str) -> int:
        return (await self._blobs.stamps([cid])).get(cid, 0)

    async def _discard(self, cid: str, size_bytes: int, stamp: int) -> None:
        """Remove what was uploaded beyond a quota, unless it is here for another reason too."""
        await self._holds.arrived(cid)
        if await self._holds.orphaned(cid, size_bytes, stamp):
            await self._blobs.remove(cid, stamp)

    async def describe_object(self, command: DescribeObject, command_id: str) -> Outcome:
        """Let an owner say what content is."""
        content = await self._wanted(command.cid)
        if command.expected and command.expected != content.version:
            raise PreconditionFailedError(
                f"{command.cid} is at version {content.version}, not {command.expected}: it changed meanwhile",
                cid=command.cid,
                version=content.version,
            )
        said = {name: getattr(command, name) for name in command.fields}
        content.describe(command.owner, Words(**said), self._app.clock())
        named = bool(content.names.get(command.owner))
        need = Need(command.cid, NAMED, await self._stamp(command.cid))
        holder = user(command.owner)
        return await self._settle(
            content, command_id, hold(holder, [need]) if named else release(holder, [NAMED], command.cid)
        )

    async def publish_object(self, command: PublishObject, command_id: str) -> Outcome:
        """Make content public in an owner's name, with what is recorded of how it was made."""
        async with self.alone(command.cid):
            content = await self._wanted(command.cid)
            cids = [each for each in (command.cid, command.provenance_cid, command.recipe_cid) if each]
            if missing := await absent(self._blobs, cids):
                cid = min(missing)
                raise ContentNotFoundError(f"what is published has to be stored here, and {cid} is not", cid=cid)
            before = content.object_ids.get(command.owner, "")
            said = Publication(
                command.name, command.description, command.run_id, command.recipe_cid, command.provenance_cid
            )
            ids = _activity_ids(command_id, content.id)
            content.publish(command.owner, said, ids, await self._told(command.owner), self._app.clock())
            after = content.object_ids[command.owner]
            stamps = await self._blobs.stamps(cids)
            needs = [Need(cid, PUBLISHED, stamps.get(cid, 0)) for cid in cids]
            outcome = await self._settle(
                content,
                command_id,
                delivery_queue.change(content, publication(after), needs, publication(before) if before else ""),
            )
        self._wake()
        return outcome

    async def unpublish_object(self, command: UnpublishObject, command_id: str) -> Outcome:
        """Make content public no longer in an owner's name.

        Raises:
            NotPublishedError: it is not.
        """
        async with self.alone(command.cid):
            content = await self._wanted(command.cid)
            object_id = content.object_ids.get(command.owner, "")
            (activity_id, _) = _activity_ids(command_id, content.id)
            content.unpublish(command.owner, activity_id, self._app.clock(), command.eraser)
            also = delivery_queue.change(content, "", (), publication(object_id))
            outcome = await self._settle(content, command_id, also)
        self._wake()
        return outcome

    async def _wanted(self, cid: str) -> Object:
        content = await self._app.find(Object, cid)
        if content is None or content.evicted:
            raise ContentNotFoundError(f"no content {cid} is known here", cid=cid)
        return content

    async def _settle(self, content: Object, command_id: str, also: Call) -> Outcome:
        """Store what was decided, if anything was."""
        outcome = Outcome.of(cid=content.key, version=content.version)
        if not content.pending_events:
            await self._app.store.keep_outcome(CONSUMER, command_id, outcome.encode())
            return outcome
        try:
            result = await self._app.append(
                content, command_id, consumer=CONSUMER, outcome=outcome.encode(), also=also, inbox=True
            )
        except AppendRefusedError as refused:
            raise _refusal(refused, content.key) from refused
        if result == "conflict":
            raise VersionConflictError(f"{content.id} changed meanwhile", stream=content.id)
        return outcome

    async def note_arrivals(self, events: Sequence[DomainEvent]) -> None:
        """Take what steps and runs stored into the books, or back into them."""
        found = arrivals(events)
        known = await self._app.store.latest([Object.stream(cid) for cid in found])
        evicted = {stream for stream, last in known.items() if last.type == Object.Evicted.type_name}
        new = [a for cid, a in found.items() if Object.stream(cid) not in known or Object.stream(cid) in evicted]
        seen = [each for each in await asyncio.gather(*map(self._look_at, new)) if each]
        gone = await self._enter(seen)
        await asyncio.gather(*(self._note(each) for each in seen if each.cid not in gone))

    async def _look_at(self, arrival: Arrival) -> Seen | None:
        if arrival.media_type and await self._blobs.present(
            [arrival.cid]
        ):  # it may lie on another node, and stay there
            stamp = await self._stamp(arrival.cid)
            return Seen(arrival.cid, arrival.origin, arrival.size_bytes, arrival.media_type, stamp)
        try:
            path = await self._blobs.path(arrival.cid)
            size_bytes = path.stat().st_size
            media_type = await asyncio.to_thread(media_type_of, path)
        except (ContentNotFoundError, FileNotFoundError):  # history is replayed, and the content went long ago
            log.info("content of an event is gone", cid=arrival.cid)
            return None
        return Seen(arrival.cid, arrival.origin, size_bytes, media_type, await self._stamp(arrival.cid))

    async def _enter(self, seen: Sequence[Seen]) -> set[str]:
        """Note the sizes and stamps of what is here; return what was given up, and only waits to be removed.

        Before the events, not with them, so that those of many can share a commit. Without the events it is noted
        again when what led to them is heard again.
        """
        gone: set[str] = set()
        while left := {each.cid: (each.size_bytes, each.origin, each.stamp) for each in seen if each.cid not in gone}:
            try:
                await self._holds.stored(left)
            except AppendRefusedError as refused:
                gone |= refused.values["gone"].keys()
            else:
                break
        return gone

    async def _note(self, seen: Seen) -> None:
        content = await self._stored(seen, self._app.clock())
        if content.pending_events:  # a conflict: somebody noted it already
            await self._app.append(content, f"arrival/{seen.cid}@{content.version}")


def _activity_ids(command_id: str, stream: str) -> tuple[str, str]:
    """Return ids for the activities that a command may lead to: those of its events, the same on any retry."""
    return str(event_id(f"{command_id}/{stream}", 0)), str(event_id(f"{command_id}/{stream}", 1))


def _refusal(refused: AppendRefusedError, cid: str) -> ArtdagError:
    """Return what a refusal means for the one who uploads, describes or publishes content."""
    if refused.values["rule"] == "quota":
        used, more, quota = (refused.values[f"{name}_bytes"] for name in ("used", "more", "quota"))
        return QuotaExceededError(
            f"{cid} has {more} bytes, and you use {used} of your {quota}; it was not kept",
            cid=cid,
            used_bytes=used,
            more_bytes=more,
            quota_bytes=quota,
        )
    return ContentNotFoundError(f"content {cid} was deleted in this moment; upload it again", cid=cid)
