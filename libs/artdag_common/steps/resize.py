"""RESIZE: bring a video into another size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from artdag_common.media.colour import Colour
from artdag_common.media.geometry import Mode
from artdag_common.steps.base import StepContext, StepParams, step_type


def _even(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} is odd; video has colour for blocks of 2x2 pixels: give {value - 1} or {value + 1}")
    return value


Side = Annotated[int, Field(ge=2, le=16384), AfterValidator(_even)]
"""A parameter that holds the length of a side in pixels."""


class ResizeParams(StepParams):
    """Parameters of RESIZE."""

    width: Side
    height: Side
    mode: Mode = "fit"  # fit: inside the box; fill: covers it, cropped; stretch: exactly it; pad: inside, with border
    background: Colour = "#000000"


@step_type("RESIZE", version=1)
def resize(ctx: StepContext, params: ResizeParams, media: Path) -> Path:
    """Write ``media`` in another size; its sound stays.

    Raises:
        StepInputError: ``media`` is not a video.
    """
    from artdag_common.media import video

    size = params.width, params.height
    return video.resize(media, ctx.output("mp4"), size, params.mode, params.background, ctx.progress)
