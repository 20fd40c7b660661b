"""RESIZE: bring a video into another size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from artdag_common.media.colour import Colour
from artdag_common.media.geometry import Mode
from artdag_common.steps.base import StepContext, StepParams, find_step_type, step_type
from artdag_common.steps.framewise import run_alone

if TYPE_CHECKING:
    from artdag_common.media.encode import PictureShape
    from artdag_common.media.stage import Stage


def _even(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} is odd; video has colour for blocks of 2x2 pixels: give {value - 1} or {value + 1}")
    return value


Side = Annotated[int, Field(ge=2, le=16384), AfterValidator(_even)]
"""A parameter that holds the length of a side in pixels."""

FITTING = (
    "fit: inside that size, proportions kept; fill: covers it, cropped; stretch: exactly it; pad: fit, with a border"
)
"""What the modes mean."""


class ResizeParams(StepParams):
    """Parameters of RESIZE."""

    width: Side = Field(description="Pixels, an even number")
    height: Side = Field(description="Pixels, an even number")
    mode: Mode = Field("fit", description=FITTING)
    background: Colour = Field("#000000", description="Colour of the border that pad makes: #rrggbb, or a name")


def _stage(params: ResizeParams, shape: PictureShape, curves: Mapping[str, Sequence[float]]) -> Stage:
    from artdag_common.media.resize import resize_stage

    return resize_stage((params.width, params.height), params.mode, params.background, shape)


@step_type("RESIZE", version=2, stage=_stage)
def resize(ctx: StepContext, params: ResizeParams, media: Path) -> Path:
    """Write ``media`` in another size, frame by frame (:func:`artdag_common.media.geometry.place`); its sound stays.

    Raises:
        StepInputError: ``media`` is not a video.
    """
    return run_alone(ctx, find_step_type("RESIZE"), params, media, ())
