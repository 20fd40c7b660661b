"""Content as people see it: what it is, what is said of it, what was found out, where it is used."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import asyncpg
import orjson
from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from artdag_common.cid import is_cid, parse_cid
from artdag_common.errors import ArtdagError, ContentNotFoundError, InvalidRequestError, NotYoursError
from artdag_common.eventstore.holds import Holds
from artdag_common.media.types import media_type_of
from services.gateway.api.documentation import CID
from services.gateway.deriving import PICTURES
from services.gateway.launching import OWN_WRITES_SECONDS
from services.gateway.parts import Gateway
from services.gateway.playing import moves, plays
from services.gateway.projections import objects, storage
from services.gateway.projections.objects import FactsRow, ObjectRow, Said
from services.gateway.publications import publication_views
from services.gateway.views import raw_url, run_url, time_view
from services.gateway.visibility import is_own, seen_content

MEDIA = ("video", "audio", "image")
"""First parts of the media types that can be seen or heard."""

Cid = Annotated[str, Path(description="CID, also as Qm…", examples=[CID], max_length=128)]


class Addressed(BaseModel):
    """Base of bodies about content that the path names: they may name it too, as ``cid`` or in the earlier word."""

    model_config = ConfigDict(extra="forbid")

    cid: str | None = Field(None, max_length=128, description="The content; has to be that of the path")
    hash: str | None = Field(None, max_length=128, description="Earlier name of `cid`")

    def check(self, cid: str) -> None:
        """Raise unless the body means this content.

        Raises:
            InvalidRequestError: it names other content.
        """
        for name, value in (("cid", self.cid), ("hash", self.hash)):
            if value is not None and not (is_cid(value) and parse_cid(value) == cid):
                raise InvalidRequestError(
                    f"{name}: {value!r} is not the content of the path, {cid}",
                    problems=[{"field": name, "value": value, "problem": f"has to be {cid}, as in the path"}],
                )


async def known(parts: Gateway, reference: str, viewer: str) -> ObjectRow:
    """Return what a viewer may know of content that is stored here.

    Raises:
        InvalidCidError: not a CID.
        ContentNotFoundError: it is not stored here, or not for this viewer to see.
    """
    cid = parse_cid(reference)
    await check_seen(parts, cid, viewer)
    row = await objects.told(parts.pool, viewer, cid)
    if row is None:
        await check_kept(parts, cid)
    path = await parts.blobs.path(cid)
    if row is None:  # stored a moment ago: the books follow
        try:
            facts = await asyncio.to_thread(path.stat)
            kind = await asyncio.to_thread(media_type_of, path)
        except FileNotFoundError as error:
            raise ContentNotFoundError(f"no content {cid} is stored here", cid=cid) from error
        row = ObjectRow(cid, facts.st_size, kind, "", datetime.fromtimestamp(facts.st_mtime, UTC))
    return row


async def check_seen(parts: Gateway, cid: str, viewer: str) -> None:
    """Raise as for content that is not stored here unless a viewer sees it.

    Raises:
        ContentNotFoundError: it is not for this viewer to see.
    """
    if not await seen_content(parts.pool, viewer, [cid], parts.settings.shared):
        raise ContentNotFoundError(f"no content {cid} is stored here", cid=cid)


async def own(parts: Gateway, reference: str, user: str, what: str) -> ObjectRow:
    """Return content that is a user's own. ``what`` the user wants to do with it, for the message.

    Raises:
        ContentNotFoundError: as :func:`known`.
        NotYoursError: somebody else published it.
    """
    row = await known(parts, reference, user)
    if row.version and not await is_own(parts.pool, user, row.cid):
        raise NotYoursError(f"{row.cid} is not yours to {what}: somebody else published it", cid=row.cid)
    return row


async def version_of(parts: Gateway, row: ObjectRow, version: int) -> ObjectRow:
    """Return content as the read models show it at a version of its stream, or later."""

    async def check() -> ObjectRow | None:
        found = await objects.find(parts.pool, row.cid)
        return found if found is not None and found.version >= version else None

    found = await parts.projector.until(check, OWN_WRITES_SECONDS)
    return replace(row, version=found.version) if found else row


async def check_kept(parts: Gateway, cid: str) -> None:
    """Refuse content that was deleted, while its bytes are still here or elsewhere.

    Raises:
        ContentNotFoundError: it was.
    """
    book = (await Holds(parts.pool).books([cid])).get(cid)
    if book and book.gone is not None and (await parts.blobs.stamps([cid])).get(cid, 0) <= book.gone:
        raise ContentNotFoundError(f"no content {cid} is stored here; it was deleted", cid=cid)


async def title_of(parts: Gateway, row: ObjectRow, viewer: str) -> str:
    """Return what content is called, for a file name."""
    given = await objects.title_of(parts.pool, viewer, row.cid)
    return given or (await objects.outputs_named(parts.pool, viewer, [row.cid])).get(row.cid, row.cid)


def entity_tag(meta: dict[str, Any]) -> str:
    """Return the ETag of what a viewer is told of content. What others do with it, and may not be told, leaves it."""
    return f'"{hashlib.sha256(orjson.dumps(meta)).hexdigest()[:24]}"'


async def meta_views(parts: Gateway, rows: Sequence[ObjectRow], viewer: str) -> list[dict[str, Any]]:
    """Return what content is, what the viewer says of it, and under what it is published.

    ``name`` and ``description`` are the viewer's own, else those under which it was published first; ``tags`` are the
    viewer's own. What others call it stays with them. ``title`` is what to show it as: its name, else the one under
    which the viewer published it, else what the viewer's run that gave it was to call its output.
    """
    cids = [row.cid for row in rows]
    said, published, outputs = await asyncio.gather(
        objects.said_of(parts.pool, viewer, cids),
        publication_views(parts, cids, viewer),
        objects.outputs_named(parts.pool, viewer, cids),
    )
    return [_meta(row, said.get(row.cid), published.get(row.cid, []), outputs.get(row.cid), viewer) for row in rows]


def _meta(
    row: ObjectRow, said: Said | None, published: Sequence[dict[str, Any]], output: str | None, viewer: str
) -> dict[str, Any]:
    words = [{"owner": said.owner, "name": said.name, "description": said.description}] if said else []
    words += [each for each in published if each["owner"] != viewer]
    name = next((each["name"] for each in words if each["name"]), None)
    return {
        "cid": row.cid,
        "size_bytes": row.size_bytes,
        "media_type": row.media_type,
        "origin": row.origin or None,
        "stored_at": time_view(row.stored_at),
        "name": name,
        "title": name or next((each["name"] for each in published), output),
        "description": next((each["description"] for each in words if each["description"]), ""),
        "tags": said.tags if said else [],
        "names": [{"owner": each["owner"], "name": each["name"]} for each in words if each["name"]],
        "descriptions": [
            {"owner": said.owner, "description": said.description, "tags": said.tags}
            for said in ([said] if said else [])
            if said.description or said.tags
        ],
        "published": published,
        "links": {
            "self": f"/cache/{row.cid}",
            "raw": raw_url(row.cid),
            "meta": f"/cache/{row.cid}/meta",
            "ipfs": f"/ipfs/{row.cid}",
        },
    }


async def facts_views(parts: Gateway, rows: Sequence[ObjectRow]) -> list[dict[str, Any] | None]:
    """Return what was found out about content: None for what is no media, or where nobody has looked."""
    found = await objects.facts_of(parts.pool, [row.cid for row in rows])
    return list(await asyncio.gather(*(_facts(parts, row, found.get(row.cid)) for row in rows)))


async def _facts(parts: Gateway, row: ObjectRow, found: FactsRow | None) -> dict[str, Any] | None:
    if found is None:
        return None
    if found.status == "unreadable":
        return {"status": found.status, "error": f"cannot be read: {found.error}"}
    if found.status == "known":
        try:
            document = orjson.loads(await parts.blobs.read(found.document_cid))
        except ArtdagError:  # cleaned up, or where it is does not answer
            return None
        return {"status": found.status, **document, "playable": moves(document) and plays(row.media_type, document)}
    return {"status": found.status}


def preview_view(row: ObjectRow, facts: dict[str, Any] | None) -> dict[str, str]:
    """Return where content can be seen and heard: kind → address. What the facts rule out is left out."""
    family = row.media_type.partition("/")[0]
    if family not in MEDIA or (facts and facts["status"] == "unreadable"):
        return {}
    sure = facts if facts and facts["status"] == "known" else None
    silent = sure is not None and not sure["audio"]
    blind = sure is not None and not sure["video"]
    found = {}
    for kind in PICTURES:
        needs_sound = "audio" in kind.of
        if family in kind.of and not (silent if needs_sound else blind):
            found[kind.name] = f"/cache/{row.cid}/{kind.name}"
    if moves(sure) if sure else family != "image":
        found["mp4"] = f"/cache/{row.cid}/mp4"
    if family == "image":
        found["image"] = f"/cache/{row.cid}/raw"
    return found


async def copies_view(parts: Gateway, cid: str, viewer: str) -> list[dict[str, Any]]:
    """Return how it stands with the copies of content at the viewer's storage providers."""
    if not viewer:
        return []
    return [
        {
            "storage_id": row["storage_id"],
            "name": row["name"],
            "kind": row["kind"],
            "state": row["state"],
            "location": row["location"] or None,
            "reason": row["reason"] or None,
            "progress": parts.copying.now(row["storage_id"]).get(cid),
            "updated_at": time_view(row["updated_at"]),
            "links": {"storage": f"/storage/{row['storage_id']}"},
        }
        for row in await storage.places_of(parts.pool, cid, viewer)
    ]


async def uses_view(parts: Gateway, cid: str, viewer: str) -> dict[str, Any]:
    """Return the runs and recipes a viewer sees that content has to do with, newest first, at most 100 of each."""
    of_runs, of_recipes = await asyncio.gather(
        objects.runs_of(parts.pool, viewer, cid), objects.recipes_of(parts.pool, viewer, cid)
    )
    return {
        "runs": [_run_use(row) for row in of_runs],
        "recipes": [
            {"recipe_id": row["cid"], "name": row["name"], "links": {"self": f"/recipes/{row['cid']}"}}
            for row in of_recipes
        ],
    }


def _run_use(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "run_id": row["run_id"],
        "as": row["roles"],
        "owner": row["owner"],
        "recipe": row["recipe_name"],
        "recipe_cid": row["recipe_cid"],
        "status": row["status"],
        "provenance_cid": row["provenance_cid"] or None,
        "links": {"self": run_url(row["run_id"])},
    }
