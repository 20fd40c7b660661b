"""An analysis in words and as a table: what is heard and seen at which moment. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.gateway.web.words import plural, seconds

CURVES = ("energy", "bass", "mid", "high")
EVERY_SECONDS = 1.0
"""Between two moments, where nothing happens that has a time of its own."""

Readings = tuple[float | None, float | None, float | None, float | None]


@dataclass(frozen=True, slots=True)
class Moment:
    """What happens at a time, and how loud it is there.

    Attributes:
        time: seconds from the beginning.
        what: ``bar 2, beat 1`` or ``scene 3``; empty where only the curves are read.
        readings: 0 to 1, in the order of :data:`CURVES`; None: not analysed.
    """

    time: float
    what: str
    readings: Readings


def facts_of(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the facts of an analysis as name and value, what matters most first."""
    audio, video = result.get("audio") or {}, result.get("video") or {}
    beats = audio.get("beats") or {}
    found: list[tuple[str, str]] = []
    if "tempo" in beats:
        found.append(("Tempo", f"{beats['tempo']:.1f} beats a minute"))
    if "beat_times" in beats:
        bars = f" in {plural(len(beats['downbeat_times']), 'bar')}" if beats.get("downbeat_times") else ""
        found.append(("Beats", f"{plural(len(beats['beat_times']), 'beat')}{bars}"))
    if "time_signature" in beats:
        found.append(("Beats in a bar", str(beats["time_signature"])))
    if "confidence" in beats:
        found.append(("How sure", f"{beats['confidence'] * 100:.0f} %"))
    if "onsets" in audio:
        found.append(("Onsets", plural(len(audio["onsets"]), "note")))
    if "motion_tempo" in video:
        found.append(("Tempo of the motion", f"{video['motion_tempo']:.1f} a minute"))
    if "scene_changes" in video:
        found.append(("Scenes", plural(len(video["scene_changes"]) + 1, "scene")))
    if "duration" in audio:
        found.append(("Sound", f"{seconds(audio['duration'])}, {audio['sample_rate']} Hz"))
    if "duration" in video:
        size = f"{video['width']} × {video['height']} pixels"
        found.append(("Pictures", f"{seconds(video['duration'])}, {size}, {video['frame_rate']:g} a second"))
    return found


def moments_of(result: Mapping[str, Any]) -> list[Moment]:
    """Return what happens, in order: beats and scene changes; where there are none, the curves second by second."""
    audio, video = result.get("audio") or {}, result.get("video") or {}
    named = [*_beats(audio.get("beats") or {}), *_scenes(video.get("scene_changes") or ())]
    curves = _curves(audio)
    if not named:
        last = max((times[-1] for times, _ in curves.values() if times), default=-1.0)
        named = [(index * EVERY_SECONDS, "") for index in range(int(last / EVERY_SECONDS) + 1)]
    return [Moment(time, what, _readings(curves, time)) for time, what in sorted(named)]


def _beats(beats: Mapping[str, Any]) -> list[tuple[float, str]]:
    downbeats = beats.get("downbeat_times") or ()
    known = set(downbeats)
    found, bar, beat = [], 0, 0
    for time in beats.get("beat_times") or ():
        if time in known:
            bar, beat = bar + 1, 0
        beat += 1
        found.append((time, f"bar {bar}, beat {beat}" if bar else f"upbeat {beat}" if known else f"beat {beat}"))
    return found


def _scenes(cuts: Sequence[float]) -> list[tuple[float, str]]:
    return [(time, f"scene {number}") for number, time in enumerate(cuts, 2)]


def _curves(audio: Mapping[str, Any]) -> dict[str, tuple[Sequence[float], Sequence[float]]]:
    """Return times and values of each curve that there is."""
    energy, spectrum = audio.get("energy"), audio.get("spectrum")
    found = {"energy": (energy["times"], energy["values"])} if energy else {}
    if spectrum:
        found |= {name: (spectrum["times"], spectrum[name]) for name in CURVES if name in spectrum}
    return found


def _readings(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], time: float) -> Readings:
    energy, bass, mid, high = (_at(*curves[name], time) if name in curves else None for name in CURVES)
    return energy, bass, mid, high


def _at(times: Sequence[float], values: Sequence[float], time: float) -> float | None:
    """Return the value whose time is nearest."""
    if not times:
        return None
    after = bisect_left(times, time)
    near = min((index for index in (after - 1, after) if 0 <= index < len(times)), key=lambda i: abs(times[i] - time))
    return values[near]
