"""AUDIO_MIX: make several sounds one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from artdag_common.errors import StepConfigError
from artdag_common.steps.base import StepContext, StepParams, step_type

Gain = Annotated[float, Field(ge=0, le=100)]
"""A factor of the amplitude."""


class AudioMixParams(StepParams):
    """Parameters of AUDIO_MIX."""

    gains: tuple[Gain, ...] = ()  # one for each input; empty: 1 each
    normalize: bool = True  # nothing is cut off: the gains are made smaller, until their sum is 1 at most


@step_type("AUDIO_MIX", version=1, slots=("sound",), inputs=(2, None))
def audio_mix(ctx: StepContext, params: AudioMixParams, *sounds: Path) -> Path:
    """Write the sum of ``sounds``, as long as the longest; pictures are left out.

    :func:`artdag_common.media.mix.mix` says which sample becomes what.

    Raises:
        StepInputError: one holds no audio; the message says which.
        StepConfigError: the number of gains is not that of the inputs.
    """
    from artdag_common.media.mix import mix

    gains = params.gains or (1.0,) * len(sounds)
    if len(gains) != len(sounds):
        raise StepConfigError(f"gains: there are {len(gains)} for {len(sounds)} inputs; give one for each, or none")
    return mix(sounds, ctx.media(), gains, params.normalize, ctx.progress)
