"""WAVEFORM: the peaks of a sound over its time, as a picture."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from artdag_common.steps.base import StepContext, StepParams, step_type


class WaveformParams(StepParams):
    """Parameters of WAVEFORM."""

    width: int = Field(1280, ge=16, le=8192, description="Pixels")
    height: int = Field(160, ge=16, le=2048, description="Pixels")


@step_type("WAVEFORM", version=1)
def waveform(ctx: StepContext, params: WaveformParams, media: Path) -> Path:
    """Write a PNG, dark on transparent: per column the least and the greatest sample of ``media``.

    Raises:
        StepInputError: there is no sound in ``media``.
    """
    from artdag_common.media import waveform as pictures

    return pictures.waveform(media, ctx.output("png"), params.width, params.height)
