"""A film in parts, each of whole cells of the encoder (:func:`artdag_common.media.encode.cell`), put together again."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from av.video.stream import VideoStream

from artdag_common.errors import StepError
from artdag_common.media.encode import MediaFile, cell
from artdag_common.media.pictures import Clip
from artdag_common.media.probe import open_media, time_base, video_stream
from artdag_common.media.remux import packets
from artdag_common.media.soundtrack import sound_of
from artdag_common.media.video import Progress


def length(media: Path) -> tuple[int, int]:
    """Return how many frames a film has, and how many of them are a cell.

    Raises:
        StepInputError: not a video.
    """
    timeline = Clip(media).timeline
    return timeline.frames, cell(timeline.rate)


def join(media: Path, parts: Sequence[Path], output: Path, progress: Progress) -> Path:
    """Put the parts of what was made of a film one after the other, packet by packet, under the sound of that film.

    The result is byte for byte what would have been written in one go.

    Args:
        media: what the parts were made of.
        parts: in order; each but the last has a whole number of cells.

    Raises:
        StepError: together they are not as long as the film.
    """
    timeline = Clip(media).timeline
    done = 0
    stream: VideoStream | None = None
    delay = 0  # of decoding before showing; a short part may have less
    with MediaFile(output, sound_of(media, timeline.start)) as file:
        for part in parts:
            with open_media(part, "part") as container:
                source = video_stream(container)
                assert source is not None
                frame = _whole(1 / timeline.rate / time_base(source))
                begin = done * frame
                for packet in packets(container):
                    assert packet.pts is not None
                    assert packet.dts is not None
                    if stream is None:
                        stream = file.container.add_stream_from_template(source)
                        file.begin()
                        delay = packet.dts
                    packet.pts += begin
                    packet.dts = delay + done * frame
                    packet.duration = frame
                    packet.stream = stream
                    file.mux(packet)
                    done += 1
                    progress(done, timeline.frames)
        if done != timeline.frames:
            raise StepError(f"the parts have {done} frames, and the film has {timeline.frames}")
    return output


def _whole(time: Fraction) -> int:
    """Return a time in units of a stream: what a frame lasts is always a whole number of them."""
    assert time.denominator == 1
    return time.numerator
