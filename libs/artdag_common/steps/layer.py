"""LAYER: lay videos over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from artdag_common.errors import StepConfigError
from artdag_common.steps.base import StepContext, StepParams, step_type

if TYPE_CHECKING:
    from artdag_common.media.encode import PictureShape
    from artdag_common.media.stage import Stage

Offset = Annotated[float, Field(ge=-16384, le=16384)]
"""Pixels from the left or the top edge."""


class LayerInput(StepParams):
    """How one input lies on the canvas."""

    position: tuple[Offset, Offset] = (0.0, 0.0)  # x, y of its top left corner, in pixels
    opacity: float = Field(1.0, ge=0, le=1)
    scale: float = Field(1.0, gt=0, le=64)


class LayerParams(StepParams):
    """Parameters of LAYER: one entry for each input, bottom first; those left out lie at the corner, as they are."""

    inputs: tuple[LayerInput, ...] = ()


def _stage(params: LayerParams, shape: PictureShape, curves: Mapping[str, Sequence[float]], *overlays: Path) -> Stage:
    from artdag_common.media.compose import Layer, layer_stage

    if len(params.inputs) > len(overlays) + 1:
        raise StepConfigError(
            f"inputs: there are {len(params.inputs)} entries for {len(overlays) + 1} inputs; leave out those at the end"
        )
    layers = [Layer(each.position, each.opacity, each.scale) for each in params.inputs]
    layers += [Layer()] * (len(overlays) + 1 - len(layers))
    return layer_stage(layers, overlays, shape, curves)


@step_type("LAYER", version=1, slots=("layer",), inputs=(1, None))
def layer(ctx: StepContext, params: LayerParams, base: Path, *overlays: Path) -> Path:
    """Write ``overlays`` above ``base``, in its size and length, at its rate, with its sound.

    :func:`artdag_common.media.compose.layer_stage` says what is seen where.

    Raises:
        StepInputError: one is not a video; the message says which.
        StepConfigError: more entries than inputs.
    """
    from artdag_common.media.video import through

    return through(base, ctx.media(), [lambda shape, frames: _stage(params, shape, {}, *overlays)], ctx.progress)
