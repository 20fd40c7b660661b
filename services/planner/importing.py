"""Runs that were completed elsewhere, read from content that somebody brought, and checked against all they name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path

from artdag_common import tracing
from artdag_common.blobs.absence import absent
from artdag_common.blobs.port import BlobStore
from artdag_common.commands import ImportRun
from artdag_common.completed_run import (
    DOCUMENT_BYTES,
    EVENTS_BYTES,
    MANIFEST_BYTES,
    CompletedRun,
    check_content,
    read_completed,
)
from artdag_common.domain.run import Run
from artdag_common.errors import BrokenHistoryError, InvalidInputsError
from artdag_common.eventstore.holds import Need
from artdag_common.run_archive import read_json
from services.planner.needs import import_needs
from services.planner.reading import read_recipe

NAMED = 5
"""Of what is missing, in a message."""


async def imported(
    blobs: BlobStore, command: ImportRun, clock: Callable[[], datetime]
) -> tuple[Callable[[], Run], list[Need]]:
    """Return what makes the run that a command brings in, and what that run needs.

    Raises:
        BrokenHistoryError: its history does not prove what it states, or it was not completed.
        InvalidInputsError: content that it names is not stored here.
        InvalidRecipeError: what it names as its recipe is none.
    """
    await _check_present(blobs, (command.manifest_cid, command.events_cid))
    manifest = await _read(blobs, command.manifest_cid, MANIFEST_BYTES)
    events = await _file(blobs, command.events_cid, EVENTS_BYTES)
    found = await asyncio.to_thread(_completed, manifest, events)
    await _check_present(blobs, [item.cid for item in found.manifest.content])
    plan = await _read(blobs, found.planned.plan_cid, DOCUMENT_BYTES)
    provenance = await _read(blobs, found.completed.provenance_cid, DOCUMENT_BYTES)
    trace = tracing.current()

    def make() -> Run:
        its = (command.run_id, command.owner, command.manifest_cid, command.events_cid)
        return found.record(*its, clock(), trace)

    run = make()
    named = await asyncio.to_thread(check_content, found, run, plan, provenance)
    for analysis in found.analyses:
        await asyncio.to_thread(read_json, analysis.cid, await _read(blobs, analysis.cid, DOCUMENT_BYTES))
    await _file(blobs, run.recipe_cid, MANIFEST_BYTES)
    await read_recipe(blobs, run.recipe_cid)
    return make, import_needs(run, named)


def _completed(manifest: bytes, events: Path) -> CompletedRun:
    with events.open("rb") as file:
        return read_completed(manifest, file)


async def _check_present(blobs: BlobStore, cids: Collection[str]) -> None:
    if missing := sorted(await absent(blobs, cids)):
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise InvalidInputsError(
            f"not stored here: {', '.join(missing[:NAMED])}{more}; a run is imported with all that it names: upload it"
            " with POST /cache/upload first. What its file lacks was deleted where it ran: rerun it there, and export"
            " that",
            missing=missing,
        )


async def _file(blobs: BlobStore, cid: str, most: int) -> Path:
    path = await blobs.path(cid)
    if (size := path.stat().st_size) > most:
        raise BrokenHistoryError(f"{cid} has {size} bytes; of a run that is imported at most {most} are read")
    return path


async def _read(blobs: BlobStore, cid: str, most: int) -> bytes:
    path = await _file(blobs, cid, most)
    return await asyncio.to_thread(path.read_bytes)
