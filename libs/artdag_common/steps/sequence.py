"""SEQUENCE: play videos one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from artdag_common.media.colour import Colour
from artdag_common.media.geometry import Mode
from artdag_common.steps.base import StepContext, StepParams, step_type
from artdag_common.steps.resize import Side


class Transition(StepParams):
    """How one clip goes over into the next."""

    type: Literal["cut", "crossfade", "fade"] = Field(
        "cut", description="cut: at once; crossfade: one into the other; fade: out to the background, then in"
    )
    duration: float = Field(
        0.5,
        gt=0,
        le=60,
        allow_inf_nan=False,
        description="Seconds that it takes, of a fade both ways together; a cut takes none",
    )

    @model_validator(mode="after")
    def _no_duration(self) -> Self:
        """Leave one way to say a cut, so that it is one parameter set."""
        if self.type == "cut":
            object.__setattr__(self, "duration", 0.5)
        return self


class SequenceParams(StepParams):
    """Parameters of SEQUENCE."""

    transition: Transition = Field(
        default_factory=lambda: Transition.model_validate({}), description="How one clip goes over into the next"
    )
    target_size: Literal["first", "last", "largest", "explicit"] = Field(
        "first", description="The size of the result: that of one of the clips, or width and height (explicit)"
    )
    width: Side | None = Field(None, description="Pixels, an even number; only with target_size explicit")
    height: Side | None = Field(None, description="Pixels, an even number; only with target_size explicit")
    background: Colour = Field("#000000", description="Colour of borders and between fades: #rrggbb, or a name")
    resize_mode: Mode = Field(
        "fit", description="fit, pad: proportions kept, with a border; fill: cropped; stretch: not"
    )

    @model_validator(mode="after")
    def _size(self) -> Self:
        given = self.width is not None, self.height is not None
        if self.target_size == "explicit" and not all(given):
            raise ValueError("target_size 'explicit' needs width and height")
        if self.target_size != "explicit" and any(given):
            raise ValueError(f"width and height need target_size 'explicit', not {self.target_size!r}")
        return self


@step_type("SEQUENCE", version=2, slots=("clip",), inputs=(1, None))
def sequence(ctx: StepContext, params: SequenceParams, *clips: Path) -> Path:
    """Write ``clips`` one after the other, at the frame rate of the first.

    :func:`artdag_common.media.transitions.join` says which frames and samples are seen and heard when.

    Raises:
        StepInputError: one is not a video, or too short for a transition; the message says which.
    """
    from artdag_common.media.timeline import seconds
    from artdag_common.media.transitions import Look, Transition, join

    transition = Transition(params.transition.type, seconds(params.transition.duration))
    size = (params.width, params.height) if params.width and params.height else None
    look = Look(params.target_size, size, params.resize_mode, params.background)
    return join(clips, ctx.media(), transition, look, ctx.progress)
