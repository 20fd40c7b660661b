"""Files that say how long they are, and end before that."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from artdag_common.errors import StepInputError
from artdag_common.media.pictures import Clip
from artdag_common.media.wholeness import check_whole
from tests.unit.media.counted import noise, write_counted, write_wav

FILMS = {"a.mp4": "libx264", "a.mov": "libx264", "a.mkv": "libx264", "a.avi": "mpeg4"}


def film(folder: Path, name: str) -> Path:
    return write_counted(folder / name, 12, codec=FILMS[name], sound=noise(4800))


@pytest.mark.parametrize("name", FILMS)
def test_whole_films_pass_and_cut_ones_do_not(tmp_path: Path, name: str) -> None:
    path = film(tmp_path, name)
    check_whole(path, "media")
    whole = path.read_bytes()
    for tenth in range(2, 10):
        path.write_bytes(whole[: len(whole) * tenth // 10])
        with pytest.raises(StepInputError, match="ends early"):
            Clip(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(StepInputError, match=f"it has {len(whole) - 1} bytes and says that there are {len(whole)}"):
        check_whole(path, "media")


def test_a_sound_that_is_cut_is_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", noise(4800))
    check_whole(path, "media")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StepInputError, match="ends early"):
        check_whole(path, "media")


def test_a_recording_that_was_broken_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "live.mkv"
    even = write_counted(tmp_path / "even.mkv", 20, codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(even)) as source, av.open(str(path), "w", options={"live": "1"}) as container:
        stored = source.streams.video[0]
        stream = container.add_stream_from_template(stored)
        for packet in source.demux(stored):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    check_whole(path, "media")
    assert 10 < Clip(path).timeline.frames < 20


@pytest.mark.parametrize(
    "content", [b"", b"\x1aE\xdf\xa3", b"\x1aE\xdf\xa3\x81", b"RIFF", bytes(40), b"\0\0\0\x08ftyp"]
)
def test_stumps_are_left_to_others(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    check_whole(tmp_path / "a", "media")


def test_what_is_behind_a_film_is_no_part_of_it(tmp_path: Path) -> None:
    path = film(tmp_path, "a.mp4")
    path.write_bytes(path.read_bytes() + b"\x7f\0\0\0soon and more")
    check_whole(path, "media")
    path.write_bytes(path.read_bytes() + b"\x7f\0\0\0mdat")
    check_whole(path, "media")
