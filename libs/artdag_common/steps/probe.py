"""PROBE: what a media file holds, as a JSON document."""

from __future__ import annotations

from pathlib import Path

from artdag_common.domain.plan import canonical_json
from artdag_common.steps.base import StepContext, StepParams, step_type

DIGITS = 6


class ProbeParams(StepParams):
    """PROBE has no parameters."""


@step_type("PROBE", version=1)
def probe(ctx: StepContext, params: ProbeParams, media: Path) -> Path:
    """Write what ``media`` holds, without decoding more than the first frame.

    The document: ``duration`` s; ``video`` {``width``, ``height`` px as shown, ``frame_rate`` per second, ``frames``,
    ``codec``, ``profile``, ``pix_fmt``} or null; ``audio`` {``sample_rate`` Hz, ``channels``, ``codec``} or null.

    Raises:
        StepInputError: ``media`` cannot be read as video, audio or a picture.
    """
    from artdag_common.media.probe import probe as look  # PyAV is loaded by executors only

    facts = look(media)
    video = {
        "width": facts.width,
        "height": facts.height,
        "frame_rate": round(float(facts.frame_rate or 0), DIGITS),
        "frames": facts.frames,
        "codec": facts.video_codec,
        "profile": facts.profile,
        "pix_fmt": facts.pix_fmt,
    }
    audio = {"sample_rate": facts.sample_rate, "channels": facts.channels, "codec": facts.audio_codec}
    document = {
        "duration": round(facts.duration, DIGITS),
        "video": video if facts.frames else None,
        "audio": audio if facts.sample_rate else None,
    }
    output = ctx.output("json")
    output.write_bytes(canonical_json(document))
    return output
