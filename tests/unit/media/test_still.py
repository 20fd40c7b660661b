"""Picture files: stills and animations, upright and on black."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artdag_common.errors import StepInputError
from artdag_common.media import limits
from artdag_common.media.pictures import Clip, planes
from artdag_common.media.probe import MediaFacts, open_media, probe
from artdag_common.media.rgb import RgbBridge
from artdag_common.media.soundtrack import sound_shape
from artdag_common.media.still import picture_arrays, picture_facts, picture_type
from tests.unit.media.counted import number_in, numbered, write_counted

SIZE = (96, 64)
# a mark in one corner of each third, so that every way of turning it gives another picture
UPRIGHT = np.zeros((64, 96, 3), np.uint8)
UPRIGHT[:32, :32] = (220, 40, 40)
UPRIGHT[32:, 64:] = (40, 220, 40)


def turned(orientation: int) -> np.ndarray:
    """Return what a camera stores for ``UPRIGHT`` when it notes this orientation (CIPA DC-008, 4.6.4)."""
    stored = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: np.swapaxes(a, 0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
        8: lambda a: np.rot90(a, -1),
    }
    return np.ascontiguousarray(stored[orientation](UPRIGHT))


def shown(path: Path) -> np.ndarray:
    """Return the first picture as steps see it."""
    clip = Clip(path)
    return RgbBridge(clip.tags).rgb(next(clip.pictures()))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_stand_upright(tmp_path: Path, orientation: int) -> None:
    notes = Image.Exif()
    notes[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(turned(orientation)).save(path, exif=notes)
    assert picture_facts(path).size == SIZE
    assert Clip(path).size == SIZE
    (array,) = picture_arrays(path)
    assert np.array_equal(array, UPRIGHT)


@pytest.mark.parametrize("end", ["png", "jpg", "gif", "webp", "avif", "bmp", "tiff"])
def test_every_kind_of_still_is_one_frame_at_25_a_second(tmp_path: Path, end: str) -> None:
    path = tmp_path / f"a.{end}"
    Image.fromarray(numbered(77)).save(path)
    facts = probe(path)
    assert picture_type(path) == f"image/{facts.video_codec}"
    assert facts == MediaFacts(1 / 25, 128, 72, Fraction(25), facts.video_codec, "", "rgb24", 1)
    clip = Clip(path)
    assert (clip.picture, clip.still, clip.sound, sound_shape(path)) == (True, True, False, None)
    (picture,) = clip.pictures()
    assert number_in(planes(picture)[0]) == 77


def test_a_still_is_held_as_long_as_asked(tmp_path: Path) -> None:
    Image.fromarray(numbered(5)).save(tmp_path / "a.png")
    clip = Clip(tmp_path / "a.png", rate=Fraction(30), hold=Fraction(2))
    assert (clip.timeline.frames, clip.timeline.rate) == (60, 30)
    assert {number_in(planes(each)[0]) for each in clip.pictures(20, 40)} == {5}
    film = write_counted(tmp_path / "a.mp4", 4)
    assert Clip(film, hold=Fraction(2)).timeline.frames == 4, "a film is not held"


@pytest.mark.parametrize("end", ["gif", "webp", "png"])
def test_an_animation_keeps_its_pace(tmp_path: Path, end: str) -> None:
    pictures = [Image.fromarray(numbered(n)) for n in (1, 2, 3, 4, 5)]
    path = tmp_path / f"a.{end}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[100, 100, 500, 40, 60], lossless=True)
    clip = Clip(path)
    assert (clip.picture, clip.still) == (True, False)
    assert (clip.timeline.rate, clip.timeline.frames) == (25, 20)  # as long as the shortest is one frame
    numbers = [number_in(planes(each)[0]) for each in clip.pictures()]
    assert numbers == [1, 1, 1, 2, 2, *[3] * 13, 4, 5]
    assert [number_in(planes(each)[0]) for each in clip.pictures(17, 20)] == [3, 4, 5]


def test_delays_of_nothing_are_a_tenth_of_a_second_as_in_browsers(tmp_path: Path) -> None:
    pictures = [Image.fromarray(numbered(n)) for n in (1, 2, 3)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=0)
    assert picture_facts(tmp_path / "a.gif").durations == (Fraction(1, 10),) * 3


def test_an_animation_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [Image.fromarray(numbered(n)) for n in (1, 2, 3)]
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=50_000)
    monkeypatch.setattr(limits, "MAX_SECONDS", 149)
    with pytest.raises(StepInputError, match="claims to last 150 s; at most 149 s"):
        Clip(path)
    monkeypatch.setattr(limits, "MAX_PICTURES", 2)
    with pytest.raises(StepInputError, match="claims 3 pictures; at most 2"):
        Clip(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_what_is_transparent_is_black(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (64, 64), (255, 255, 255, 255))
    image.paste((255, 255, 255, 0), (0, 0, 32, 64))
    path = tmp_path / "a.png"
    (image.quantize() if mode == "PA" else image.convert(mode)).save(path)
    left, right = np.split(next(picture_arrays(path)), 2, axis=1)
    assert (left == 0).all()
    assert (right == 255).all()


def test_grey_of_sixteen_bits_keeps_its_shades(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    Image.fromarray(np.tile(ramp, (16, 1))).save(tmp_path / "a.png")
    row = next(picture_arrays(tmp_path / "a.png"))[0, :, 0]
    assert np.array_equal(row, ramp >> 8)


def test_print_colours_become_screen_colours(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), (250, 10, 10)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    colour = shown(tmp_path / "a.jpg")[16, 16].astype(int)
    assert np.abs(colour - (250, 10, 10)).max() <= 8


@pytest.mark.parametrize(("stored", "size"), [((1, 1), (2, 2)), ((3, 501), (2, 500)), ((129, 73), (128, 72))])
def test_odd_pictures_become_even(tmp_path: Path, stored: tuple[int, int], size: tuple[int, int]) -> None:
    Image.new("RGB", stored, (90, 90, 90)).save(tmp_path / "a.png")
    clip = Clip(tmp_path / "a.png")
    (picture,) = clip.pictures()
    assert clip.size == (picture.width, picture.height) == size


def test_the_colours_of_a_picture_are_named_outright(tmp_path: Path) -> None:
    Image.fromarray(UPRIGHT).save(tmp_path / "a.png")
    assert (Clip(tmp_path / "a.png").tags.space, Clip(tmp_path / "a.png").tags.primaries) == (1, 1)
    assert np.abs(shown(tmp_path / "a.png").astype(int)[4:28, 4:28] - (220, 40, 40)).max() <= 4


def test_steps_that_need_sound_say_that_it_is_a_picture(tmp_path: Path) -> None:
    Image.fromarray(UPRIGHT).save(tmp_path / "a.png")
    with (
        pytest.raises(StepInputError, match="song: the file is a picture \\(image/png\\)"),
        open_media(tmp_path / "a.png", "song"),
    ):
        pass
