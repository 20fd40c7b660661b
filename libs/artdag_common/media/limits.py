"""Bounds of what is decoded, all in one place. A file beyond them is refused before it costs anything.

They lie above what cameras, telephones and studios deliver, and low enough that the largest file within them is
decoded in the memory that a step may use (6 GB of address space, set by the executor) and ends within its time-out.
"""

from __future__ import annotations

from artdag_common.errors import StepInputError

MAX_SIDE = 16_384
"""Pixels of a side: what H.264 level 6.2 and JPEG files of cameras reach; also the largest RESIZE."""

MAX_PIXELS = 64_000_000
"""Pixels of a picture: 8K video has 33 million, large cameras 61 million. One costs up to 4 bytes a pixel in each of
the two or three forms that it takes on the way, and a decoder of video holds up to 16 of 1.5 bytes: 1.6 GB."""

MAX_CHANNELS = 255
"""Channels of a sound: what the formats can count. A second of 255 at 48 kHz is 49 MB; it is mixed block by block."""

MAX_SAMPLE_RATE_HZ = 384_000
"""Samples a second: eight times 48 kHz, the most that converters record."""

MAX_SECONDS = 24 * 3600
"""Seconds of a video or a sound: a day. At the slowest rate that is read, one frame a second, 86,400 frames, so that
a few packets with far time stamps cannot ask for more; longer work is a matter of the step's time-out."""

MAX_PICTURES = 100_000
"""Pictures of an animated file: more than an hour at 25 a second. Each costs a decoding of the whole canvas."""

MAX_PIXEL_ASPECT = 8
"""Width of a pixel by its height, or the other way round. Anamorphic lenses reach 2; beyond 8 it is damage."""


def guard_size(width: int, height: int, slot: str) -> None:
    """Refuse pictures beyond the limits.

    Raises:
        StepInputError: a side or the area is too large.
    """
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise StepInputError(
            f"{slot}: the picture has {width}x{height} pixels; at most {MAX_SIDE} a side and {MAX_PIXELS} in all"
            " are read",
            slot=slot,
        )


def guard_sound(channels: int, rate_hz: int, slot: str) -> None:
    """Refuse sounds beyond the limits.

    Raises:
        StepInputError: too many channels, or samples a second.
    """
    if channels > MAX_CHANNELS:
        raise StepInputError(f"{slot}: the audio has {channels} channels; at most {MAX_CHANNELS} are read", slot=slot)
    if rate_hz > MAX_SAMPLE_RATE_HZ:
        raise StepInputError(
            f"{slot}: the audio has {rate_hz} samples a second; at most {MAX_SAMPLE_RATE_HZ} are read", slot=slot
        )


def guard_seconds(length: float, what: str, slot: str) -> None:
    """Refuse what lasts too long.

    Args:
        length: seconds.
        what: "video" or "audio", for the message.

    Raises:
        StepInputError: it is longer than a day.
    """
    if length > MAX_SECONDS:
        raise StepInputError(
            f"{slot}: the {what} claims to last {length:.0f} s; at most {MAX_SECONDS} s are read", slot=slot
        )
