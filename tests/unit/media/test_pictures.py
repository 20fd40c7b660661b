"""Pictures of any file on a constant grid."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from PIL import Image

from artdag_common.errors import StepInputError
from artdag_common.media.pictures import AS_SHOWN, Clip, Target, planes
from artdag_common.media.rgb import RgbBridge
from tests.unit.media.counted import number_in, numbered, write_counted, write_wav


def numbers(pictures: Iterable[VideoFrame]) -> list[int]:
    return [number_in(planes(picture)[0]) for picture in pictures]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_counted(tmp_path_factory.mktemp("film") / "film.mp4", 40)


def test_every_frame_comes_once(film: Path) -> None:
    clip = Clip(film)
    assert clip.timeline.frames == 40
    assert clip.timeline.rate == 30
    assert numbers(clip.pictures()) == list(range(40))


def test_a_range_begins_at_its_very_frame_wherever_key_frames_lie(film: Path) -> None:
    clip = Clip(film)
    for first in range(39):
        assert numbers(clip.pictures(first, first + 2)) == [first, first + 1]


@pytest.mark.parametrize("frames", [2, 3, 5])
def test_films_shorter_than_the_decoder_looks_ahead_are_cut_too(tmp_path: Path, frames: int) -> None:
    clip = Clip(write_counted(tmp_path / "short.mp4", frames))
    for first in range(frames):
        assert numbers(clip.pictures(first)) == list(range(first, frames))


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.ts", "mpeg2video")])
def test_other_containers_give_the_same_frames(tmp_path: Path, name: str, codec: str) -> None:
    clip = Clip(write_counted(tmp_path / name, 31, 25, codec=codec))
    assert clip.timeline.rate == 25
    assert numbers(clip.pictures()) == list(range(31))
    assert numbers(clip.pictures(17, 20)) == [17, 18, 19]


def test_uneven_time_stamps_are_put_on_the_grid(tmp_path: Path) -> None:
    # frames at 0, 1, 2, then a still of four, then on: as a telephone films in the dark
    stamps = [0, 1, 2, 6, 7, 8, 9, 10, 11]
    clip = Clip(write_counted(tmp_path / "vfr.mp4", 9, 30, stamps=stamps), rate=Fraction(30))
    assert numbers(clip.pictures()) == [0, 1, 2, 2, 2, 2, 3, 4, 5, 6, 7, 8]
    assert numbers(clip.pictures(4, 8)) == [2, 2, 3, 4]


def test_another_rate_drops_or_repeats_frames_and_keeps_the_duration(film: Path) -> None:
    slow = Clip(film, rate=Fraction(15))
    assert slow.timeline.frames == 20
    assert len(numbers(slow.pictures())) == 20
    fast = Clip(film, rate=Fraction(60))
    assert fast.timeline.frames == 80
    shown = numbers(fast.pictures())
    assert sorted(set(shown)) == list(range(40))
    assert shown == sorted(shown)


def test_odd_sizes_become_even(tmp_path: Path) -> None:
    clip = Clip(write_counted(tmp_path / "odd.mkv", 5, size=(129, 73), pix_fmt="yuv444p", codec="ffv1"))
    assert clip.size == (128, 72)
    assert [(p.width, p.height, p.format.name) for p in clip.pictures()] == [(128, 72, "yuv420p")] * 5
    assert numbers(clip.pictures()) == list(range(5))


def test_full_range_becomes_limited(tmp_path: Path) -> None:
    path = tmp_path / "full.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        white = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 255, np.uint8), format="rgb24")
        container.mux(stream.encode(white.reformat(format="yuvj420p")))
        container.mux(stream.encode(None))
    (picture,) = Clip(path).pictures()
    assert int(planes(picture)[0].max()) == 235


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_film_stands_upright(tmp_path: Path, rotation: int) -> None:
    path = write_counted(tmp_path / "turned.mp4", 3, rotation=rotation)
    clip = Clip(path)
    assert clip.size == ((72, 128) if rotation != 180 else (128, 72))
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0))
        assert stored.rotation % 360 == rotation
        # counter-clockwise by as much as the file says
        upright = np.rot90(stored.to_ndarray(format="gray"), rotation // 90).astype(int)
    luma = planes(next(clip.pictures()))[0].astype(int)
    assert np.abs(luma * 255 // 219 - upright).mean() < 24


def test_pictures_are_laid_on_a_canvas(film: Path) -> None:
    target = Target((128, 128), "pad", "#ff0000")
    picture = next(Clip(film).pictures(5, target=target))
    luma, _, red = planes(picture)
    assert luma.shape == (128, 128)
    assert (luma[:28] == 81).all()
    assert (luma[100:] == 81).all()
    assert (red[:14] == 240).all()
    assert number_in(luma) == 5


def test_what_stands_out_is_cropped(film: Path) -> None:
    picture = next(Clip(film).pictures(0b11111111 & 24, target=Target((72, 72), "fill")))
    luma = planes(picture)[0]
    assert luma.shape == (72, 72)
    bars = numbered(24)[36, :, 0]
    assert [bool(luma[36, x] > 125) for x in (4, 20, 40, 60)] == [bool(bars[x + 28] > 125) for x in (4, 20, 40, 60)]


def test_what_an_edit_list_leaves_out_is_not_shown(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "trimmed.mp4"
    with av.open(str(film)) as source, av.open(str(path), "w") as container:
        stored = source.streams.video[0]
        stream = container.add_stream_from_template(stored)
        for packet in source.demux(stored):
            if packet.size and packet.pts is not None and packet.dts is not None:
                packet.pts -= round(10 / 30 / stored.time_base)
                packet.dts -= round(10 / 30 / stored.time_base)
                packet.stream = stream
                container.mux(packet)
    clip = Clip(path)
    assert clip.timeline.frames == 30
    assert numbers(clip.pictures()) == list(range(10, 40))
    assert numbers(clip.pictures(1, 3)) == [11, 12]


def test_a_still_is_a_film_of_one_frame(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(numbered(77)).save(tmp_path / "still.png")
    clip = Clip(tmp_path / "still.png")
    assert clip.timeline.frames == 1
    assert numbers(clip.pictures()) == [77]


COLOURS = np.array([(200, 40, 40), (40, 200, 40), (40, 40, 200), (230, 230, 230)], np.uint8)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "full"),
    [
        ("a.mkv", "ffv1", "yuv422p", False),
        ("a.mkv", "ffv1", "yuv444p10le", False),
        ("a.mkv", "ffv1", "yuv420p12le", False),
        ("a.mkv", "ffv1", "yuv411p", False),
        ("a.mkv", "ffv1", "gray", False),
        ("a.mkv", "ffv1", "gray16le", False),
        ("a.mkv", "ffv1", "bgra", False),
        ("a.mkv", "ffv1", "gbrp10le", False),
        ("a.mkv", "ffv1", "yuva420p", False),
        ("a.mkv", "ffv1", "yuv420p", True),
        ("a.mkv", "libx264", "yuv420p", True),
        ("a.mkv", "libx264rgb", "rgb24", False),
        ("a.mkv", "libvpx-vp9", "yuv420p", False),
        ("a.mkv", "rawvideo", "uyvy422", False),
        ("a.mkv", "mjpeg", "yuvj444p", True),
        ("a.mov", "prores_ks", "yuva444p10le", False),
        ("a.mov", "qtrle", "rgb24", False),
        ("a.mov", "png", "rgb24", False),
    ],
)
def test_every_pixel_format_keeps_its_colours(tmp_path: Path, name: str, codec: str, pix_fmt: str, full: bool) -> None:
    stripes = np.repeat(np.repeat(COLOURS[None], 72, axis=0), 32, axis=1)
    source = av.VideoFrame.from_ndarray(stripes, format="rgb24")
    if pix_fmt.startswith(("rgb", "bgr", "gbr")):
        source = source.reformat(format=pix_fmt)
    else:
        span = {"src_color_range": "JPEG", "dst_color_range": "JPEG" if full else "MPEG"}
        source = source.reformat(format=pix_fmt, dst_colorspace="ITU601", **span)
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 72, pix_fmt
        if full:
            stream.codec_context.color_range = 2
        container.mux(stream.encode(source))
        container.mux(stream.encode(None))
    clip = Clip(tmp_path / name)
    assert clip.tags.space != 0, "yuv420p whose matrix is said to be that of RGB is shown green"
    shown = RgbBridge(clip.tags).rgb(next(clip.pictures()))[36, 16::32].astype(int)
    meant = COLOURS.astype(int)
    if pix_fmt.startswith("gray"):
        meant = np.repeat(np.round(meant @ [0.299, 0.587, 0.114]).astype(int)[:, None], 3, axis=1)
    assert np.abs(shown - meant).max() <= 6


def test_transparent_parts_of_a_film_are_black(tmp_path: Path) -> None:
    pixels = np.full((73, 129, 4), 255, np.uint8)
    pixels[:, :64, 3] = 0
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 129, 73, "bgra"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format="bgra")))
        container.mux(stream.encode(None))
    clip = Clip(tmp_path / "a.mkv")
    luma, u, v = planes(next(clip.pictures()))
    assert luma.shape == (72, 128)
    assert (luma[:, :64] == 16).all()
    assert (luma[:, 66:] == 235).all()
    assert np.abs(np.stack([u, v]).astype(int) - 128).max() <= 1


def test_audio_alone_is_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros((1, 4800), np.int16))
    with pytest.raises(StepInputError, match="audio only"):
        Clip(path)


def test_rgb_goes_there_and_back(film: Path) -> None:
    clip = Clip(film)
    bridge = RgbBridge(clip.tags)
    picture = next(clip.pictures(9, target=AS_SHOWN))
    array = bridge.rgb(picture)
    assert array.shape == (72, 128, 3)
    assert array.dtype == np.uint8
    back = bridge.frame(array)
    for before, after in zip(planes(picture), planes(back), strict=True):
        assert np.abs(before.astype(int) - after.astype(int)).max() <= 6


# --- the same on every processor --------------------------------------------------------------------------------------

CODE = """
import ctypes, glob, os, sys
import av
if sys.argv[2] != "own":
    library, = glob.glob(os.path.join(os.path.dirname(os.path.dirname(av.__file__)), "av.libs", "libavutil*"))
    ctypes.CDLL(library).av_force_cpu_flags(int(sys.argv[2], 0))
from hashlib import sha256
from pathlib import Path
from artdag_common.media.pictures import Clip, Target, planes
digest = sha256()
for target in (Target(), Target((130, 94), "stretch")):
    for plane in planes(next(Clip(Path(sys.argv[1])).pictures(target=target))):
        digest.update(plane.tobytes())
print(digest.hexdigest())
"""


def test_bytes_do_not_depend_on_what_the_processor_can(tmp_path: Path) -> None:
    """Of a picture in RGB that is converted and scaled by swscale in plain C, by SSE4.2, AVX2, and whatever this one
    has."""
    path = tmp_path / "picture.png"
    y, x = np.mgrid[:178, :322]
    Image.fromarray(np.stack([x * y, x + 3 * y, 7 * x - y], axis=-1).astype(np.uint8)).save(path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    digests = set()
    for mask in ("0", "0x3db", "0x6df7db", "own"):
        command = [sys.executable, "-c", CODE, str(path), mask]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        digests.add(done.stdout)
    assert len(digests) == 1
