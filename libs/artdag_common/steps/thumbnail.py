"""THUMBNAIL: one small picture that stands for a video or a picture."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from artdag_common.steps.base import StepContext, StepParams, step_type


class ThumbnailParams(StepParams):
    """Parameters of THUMBNAIL."""

    width: int = Field(320, ge=16, le=4096, description="Pixels; smaller pictures stay as they are")


@step_type("THUMBNAIL", version=2)
def thumbnail(ctx: StepContext, params: ThumbnailParams, media: Path) -> Path:
    """Write a JPEG of the liveliest of five frames of ``media``.

    Raises:
        StepInputError: there is no picture in ``media``.
    """
    from artdag_common.media import thumbnail as pictures

    return pictures.thumbnail(media, ctx.output("jpg"), params.width)
