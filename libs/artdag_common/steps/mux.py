"""MUX: put a video under a sound."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from artdag_common.steps.base import StepContext, StepParams, step_type


class MuxParams(StepParams):
    """Parameters of MUX."""

    video_stream: int = Field(
        0, ge=0, le=1, description="Whose pictures are seen: 0: the first input's; 1: the second's"
    )
    audio_stream: int = Field(1, ge=0, le=1, description="Whose sound is heard: 0: the first input's; 1: the second's")
    shortest: bool = Field(True, description="It ends with the shorter of the two")


@step_type("MUX", version=1, slots=("video", "audio"))
def mux(ctx: StepContext, params: MuxParams, *media: Path) -> Path:
    """Write the pictures of one input with the sound of the other; pictures are copied where browsers play them.

    :func:`artdag_common.media.remux.mux` says where it ends.

    Raises:
        StepInputError: the one has no pictures, or the other no sound.
    """
    from artdag_common.media import remux

    pictures, sound = media[params.video_stream], media[params.audio_stream]
    return remux.mux(pictures, sound, ctx.media(), params.shortest, ctx.progress)
