"""Runs that were completed elsewhere: brought in from content that was uploaded, and their history as it came."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid5

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from artdag_common.blobs.absence import absent
from artdag_common.cid import parse_cid
from artdag_common.commands import ImportRun
from artdag_common.completed_run import MANIFEST_BYTES
from artdag_common.domain.run import Run
from artdag_common.errors import BrokenHistoryError, InvalidInputsError
from artdag_common.eventstore.excerpt import LINE_BYTES, read_line
from artdag_common.run_archive import read_manifest
from services.gateway.api.documentation import CID, IMPORTED_RUN, RUN_ID, TIME, answers
from services.gateway.api.runs import RunId, wanted
from services.gateway.api.shapes import ByName
from services.gateway.issuing import patience_of, values_of
from services.gateway.launching import created
from services.gateway.parts import Gateway, Parts, User, Viewer
from services.gateway.problems import Json
from services.gateway.projections.fact import fact
from services.gateway.sse import facts_of
from services.gateway.views import import_view, run_url, time_view
from services.gateway.visibility import seen_content

router = APIRouter(tags=["runs"])

IMPORTED_IDS = UUID("a2c8e3d4-6f10-5b7a-9d21-61727464616e")
NAMED = 5
"""Of what is missing, in a message."""

PAGE = 200
HISTORY: dict[str, Any] = {
    "run_id": RUN_ID,
    "imported_from": IMPORTED_RUN["imported_from"],
    "events": [
        {
            "position": 42,
            "time": TIME,
            "type": "RunRequested",
            "subject": f"run-{RUN_ID}",
            "data": ByName(recipe_name="dog"),
        }
    ],
    "next": None,
}


class Import(BaseModel):
    """A run's file, whose content is uploaded already."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"manifest": CID, "events": CID}})

    manifest: str = Field(min_length=1, max_length=128, description="CID of the file's `run.json`")
    events: str = Field(min_length=1, max_length=128, description="CID of the file's `events.jsonl`")


@router.post(
    "/runs/import",
    summary="Import a run",
    status_code=201,
    responses=answers(IMPORTED_RUN, 400, 401, 404, 409, 422, status=201, pending=True),
)
async def import_run(request: Request, body: Import, parts: Parts, user: User) -> Response:
    """Have a run that was completed elsewhere among yours; `artdag run import` uploads what it needs before.

    It is checked against its plan, its provenance record and its events, and marked (`imported_from`). Nothing is
    executed, and no run takes a step's output from it. The same file gives the same run again, until that is deleted.
    """
    command_id = await parts.issuer.command_id(request, user, await request.body())
    if (known := await parts.issuer.handled(command_id)) is not None:
        return await _imported(parts, values_of(known)["run_id"])
    manifest, events = parse_cid(body.manifest), parse_cid(body.events)
    await _check_seen(parts, user, (manifest, events))
    stated = read_manifest(await asyncio.to_thread((await _small(parts, manifest)).read_bytes))
    await _check_seen(parts, user, [item.cid for item in stated.content])
    run_id = await _id_of(parts, user, manifest)
    command = ImportRun(run_id, user, manifest, events)
    await parts.issuer.issue(command, command_id, run_url(run_id), patience_of(request))
    return await _imported(parts, run_id)


async def _imported(parts: Gateway, run_id: str) -> Response:
    """Answer with the run as it is in the end: read models may show its first events before its last one."""
    return await created(parts, run_id, enough=lambda run: run.finished)


async def _small(parts: Gateway, manifest: str) -> Path:
    path = await parts.blobs.path(manifest)
    if (size := path.stat().st_size) > MANIFEST_BYTES:
        raise BrokenHistoryError(f"{manifest} has {size} bytes; a manifest has at most {MANIFEST_BYTES}")
    return path


async def _check_seen(parts: Gateway, user: str, cids: Iterable[str]) -> None:
    """Refuse content that is not there for a user: whoever has a run sees all that it names."""
    named = set(cids)
    seen = await seen_content(parts.pool, user, named, parts.settings.shared)
    missing = sorted((named - seen) | await absent(parts.blobs, seen))
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise InvalidInputsError(
            f"not stored here: {', '.join(cid[:80] for cid in missing[:NAMED])}{more}; a run is imported with all that"
            " it names: upload it with POST /cache/upload first. What its file lacks was deleted where it ran: rerun it"
            " there, and export that",
            missing=missing[:NAMED],
        )


async def _id_of(parts: Gateway, user: str, manifest: str) -> str:
    """Return the id of the run that a user's import of a file is; after it was deleted, that of the next one.

    It is none that a run has which is started here: the names that such ids are made of lie in another space.
    """
    for time in count():
        run_id = str(uuid5(IMPORTED_IDS, f"{user}/{manifest}/{time}"))
        stream = Run.stream(run_id)
        last = (await parts.store.latest([stream])).get(stream)
        if last is None or last.type != Run.Deleted.type_name:
            break
    return run_id


@router.get(
    "/api/run/{run_id}/history",
    summary="Read where an imported run comes from",
    responses=answers(HISTORY, 401, 404, 422),
)
async def get_history(
    run_id: RunId,
    parts: Parts,
    viewer: Viewer,
    after: Annotated[int, Query(ge=0, le=2**62, description="Only what comes after this position")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = PAGE,
) -> Response:
    """The events of an imported run, as they were recorded where it was completed, with the positions of that log.

    `GET /runs/{run_id}/events` tells what happened to it here. A run of this system's own has no other history.
    """
    run = await wanted(parts, run_id, viewer)
    events: list[dict[str, Any]] = []
    if run.imported_from:
        path = await parts.blobs.path(run.imported_events)
        events = await asyncio.to_thread(_page, path, after, limit + 1)
    following = events[limit - 1]["position"] if len(events) > limit else None
    view = import_view(run)
    return Json({"run_id": run_id, "imported_from": view, "events": events[:limit], "next": following})


def _page(path: Path, after: int, limit: int) -> list[dict[str, Any]]:
    """Return events from a file that was checked when it was imported."""
    found: list[dict[str, Any]] = []
    with path.open("rb") as file:
        while len(found) < limit and (line := file.readline(LINE_BYTES)):
            position = orjson.loads(line)["position"]
            if position <= after:
                continue
            each = fact(read_line(line).event)
            found.append(
                {
                    "position": each.position,
                    "time": time_view(each.recorded.recorded_at),
                    "type": each.recorded.type,
                    "subject": each.recorded.stream,
                    "data": facts_of(each.event) if each.event else {},
                }
            )
    return found
