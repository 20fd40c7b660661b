"""Deletion: decided on who needs the content, appended only while that is still so; the bytes go after the commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from artdag_common.application import ATTEMPTS, Application
from artdag_common.blobs.port import BlobStore
from artdag_common.commands import Command, DeleteObject
from artdag_common.domain.content import Object
from artdag_common.domain.retention import ARRIVES, Hold, Verdict, decide_deletion, is_arriving, user
from artdag_common.errors import (
    AppendRefusedError,
    ArtdagError,
    ContentInUseError,
    ContentNotFoundError,
    NotYoursError,
    VersionConflictError,
)
from artdag_common.eventstore import holds as tables
from artdag_common.eventstore.holds import Holds
from artdag_common.messaging.bus import Outcome
from artdag_common.messaging.commands import CommandHandler
from services.cache.handlers import CONSUMER

SHOWN = 20
"""Holders that a refusal lists."""

LISTS = {"run": "runs", "recipe": "recipes", "effect": "effects", "publication": "objects"}
"""Where holders are shown."""

log = structlog.get_logger(__name__)


class Deletion:
    """Takes content out of the books."""

    def __init__(self, app: Application, blobs: BlobStore, holds: Holds, alone: Callable[[str], asyncio.Lock]) -> None:
        """``alone(cid)``: the lock under which this process changes content."""
        self._alone = alone
        self._app = app
        self._blobs = blobs
        self._holds = holds

    def handlers(self) -> dict[type[Command], CommandHandler]:
        """Return the handler of each command."""
        return {DeleteObject: self.delete}

    async def delete(self, command: DeleteObject, command_id: str) -> Outcome:
        """Delete content for a user; where others have it too, it is theirs alone from now on.

        Raises:
            ContentNotFoundError: it is not in the books.
            ContentInUseError: it is needed; the message names the rule and by whom.
            NotYoursError: the user has no say in it.
        """
        async with self._alone(command.cid):
            return await self._delete(command, command_id)

    async def _delete(self, command: DeleteObject, command_id: str) -> Outcome:
        cid, now = command.cid, self._app.clock()
        for _ in range(ATTEMPTS):
            content = await self._app.find(Object, cid)
            if content is None or content.evicted:
                raise ContentNotFoundError(f"no content {cid} is stored here", cid=cid)
            held = (await self._holds.of([cid]))[cid]
            verdict = decide_deletion(held, command.by, command.operator)
            if verdict.action == "refuse":
                raise refusal(cid, verdict)
            stamp = (await self._blobs.stamps([cid])).get(cid, 0)
            if verdict.action == "disown":
                content.disown(command.by, now, command.eraser)
                also = tables.disown(cid, held, user(command.by))
                outcome = Outcome.of(cid=cid, deleted=False, freed_bytes=0, kept_for=shown(verdict.holders))
            else:
                if command.eraser:
                    content.evict(command.eraser, "erased", now, command.by)
                else:
                    content.evict(command.by, "deleted", now)
                also = tables.evict(cid, held, await self._newest(cid, stamp))
                outcome = Outcome.of(cid=cid, deleted=True, freed_bytes=content.size_bytes, kept_for=[])
            try:
                result = await self._app.append(
                    content, command_id, consumer=CONSUMER, outcome=outcome.encode(), also=also, inbox=True
                )
            except AppendRefusedError as refused:
                log.info("what a deletion was decided on changed", cid=cid, reason=refused.message)
                continue
            if result == "conflict":
                continue
            if verdict.action == "evict":
                await self._blobs.remove(cid, stamp)
            return outcome
        raise VersionConflictError(f"{cid} changed {ATTEMPTS} times meanwhile", cid=cid)

    async def _newest(self, cid: str, stamp: int) -> int:
        """Return up to which stamp files go: another node may have a newer one than the one here.

        Raises:
            ContentInUseError: somebody is bringing it again.
        """
        book = (await self._holds.books([cid])).get(cid)
        if book is None:
            return stamp
        if is_arriving(stamp, book.stamp, time.time_ns()):
            raise refusal(cid, Verdict("refuse", "arriving", ARRIVES))
        return max(stamp, book.stamp)


def refusal(cid: str, verdict: Verdict) -> ArtdagError:
    """Return the error that a refused deletion is, with the rule and the holders for programs."""
    if verdict.rule == "not-yours":  # whose it is, is nobody's business
        return NotYoursError(f"{cid} is not yours to delete: {verdict.reason}", cid=cid, rule=verdict.rule)
    values = {"cid": cid, "rule": verdict.rule, "holders": shown(verdict.holders), "count": len(verdict.holders)}
    names = [_name(hold) for hold in verdict.holders[:SHOWN]]
    more = len(verdict.holders) - len(names)
    listed = f" ({', '.join(names)}{f' and {more} more' if more else ''})" if names else ""
    return ContentInUseError(f"{cid} cannot be deleted: {verdict.reason}{listed}", **values)


def shown(holders: Sequence[Hold]) -> list[dict[str, Any]]:
    """Return holders as clients see them: kind, what it is, its id, and where it is found."""
    views = []
    for hold in holders[:SHOWN]:
        what, key = _parts(hold)
        link = f"/{LISTS[what]}/{key}" if what in LISTS else None
        views.append({"kind": hold.kind, "holder": what, "id": key, "link": link})
    return views


def _name(hold: Hold) -> str:
    return " ".join(_parts(hold))


def _parts(hold: Hold) -> tuple[str, str]:
    """Return what holds content, and its id."""
    what, _, key = hold.holder.partition("-")
    return what, key.partition("/")[0]
