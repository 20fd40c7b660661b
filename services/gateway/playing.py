"""What browsers play as it is, decided by what PROBE found; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONTAINERS = ("video/mp4", "audio/mp4")
PROFILES = ("Constrained Baseline", "Baseline", "Main", "High")
PIXELS = ("yuv420p", "yuvj420p")
SOUNDS = ("aac", "mp3")


def plays(media_type: str, facts: Mapping[str, Any]) -> bool:
    """Return whether every browser plays the content: H.264 with 8 bits and 4:2:0, AAC or MP3, in an MP4.

    Args:
        facts: as :func:`artdag_common.steps.probe.probe` writes them.
    """
    video, audio = facts["video"], facts["audio"]
    if media_type not in CONTAINERS:
        return False
    if video and (video["codec"] != "h264" or video["profile"] not in PROFILES or video["pix_fmt"] not in PIXELS):
        return False
    return not audio or audio["codec"] in SOUNDS


def moves(facts: Mapping[str, Any]) -> bool:
    """Return whether there is something to play: sound, or more than one picture."""
    return bool(facts["audio"]) or bool(facts["video"] and facts["video"]["frames"] > 1)
