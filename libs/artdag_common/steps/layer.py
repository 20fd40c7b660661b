"""LAYER: lay videos over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from artdag_common.steps.base import StepContext, StepParams, find_step_type, step_type
from artdag_common.steps.bind import FramewiseParams
from artdag_common.steps.entries import EntryParams
from artdag_common.steps.framewise import run_alone

if TYPE_CHECKING:
    from artdag_common.media.encode import PictureShape
    from artdag_common.media.stage import Stage

Offset = Annotated[float, Field(ge=-16384, le=16384)]
"""Pixels from the left or the top edge."""


class LayerInput(StepParams):
    """How one input lies on the canvas."""

    position: tuple[Offset, Offset] = Field(
        (0.0, 0.0), description="Where its top left corner lies: pixels from the left, pixels from above"
    )
    opacity: float = Field(1.0, ge=0, le=1, description="0: it is not seen; 1: nothing is seen through it")
    scale: float = Field(1.0, gt=0, le=64, description="How many times as wide and high as it is")


class LayerParams(FramewiseParams, EntryParams):
    """Parameters of LAYER: one entry for each input, bottom first; those left out lie at the corner, as they are."""

    pictures: ClassVar[int | None] = None
    entries: ClassVar[str] = "inputs"

    inputs: tuple[LayerInput, ...] = Field((), description="How each input lies, the lowest first")

    def misfit(self, inputs: int) -> str:
        """Return what is wrong: inputs may have no entry, but entries have to have an input."""
        extra = len(self.inputs) - inputs
        if extra <= 0:
            return ""
        there = f"there are {len(self.inputs)} entries for {inputs} input{'' if inputs == 1 else 's'}"
        return f"{there}; leave out the last {'one' if extra == 1 else extra}"


def _stage(params: LayerParams, shape: PictureShape, curves: Mapping[str, Sequence[float]], *overlays: Path) -> Stage:
    from artdag_common.media.compose import Layer, layer_stage

    params.check(len(overlays) + 1)
    layers = [Layer(each.position, each.opacity, each.scale) for each in params.inputs]
    layers += [Layer()] * (len(overlays) + 1 - len(layers))
    return layer_stage(layers, overlays, shape, curves)


@step_type("LAYER", version=1, slots=("layer",), inputs=(1, None), stage=_stage)
def layer(ctx: StepContext, params: LayerParams, base: Path, *others: Path) -> Path:
    """Write ``others`` above ``base``, in its size and length, at its rate, with its sound.

    :func:`artdag_common.media.compose.layer_stage` says what is seen where.

    Args:
        others: the overlays, then the analyses that parameters are bound to.

    Raises:
        StepInputError: one is not a video; the message says which.
        StepConfigError: more entries than inputs.
    """
    return run_alone(ctx, find_step_type("LAYER"), params, base, others)
