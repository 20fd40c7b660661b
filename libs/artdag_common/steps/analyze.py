"""ANALYZE: features of a video or audio file, as a JSON document."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from artdag_common.domain.plan import canonical_json
from artdag_common.errors import AnalysisError, StepInputError
from artdag_common.steps.base import StepContext, StepParams, step_type

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artdag_common.media.beats import Beats
    from artdag_common.media.scenes import Seen

FEATURES = ("beats", "energy", "metadata", "motion_tempo", "onsets", "scene_changes", "spectrum", "tempo")
ALL = "all"
FROM_TEMPO = ("beats", "tempo")
"""Features that ``tempo_hint`` is for."""
FROM_PICTURES = ("motion_tempo", "scene_changes")
DIGITS = 3  # milliseconds: digits beyond differ from processor to processor


class AnalyzeParams(StepParams):
    """Parameters of ANALYZE: ``features``, or ``feature`` where it is one. Their order does not matter."""

    feature: str | None = Field(None, exclude=True, description="Instead of features, where it is one")
    features: tuple[str, ...] = Field(
        (ALL,), validate_default=True, description=f"What is looked for: {ALL}, or some of {', '.join(FEATURES)}"
    )
    tempo_hint: float | None = Field(
        None,
        ge=40,
        le=300,
        allow_inf_nan=False,
        description="About how many beats a minute, where they can be heard as twice or half as many",
    )
    off_beat: bool = Field(False, description="What stands out are off-beats: the beats are half way between them")

    @field_validator("feature")
    @classmethod
    def _known_feature(cls, value: str | None) -> str | None:
        return value if value is None else known_feature(value)

    @field_validator("features", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("features")
    @classmethod
    def _canonical(cls, value: tuple[str, ...], info: Any) -> tuple[str, ...]:
        one = info.data.get("feature")
        names = {known_feature(name) for name in ((one,) if one and value == (ALL,) else value)}
        if not names:
            raise ValueError(f"features is empty: name at least one of {', '.join(FEATURES)}, or {ALL}")
        return FEATURES if ALL in names else tuple(sorted(names))

    @field_validator("tempo_hint")
    @classmethod
    def _hint_only_where_it_matters(cls, value: float | None, info: Any) -> float | None:
        return value if set(FROM_TEMPO) & set(info.data.get("features", ())) else None

    @field_validator("off_beat")
    @classmethod
    def _off_beat_only_where_it_matters(cls, value: bool, info: Any) -> bool:
        return value and "beats" in info.data.get("features", ())

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what says nothing: the cache ids of features that know no hint stay as they are."""
        return {key: value for key, value in dump(self).items() if value is not None and value is not False}

    @model_validator(mode="after")
    def _one_form(self) -> AnalyzeParams:
        if self.feature is not None and "features" in self.model_fields_set:
            raise ValueError(f"feature ({self.feature!r}) and features are both given: give one of them")
        return self


def known_feature(name: str) -> str:
    """Return ``name`` if it is a feature or ``all``.

    Raises:
        ValueError: it is neither; the message names the nearest one and lists all.
    """
    if name in (*FEATURES, ALL):
        return name
    near = difflib.get_close_matches(name.lower(), (*FEATURES, ALL), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"unknown feature {name!r}; {hint}known are {', '.join(FEATURES)} and {ALL}")


def per_feature(params: AnalyzeParams) -> list[tuple[str, dict[str, Any]]]:
    """Return the features asked for, sorted, each with the parameters of an ANALYZE of it alone.

    A planner plans an ANALYZE of these parameters for each, all reading the same media, and one ANALYSIS that reads
    their documents in this order; also where there is only one. So each feature is computed once for a medium, whatever
    else it was asked for together with, and only ANALYSIS has to decide whether the whole has failed. Parameters hold
    what matters to their feature only: a ``tempo_hint`` leaves the cache id of ``energy`` as it is. What needs one
    feature may read that feature's document itself.
    """
    config = params.model_dump(mode="json")
    kept = (AnalyzeParams.model_validate({**config, "features": [feature]}) for feature in params.features)
    return [(each.features[0], each.model_dump(mode="json")) for each in kept]


@step_type("ANALYZE", version=3)
def analyze(ctx: StepContext, params: AnalyzeParams, media: Path) -> Path:
    """Write the features of ``media`` as canonical JSON.

    The document, with times in seconds from the beginning of the sound or of the pictures:

    * ``features``: those asked for.
    * ``audio``, where the file has any and a feature of the sound or ``metadata`` is asked for: ``duration`` s,
      ``sample_rate`` Hz, ``channels``; ``beats`` {``beat_times``, ``tempo`` BPM, ``confidence`` 0–1,
      ``downbeat_times``, ``time_signature``: beats a bar, 3 or 4}; ``energy`` {``times``, ``values`` 0–1,
      ``window_ms``}; ``spectrum`` {``times``, ``bass``, ``mid``, ``high``: 0–1, ``window_ms``}; ``onsets``. The feature
      ``tempo`` without ``beats`` gives ``beats`` with ``tempo`` alone.
    * ``video``, likewise: ``duration`` s, ``frame_rate``, ``width``, ``height``, ``codec``; ``motion_tempo`` BPM;
      ``scene_changes``.
    * ``errors``: by feature, why it cannot be analysed. Such a feature is missing above.

    Numbers are rounded to 3 decimals. That a feature cannot be analysed does not fail this step, even if it is the only
    one: silence has no beats, now and ever, and that is what is kept. ANALYSIS fails where nothing could be analysed,
    and whatever needs a feature fails by its name, with the reason given here: see
    :func:`artdag_common.media.curves.event_times`.

    Raises:
        StepInputError: ``media`` is not a media file.
    """
    from artdag_common.media.probe import probe

    probe(media)  # what is no media file at all is the input's fault, not a feature's
    analysis = _Analysis(media, params, ctx)
    steps: dict[str, Callable[[], None]] = {
        "beats": analysis.add_beats,
        "energy": analysis.add_energy,
        "metadata": analysis.add_metadata,
        "motion_tempo": analysis.add_motion_tempo,
        "onsets": analysis.add_onsets,
        "scene_changes": analysis.add_scene_changes,
        "spectrum": analysis.add_spectrum,
        "tempo": analysis.add_tempo,
    }
    errors: dict[str, str] = {}
    for done, feature in enumerate(params.features):
        if feature not in FROM_PICTURES:  # those count their frames
            ctx.progress(done, len(params.features))
        try:
            steps[feature]()
        except (AnalysisError, StepInputError) as error:
            errors[feature] = error.message
    document = {"features": list(params.features), **analysis.document}
    if errors:
        document["errors"] = errors
    output = ctx.output("json")
    output.write_bytes(canonical_json(document))
    ctx.progress(len(params.features), len(params.features))
    return output


class _Analysis:
    """The document as it grows.

    Sound is decoded only if a feature needs it, and held once; pictures are seen once, one at a time.
    """

    def __init__(self, media: Path, params: AnalyzeParams, ctx: StepContext) -> None:
        self.document: dict[str, Any] = {}
        self._media = media
        self._params = params
        self._ctx = ctx

    @cached_property
    def _samples(self) -> NDArray[np.float32]:
        from artdag_common.media.beats import RATE_HZ
        from artdag_common.media.sound import load_sound

        return load_sound(self._media, RATE_HZ)

    @cached_property
    def _beats(self) -> Beats:
        from artdag_common.media.beats import find_beats

        return find_beats(self._samples, self._params.tempo_hint, self._params.off_beat)

    @cached_property
    def _seen(self) -> Seen:
        from artdag_common.media.scenes import look

        return look(self._media, self._ctx.progress)

    def add_beats(self) -> None:
        from artdag_common.media.downbeats import find_bars

        beats = self._beats
        bars = find_bars(self._samples, beats.times)
        self._audio().setdefault("beats", {}).update(
            beat_times=_rounded(beats.times),
            tempo=round(beats.tempo, DIGITS),
            confidence=round(beats.confidence, DIGITS),
            downbeat_times=_rounded(bars.downbeat_times),
            time_signature=bars.beats_per_bar,
        )

    def add_tempo(self) -> None:
        beats = self._beats
        self._audio().setdefault("beats", {})["tempo"] = round(beats.tempo, DIGITS)

    def add_energy(self) -> None:
        from artdag_common.media.beats import RATE_HZ
        from artdag_common.media.energy import WINDOW_MS, energy

        loudness = energy(self._samples, RATE_HZ)
        self._audio()["energy"] = {
            "times": _rounded(loudness.times),
            "values": _rounded(loudness.values),
            "window_ms": WINDOW_MS,
        }

    def add_spectrum(self) -> None:
        from artdag_common.media.energy import WINDOW_MS
        from artdag_common.media.sound import sound_blocks
        from artdag_common.media.spectrum import RATE_HZ, spectrum

        found = spectrum(sound_blocks(self._media, RATE_HZ))
        self._audio()["spectrum"] = {
            "times": _rounded(found.times),
            **{name: _rounded(values) for name, values in found.bands.items()},
            "window_ms": WINDOW_MS,
        }

    def add_onsets(self) -> None:
        from artdag_common.media.onsets import find_onsets

        onsets = find_onsets(self._samples)
        self._audio()["onsets"] = _rounded(onsets)

    def add_scene_changes(self) -> None:
        seen = self._seen
        self._video()["scene_changes"] = [round(float(cut / seen.rate), DIGITS) for cut in seen.cuts]

    def add_motion_tempo(self) -> None:
        from artdag_common.media.motion_tempo import find_motion_tempo

        tempo = find_motion_tempo(self._seen.changes, self._seen.rate)
        self._video()["motion_tempo"] = round(tempo, DIGITS)

    def add_metadata(self) -> None:
        from artdag_common.media.probe import probe

        facts = probe(self._media)
        if facts.sample_rate:
            self._audio()
        if facts.frame_rate is not None:
            self._video()

    def _audio(self) -> dict[str, Any]:
        from artdag_common.media.sound import sound_facts

        if "audio" not in self.document:
            facts = sound_facts(self._media)
            self.document["audio"] = {
                "duration": round(facts.duration, DIGITS),
                "sample_rate": facts.sample_rate,
                "channels": facts.channels,
            }
        audio: dict[str, Any] = self.document["audio"]
        return audio

    def _video(self) -> dict[str, Any]:
        from artdag_common.media.probe import probe

        if "video" not in self.document:
            facts = probe(self._media)
            assert facts.frame_rate is not None
            self.document["video"] = {
                "duration": round(facts.duration, DIGITS),
                "frame_rate": round(float(facts.frame_rate), DIGITS),
                "width": facts.width,
                "height": facts.height,
                "codec": facts.video_codec,
            }
        video: dict[str, Any] = self.document["video"]
        return video


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(value, DIGITS) for value in values.tolist()]
