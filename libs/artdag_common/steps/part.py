"""PART and JOIN: a long film that is changed frame by frame, in parts. Executors make them of a long step; recipes do
not."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from artdag_common.steps.base import StepContext, StepParams, step_type
from artdag_common.steps.chain import ChainParams, makers


class PartParams(ChainParams):
    """Parameters of PART: the steps, as CHAIN has them, and the frames that are wanted."""

    first: int = Field(ge=0)
    frames: int = Field(ge=1)


@step_type("PART", version=1, slots=("media",), inputs=(1, None))
def part(ctx: StepContext, params: PartParams, *paths: Path) -> Path:
    """Write ``frames`` frames, from number ``first`` on, of what CHAIN writes, without sound.

    Raises:
        StepInputError: not a video, or it has no such frames.
    """
    from artdag_common.media import video

    span = params.first, params.first + params.frames
    return video.through(paths[0], ctx.media(), makers(params, paths), ctx.progress, span)


class JoinParams(StepParams):
    """JOIN has no parameters."""


@step_type("JOIN", version=1, slots=("media", "part"), inputs=(2, None))
def join(ctx: StepContext, params: JoinParams, media: Path, *parts: Path) -> Path:
    """Write ``parts`` one after the other, with the sound of ``media``, of which they were made.

    Raises:
        StepError: together they are not as long as it.
    """
    from artdag_common.media import parts as film

    return film.join(media, parts, ctx.media(), ctx.progress)
