"""Every output is probed before it counts."""

from __future__ import annotations

from pathlib import Path

import orjson

from artdag_common.errors import StepInputError, UnplayableOutputError
from artdag_common.media.probe import MediaFacts, probe
from artdag_common.media.types import media_type_of

PROFILES = ("Constrained Baseline", "Baseline", "Main", "High")
PIXELS = "yuv420p"


def check_output(path: Path) -> str:
    """Return the media type of a step's output.

    MP4 has to hold H.264 in yuv420p with at least one frame, or AAC, or both: what every browser plays. JSON has to
    parse.

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
    if kind not in ("video/mp4", "audio/mp4"):
        raise UnplayableOutputError(f"the output is {kind}; steps write MP4 or JSON", media_type=kind)
    try:
        facts = probe(path, "output")
    except StepInputError as error:
        raise UnplayableOutputError(f"the output cannot be played: {error.message}") from error
    if reason := _unplayable(facts):
        raise UnplayableOutputError(f"the output cannot be played in a browser: {reason}")
    return "video/mp4" if facts.frames else "audio/mp4"


def _unplayable(facts: MediaFacts) -> str:
    """Return the rule that is broken; empty: none."""
    if facts.duration <= 0:
        return "it lasts 0 s"
    if facts.audio_codec not in ("", "aac"):
        return f"its audio is {facts.audio_codec}, not aac"
    if not facts.frames:
        return ""
    if facts.video_codec != "h264" or facts.profile not in PROFILES:
        return f"its video is {facts.video_codec} {facts.profile}, not h264 {PROFILES[-1]}"
    if facts.pix_fmt != PIXELS:
        return f"its pixels are {facts.pix_fmt}, not {PIXELS}"
    return ""
