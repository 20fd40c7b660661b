"""SPECTROGRAM: the frequencies of a sound over its time, as a picture."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from artdag_common.steps.base import StepContext, StepParams, step_type


class SpectrogramParams(StepParams):
    """Parameters of SPECTROGRAM."""

    width: int = Field(1280, ge=16, le=8192, description="Pixels")
    height: int = Field(256, ge=16, le=2048, description="Pixels")


@step_type("SPECTROGRAM", version=1)
def spectrogram(ctx: StepContext, params: SpectrogramParams, media: Path) -> Path:
    """Write a PNG: time from left to right, 40 Hz to 15 kHz from below, the louder the lighter.

    Raises:
        StepInputError: there is no sound in ``media``.
    """
    from artdag_common.media import spectrogram as pictures

    return pictures.spectrogram(media, ctx.output("png"), params.width, params.height)
