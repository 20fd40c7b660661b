"""BEAT_SYNC: bend a video's time so that it meets the beats of a piece of music."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import orjson

from artdag_common.errors import StepInputError
from artdag_common.steps.base import StepContext, StepParams, step_type


class BeatSyncParams(StepParams):
    """Parameters of BEAT_SYNC."""

    mode: Literal["stretch"] = "stretch"  # equal parts of the video, each from one beat to the next


@step_type("BEAT_SYNC", version=1, slots=("video", "analysis", "music"), inputs=(2, 3))
def beat_sync(ctx: StepContext, params: BeatSyncParams, video: Path, analysis: Path, music: Path | None = None) -> Path:
    """Write a video as long as the analysed audio, whose parts change on the beats; with ``music``, if it has sound.

    Raises:
        StepInputError: ``video`` is none, or ``analysis`` has no beats.
    """
    from artdag_common.media import video as film

    beats, duration = read_beats(analysis)
    return film.stretch_to_beats(video, ctx.output("mp4"), beats, duration, music, ctx.progress)


def read_beats(analysis: Path) -> tuple[list[Fraction], Fraction]:
    """Return beat times and duration, in seconds, of an analysis.

    Raises:
        StepInputError: it is not an analysis, or was not asked for beats.
    """
    from artdag_common.media.timeline import seconds

    try:
        document: Any = orjson.loads(analysis.read_bytes())
    except orjson.JSONDecodeError as error:
        raise StepInputError(
            f"analysis: not the output of ANALYZE, but something else: {error}", slot="analysis"
        ) from error
    audio = document.get("audio") if isinstance(document, dict) else None
    if not isinstance(audio, dict):
        raise StepInputError("analysis: it has no 'audio': what was analysed has no sound", slot="analysis")
    duration, beats = audio.get("duration"), audio.get("beats")
    times = beats.get("beat_times") if isinstance(beats, dict) else None
    if not isinstance(times, list):
        raise StepInputError("analysis: it has no beats; add 'beats' to the features of ANALYZE", slot="analysis")
    if not all(_is_time(time) for time in [duration, *times]) or not duration:
        raise StepInputError("analysis: its duration and beat times are not all seconds from 0 on", slot="analysis")
    return [seconds(time) for time in times], seconds(duration)


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
