"""SEGMENT: cut a time range out of a video or audio file."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from artdag_common.steps.base import StepContext, StepParams, step_type


class SegmentParams(StepParams):
    """Parameters of SEGMENT: ``offset`` and ``duration``, or ``start`` and ``end``; all in seconds."""

    offset: float = Field(0.0, ge=0, allow_inf_nan=False, description="Where it begins, in seconds")
    duration: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="How long it is, in seconds; nothing: to the end"
    )
    start: float | None = Field(
        None, ge=0, allow_inf_nan=False, exclude=True, description="Where it begins, in seconds: instead of offset"
    )
    end: float | None = Field(
        None, gt=0, allow_inf_nan=False, exclude=True, description="Where it ends, in seconds: instead of duration"
    )
    precise: bool = Field(
        True, description="Exact to the frame and the sample; else pictures are copied, from the key frame before"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        """Bring ``start`` and ``end`` into ``offset`` and ``duration``, so that one cut is one parameter set."""
        if self.start is not None:
            if "offset" in self.model_fields_set:
                raise ValueError("give offset or start, not both: they say the same")
            object.__setattr__(self, "offset", self.start)
        if self.end is not None:
            if self.duration is not None:
                raise ValueError("give duration or end, not both: they say the same")
            if self.end <= self.offset:
                raise ValueError(f"end {self.end:g} s is not after the beginning at {self.offset:g} s")
            # to the microsecond: 0.3 - 0.1 is a fifth here
            object.__setattr__(self, "duration", round(self.end - self.offset, 6))
        return self


@step_type("SEGMENT", version=1)
def segment(ctx: StepContext, params: SegmentParams, media: Path) -> Path:
    """Write ``duration`` seconds of ``media``, beginning at ``offset``.

    With ``precise`` exactly the frames and samples that :func:`artdag_common.media.video.cut` says; without, pictures
    are copied as they are stored, which is quick and loses nothing, but begins at a key frame:
    :func:`artdag_common.media.remux.copy_from_key`.

    Raises:
        StepInputError: ``media`` ends before ``offset``; or it is no video whose pictures can be copied.
    """
    from artdag_common.media.remux import copy_from_key  # PyAV is loaded by executors only
    from artdag_common.media.timeline import seconds
    from artdag_common.media.video import cut

    duration = None if params.duration is None else seconds(params.duration)
    work = cut if params.precise else copy_from_key
    return work(media, ctx.media(), seconds(params.offset), duration, ctx.progress)
