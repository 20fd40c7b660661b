"""Pictures made of content, and films that browsers play: made once, when somebody asks for them first."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from artdag_common.errors import NothingToShowError
from artdag_common.media.types import extension
from services.gateway.api.documentation import RANGED, SAME, answers
from services.gateway.contents import Cid, known, title_of
from services.gateway.deriving import (
    FACTS,
    MP4,
    POSTER,
    SPECTROGRAM,
    THUMBNAIL,
    WAVEFORM,
    Kind,
    Underway,
    derive,
    underway,
)
from services.gateway.downloads import ContentResponse
from services.gateway.parts import Gateway, Parts, Viewer
from services.gateway.playing import moves, plays

router = APIRouter(tags=["cache"])


class Width(IntEnum):
    """Widths that pictures are made in, in pixels: few, so that few are made."""

    TINY = 160
    SMALL = 320
    MEDIUM = 640
    LARGE = 1280


async def show(parts: Gateway, request: Request, reference: str, viewer: str, kind: Kind, width: int) -> Response:
    """Return a picture of content that a viewer sees, or 202 where it is not made in time.

    Raises:
        InvalidCidError: not a CID.
        ContentNotFoundError: it is not stored here, or not for this viewer to see.
        NothingToShowError: there is no such picture of it.
    """
    row = await known(parts, reference, viewer)
    made = await derive(parts, request, row, kind, width)
    if isinstance(made, Underway):
        return underway(request, made.run_id)
    filename = f"{await title_of(parts, row, viewer)}-{kind.name}.{extension(kind.media_type)}"
    return ContentResponse(request, made.path, made.cid, kind.media_type, filename)


def _answers(kind: Kind) -> dict[int | str, dict[str, object]]:
    return answers("(bytes)", 400, 401, 404, 412, 416, 422, media_type=kind.media_type, pending=True) | RANGED


Wide = Annotated[Width, Query(description="Pixels")]


@router.get("/cache/{cid}/thumbnail", summary="See one small picture", responses=_answers(THUMBNAIL))
async def get_thumbnail(
    request: Request, cid: Cid, parts: Parts, viewer: Viewer, width: Wide = Width.SMALL
) -> Response:
    """A JPEG of a video's liveliest frame, or of a picture. Smaller content is not blown up."""
    return await show(parts, request, cid, viewer, THUMBNAIL, width)


@router.get("/cache/{cid}/poster", summary="See a strip of frames", responses=_answers(POSTER))
async def get_poster(request: Request, cid: Cid, parts: Parts, viewer: Viewer, width: Wide = Width.LARGE) -> Response:
    """A JPEG of eight frames side by side: what happens in a video. `width` is that of the strip."""
    return await show(parts, request, cid, viewer, POSTER, width)


@router.get("/cache/{cid}/waveform", summary="See the peaks of a sound", responses=_answers(WAVEFORM))
async def get_waveform(request: Request, cid: Cid, parts: Parts, viewer: Viewer, width: Wide = Width.LARGE) -> Response:
    """A PNG, dark on transparent, an eighth as high as wide: the peaks of a sound, or of a video's, over its time."""
    return await show(parts, request, cid, viewer, WAVEFORM, width)


@router.get("/cache/{cid}/spectrogram", summary="See the frequencies of a sound", responses=_answers(SPECTROGRAM))
async def get_spectrogram(
    request: Request, cid: Cid, parts: Parts, viewer: Viewer, width: Wide = Width.LARGE
) -> Response:
    """A PNG, a fifth as high as wide: time from left to right, 40 Hz to 15 kHz from below, the louder the lighter."""
    return await show(parts, request, cid, viewer, SPECTROGRAM, width)


@router.get(
    "/cache/{cid}/mp4",
    summary="Get an MP4 that browsers play",
    responses=answers("(bytes)", 400, 401, 404, 412, 416, media_type="*/*", pending=True) | RANGED,
)
@router.head(
    "/cache/{cid}/mp4",
    summary="Ask for an MP4's size and type",
    responses=answers("", 400, 401, 404, 412, 416, pending=True) | SAME,
)
async def get_mp4(request: Request, cid: Cid, parts: Parts, viewer: Viewer) -> Response:
    """The content itself where browsers play it, else H.264 and AAC made of it: once, then served like any content.

    While it is being made: 202 with a link to the run that does it, after at most 5 s (`Prefer: wait=0`: at once).
    """
    row = await known(parts, cid, viewer)
    facts = await derive(parts, request, row, FACTS)
    if isinstance(facts, Underway):
        return underway(request, facts.run_id)
    found = orjson.loads(await parts.blobs.read(facts.cid))
    if not moves(found):
        raise NothingToShowError(f"{row.cid} is a still: it has no mp4", cid=row.cid, media_type=row.media_type)
    title = await title_of(parts, row, viewer)
    kind = "video/mp4" if found["video"] else "audio/mp4"
    name = f"{title}.{extension(kind)}"
    if plays(row.media_type, found):
        return ContentResponse(request, await parts.blobs.path(row.cid), row.cid, kind, name)
    made = await derive(parts, request, row, MP4)
    if isinstance(made, Underway):
        return underway(request, made.run_id)
    return ContentResponse(request, made.path, made.cid, kind, name)
