"""The stage of an effect: every frame through its function, as RGB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from artdag_common.effects.base import Effect, EffectParams
from artdag_common.errors import StepError
from artdag_common.media.encode import PictureShape
from artdag_common.media.picture import Picture
from artdag_common.media.pictures import Rgb
from artdag_common.media.stage import Stage

PREFIX = "params."
"""What comes before an effect's own parameters in the names of bound ones."""


def effect_stage(
    effect: Effect, params: EffectParams, shape: PictureShape, curves: Mapping[str, Sequence[float]]
) -> Stage:
    """Return the stage; parameters that are bound have another value at each frame.

    Raises, while it runs:
        StepError: the effect gives back something other than a frame of the same size.
    """

    def frames(pictures: Iterator[Picture]) -> Iterator[Picture]:
        state: Any = None

        def changed(picture: Picture) -> Picture:
            nonlocal state
            if state is None:
                state = {"number": picture.number} if effect.remembers == "number" else {}
            before = picture.rgb()
            expected = before.shape
            after, state = effect.process_frame(before, parameters_at(picture.number, params, curves), state)
            _check(effect, after, expected)
            return picture.with_rgb(after)

        return map(changed, pictures)

    return Stage(shape, frames)


def parameters_at(place: int, params: EffectParams, curves: Mapping[str, Sequence[float]]) -> EffectParams:
    """Return the parameters at a frame: whole numbers where the effect takes whole numbers, inside its bounds."""
    if not curves:
        return params
    values = {name.removeprefix(PREFIX): curve[place] for name, curve in curves.items()}
    whole = {name: round(value) for name, value in values.items() if type(params).model_fields[name].annotation is int}
    return type(params).model_validate(params.model_dump() | values | whole)


def _check(effect: Effect, frame: Rgb, shape: tuple[int, ...]) -> None:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape != shape:
        given = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise StepError(f"effect {effect.name!r} gave back {given}; it has to be uint8 {shape}, as the frame it got")
