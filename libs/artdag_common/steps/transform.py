"""TRANSFORM: adjust colours, sharpness and speed of a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from artdag_common.steps.base import StepContext, StepParams, find_step_type, step_type
from artdag_common.steps.bind import FramewiseParams
from artdag_common.steps.framewise import maker, run_alone

if TYPE_CHECKING:
    from artdag_common.media.encode import PictureShape
    from artdag_common.media.stage import Stage


class Adjustments(StepParams):
    """What TRANSFORM can change; each does nothing where it is left out."""

    saturation: float = Field(1.0, ge=0, le=2, description="0: grey; 1: as it is; 2: twice as colourful")
    contrast: float = Field(1.0, ge=0, le=2, description="0: all of one light; 1: as it is")
    brightness: float = Field(0.0, ge=-1, le=1, description="Added to the light, of black 0 to white 1")
    gamma: float = Field(1.0, ge=0.1, le=10, description="Above 1: lighter, but black and white stay; below: darker")
    hue: float = Field(0.0, ge=-360, le=360, description="Degrees by which all colours are turned")
    blur: float = Field(0.0, ge=0, le=200, description="Radius in pixels; at most a quarter of the shorter side counts")
    sharpen: float = Field(0.0, ge=0, le=5, description="How much edges are stressed; 0: as they are")
    speed: float = Field(1.0, ge=0.01, le=100, description="2: twice as fast; the sound keeps its pitch")


class TransformParams(FramewiseParams):
    """Parameters of TRANSFORM. In whatever order they are written, they are applied in that of :class:`Adjustments`,
    but light before colour, and speed first."""

    effects: Adjustments = Field(default_factory=lambda: Adjustments.model_validate({}), description="What is adjusted")


def _stage(params: TransformParams, shape: PictureShape, curves: Mapping[str, Sequence[float]]) -> Stage:
    from artdag_common.media.transform import transform_stage

    return transform_stage(params.effects.model_dump(exclude={"speed"}), shape, curves)


def _frame_wise(params: TransformParams) -> bool:
    return params.effects.speed == 1


@step_type("TRANSFORM", version=1, inputs=(1, None), stage=_stage, frame_wise=_frame_wise, divisible=_frame_wise)
def transform(ctx: StepContext, params: TransformParams, media: Path, *analyses: Path) -> Path:
    """Write ``media`` adjusted; its sound stays, or follows the speed at its own pitch.

    :func:`artdag_common.media.transform.transform_stage` says what becomes of a picture,
    :func:`artdag_common.media.speed.sped` which frames are shown.

    Raises:
        StepInputError: ``media`` is not a video.
    """
    kind = find_step_type("TRANSFORM")
    if _frame_wise(params):
        return run_alone(ctx, kind, params, media, analyses)
    from artdag_common.media.speed import sped
    from artdag_common.media.timeline import seconds

    makers = [maker(kind, params, analyses)]
    return sped(media, ctx.media(), seconds(params.effects.speed), makers, ctx.progress)
