"""ANALYZE: features of a video or audio file, as a JSON document."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator, model_validator

from artdag_common.domain.plan import canonical_json
from artdag_common.errors import AnalysisError, StepInputError
from artdag_common.steps.base import StepContext, StepParams, step_type

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artdag_common.media.beats import Beats

FEATURES = ("beats", "energy", "metadata", "tempo")
ALL = "all"
DIGITS = 3  # milliseconds: digits beyond differ from processor to processor


class AnalyzeParams(StepParams):
    """Parameters of ANALYZE: ``features``, or ``feature`` where it is one. Their order does not matter."""

    feature: str | None = Field(None, exclude=True)
    features: tuple[str, ...] = Field((ALL,), validate_default=True)

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


@step_type("ANALYZE", version=1)
def analyze(ctx: StepContext, params: AnalyzeParams, media: Path) -> Path:
    """Write the features of ``media`` as canonical JSON.

    The document: ``features`` (those asked for), ``audio`` {duration s, sample_rate Hz, channels, beats {beat_times s,
    tempo BPM, confidence 0–1}, energy {times s, values 0–1, window_ms}} where the file has audio, and with the feature
    ``metadata`` ``video`` {duration s, frame_rate, width, height, codec} where it has video. The feature ``tempo``
    without ``beats`` gives ``audio.beats`` with ``tempo`` alone. A feature that cannot be analysed is missing, and
    ``errors`` says why under its name. Numbers are rounded to 3 decimals.

    Raises:
        StepInputError: ``media`` is not a media file.
        AnalysisError: none of the features can be analysed.
    """
    from artdag_common.media.probe import open_media

    with open_media(media):  # what is no media file at all is the input's fault, not a feature's
        pass
    analysis = _Analysis(media)
    steps: dict[str, Callable[[], None]] = {
        "beats": analysis.add_beats,
        "energy": analysis.add_energy,
        "metadata": analysis.add_metadata,
        "tempo": analysis.add_tempo,
    }
    errors: dict[str, str] = {}
    for done, feature in enumerate(params.features):
        ctx.progress(done, len(params.features))
        try:
            steps[feature]()
        except (AnalysisError, StepInputError) as error:
            errors[feature] = error.message
    if len(errors) == len(params.features):
        raise AnalysisError(_together(errors), errors=errors)
    document = {"features": list(params.features), **analysis.document}
    if errors:
        document["errors"] = errors
    output = ctx.output("json")
    output.write_bytes(canonical_json(document))
    ctx.progress(len(params.features), len(params.features))
    return output


class _Analysis:
    """The document as it grows. Sound is decoded once, and only if a feature needs it; beats are found once."""

    def __init__(self, media: Path) -> None:
        self.document: dict[str, Any] = {}
        self._media = media

    @cached_property
    def _samples(self) -> NDArray[np.float32]:
        from artdag_common.media.beats import RATE_HZ
        from artdag_common.media.sound import load_sound

        return load_sound(self._media, RATE_HZ)

    @cached_property
    def _beats(self) -> Beats:
        from artdag_common.media.beats import find_beats

        return find_beats(self._samples)

    def add_beats(self) -> None:
        beats = self._beats
        self._audio()["beats"] = {
            "beat_times": _rounded(beats.times),
            "tempo": round(beats.tempo, DIGITS),
            "confidence": round(beats.confidence, DIGITS),
        }

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

    def add_metadata(self) -> None:
        from artdag_common.media.probe import probe

        facts = probe(self._media)
        if facts.sample_rate:
            self._audio()
        if facts.frame_rate is not None:
            self.document["video"] = {
                "duration": round(facts.duration, DIGITS),
                "frame_rate": round(float(facts.frame_rate), DIGITS),
                "width": facts.width,
                "height": facts.height,
                "codec": facts.video_codec,
            }

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


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(value, DIGITS) for value in values.tolist()]


def _together(errors: dict[str, str]) -> str:
    """One sentence for each cause, with the features that it concerns."""
    causes: dict[str, list[str]] = {}
    for feature, message in errors.items():
        causes.setdefault(message, []).append(feature)
    return "; ".join(f"{', '.join(features)}: {message}" for message, features in causes.items())
