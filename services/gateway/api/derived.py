"""Pictures made of content: thumbnail, strip of frames, waveform, spectrogram. They are content too, made once.

Each is the output of a recipe of one step, rendered the way all recipes are: by the planner's plan, in an executor's
worker process. The run's id derives from what is shown and how, so that many who ask at once ask for one run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from artdag_common.cid import cid_of
from artdag_common.commands import StartRun
from artdag_common.domain.plan import canonical_json
from artdag_common.domain.recipe_yaml import parse_recipe
from artdag_common.domain.run import InputBinding
from artdag_common.errors import (
    ContentNotFoundError,
    NothingToShowError,
    RecipeNotFoundError,
    RunNotFoundError,
    StepInputError,
)
from artdag_common.media.types import UNKNOWN, extension
from artdag_common.steps.registry import find_step_type
from services.gateway.api.cache import Cid, known
from services.gateway.api.documentation import answers
from services.gateway.downloads import ContentResponse
from services.gateway.issuing import patience_of, run_id_of
from services.gateway.launching import register, seen
from services.gateway.naming import Sketch
from services.gateway.parts import Gateway, Parts
from services.gateway.problems import Json
from services.gateway.projections import runs
from services.gateway.projections.rows import UNLISTED
from services.gateway.projections.runs import RunRow
from services.gateway.views import run_url

router = APIRouter(tags=["cache"])

PATIENCE_SECONDS = 5.0
RETRY_SECONDS = "1"
ATTEMPTS = 3
"""Runs that are begun for one picture, where the one before was lost, cancelled or deleted."""


class Width(IntEnum):
    """Widths that pictures are made in, in pixels: few, so that few are made."""

    TINY = 160
    SMALL = 320
    MEDIUM = 640
    LARGE = 1280


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of picture.

    Attributes:
        name: as addresses call it.
        step: the type of step that makes it.
        of: first parts of the media types that it can be made of.
        ratio: width by height, where the step has to be told; 0: it follows from the content.
    """

    name: str
    step: str
    media_type: str
    of: tuple[str, ...]
    ratio: int = 0


THUMBNAIL = Kind("thumbnail", "THUMBNAIL", "image/jpeg", ("video", "image"))
POSTER = Kind("poster", "POSTER", "image/jpeg", ("video", "image"))
WAVEFORM = Kind("waveform", "WAVEFORM", "image/png", ("video", "audio"), 8)
SPECTROGRAM = Kind("spectrogram", "SPECTROGRAM", "image/png", ("video", "audio"), 5)


@dataclass(frozen=True, slots=True)
class Making:
    """How a picture is made: a recipe, its id, and what the step's result is identified by."""

    sketch: Sketch
    recipe_cid: str
    implementation: str


@lru_cache(maxsize=64)
def making(kind: Kind, width: int) -> Making:
    """Return the recipe for a picture of this kind and width."""
    config = {"width": width} | ({"height": width // kind.ratio} if kind.ratio else {})
    step = {"id": kind.name, "type": kind.step, "inputs": ["media"], "config": config}
    source = canonical_json(  # JSON is YAML
        {
            "name": f"{kind.name}-{width}",
            "description": f"The {kind.name} of content, {width} pixels wide",
            "inputs": {"media": {"type": "any", "description": "What is shown"}},
            "steps": [step],
            "output": kind.name,
        }
    )
    graph = parse_recipe(source, {})
    found = find_step_type(kind.step)
    implementation = found.implementation(found.canonical_config(config))
    return Making(Sketch(graph, source), cid_of(graph.canonical()), implementation)


async def show(parts: Gateway, request: Request, reference: str, kind: Kind, width: int) -> Response:
    """Return a picture of content, or 202 where it is not made in time.

    Raises:
        InvalidCidError: not a CID.
        ContentNotFoundError: it is not stored here.
        NothingToShowError: there is no such picture of it.
    """
    row, names = await known(parts, reference)
    family = row.media_type.partition("/")[0]
    if family not in kind.of and row.media_type != UNKNOWN:  # what is unknown at a glance, the step finds out
        raise NothingToShowError(
            f"{row.cid} is {row.media_type}: it has no {kind.name}; {' and '.join(kind.of)} have one",
            cid=row.cid,
            media_type=row.media_type,
        )
    made = making(kind, width)
    reason = "its runs were deleted"
    for attempt in range(ATTEMPTS):
        run_id = run_id_of(f"{UNLISTED}/{made.recipe_cid}/{made.implementation}/{row.cid}/{attempt}")
        try:
            run = await _rendered(parts, request, run_id, made, row.cid)
        except RunNotFoundError:  # deleted
            continue
        if run is None or not run.finished:
            return _pending(request, run_id)
        if run.status == "completed":
            try:
                path = await parts.blobs.path(run.output_cid)
            except ContentNotFoundError:  # cleaned up since: made anew
                continue
            end = extension(kind.media_type)
            filename = f"{names[0]['name'] if names else row.cid}-{kind.name}.{end}"
            return ContentResponse(request, path, run.output_cid, kind.media_type, filename)
        reason = run.error
        if run.error_code == StepInputError("").code:  # it will not change
            break
    raise NothingToShowError(f"{row.cid} has no {kind.name}: {reason}", cid=row.cid, media_type=row.media_type)


async def _rendered(parts: Gateway, request: Request, run_id: str, made: Making, cid: str) -> RunRow | None:
    """Return the run that makes a picture, begun if need be, as it is at the end or when time is up."""
    run = await runs.find(parts.pool, run_id)
    if run is not None and run.finished:
        return run
    patience = min(patience_of(request), PATIENCE_SECONDS)
    if run is None:
        command = StartRun(run_id, made.recipe_cid, UNLISTED, (InputBinding("media", (cid,)),))
        try:
            await parts.issuer.issue(command, str(uuid4()), request.url.path, patience)
        except RecipeNotFoundError:  # the first picture of its kind here
            await register(parts, request, made.sketch, UNLISTED, str(uuid4()))
            await parts.issuer.issue(command, str(uuid4()), request.url.path, patience)
    return await seen(parts, run_id, patience, lambda run: run.finished)


def _pending(request: Request, run_id: str) -> Response:
    here = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    body = {"status": "pending", "run_id": run_id, "links": {"resource": here, "run": run_url(run_id)}}
    headers = {
        "Location": here,
        "Link": f'<{run_url(run_id)}>; rel="monitor"',
        "Retry-After": RETRY_SECONDS,
        "Cache-Control": "no-store",
    }
    return Json(body, 202, headers)


def _answers(kind: Kind) -> dict[int | str, dict[str, object]]:
    return answers("(bytes)", 400, 404, 422, media_type=kind.media_type, pending=True)


Wide = Annotated[Width, Query(description="Pixels")]


@router.get("/cache/{cid}/thumbnail", summary="See one small picture", responses=_answers(THUMBNAIL))
async def get_thumbnail(request: Request, cid: Cid, parts: Parts, width: Wide = Width.SMALL) -> Response:
    """A JPEG of a video's liveliest frame, or of a picture. Smaller content is not blown up."""
    return await show(parts, request, cid, THUMBNAIL, width)


@router.get("/cache/{cid}/poster", summary="See a strip of frames", responses=_answers(POSTER))
async def get_poster(request: Request, cid: Cid, parts: Parts, width: Wide = Width.LARGE) -> Response:
    """A JPEG of eight frames side by side: what happens in a video. `width` is that of the strip."""
    return await show(parts, request, cid, POSTER, width)


@router.get("/cache/{cid}/waveform", summary="See the peaks of a sound", responses=_answers(WAVEFORM))
async def get_waveform(request: Request, cid: Cid, parts: Parts, width: Wide = Width.LARGE) -> Response:
    """A PNG, dark on transparent, an eighth as high as wide: the peaks of a sound, or of a video's, over its time."""
    return await show(parts, request, cid, WAVEFORM, width)


@router.get("/cache/{cid}/spectrogram", summary="See the frequencies of a sound", responses=_answers(SPECTROGRAM))
async def get_spectrogram(request: Request, cid: Cid, parts: Parts, width: Wide = Width.LARGE) -> Response:
    """A PNG, a fifth as high as wide: time from left to right, 40 Hz to 15 kHz from below, the louder the lighter."""
    return await show(parts, request, cid, SPECTROGRAM, width)
