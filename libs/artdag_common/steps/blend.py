"""BLEND: make two videos one, pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from artdag_common.steps.base import StepContext, find_step_type, step_type
from artdag_common.steps.bind import FramewiseParams
from artdag_common.steps.framewise import run_alone

if TYPE_CHECKING:
    from artdag_common.media.encode import PictureShape
    from artdag_common.media.stage import Stage


class BlendParams(FramewiseParams):
    """Parameters of BLEND."""

    pictures: ClassVar[int | None] = 2

    mode: Literal["multiply", "screen", "overlay", "add", "subtract", "average", "difference", "lighten", "darken"] = (
        Field("overlay", description="How two pixels become one")
    )
    opacity: float = Field(0.5, ge=0, le=1, description="0: the first video alone; 1: the blend alone")


def _stage(params: BlendParams, shape: PictureShape, curves: Mapping[str, Sequence[float]], top: Path) -> Stage:
    from artdag_common.media.blend import blend_stage

    return blend_stage(params.mode, params.opacity, top, shape, curves)


@step_type("BLEND", version=2, slots=("base", "top"), inputs=(2, None), stage=_stage)
def blend(ctx: StepContext, params: BlendParams, base: Path, top: Path, *analyses: Path) -> Path:
    """Write ``base`` blended with ``top``, in its size and length, at its rate, with its sound.

    :func:`artdag_common.media.blend.blend_stage` says which pixel becomes what.

    Raises:
        StepInputError: one is not a video; the message says which.
    """
    return run_alone(ctx, find_step_type("BLEND"), params, base, (top, *analyses))
