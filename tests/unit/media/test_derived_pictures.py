"""Thumbnails, strips of frames, waveforms and spectrograms."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from artdag_common.errors import StepInputError
from artdag_common.media import waveform as waves
from artdag_common.media.check import check_output
from artdag_common.media.poster import poster
from artdag_common.media.spectrogram import HIGHEST_HZ, LOWEST_HZ, spectrogram
from artdag_common.media.thumbnail import thumbnail
from artdag_common.media.waveform import collected, waveform
from tests.unit.media.counted import RATE_HZ, noise, number_in, numbered, write_counted, write_wav


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def tone(hertz: float, seconds: float, level: float = 0.5) -> np.ndarray:
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.round(level * 32_767 * np.sin(2 * np.pi * hertz * times)).astype(np.int16)[None]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty numbered frames of 640x360."""
    return write_counted(tmp_path_factory.mktemp("film") / "film.mp4", 40, size=(640, 360))


def test_a_thumbnail_is_as_wide_as_asked(film: Path, tmp_path: Path) -> None:
    path = thumbnail(film, tmp_path / "a.jpg", 320)
    assert check_output(path) == "image/jpeg"
    assert pixels(path).shape == (180, 320, 3)


def test_a_thumbnail_shows_the_liveliest_frame_and_no_black(tmp_path: Path) -> None:
    path = tmp_path / "fade.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 72, "yuv420p"
        for number in range(20):
            array = numbered(0b0101_0101) if 12 <= number < 16 else np.zeros((72, 128, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, "rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    shown = pixels(thumbnail(path, tmp_path / "a.jpg", 320))
    assert shown.shape == (72, 128, 3), "it is not blown up"
    assert number_in(shown[..., 0]) == 0b0101_0101


@pytest.mark.parametrize(("size", "shape"), [((400, 300), (240, 320)), ((100, 1000), (200, 20)), ((1, 1), (2, 2))])
def test_a_thumbnail_of_a_picture_keeps_its_proportions(
    tmp_path: Path, size: tuple[int, int], shape: tuple[int, int]
) -> None:
    Image.new("RGB", size, (200, 30, 30)).save(tmp_path / "a.png")
    shown = pixels(thumbnail(tmp_path / "a.png", tmp_path / "a.jpg", 320))
    assert shown.shape[:2] == shape
    assert np.abs(shown.astype(int) - (200, 30, 30)).max() <= 6


def test_a_poster_shows_the_middle_of_every_part(film: Path, tmp_path: Path) -> None:
    path = poster(film, tmp_path / "a.jpg", 1280, 8)
    strip = pixels(path)
    assert strip.shape == (90, 1280, 3)
    assert [number_in(part[..., 0]) for part in np.split(strip, 8, axis=1)] == [2, 7, 12, 17, 22, 27, 32, 37]
    assert check_output(path) == "image/jpeg"


def test_a_poster_has_no_more_parts_than_frames(tmp_path: Path) -> None:
    short = write_counted(tmp_path / "a.mp4", 2)
    strip = pixels(poster(short, tmp_path / "a.jpg", 800, 8))
    assert strip.shape == (56, 200, 3)
    assert [number_in(part[..., 0]) for part in np.split(strip, 2, axis=1)] == [0, 1]


def test_a_waveform_reaches_the_edge_where_it_is_loudest(tmp_path: Path) -> None:
    sound = np.concatenate([tone(440, 0.5, 0.25), np.zeros((1, RATE_HZ // 2), np.int16), tone(440, 1, 0.5)], axis=1)
    path = waveform(write_wav(tmp_path / "a.wav", sound), tmp_path / "a.png", 400, 100)
    assert check_output(path) == "image/png"
    picture = pixels(path)
    assert picture.shape == (100, 400, 4)
    assert (picture[..., :3] == waves.COLOUR).all(), "one colour, whatever lies below"
    cover = picture[..., 3] > 0
    heights = cover.sum(axis=0)
    assert set(heights[5:95]) <= {50, 51, 52}
    assert set(heights[105:195]) <= {1, 2}, "silence is a line"
    assert (heights[205:395] == 100).all()
    assert not cover[0, :195].any()


def test_a_waveform_shows_what_is_above_and_below_and_what_lies_between(tmp_path: Path) -> None:
    sound = np.zeros((2, RATE_HZ), np.int16)
    sound[1, ::1000] = 30_000  # only upwards, only on one side, seldom
    picture = pixels(waveform(write_wav(tmp_path / "a.wav", sound), tmp_path / "a.png", 48, 64))[..., 3]
    assert (picture[:31] == waves.PEAK_COVER).sum() > 30 * 40
    assert not picture[34:].any()
    loud = pixels(waveform(write_wav(tmp_path / "b.wav", tone(100, 1)), tmp_path / "b.png", 48, 64))[..., 3]
    assert loud[32].min() > 200
    assert (loud[2] == waves.PEAK_COVER).all()


def test_a_soft_sound_is_shown_larger_but_not_as_loud(tmp_path: Path) -> None:
    def height(level: float) -> int:
        path = waveform(write_wav(tmp_path / "a.wav", tone(440, 1, level)), tmp_path / "a.png", 40, 100)
        return int((pixels(path)[..., 3] > 0).sum(axis=0).max())

    assert height(0.2) == 100
    assert 38 <= height(0.05) <= 42
    assert height(0) <= 2


def test_blocks_of_a_long_sound_are_merged_and_hold_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = noise(100_000, 2).astype(np.float32) / 32_768
    whole = collected([sound])
    monkeypatch.setattr(waves, "MOST_BLOCKS", 50)
    few = collected(np.array_split(sound, 37, axis=1))
    assert few.shape[1] <= 51 < whole.shape[1]
    assert few[0].min() == whole[0].min() == sound.min()
    assert few[1].max() == whole[1].max() == sound.max()
    assert few[2].mean() == pytest.approx(np.square(sound).mean(), rel=0.02)


def row_of(hertz: float, height: int) -> float:
    """Return the row, from above, in which a frequency lies."""
    return height * (1 - np.log(hertz / LOWEST_HZ) / np.log(HIGHEST_HZ / LOWEST_HZ))


@pytest.mark.parametrize("hertz", [110, 440, 1760, 7040])
def test_a_tone_lies_at_its_frequency_for_its_time(tmp_path: Path, hertz: float) -> None:
    sound = np.concatenate([np.zeros((1, RATE_HZ), np.int16), tone(hertz, 1)], axis=1)
    path = spectrogram(write_wav(tmp_path / "a.wav", sound), tmp_path / "a.png", 200, 80)
    assert check_output(path) == "image/png"
    light = pixels(path).astype(int).sum(axis=2)
    assert light.shape == (80, 200)
    assert abs(int(light[:, 150].argmax()) - row_of(hertz, 80)) <= 1.5
    assert light[:, :85].max() < 60, "silence is dark"
    assert light[:, 120:190].max(axis=0).min() > 600, "the loudest is light"


def test_a_spectrogram_is_as_wide_as_asked_however_long_the_sound(tmp_path: Path) -> None:
    for samples in (480, 3000, 40_000):
        path = write_wav(tmp_path / "a.wav", noise(samples))
        assert pixels(spectrogram(path, tmp_path / "a.png", 320, 128)).shape == (128, 320, 3)


def test_where_there_is_nothing_to_show_the_reason_is_said(film: Path, tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "a.wav", noise(480))
    empty = write_wav(tmp_path / "empty.wav", noise(0))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    for make in (waveform, spectrogram):
        for silent in (film, tmp_path / "a.png"):
            with pytest.raises(StepInputError, match=f"holds no audio; there is no {make.__name__} to show"):
                make(silent, tmp_path / "b.png", 320, 64)
        with pytest.raises(StepInputError, match="empty"):
            make(empty, tmp_path / "b.png", 320, 64)
    with pytest.raises(StepInputError, match="audio only"):
        thumbnail(sound, tmp_path / "b.jpg", 320)
    with pytest.raises(StepInputError, match="audio only"):
        poster(sound, tmp_path / "b.jpg", 320, 8)


MAKE_ALL = """
import hashlib, sys
from pathlib import Path
from artdag_common.media.poster import poster
from artdag_common.media.spectrogram import spectrogram
from artdag_common.media.thumbnail import thumbnail
from artdag_common.media.waveform import waveform
film, song, folder = map(Path, sys.argv[1:])
made = [thumbnail(film, folder / "t.jpg", 320), poster(film, folder / "p.jpg", 640, 8),
        waveform(song, folder / "w.png", 320, 64), spectrogram(song, folder / "s.png", 320, 128)]
print(*(hashlib.sha256(path.read_bytes()).hexdigest() for path in made))
"""


def test_every_process_makes_the_same_bytes(film: Path, tmp_path: Path) -> None:
    song = write_wav(tmp_path / "a.wav", noise(50_000, 2))
    command = [sys.executable, "-c", MAKE_ALL, str(film), str(song), str(tmp_path)]
    first, second = (subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(2))
    assert first == second
    assert len(set(first.split())) == 4
    assert first.split()[0] == hashlib.sha256((tmp_path / "t.jpg").read_bytes()).hexdigest()
