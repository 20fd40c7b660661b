"""Frame-wise steps: how one is run by itself, and how its parameters that are bound to an analysis get their values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artdag_common.steps.base import StepContext, StepType
from artdag_common.steps.bind import BIND

if TYPE_CHECKING:
    from artdag_common.media.encode import PictureShape
    from artdag_common.media.stage import MakeStage, Stage


def maker(kind: StepType, params: Any, analyses: Sequence[Path]) -> MakeStage:
    """Return what makes a step's stage once the shape and the number of its pictures are known.

    Args:
        analyses: the step's inputs after the first.
    """

    def make(shape: PictureShape, frames: int) -> Stage:
        from artdag_common.media.curves import curves

        assert kind.stage is not None
        return kind.stage(params, shape, curves(getattr(params, BIND, {}), analyses, shape.rate, frames))

    return make


def run_alone(ctx: StepContext, kind: StepType, params: Any, media: Path, analyses: Sequence[Path]) -> Path:
    """Run a frame-wise step as a step of its own.

    Raises:
        StepInputError: ``media`` is not a video.
    """
    from artdag_common.media import video

    return video.through(media, ctx.media(), [maker(kind, params, analyses)], ctx.progress)
