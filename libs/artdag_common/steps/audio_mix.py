"""AUDIO_MIX: make several sounds one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from artdag_common.steps.base import StepContext, step_type
from artdag_common.steps.entries import EntryParams

Gain = Annotated[float, Field(ge=0, le=100)]
"""A factor of the amplitude."""


class AudioMixParams(EntryParams):
    """Parameters of AUDIO_MIX."""

    entries: ClassVar[str] = "gains"

    gains: tuple[Gain, ...] = Field(
        (), description="How loud each input is, in their order: 0 is silence, 1 as it is; none given: 1 each"
    )
    normalize: bool = Field(
        True, description="Nothing is cut off: the gains are made smaller, until their sum is 1 at most"
    )

    def misfit(self, inputs: int) -> str:
        """Return what is wrong: there is a gain for each input, or none at all."""
        if len(self.gains) in (0, inputs):
            return ""
        there = f"there {'is' if len(self.gains) == 1 else 'are'} {len(self.gains)} for {inputs} inputs"
        return f"{there}; give one for each, or none"


@step_type("AUDIO_MIX", version=1, slots=("sound",), inputs=(2, None))
def audio_mix(ctx: StepContext, params: AudioMixParams, *sounds: Path) -> Path:
    """Write the sum of ``sounds``, as long as the longest; pictures are left out.

    :func:`artdag_common.media.mix.mix` says which sample becomes what.

    Raises:
        StepInputError: one holds no audio; the message says which.
        StepConfigError: the number of gains is not that of the inputs.
    """
    from artdag_common.media.mix import mix

    params.check(len(sounds))
    gains = params.gains or (1.0,) * len(sounds)
    return mix(sounds, ctx.media(), gains, params.normalize, ctx.progress)
