"""What is made of content for people to look at, or found out about it. That is content too, made once.

Each is the output of a recipe of one step, rendered the way all recipes are: by the planner's plan, in an executor's
worker process. The run's id derives from what is shown and how, so that many who ask at once ask for one run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import structlog
from starlette.requests import Request
from starlette.responses import Response

from artdag_common.cid import cid_of
from artdag_common.commands import StartRun
from artdag_common.domain.plan import canonical_json
from artdag_common.domain.recipe_yaml import parse_recipe
from artdag_common.domain.run import InputBinding
from artdag_common.errors import (
    ArtdagError,
    ContentNotFoundError,
    NothingToShowError,
    RecipeNotFoundError,
    RunNotFoundError,
    StepInputError,
)
from artdag_common.media.types import UNKNOWN
from artdag_common.steps.registry import find_step_type
from services.gateway.issuing import Pending, patience_of, run_id_of
from services.gateway.launching import register, seen
from services.gateway.naming import Sketch
from services.gateway.parts import Gateway
from services.gateway.problems import Json
from services.gateway.projections import objects, recipes, runs
from services.gateway.projections.objects import ObjectRow
from services.gateway.projections.rows import UNLISTED
from services.gateway.projections.runs import RunRow
from services.gateway.views import run_url

PATIENCE_SECONDS = 5.0
RETRY_SECONDS = "1"
ATTEMPTS = 3
"""Runs that are begun for one thing, where the one before was lost, cancelled or deleted."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing that is made of content.

    Attributes:
        name: as addresses and messages call it.
        what: the same in a sentence that describes the recipe.
        step: the type of step that makes it.
        of: first parts of the media types that it can be made of.
        ratio: width by height, where the step has to be told; 0: it follows from the content.
    """

    name: str
    what: str
    step: str
    media_type: str
    of: tuple[str, ...]
    ratio: int = 0


THUMBNAIL = Kind("thumbnail", "one small picture", "THUMBNAIL", "image/jpeg", ("video", "image"))
POSTER = Kind("poster", "a strip of frames", "POSTER", "image/jpeg", ("video", "image"))
WAVEFORM = Kind("waveform", "the peaks of the sound", "WAVEFORM", "image/png", ("video", "audio"), 8)
SPECTROGRAM = Kind("spectrogram", "the pitches of the sound", "SPECTROGRAM", "image/png", ("video", "audio"), 5)
FACTS = Kind(objects.FACTS, "what a file holds", "PROBE", "application/json", ("video", "audio", "image"))
MP4 = Kind("mp4", "a film that browsers play", "SEGMENT", "video/mp4", ("video", "audio", "image"))
PICTURES = (THUMBNAIL, POSTER, WAVEFORM, SPECTROGRAM)


@dataclass(frozen=True, slots=True)
class Making:
    """How a thing is made: a recipe, its id, and what the step's result is identified by."""

    sketch: Sketch
    recipe_cid: str
    implementation: str


@lru_cache(maxsize=64)
def making(kind: Kind, width: int = 0) -> Making:
    """Return the recipe for a thing of this kind; ``width``: pixels, of pictures."""
    config = ({"width": width} if width else {}) | ({"height": width // kind.ratio} if kind.ratio else {})
    step = {"id": kind.name, "type": kind.step, "inputs": ["media"], "config": config}
    source = canonical_json(  # JSON is YAML
        {
            "name": f"{kind.name}-{width}" if width else kind.name,
            "description": f"Of any content {kind.what}" + (f", {width} pixels wide" if width else ""),
            "inputs": {"media": {"type": "any", "description": "What it is made of"}},
            "steps": [step],
            "output": kind.name,
        }
    )
    graph = parse_recipe(source, {})
    found = find_step_type(kind.step)
    implementation = found.implementation(found.canonical_config(config))
    return Making(Sketch(graph, source), cid_of(graph.canonical()), implementation)


@dataclass(frozen=True, slots=True)
class Derived:
    """A thing that was made: its bytes, and their CID."""

    cid: str
    path: Path


@dataclass(frozen=True, slots=True)
class Underway:
    """A thing that is being made by this run."""

    run_id: str


def has(row: ObjectRow, kind: Kind) -> bool:
    """Return whether content may have a thing of this kind. What is unknown at a glance, the step finds out."""
    return row.media_type.partition("/")[0] in kind.of or row.media_type == UNKNOWN


async def derive(parts: Gateway, request: Request, row: ObjectRow, kind: Kind, width: int = 0) -> Derived | Underway:
    """Return a thing made of content, made now if need be, or the run that makes it where that takes longer.

    Raises:
        NothingToShowError: there is no such thing of it.
    """
    if not has(row, kind):
        raise NothingToShowError(
            f"{row.cid} is {row.media_type}: it has no {kind.name}; {' and '.join(kind.of)} have one",
            cid=row.cid,
            media_type=row.media_type,
        )
    made = making(kind, width)
    reason = "its runs were deleted"
    attempt, left = -1, ATTEMPTS
    while left:
        attempt, left = attempt + 1, left - 1
        run_id = _run_id(made, row.cid, attempt)
        try:
            run = await _rendered(parts, request, run_id, made, row.cid)
        except RunNotFoundError:  # deleted
            continue
        except Pending:  # the command is kept
            return Underway(run_id)
        if run is None or not run.finished:
            return Underway(run_id)
        if run.status == "completed":
            try:
                return Derived(run.output_cid, await parts.blobs.path(run.output_cid))
            except ContentNotFoundError:  # cleaned up since: made anew, however often that was
                left += 1
                continue
        reason = run.error
        if run.error_code == StepInputError("").code:  # it will not change
            break
    raise NothingToShowError(f"{row.cid} has no {kind.name}: {reason}", cid=row.cid, media_type=row.media_type)


async def look_into(parts: Gateway, request: Request, cid: str, media_type: str) -> None:
    """Have somebody find out what new media holds. Nobody waits for it, and nothing fails if it does not happen."""
    if media_type.partition("/")[0] not in FACTS.of:
        return
    made = making(FACTS)
    run_id = _run_id(made, cid, 0)
    try:
        await _know(parts, request, made)
        await parts.bus.send(_start(run_id, made, cid), f"{run_id}/begin")
    except (ArtdagError, Pending) as error:
        log.warning("nobody looks into new content", cid=cid, error=str(error))


def underway(request: Request, run_id: str) -> Response:
    """Return the answer to a request for something that is being made."""
    here = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    links = {"resource": here, "run": run_url(run_id), "events": f"{run_url(run_id)}/events"}
    headers = {
        "Location": here,
        "Link": f'<{run_url(run_id)}>; rel="monitor"',
        "Retry-After": RETRY_SECONDS,
        "Cache-Control": "no-store",
    }
    return Json({"status": "pending", "run_id": run_id, "links": links}, 202, headers)


async def _know(parts: Gateway, request: Request, made: Making) -> None:
    """Make the recipe known, where this is the first of its kind here."""
    if await recipes.find(parts.pool, UNLISTED, made.recipe_cid) is None:
        await register(parts, request, made.sketch, UNLISTED, str(uuid4()))


def _run_id(made: Making, cid: str, attempt: int) -> str:
    return run_id_of(f"{UNLISTED}/{made.recipe_cid}/{made.implementation}/{cid}/{attempt}")


def _start(run_id: str, made: Making, cid: str) -> StartRun:
    return StartRun(run_id, made.recipe_cid, UNLISTED, (InputBinding("media", (cid,)),))


async def _rendered(parts: Gateway, request: Request, run_id: str, made: Making, cid: str) -> RunRow | None:
    """Return the run that makes a thing, begun if need be, as it is at the end or when time is up."""
    run = await runs.find(parts.pool, run_id)
    if run is not None and run.finished:
        return run
    patience = min(patience_of(request), PATIENCE_SECONDS)
    if run is None:
        command = _start(run_id, made, cid)
        await _know(parts, request, made)
        try:
            await parts.issuer.issue(command, str(uuid4()), request.url.path, patience)
        except RecipeNotFoundError:  # somebody deleted it
            await register(parts, request, made.sketch, UNLISTED, str(uuid4()))
            await parts.issuer.issue(command, str(uuid4()), request.url.path, patience)
    return await seen(parts, run_id, patience, lambda run: run.finished)
