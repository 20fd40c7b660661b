"""BLEND: make two videos one, pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from artdag_common.steps.base import StepContext, StepParams, step_type

if TYPE_CHECKING:
    from artdag_common.media.encode import PictureShape
    from artdag_common.media.stage import Stage


class BlendParams(StepParams):
    """Parameters of BLEND."""

    mode: Literal["multiply", "screen", "overlay", "add", "subtract", "average", "difference", "lighten", "darken"] = (
        "overlay"
    )
    opacity: float = Field(0.5, ge=0, le=1)  # 0: the first alone


def _stage(params: BlendParams, shape: PictureShape, curves: Mapping[str, Sequence[float]], top: Path) -> Stage:
    from artdag_common.media.blend import blend_stage

    return blend_stage(params.mode, params.opacity, top, shape, curves)


@step_type("BLEND", version=1, slots=("base", "top"))
def blend(ctx: StepContext, params: BlendParams, base: Path, top: Path) -> Path:
    """Write ``base`` blended with ``top``, in its size and length, at its rate, with its sound.

    :func:`artdag_common.media.blend.blend_stage` says which pixel becomes what.

    Raises:
        StepInputError: one is not a video; the message says which.
    """
    from artdag_common.media.video import through

    return through(base, ctx.media(), [lambda shape, frames: _stage(params, shape, {}, top)], ctx.progress)
