"""BEAT_SYNC: bring a video's time, or its light, to the beats of a piece of music."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import orjson
from pydantic import Field, model_validator

from artdag_common.errors import StepInputError
from artdag_common.steps.base import StepContext, StepParams, step_type

if TYPE_CHECKING:
    from artdag_common.media.beat_sync import Music

OF_MODES = {"ease": "stretch", "parts": "stretch", "seed": "cut", "strength": "pulse", "decay": "pulse"}
"""Parameters that one mode alone has."""


class BeatSyncParams(StepParams):
    """Parameters of BEAT_SYNC: the mode, which beats count, and what the mode has of its own."""

    mode: Literal["stretch", "cut", "loop", "pulse"] = Field(
        "stretch",
        description="On a beat: stretch begins the next part of the video, cut jumps elsewhere in it, loop begins it"
        " again, pulse makes it brighter and larger for a moment",
    )
    use: Literal["beats", "downbeats", "onsets"] = Field(
        "beats", description="What counts as a beat; downbeats begin bars, at onsets something begins to sound"
    )
    every: int = Field(1, ge=1, le=10_000, description="Of these, how many make one interval: 2 leaves every other out")
    offset: float = Field(
        0.0,
        ge=-3600,
        le=3600,
        allow_inf_nan=False,
        description="Seconds by which the video meets the beats later; below 0: earlier",
    )
    ease: float = Field(
        0.0, ge=0, le=1, description="Of stretch: 0: even speed; 1: from rest to twice the speed at the beat"
    )
    parts: Literal["equal", "cuts"] = Field(
        "equal", description="Of stretch: parts of one length, or such that the video's scene changes fall on beats"
    )
    seed: int = Field(0, ge=0, lt=2**53, description="Of cut: another number gives other places")
    strength: float = Field(
        0.5, ge=0, le=1, description="Of pulse: 0: nothing is seen; 1: half again as bright, an eighth larger"
    )
    decay: float = Field(
        0.15,
        ge=0.001,
        le=60,
        allow_inf_nan=False,
        description="Of pulse: seconds until about a third of it is left",
    )

    @model_validator(mode="after")
    def _of_the_mode(self) -> Self:
        for name, mode in OF_MODES.items():
            value = getattr(self, name)
            if mode != self.mode and value != type(self).model_fields[name].default:
                raise ValueError(f"{name} ({value!r}) belongs to mode {mode!r}; the mode here is {self.mode!r}")
        return self


@step_type("BEAT_SYNC", version=2, slots=("video", "analysis", "music", "scenes"), inputs=(2, 4))
def beat_sync(
    ctx: StepContext,
    params: BeatSyncParams,
    video: Path,
    analysis: Path,
    music: Path | None = None,
    scenes: Path | None = None,
) -> Path:
    """Write a video as long as the analysed audio, that meets its beats; with ``music``, if it has sound.

    With ``T`` the audio's seconds, ``r`` the video's rate and ``L`` its frames, the result has ``N = ⌊T·r + ½⌋`` frames
    (at least 1) at that rate. A beat at ``b`` seconds, ``offset`` added, falls on frame ``⌊b·r + ½⌋``. With 0 and ``N``
    these frames bound the intervals; ``g`` is where an interval begins, ``M`` its length, ``n`` a frame in it, ``j`` =
    ``n − g``. Frame ``n`` shows the video's frame

    * ``stretch``: ``a + ⌊l·(1 − ease)·x + l·ease·x²⌋``, ``x = (2j + 1) / 2M``, of the interval's own part of the video,
      which begins at ``a`` and has ``l`` frames. Of ``m`` intervals, the ``i``-th part begins at ``⌊i·L/m⌋``; with
      ``parts: cuts``, scene changes begin on beats (:func:`artdag_common.media.beat_grid.parts`).
    * ``cut``: ``(s + j) mod L``, ``s`` drawn for the interval (:func:`artdag_common.media.beat_grid.jumped`).
    * ``loop``: ``j mod L``.
    * ``pulse``: ``n mod L``, with ``h = strength·e^(−(n − g)/(r·decay))``, ``g`` the last beat's frame: ``1 + h/2``
      times as bright, ``1 + h/8`` times as large (:func:`artdag_common.media.beat_sync.pulsed`).

    Scene changes are those of ``scenes``, an analysis of the video; without it, those of ``analysis``, which are the
    video's where the music is its own.

    Raises:
        StepInputError: ``video`` is none; ``analysis`` is none, or does not hold what is used.
    """
    from artdag_common.media import beat_sync as film
    from artdag_common.media.curves import event_times
    from artdag_common.media.timeline import seconds

    document = read_analysis(analysis)
    piece = read_music(document, params, music)
    output = ctx.media()
    match params.mode:
        case "cut":
            return film.cut_at_beats(video, output, piece, ctx.seed, ctx.progress)
        case "loop":
            return film.loop_at_beats(video, output, piece, ctx.progress)
        case "pulse":
            strength, decay = seconds(params.strength), seconds(params.decay)
            return film.pulse_at_beats(video, output, piece, strength, decay, ctx.progress)
        case "stretch":
            own = read_analysis(scenes, "scenes") if scenes else document
            cuts = event_times(own, "scene_changes") if params.parts == "cuts" else []
            return film.stretch_to_beats(video, output, piece, seconds(params.ease), cuts, ctx.progress)


def read_music(document: Any, params: BeatSyncParams, sound: Path | None) -> Music:
    """Return the beats that count, and the length, of what was analysed.

    Raises:
        StepInputError: the analysis does not hold them.
    """
    from artdag_common.media.beat_grid import chosen
    from artdag_common.media.beat_sync import Music
    from artdag_common.media.curves import duration, event_times
    from artdag_common.media.timeline import seconds

    times = event_times(document, params.use)
    return Music(chosen(times, params.every, seconds(params.offset)), duration(document, params.use), sound)


def read_analysis(path: Path, slot: str = "analysis") -> Any:
    """Return what ANALYZE wrote.

    Raises:
        StepInputError: it is no JSON.
    """
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise StepInputError(f"{slot}: not the output of ANALYZE, but something else: {error}", slot=slot) from error
