"""The books of content: what is stored, where it came from, what it is called."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from artdag_common.application import Application
from artdag_common.blobs.port import BlobStore
from artdag_common.commands import Command, ImportObject
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.content import Object
from artdag_common.domain.effect import Effect
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.run import Run
from artdag_common.domain.step import Step
from artdag_common.errors import ContentNotFoundError, VersionConflictError
from artdag_common.media.types import media_type_of
from artdag_common.messaging.bus import Outcome
from artdag_common.messaging.commands import CommandHandler

CONSUMER = "cache"
FOLLOWED = (
    "evt.step.*.StepCompleted",
    "evt.run.*.RunPlanned",
    "evt.run.*.RunCompleted",
    "evt.recipe.*.RecipeRegistered",
    "evt.effect.*.EffectRegistered",
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Content that an event names. Its bytes were stored before the event."""

    cid: str
    origin: str


def arrivals(events: Sequence[DomainEvent]) -> dict[str, Arrival]:
    """Return the content that events name, by CID."""
    found: dict[str, Arrival] = {}
    for event in events:
        match event:
            case Step.Completed():
                new = [Arrival(event.output_cid, "step")]
            case Run.Planned():
                new = [Arrival(event.plan_cid, "plan")]
            case Run.Completed():
                new = [Arrival(event.provenance_cid, "provenance")]
            case Recipe.Registered():
                new = [
                    Arrival(event.originator_id.partition("-")[2], "recipe"),
                    Arrival(event.source_cid, "recipe-source"),
                ]
            case Effect.Registered():
                new = [Arrival(event.originator_id.partition("-")[2], "effect")]
            case _:
                new = []
        found.update((arrival.cid, arrival) for arrival in new if arrival.cid not in found)
    return found


class Books:
    """Keeps the ``object-`` streams."""

    def __init__(self, app: Application, blobs: BlobStore) -> None:
        self._app = app
        self._blobs = blobs

    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """Return the handler of each command."""
        return {ImportObject: self.import_object}

    async def import_object(self, command: ImportObject, command_id: str) -> Outcome:
        """Take uploaded bytes into the books, and give them the owner's name for them."""
        if not await self._blobs.present([command.cid]):
            raise ContentNotFoundError(f"no content {command.cid} is stored here", cid=command.cid)
        now = self._app.clock()
        content = await self._app.find(Object, command.cid)
        if content is None:
            content = Object.create(
                Object.Stored,
                command.cid,
                now,
                size_bytes=command.size_bytes,
                media_type=command.media_type,
                origin=command.origin,
            )
        content.name(command.owner, command.name, now)
        outcome = Outcome.of(cid=command.cid)
        result = await self._app.append(content, command_id, consumer=CONSUMER, outcome=outcome.encode(), inbox=True)
        if result == "conflict":
            raise VersionConflictError(f"{content.id} changed meanwhile", stream=content.id)
        return outcome

    async def note_arrivals(self, events: Sequence[DomainEvent]) -> None:
        """Take what steps and runs stored into the books."""
        found = arrivals(events)
        known = await self._app.store.latest([Object.stream(cid) for cid in found])
        new = [arrival for cid, arrival in found.items() if Object.stream(cid) not in known]
        await asyncio.gather(*map(self._note, new))

    async def _note(self, arrival: Arrival) -> None:
        try:
            path = await self._blobs.path(arrival.cid)
        except ContentNotFoundError:  # history is replayed, and the content went long ago
            log.info("content of an event is gone", cid=arrival.cid)
            return
        content = Object.create(
            Object.Stored,
            arrival.cid,
            self._app.clock(),
            size_bytes=path.stat().st_size,
            media_type=await asyncio.to_thread(media_type_of, path),
            origin=arrival.origin,
        )
        await self._app.append(content, f"arrival/{arrival.cid}")  # a conflict: somebody noted it already
