"""Erasing a person: first who it was and every token, then their storage and webhooks; if asked for, also their things.

Nothing here remembers how far it is. Each part asks what there still is, so it can be broken off and begun again at any
place; who was erased stays so from the first step on. Only what is to be taken back in public is taken back before,
since nobody can be told in the name of one who is forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import asyncpg

from artdag_common.commands import (
    CancelRun,
    Command,
    DeleteEffect,
    DeleteObject,
    DeleteRecipe,
    DeleteRun,
    EraseUser,
    RemoveStorage,
    RemoveWebhook,
    RevokeUser,
    UnpublishObject,
)
from artdag_common.domain.access import OWNER
from artdag_common.domain.retention import NAMED, UPLOADED, user
from artdag_common.errors import (
    ArtdagError,
    ContentNotFoundError,
    EffectNotFoundError,
    InvalidRequestError,
    NotPublishedError,
    RecipeNotFoundError,
    RunAlreadyFinishedError,
    RunNotFoundError,
    StorageNotFoundError,
    WebhookNotFoundError,
)
from services.gateway.issuing import Issuer, Pending

SECONDS = 5.0
"""How long one request goes on; the next one goes on where it stopped."""

AT_ONCE = 50
PUBLICATIONS = "publications"
PARTS = (PUBLICATIONS, "storage", "webhooks", "runs", "recipes", "effects", "content")
GONE = (
    ContentNotFoundError,
    EffectNotFoundError,
    NotPublishedError,
    RecipeNotFoundError,
    RunNotFoundError,
    StorageNotFoundError,
    WebhookNotFoundError,
)

THEIRS = {
    PUBLICATIONS: "SELECT cid AS key FROM rm_object_publications WHERE owner = $1 AND cid > $2 ORDER BY 1 LIMIT $3",
    "storage": "SELECT storage_id AS key FROM rm_storage WHERE owner = $1 AND storage_id > $2 ORDER BY 1 LIMIT $3",
    "webhooks": "SELECT webhook_id AS key FROM rm_webhooks WHERE owner = $1 AND webhook_id > $2 ORDER BY 1 LIMIT $3",
    "runs": "SELECT run_id AS key FROM rm_runs WHERE owner = $1 AND NOT deleted AND run_id > $2 ORDER BY 1 LIMIT $3",
    "recipes": "SELECT cid AS key FROM rm_recipes WHERE owner = $1 AND NOT deleted AND cid > $2 ORDER BY 1 LIMIT $3",
    "effects": "SELECT cid AS key FROM rm_effects WHERE owner = $1 AND NOT deleted AND cid > $2 ORDER BY 1 LIMIT $3",
}
CLAIMED = """SELECT DISTINCT cid AS key FROM content_holds
WHERE holder = $1 AND kind = ANY ($4::text[]) AND cid > $2 ORDER BY 1 LIMIT $3"""


@dataclass(slots=True)
class Erased:
    """What one request came to.

    Attributes:
        removed: how many of each part are gone, or no longer theirs.
        freed_bytes: of content that is gone.
        kept: what could not be deleted, with the rule and the reason.
        next: where the next request goes on; None: everything was looked at.
    """

    removed: dict[str, int] = field(default_factory=dict)
    freed_bytes: int = 0
    kept: list[dict[str, Any]] = field(default_factory=list)
    next: str | None = None


def read_place(cursor: str | None) -> tuple[str, str]:
    """Return the part, and the last key in it, where a request is to go on; two empty ones: at the beginning.

    Raises:
        InvalidRequestError: no answer named such a place.
    """
    part, _, key = (cursor or "").partition(":")
    if cursor and (part not in PARTS or len(key) > 256):
        problem = {"field": "cursor", "value": cursor[:40], "problem": "the value of 'next' of the answer before"}
        raise InvalidRequestError(f"cursor: {cursor[:40]!r} is not a place to go on at", problems=[problem])
    return part, key


class Erasure:
    """Erases one person in the name of the operator."""

    def __init__(self, issuer: Issuer, pool: asyncpg.Pool, user_id: str, by: str) -> None:
        self._issuer = issuer
        self._pool = pool
        self._user = user_id
        self._by = by

    async def go_on(self, content: bool, unpublish: bool, cursor: str | None) -> Erased:
        """Go on at a place, for a few seconds.

        Args:
            content: also delete what is theirs, where nothing and nobody else needs it.
            unpublish: before all else, make public no longer what they published.

        Raises:
            UserNotFoundError: nobody has this id.
            InvalidRequestError: it is the operator.
            ServiceUnavailableError: ask again, with the same cursor.
        """
        if self._user == OWNER:
            raise InvalidRequestError(f"user: {OWNER!r} is the operator of this system and cannot be erased")
        part, after = read_place(cursor)
        parts: Sequence[str] = PARTS if content else PARTS[:3]
        if not unpublish:
            parts = parts[1:]
        if unpublish and not part:
            await self._issue(RevokeUser(self._user, self._by, "erased"))
        erased = Erased()
        deadline = asyncio.get_running_loop().time() + SECONDS
        for each in parts[parts.index(part) if part in parts else 0 :]:
            if each == "storage" and part != each:
                await self._issue(EraseUser(self._user, self._by))
            key = after if each == part else ""
            while keys := await self._keys(each, key):
                for key in keys:
                    await self._remove(each, key, erased)
                    if asyncio.get_running_loop().time() > deadline:
                        erased.next = f"{each}:{key}"
                        return erased
        return erased

    async def _keys(self, part: str, after: str) -> Sequence[str]:
        if part == "content":
            rows = await self._pool.fetch(CLAIMED, user(self._user), after, AT_ONCE, [UPLOADED, NAMED])
        else:
            rows = await self._pool.fetch(THEIRS[part], self._user, after, AT_ONCE)
        return [row["key"] for row in rows]

    async def _remove(self, part: str, key: str, erased: Erased) -> None:
        try:
            done = await self._delete(part, key)
        except GONE:  # the read models do not show it yet
            return
        except Pending:
            erased.kept.append(_kept(part, key, "pending", "it is being done; ask again"))
        except ArtdagError as refusal:
            if refusal.retryable:
                raise
            rule = str(refusal.values.get("rule") or refusal.code)
            erased.kept.append(_kept(part, key, rule, refusal.message))
        else:
            erased.removed[part] = erased.removed.get(part, 0) + 1
            erased.freed_bytes += int(done.get("freed_bytes", 0))

    async def _delete(self, part: str, key: str) -> dict[str, Any]:
        match part:
            case "publications":
                return await self._issue(UnpublishObject(key, self._user, self._by))
            case "storage":
                return await self._issue(RemoveStorage(key, self._user, by=self._by))
            case "webhooks":
                return await self._issue(RemoveWebhook(key, self._user, self._by))
            case "runs":
                with contextlib.suppress(RunAlreadyFinishedError):
                    await self._issue(CancelRun(key, "its owner was erased", self._user, self._by))
                return await self._issue(DeleteRun(key, self._user, self._by))
            case "recipes":
                return await self._issue(DeleteRecipe(key, self._user, self._by))
            case "effects":
                return await self._issue(DeleteEffect(key, self._user, self._by))
        return await self._issue(DeleteObject(key, self._user, eraser=self._by))

    async def _issue(self, command: Command) -> dict[str, Any]:
        # Under an id of its own each time: what was refused before may be possible now.
        return await self._issuer.issue(command, str(uuid4()), f"/api/users/{self._user}")


def _kept(part: str, key: str, rule: str, reason: str) -> dict[str, Any]:
    return {"part": part, "id": key, "rule": rule, "reason": reason}
