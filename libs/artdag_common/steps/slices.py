"""SLICE, SLICE_ON and RANDOM_SLICE: parts of footage, each as long as one interval of a piece of music.

The planner turns the two lists into SLICE steps, since it knows the analysis; executors know SLICE only.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from artdag_common.media.timeline import MAX_RATE, MIN_RATE, constant_rate
from artdag_common.steps.base import STEP_TYPES, StepContext, StepParams, StepType, step_type
from artdag_common.steps.bind import Event

MAX_FRAMES = 86_400 * 120


def _rate(value: Any) -> str:
    """Return a frame rate as a fraction in its lowest terms: 29.97 is 30000/1001."""
    try:
        rate = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{str(value)[:40]!r} is not a frame rate: write 30, 29.97 or 30000/1001") from None
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ValueError(f"a frame rate is {MIN_RATE} to {MAX_RATE} frames a second, not {float(rate):g}")
    return str(constant_rate(rate))


Rate = Annotated[str, BeforeValidator(_rate)]
"""A parameter that holds frames a second, as a fraction."""

RATED = "Frames a second of the result: 30, 29.97 or 30000/1001"
Order = Annotated[
    Literal["random", "cycle"],
    Field(description="Whose turn it is: random: never the same twice running, if there is other; cycle: in a row"),
]
"""A parameter that holds how footage is chosen."""


class SliceParams(StepParams):
    """Parameters of SLICE: where it begins, by ``position`` or by ``start``, and its exact length."""

    frames: int = Field(ge=1, le=MAX_FRAMES, description="How many frames long it is")
    rate: Rate = Field("30", description=RATED)
    position: float | None = Field(
        None, ge=0, lt=1, description="Where it begins, as a share of the places at which it still fits"
    )
    start: int | None = Field(None, ge=0, description="Where it begins: a frame of the footage, counted at rate")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.position is not None and self.start is not None:
            raise ValueError("give position or start, not both: they say the same")
        if self.position is None and self.start is None:
            object.__setattr__(self, "start", 0)
        return self


@step_type("SLICE", version=1, slots=("footage",))
def slice_footage(ctx: StepContext, params: SliceParams, footage: Path) -> Path:
    """Write exactly ``frames`` frames of ``footage``, at ``rate``, with their sound.

    With the footage ``L`` frames long at that rate, output frame ``j`` shows its frame ``(s + j) mod L``: footage that
    is too short begins again. ``s`` is ``start mod L``; or, by ``position``, ``⌊position·(L − frames + 1)⌋``, and 0
    where the footage is shorter than the slice.

    Raises:
        StepInputError: ``footage`` is not a video.
    """
    from artdag_common.media import slicing
    from artdag_common.media.timeline import seconds

    position = None if params.position is None else seconds(params.position)
    return slicing.cut_slice(
        footage, ctx.media(), params.frames, Fraction(params.rate), params.start or 0, position, ctx.progress
    )


class TimedParams(StepParams):
    """What RANDOM_SLICE and SLICE_ON share: the grid, and whose turn it is."""

    feature: Event = Field("beats", description="What bounds the intervals")
    every: int = Field(1, ge=1, le=10_000, description="How many of them make one interval")
    rate: Rate = Field("30", description=RATED)
    order: Order
    seed: int = Field(0, ge=0, lt=2**53, description="Another number makes other choices")


class RandomSliceParams(TimedParams):
    """Parameters of RANDOM_SLICE: slices from anywhere in the footage."""

    order: Order = "random"


class SliceOnParams(TimedParams):
    """Parameters of SLICE_ON: slices from the interval's own time, as if somebody switched between running footage."""

    order: Order = "cycle"


def _list(name: str, params: type[StepParams], slots: tuple[str, ...]) -> StepType:
    return StepType(name, 1, params, slots, 1, None, None, lambda p: None, lambda p: None, media=True)


STEP_TYPES["RANDOM_SLICE"] = _list("RANDOM_SLICE", RandomSliceParams, ("items", "timing", "seed_from"))
STEP_TYPES["SLICE_ON"] = _list("SLICE_ON", SliceOnParams, ("items", "timing", "seed_from"))
