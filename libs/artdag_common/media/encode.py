"""Encoder settings, all in one place, and the files that they write, told apart by their suffix.

``.mp4`` is for people: H.264 and AAC, as every browser plays them. ``.mov`` is for the next step, and loses nothing:
H.264 with its quantiser at 0, and samples as they are. Both have time stamps that are exact, to the sample.

Same pictures and sound in → same bytes out, in any process on any number of cores: the number of threads is fixed,
container and encoders leave out their versions and the time (bitexact), and x264's account of its settings, which
holds the number of threads, is taken out of the stream.

Pictures are encoded in cells: after every :func:`cell` of them a new encoder begins, which knows nothing of what came
before. So a part of a film that begins with a cell can be encoded anywhere, and joined to the others afterwards, and
the file is the same as if all of it had been encoded in one go.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.codec.context import Flags as CodecFlags
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from artdag_common.errors import StepError
from artdag_common.media.geometry import Size
from artdag_common.media.pictures import PIXELS, ColourTags
from artdag_common.media.timeline import nearest

VIDEO_CODEC = "libx264"
# Without mbtree: with it, x264 core 165 on a processor with AVX-512 gave other bytes for the same pictures (320x180) in
# a process that had encoded before, even with one thread; without it, or held to AVX2, it did not. Costs 24 to 40 %
# more bytes at the same crf, by film, for 1.2 to 2.6 dB more.
VIDEO_OPTIONS = {"preset": "veryfast", "crf": "20", "profile": "high", "mbtree": "0"}
# Pictures are compared with those to come when they are given, not in a thread to which four of them go first. The
# bytes are the same.
LEAN_OPTIONS = {"x264-params": "sync-lookahead=0"}
LOSSLESS_OPTIONS = {"preset": "ultrafast", "qp": "0"}
LOSSLESS = ".mov"
GOP_SECONDS = 2  # a player that seeks decodes at most this much
CELL_GOPS = 5
THREADS = 4
DROP_SEI = "filter_units=remove_types=6"
AUDIO_CODEC = "aac"
AUDIO_BITS_PER_SECOND = 160_000
LOSSLESS_AUDIO_CODEC = "pcm_f32le"
AUDIO_BLOCK = 1024  # samples of an AAC frame
AUDIO_RATES_HZ = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)
USUAL_RATE_HZ = 48_000
LAYOUTS = {1: "mono", 2: "stereo"}
# Bit rates in the header differ between packets that come from an encoder and the same ones copied.
LOSSLESS_CONTAINER_OPTIONS = {"write_btrt": "0"}
CONTAINER_OPTIONS = {**LOSSLESS_CONTAINER_OPTIONS, "movflags": "+faststart"}
BITEXACT = 0x400  # AVFMT_FLAG_BITEXACT


@dataclass(frozen=True, slots=True)
class PictureShape:
    """What the pictures of an output have in common."""

    size: Size
    rate: Fraction
    tags: ColourTags


class Soundtrack(Protocol):
    """The sound of an output: gives packets in order."""

    rate_hz: int

    def attach(self, container: OutputContainer, lossless: bool) -> AudioStream:
        """Add the stream to the file."""

    def packets(self, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
        """Give the packets of the stream, one by one, reading only as far as needed."""


class MediaFile:
    """A file in the making, written under another name until it is whole.

    Use as a context manager: leaving it without an error finishes the file and gives it its name; with one, nothing
    is left. A file that was broken off would otherwise look like a valid, short one.
    """

    def __init__(self, path: Path, soundtrack: Soundtrack | None = None) -> None:
        """``soundtrack``: None: silent."""
        self._path = path
        self.lossless = path.suffix == LOSSLESS
        self._partial = path.with_name(f".{path.name}.partial")
        self._soundtrack = soundtrack
        self._pending: Iterator[Packet[AudioStream]] = iter(())
        self._next: Packet[AudioStream] | None = None
        self.container: OutputContainer = av.open(
            str(self._partial), "w", format=path.suffix[1:], options=self._options()
        )
        self.container.flags |= BITEXACT

    def _options(self) -> dict[str, str]:
        # edit lists say where sound ends in this unit; by default milliseconds, which would cut off up to 48 samples
        unit = {"movie_timescale": str(self._soundtrack.rate_hz)} if self._soundtrack is not None else {}
        return (LOSSLESS_CONTAINER_OPTIONS if self.lossless else CONTAINER_OPTIONS) | unit

    def begin(self) -> None:
        """Add the sound after the video stream, if any, is there."""
        if self._soundtrack is not None:
            stream = self._soundtrack.attach(self.container, self.lossless)
            self._pending = self._soundtrack.packets(stream)
            self._next = next(self._pending, None)

    def mux(self, packet: Packet[VideoStream]) -> None:
        """Write a packet of video, and the sound up to it: both lie side by side."""
        assert packet.dts is not None
        time = packet.dts * packet.time_base
        self.container.mux_one(packet)
        self.sound_until(time)

    def sound_until(self, time: Fraction | None) -> None:
        """Write the sound that belongs before ``time`` (seconds; None: all the rest)."""
        while self._next is not None:
            packet = self._next
            if time is not None and packet.dts is not None and packet.dts * packet.time_base >= time:
                return
            self.container.mux_one(packet)
            self._next = next(self._pending, None)

    def finish(self) -> None:
        """Write what is left."""
        self.sound_until(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
                self.container.close()
                self._partial.rename(self._path)
                return
        except FFmpegError as broken:
            raise StepError(f"the output cannot be written: {broken.strerror or broken}") from broken
        finally:
            with contextlib.suppress(FFmpegError, OSError):
                self.container.close()
            self._partial.unlink(missing_ok=True)
        if isinstance(error, FFmpegError):
            raise StepError(f"the output cannot be written: {error.strerror or error}") from error


def gop(rate: Fraction) -> int:
    """Return the most frames from one key frame to the next."""
    return max(1, nearest(GOP_SECONDS * rate))


def cell(rate: Fraction) -> int:
    """Return the frames of a cell: ten seconds, in whole groups of pictures."""
    return CELL_GOPS * gop(rate)


class VideoWriter(MediaFile):
    """Encodes pictures one after the other, at a constant rate."""

    def __init__(
        self, path: Path, shape: PictureShape, soundtrack: Soundtrack | None = None, lean: bool = False
    ) -> None:
        """All pictures have the size of ``shape``.

        Args:
            lean: hold four pictures fewer, 13 MB at 720p. Up to a tenth slower where all else waits for the encoder.
        """
        super().__init__(path, soundtrack)
        self._shape = shape
        self._encoding = LOSSLESS_OPTIONS if self.lossless else VIDEO_OPTIONS | (LEAN_OPTIONS if lean else {})
        self._count = 0
        self._cell = cell(shape.rate)
        self._next_dts: int | None = None
        # Only an encoder that belongs to a stream can tell another one what it is. It is the first cell's.
        with av.open(os.devnull, "w", format="null") as nowhere:
            own = nowhere.add_stream(VIDEO_CODEC, rate=shape.rate)
            assert isinstance(own, VideoStream)
            self._encoder = self._set_up(own.codec_context)
            nowhere.start_encoding()
            self._stream = self.container.add_stream_from_template(own)
        self._filter = BitStreamFilterContext(DROP_SEI, self._stream, self._stream)
        self.begin()

    def _set_up(self, encoder: VideoCodecContext) -> VideoCodecContext:
        shape = self._shape
        encoder.options = dict(self._encoding)
        encoder.width, encoder.height = shape.size
        encoder.pix_fmt = PIXELS
        encoder.framerate = shape.rate
        encoder.time_base = 1 / shape.rate
        encoder.gop_size = gop(shape.rate)
        encoder.thread_type = "AUTO"
        encoder.thread_count = THREADS
        encoder.flags |= int(CodecFlags.bitexact | CodecFlags.global_header)
        encoder.colorspace = shape.tags.space
        encoder.color_primaries = shape.tags.primaries
        encoder.color_trc = shape.tags.transfer
        return encoder

    def write(self, picture: VideoFrame) -> None:
        """Encode the next picture."""
        if self._count and self._count % self._cell == 0:
            self._end_cell()
            another = VideoCodecContext.create(VIDEO_CODEC, "w")
            assert isinstance(another, VideoCodecContext)
            self._encoder = self._set_up(another)
        picture.pts = self._count
        picture.time_base = 1 / self._shape.rate
        picture.pict_type = PictureType.NONE  # else the source's key frames are copied
        self._count += 1
        self._mux(self._encoder.encode(picture))

    def finish(self) -> None:
        """Write what the encoders still hold."""
        self._end_cell()
        for packet in self._filter.filter(None):
            self._pass(packet)
        super().finish()

    def _end_cell(self) -> None:
        self._mux(self._encoder.encode(None))
        del self._encoder  # two at a time would take twice the memory

    def _mux(self, packets: Iterable[Packet[VideoStream]]) -> None:
        for packet in packets:
            for filtered in self._filter.filter(packet):
                self._pass(filtered)

    def _pass(self, packet: Packet[VideoStream]) -> None:
        packet.stream = self._stream
        packet.time_base = 1 / self._shape.rate
        assert packet.dts is not None
        # An encoder that gets only a few pictures starts with another delay: where cells meet, there would be a gap.
        if self._next_dts is None:
            self._next_dts = packet.dts
        packet.dts = self._next_dts
        self._next_dts += 1
        self.mux(packet)


class SoundWriter(MediaFile):
    """Writes sound alone."""

    def __init__(self, path: Path, soundtrack: Soundtrack) -> None:
        """All of ``soundtrack`` is written when the context is left."""
        super().__init__(path, soundtrack)
        self.begin()


def audio_rate(rate_hz: int) -> int:
    """Return the sample rate at which sound is encoded: its own where AAC knows it."""
    return rate_hz if rate_hz in AUDIO_RATES_HZ else USUAL_RATE_HZ
