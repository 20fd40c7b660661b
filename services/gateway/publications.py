"""What is public, as people see it here and as other servers do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from artdag_common.errors import ArtdagError
from artdag_common.federation.documents import Document, Documents, Published, Unpublished
from artdag_common.people import People
from services.gateway.parts import Gateway
from services.gateway.projections import publications
from services.gateway.projections.publications import ActivityRow, Attempts
from services.gateway.views import time_view


async def publication_views(parts: Gateway, cids: Sequence[str], viewer: str) -> dict[str, list[dict[str, Any]]]:
    """Return under what content is public, by CID: the earliest first.

    ``last_error`` is told to whoever published it.
    """
    found = await publications.publications_of(parts.pool, cids)
    waiting = await _waiting(parts, [row for rows in found.values() for row in rows])
    return {cid: [publication_view(parts, row, waiting, viewer) for row in rows] for cid, rows in found.items()}


async def run_publication(parts: Gateway, run_id: str, owner: str, viewer: str) -> dict[str, Any] | None:
    """Return under what its owner made public what a run gave, or None."""
    row = await publications.of_run(parts.pool, run_id, owner)
    return publication_view(parts, row, await _waiting(parts, [row]), viewer) if row else None


async def activity_views(parts: Gateway, rows: Sequence[ActivityRow]) -> list[dict[str, Any]]:
    """Return somebody's activities as they see them."""
    waiting = await _waiting(parts, rows)
    return [
        {
            "type": row.type,
            **activity_view(parts, row, waiting, row.owner),
            "object": Documents(parts.settings.public_url).object_url(row.object_id),
            "at": time_view(row.published_at),
        }
        for row in rows
    ]


async def _waiting(parts: Gateway, rows: Sequence[ActivityRow]) -> dict[str, Attempts]:
    pending = [row.activity_id for row in rows if row.state == "pending"]
    return await publications.attempts_at(parts.pool, pending) if pending else {}


def publication_view(parts: Gateway, row: ActivityRow, waiting: dict[str, Attempts], viewer: str) -> dict[str, Any]:
    """Return under what content is public, and what the registry made of that."""
    return {
        "owner": row.owner,
        "name": row.name,
        "description": row.description,
        "published_at": time_view(row.published_at),
        "run_id": row.run_id or None,
        "recipe_cid": row.recipe_cid or None,
        "provenance_cid": row.provenance_cid or None,
        "object": Documents(parts.settings.public_url).object_url(row.object_id),
        "activity": activity_view(parts, row, waiting, viewer),
    }


def activity_view(parts: Gateway, row: ActivityRow, waiting: dict[str, Attempts], viewer: str) -> dict[str, Any]:
    """Return how it stands with an activity."""
    now = waiting.get(row.activity_id)
    error = now.last_error if now else row.words if row.state == "refused" else ""
    return {
        "id": Documents(parts.settings.public_url).activity_url(row.activity_id),
        "state": row.state,
        "attempts": now.attempts if now else row.attempts,
        "last_error": error if error and viewer == row.owner else None,
        "next_attempt_at": time_view(now.next_at) if now and now.attempts else None,
        "link": row.words if row.state == "delivered" and row.words else None,
    }


# --- as other servers see it ----------------------------------------------------------------------------------------


async def published(parts: Gateway, row: ActivityRow) -> Published:
    """Return what a Create that counts has made public."""
    record: dict[str, Any] = {}
    if row.provenance_cid:
        record = orjson.loads(await parts.blobs.read(row.provenance_cid))
    return Published(
        activity_id=row.activity_id,
        cid=row.cid,
        media_type=await publications.media_type_of(parts.pool, row.cid),
        name=row.name,
        description=row.description,
        published_at=row.published_at,
        person=await People(parts.pool).actor(row.owner),
        run_id=row.run_id,
        recipe_cid=row.recipe_cid,
        provenance_cid=row.provenance_cid,
        record=record,
    )


async def unpublished(parts: Gateway, row: ActivityRow) -> Unpublished:
    """Return what a Delete, or the one that withdrew a Create, has made public no longer."""
    activity_id, at = (row.withdrawn_by, row.withdrawn_at) if row.withdrawn_at else (row.activity_id, row.published_at)
    assert at
    media_type = await publications.media_type_of(parts.pool, row.cid)
    return Unpublished(activity_id, row.object_id, media_type, at)


async def activity_document(parts: Gateway, documents: Documents, row: ActivityRow) -> Document:
    """Return an activity that counts, without its context."""
    if row.type == "Delete":
        return documents.delete(await unpublished(parts, row))
    return documents.create(await published(parts, row))


async def outbox_documents(parts: Gateway, documents: Documents, rows: Sequence[ActivityRow]) -> list[Document]:
    """Return activities as a page lists them: one that cannot be told whole now is named by its id."""
    told: list[Document] = []
    for row in rows:
        try:
            told.append(await activity_document(parts, documents, row))
        except ArtdagError:  # its record lies where nobody answers now
            told.append({"id": documents.activity_url(row.activity_id), "type": row.type, "actor": documents.actor_id})
    return told
