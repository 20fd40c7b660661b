"""Every output is probed before it counts."""

from __future__ import annotations

from pathlib import Path

import orjson

from artdag_common.errors import StepInputError, UnplayableOutputError
from artdag_common.media.probe import MediaFacts, probe
from artdag_common.media.still import picture_arrays
from artdag_common.media.types import media_type_of

PROFILES = ("Constrained Baseline", "Baseline", "Main", "High")
LOSSLESS_PROFILES = (*PROFILES, "High 4:4:4 Predictive")
PIXELS = "yuv420p"
PICTURES = ("image/png", "image/jpeg")


def check_output(path: Path) -> str:
    """Return the media type of a step's output.

    MP4 has to hold H.264 in yuv420p with at least one frame, or AAC, or both: what every browser plays. QuickTime,
    which goes to other steps, may hold H.264 in yuv420p that loses nothing, and plain samples. JSON has to parse, and
    PNG and JPEG to be whole.

    Raises:
        UnplayableOutputError: it is not what it should be, or of a kind that no step writes.
    """
    if not path.is_file() or not path.stat().st_size:
        raise UnplayableOutputError(f"the step wrote no output, or an empty one ({path.name})")
    kind = media_type_of(path)
    if kind == "application/json":
        try:
            orjson.loads(path.read_bytes())
        except orjson.JSONDecodeError as error:
            raise UnplayableOutputError(f"the output is not JSON: {error}") from error
        return kind
    if kind not in ("video/mp4", "audio/mp4", "video/quicktime", *PICTURES):
        raise UnplayableOutputError(
            f"the output is {kind}; steps write MP4, QuickTime, PNG, JPEG or JSON", media_type=kind
        )
    try:
        if kind in PICTURES:
            for _ in picture_arrays(path, "output"):
                pass
            return kind
        facts = probe(path, "output")
    except StepInputError as error:
        raise UnplayableOutputError(f"the output cannot be played: {error.message}") from error
    if kind == "video/quicktime":
        if reason := _broken(facts, LOSSLESS_PROFILES, ("", "aac", "pcm_f32le")):
            raise UnplayableOutputError(f"the output is not one that steps read: {reason}")
        return kind
    if reason := _broken(facts, PROFILES, ("", "aac")):
        raise UnplayableOutputError(f"the output cannot be played in a browser: {reason}")
    return "video/mp4" if facts.frames else "audio/mp4"


def _broken(facts: MediaFacts, profiles: tuple[str, ...], sounds: tuple[str, ...]) -> str:
    """Return the rule that is broken; empty: none."""
    if facts.duration <= 0:
        return "it lasts 0 s"
    if facts.audio_codec not in sounds:
        return f"its audio is {facts.audio_codec}, not {sounds[1]}"
    if not facts.frames:
        return ""
    if facts.video_codec != "h264" or facts.profile not in profiles:
        return f"its video is {facts.video_codec} {facts.profile}, not h264 {PROFILES[-1]}"
    if facts.pix_fmt != PIXELS:
        return f"its pixels are {facts.pix_fmt}, not {PIXELS}"
    return ""
