"""A run as one CAR file: all its content and its events, in a form that verifies offline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from artdag_common.application import Application
from artdag_common.blobs.port import BlobStore
from artdag_common.cid import cid_bytes, cid_text
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.run import Run
from artdag_common.effects.registry import EFFECTS
from artdag_common.errors import ContentNotFoundError, RunActiveError, RunNotFoundError
from artdag_common.eventstore.excerpt import excerpt
from artdag_common.ipld.car import MEDIA_TYPE, FolderCar, Source
from artdag_common.ipld.unixfs import dag_of_file, known_file
from artdag_common.run_archive import (
    EVENTS,
    MANIFEST,
    Item,
    Manifest,
    content_path,
    named_content,
    read_manifest,
    streams,
)
from services.gateway.api.documentation import SAME, answers
from services.gateway.api.runs import RunId, own
from services.gateway.downloads import matches
from services.gateway.parts import Gateway, Parts, User
from services.gateway.projections import recipes, runs
from services.gateway.projections.runs import RunRow

router = APIRouter(tags=["runs"])

TRIES = 5
SIZES = "SELECT cid, size_bytes FROM rm_objects WHERE cid = ANY ($1::text[])"


@router.get(
    "/api/run/{run_id}/export",
    summary="Export a run as a CAR file",
    responses=answers("(bytes)", 401, 404, 409, media_type="application/vnd.ipld.car") | SAME,
)
async def export_run(request: Request, run_id: RunId, parts: Parts, user: User) -> Response:
    """All content of a finished run of yours, what its recipe is, and its stored events, under one root.

    The root is the `ETag`. `artdag run verify` checks such a file without a server; any IPFS tool can read it.
    """
    row = await own(parts, run_id, user, "export")
    if not row.finished:
        raise RunActiveError(f"run {run_id} is still {row.status}; export it when it is over", run=run_id)
    stack = ExitStack()
    try:
        car = await _car(parts, row, stack)
    except BaseException:
        stack.close()
        raise
    root = cid_text(car.root)
    headers = {"etag": f'"{root}"', "content-disposition": f'attachment; filename="run-{run_id}.car"'}
    if matches(request.headers.get("if-none-match", ""), headers["etag"]):
        stack.close()
        return Response(None, 304, headers)
    headers["content-length"] = str(car.size_bytes)
    return _Sending(car, stack, headers)


class _Sending(StreamingResponse):
    """Sends a CAR file, then lets go of what it is made from."""

    def __init__(self, car: FolderCar, stack: ExitStack, headers: Mapping[str, str]) -> None:
        super().__init__(iter(car), headers=headers, media_type=MEDIA_TYPE)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._stack:
            await super().__call__(scope, receive, send)


async def _car(parts: Gateway, row: RunRow, stack: ExitStack) -> FolderCar:
    """Return the file. Nothing but the events is read for it before it is sent."""
    app = Application(parts.store)
    run, recipe = await app.find(Run, row.run_id), await app.find(Recipe, row.recipe_cid)
    if run is None:
        raise RunNotFoundError(f"the event store has no events of run {row.run_id}", run=row.run_id)
    if run.imported_from:
        return await _given(parts, run)
    own = Path(stack.enter_context(TemporaryDirectory(prefix="artdag-export-")))
    position, head = 0, bytes(32)
    with (own / EVENTS).open("wb") as file:
        async for each in excerpt(parts.pool, streams(run)):
            file.write(each.line())
            position, head = each.event.position, each.hash
    source = await _source(parts, row, recipe)
    named = named_content(run, source, await _record(parts, run))
    items, stored = await _content(parts, named)
    manifest = Manifest(row.run_id, await _state(parts, row), position, head.hex(), tuple(items))
    (own / MANIFEST).write_bytes(manifest.write())
    written = {
        name: Source.at(own / name, await asyncio.to_thread(dag_of_file, own / name)) for name in (MANIFEST, EVENTS)
    }
    return FolderCar(written | stored)


async def _given(parts: Gateway, run: Run) -> FolderCar:
    """Return the file that an imported run came from: what it proves was recorded there, not here."""
    manifest = read_manifest(await parts.blobs.read(run.imported_from))
    files: dict[str, Source] = {}
    for path, cid in (
        (MANIFEST, run.imported_from),
        (EVENTS, run.imported_events),
        *((content_path(item.cid), item.cid) for item in manifest.content),
    ):
        size = (await parts.blobs.path(cid)).stat().st_size
        files[path] = Source(known_file(cid_bytes(cid, 0), size), _opener(parts.blobs, cid))
    return FolderCar(files)


async def _source(parts: Gateway, row: RunRow, recipe: Recipe | None) -> str:
    """Return the CID of the recipe's YAML in the words that the run's owner sees; empty: in none."""
    found = await recipes.find(parts.pool, row.owner, row.recipe_cid)
    return found.source_cid if found else recipe.sources.get(row.owner, "") if recipe else ""


async def _record(parts: Gateway, run: Run) -> Any:
    """Return the run's provenance record, or None where it is not stored."""
    if not await parts.blobs.present([run.provenance_cid]):
        return None
    return orjson.loads(await parts.blobs.read(run.provenance_cid))


async def _state(parts: Gateway, row: RunRow) -> dict[str, Any]:
    """Return the run as the read model shows it; whoever has the events can compare."""
    steps = await runs.steps(parts.pool, row.run_id)
    return {
        "status": row.status,
        "output_cid": row.output_cid,
        "provenance_cid": row.provenance_cid,
        "plan_cid": row.plan_cid,
        "steps": [{"node": s["node"], "status": s["status"], "output_cid": s["output_cid"] or ""} for s in steps],
    }


async def _content(parts: Gateway, named: Mapping[str, tuple[str, ...]]) -> tuple[list[Item], dict[str, Source]]:
    """Return all content that the run names, and what of it is stored as files by their paths in the folder."""
    built_in = {effect.cid: effect.source for effect in EFFECTS.values() if not effect.uploaded}
    present = await parts.blobs.present(named.keys() - built_in.keys())
    sizes = {row["cid"]: row["size_bytes"] for row in await parts.pool.fetch(SIZES, list(present))}
    items: list[Item] = []
    files: dict[str, Source] = {}
    for cid, roles in named.items():
        if cid in built_in:
            dag = dag_of_file(built_in[cid])
            files[content_path(cid)] = Source.at(built_in[cid], dag)
            items.append(Item(cid, roles, dag.size))
            continue
        if cid not in present:
            items.append(Item(cid, roles, None))
            continue
        size = sizes[cid] if cid in sizes else (await parts.blobs.path(cid)).stat().st_size
        items.append(Item(cid, roles, size))
        files[content_path(cid)] = Source(known_file(cid_bytes(cid, 0), size), _opener(parts.blobs, cid))
    return items, files


def _opener(blobs: BlobStore, cid: str) -> Callable[[], BinaryIO]:
    """Return a function for other threads that opens content, fetched from wherever it is when its turn comes."""
    loop = asyncio.get_running_loop()

    def open_content() -> BinaryIO:
        for _ in range(TRIES):
            path = asyncio.run_coroutine_threadsafe(blobs.path(cid), loop).result()
            with contextlib.suppress(FileNotFoundError):  # the disk made room just now
                return path.open("rb")
        raise ContentNotFoundError(f"{cid} leaves the disk faster than it can be read", cid=cid)

    return open_content
