"""What files hold, and which are refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from artdag_common.errors import StepInputError, UnplayableOutputError
from artdag_common.media import limits
from artdag_common.media.check import check_output
from artdag_common.media.probe import MediaFacts, probe
from tests.unit.media.counted import noise, numbered, write_counted, write_wav


def test_a_film_with_sound_is_described(tmp_path: Path) -> None:
    path = write_counted(tmp_path / "a.mp4", 24, Fraction(24000, 1001), sound=noise(48_000, 2), sound_codec="aac")
    facts = probe(path)
    assert (facts.video_codec, facts.profile, facts.pix_fmt) == ("h264", "High", "yuv420p")
    assert (facts.width, facts.height, facts.frames, facts.frame_rate) == (128, 72, 24, Fraction(24000, 1001))
    assert (facts.audio_codec, facts.sample_rate, facts.channels) == ("aac", 48_000, 2)
    assert facts.duration == pytest.approx(24 * 1001 / 24000)


def test_sound_alone_is_described(tmp_path: Path) -> None:
    facts = probe(write_wav(tmp_path / "a.wav", noise(24_000)))
    assert facts == MediaFacts(0.5, sample_rate=48_000, channels=1, audio_codec="pcm_s16le")


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        track = container.add_stream("aac", rate=48_000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 128, 72, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(numbered(1), format="rgb24").reformat(format="yuvj420p")
        container.mux(cover.encode(picture))
        container.mux(cover.encode(None))
        piece = av.AudioFrame.from_ndarray(noise(1024), format="s16", layout="mono")
        piece.sample_rate = 48_000
        container.mux(track.encode(piece))
        container.mux(track.encode(None))
    assert probe(path).frames == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.mp4", b""),
        ("a.mp4", b"\x00\x00\x00\x20ftypisom" + bytes(100)),
        ("a.txt", b"just some text, several words of it\n" * 40),
        ("a.bin", np.random.default_rng(1).bytes(5000)),
    ],
)
def test_what_is_no_media_file_is_refused_with_the_reason(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        StepInputError, match=r"media: the file (cannot be read|is none of the kinds that are read here)"
    ):
        probe(tmp_path / name)


@pytest.mark.parametrize("name", ["a.m3u8", "a.mp4", "list.txt", "a"])
def test_a_playlist_reads_no_other_file(tmp_path: Path, name: str) -> None:
    secret = write_wav(tmp_path / "secret.wav", noise(4800))
    lists = {
        "list.txt": f"ffconcat version 1.0\nfile '{secret}'\n",
        "a": f"<SMIL>{secret}</SMIL>",
    }
    (tmp_path / name).write_text(lists.get(name, f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n"))
    with pytest.raises(StepInputError, match=r"cannot be read|none of the kinds"):
        probe(tmp_path / name)


def test_a_film_cut_off_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = write_counted(tmp_path / "a.mp4", 30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(StepInputError, match="ends early"):
        probe(path)


def test_too_large_pictures_and_too_many_channels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_counted(tmp_path / "a.mp4", 3, sound=noise(4800, 2), sound_codec="aac")
    monkeypatch.setattr(limits, "MAX_CHANNELS", 1)
    with pytest.raises(StepInputError, match="2 channels; at most 1"):
        probe(path)
    monkeypatch.setattr(limits, "MAX_PIXELS", 5000)
    with pytest.raises(StepInputError, match="128x72 pixels; at most 16384 a side and 5000 in all"):
        probe(path)


def test_a_film_longer_than_a_day_is_refused(tmp_path: Path) -> None:
    path = write_counted(tmp_path / "a.mp4", 2, 1, stamps=[0, 100_000])
    with pytest.raises(StepInputError, match="at most 86400 s"):
        probe(path)


def test_playable_outputs_are_named_by_their_type(tmp_path: Path) -> None:
    assert check_output(write_counted(tmp_path / "a.mp4", 3)) == "video/mp4"
    (tmp_path / "a.json").write_bytes(b'{"audio": {}}')
    assert check_output(tmp_path / "a.json") == "application/json"


def test_outputs_that_no_browser_plays_are_refused(tmp_path: Path) -> None:
    wide = write_counted(tmp_path / "wide.mp4", 3, pix_fmt="yuv444p")
    with pytest.raises(UnplayableOutputError, match="High 4:4:4"):
        check_output(wide)
    with pytest.raises(UnplayableOutputError, match="its video is mpeg4"):
        check_output(write_counted(tmp_path / "old.mp4", 3, codec="mpeg4"))
    with pytest.raises(UnplayableOutputError, match="steps write MP4, QuickTime, PNG, JPEG or JSON"):
        check_output(write_wav(tmp_path / "a.wav", noise(480)))
    (tmp_path / "a.json").write_bytes(b'{"audio": ')
    with pytest.raises(UnplayableOutputError, match="not JSON"):
        check_output(tmp_path / "a.json")
    (tmp_path / "broken.mp4").write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(64))
    with pytest.raises(UnplayableOutputError, match="cannot be played"):
        check_output(tmp_path / "broken.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(UnplayableOutputError, match="empty"):
        check_output(tmp_path / "empty.mp4")
    with pytest.raises(UnplayableOutputError, match="no output"):
        check_output(tmp_path / "nothing.mp4")
