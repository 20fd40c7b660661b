"""POSTER: a strip of frames of a video, side by side."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from artdag_common.steps.base import StepContext, StepParams, step_type


class PosterParams(StepParams):
    """Parameters of POSTER."""

    width: int = Field(1280, ge=16, le=8192, description="Of the whole strip, in pixels")
    frames: int = Field(8, ge=1, le=64, description="How many stand side by side")


@step_type("POSTER", version=2)
def poster(ctx: StepContext, params: PosterParams, media: Path) -> Path:
    """Write a JPEG of ``frames`` frames of ``media`` side by side: the middle ones of as many equal parts.

    Raises:
        StepInputError: there is no picture in ``media``.
    """
    from artdag_common.media import poster as pictures

    return pictures.poster(media, ctx.output("jpg"), params.width, params.frames)
