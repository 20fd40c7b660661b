"""Frame-wise steps: how one is run by itself; which of its inputs are pictures, and which are read by its bindings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artdag_common.steps.base import StepContext, StepType
from artdag_common.steps.bind import BIND, Bound

if TYPE_CHECKING:
    from artdag_common.media.encode import PictureShape
    from artdag_common.media.stage import MakeStage, Stage


def maker(kind: StepType, params: Any, others: Sequence[Path]) -> MakeStage:
    """Return what makes a step's stage once the shape and the number of its pictures are known.

    Args:
        others: the step's inputs after the first. Those that no binding reads are pictures too, and go to the stage.
    """
    bind: Mapping[str, Bound] = getattr(params, BIND, {})
    pictures = pictures_of(params, others)

    def make(shape: PictureShape, frames: int) -> Stage:
        from artdag_common.media.curves import curves

        assert kind.stage is not None
        return kind.stage(params, shape, curves(bind, others, shape.rate, frames), *pictures)

    return make


def pictures_of(params: Any, others: Sequence[Path]) -> list[Path]:
    """Return those of a step's inputs after the first that no binding reads: pictures."""
    bind: Mapping[str, Bound] = getattr(params, BIND, {})
    analyses = {bound.input for bound in bind.values()}
    return [path for number, path in enumerate(others, 1) if number not in analyses]


def run_alone(ctx: StepContext, kind: StepType, params: Any, media: Path, others: Sequence[Path]) -> Path:
    """Run a frame-wise step as a step of its own.

    Args:
        others: its inputs after ``media``.

    Raises:
        StepInputError: ``media``, or another of its pictures, is not a video.
    """
    from artdag_common.media import video

    beside = pictures_of(params, others)
    return video.through(media, ctx.media(), [maker(kind, params, others)], ctx.progress, beside=beside)
