"""SOURCE: whatever the container, every frame comes once, and its sound with it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.golden.exactness.films import assert_in_sync, assert_pictures
from tests.unit.media.counted import heard, lag, numbers_of, stamps_of, timed, write_counted
from tests.unit.steps.running import run_step

KINDS = [
    ("a.mov", "libx264", "pcm_s16le", 44_100),
    ("a.mp4", "libx264", "aac", 44_100),
    ("a.mp4", "libx264", "aac", 48_000),
    ("a.mkv", "libx264", "flac", 44_100),
    ("a.mkv", "libx264", "aac", 48_000),
    ("a.mkv", "mpeg4", "libmp3lame", 44_100),
    ("a.webm", "libvpx", "libopus", 48_000),
    ("a.ts", "mpeg2video", "ac3", 48_000),
    ("a.ts", "libx264", "aac", 44_100),
    ("a.avi", "mpeg4", "pcm_s16le", 48_000),
]


@pytest.mark.parametrize(("name", "codec", "sound_codec", "rate_hz"), KINDS)
@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30_000, 1001)])
def test_a_film_is_what_its_own_player_shows(
    tmp_path: Path, name: str, codec: str, sound_codec: str, rate_hz: int, rate: Fraction
) -> None:
    sound = timed(2 * rate_hz, rate_hz)
    path = write_counted(tmp_path / name, 50, rate, codec=codec, sound=sound, sound_codec=sound_codec, rate_hz=rate_hz)
    assert numbers_of(path) == list(range(50))
    begin = stamps_of(path)[0]
    before = lag(heard(path), float(begin) + 0.8, 0.8)  # what the container itself has it off, which stays
    for offset, first in ((0.0, 0), (0.4, round(rate * Fraction(4, 10)))):
        output = run_step(tmp_path / f"out{first}", "SEGMENT", {"offset": offset}, path, deliver=False)
        assert_pictures(output, rate, range(first, 50))
        late = lag(heard(output), 0.3, float(first / rate) + 0.3)
        assert abs(late - before) <= 0.75  # half a sample, and the clock of the container


def test_sound_that_begins_later_stays_later(tmp_path: Path) -> None:
    whole = write_counted(tmp_path / "whole.mov", 50, 25, sound=timed(96_000))
    path = tmp_path / "late.mov"
    with av.open(str(whole)) as source, av.open(str(path), "w") as container:
        streams = {each.index: container.add_stream_from_template(each) for each in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "audio":
                packet.pts += 4800
                packet.dts += 4800
            packet.stream = streams[packet.stream.index]
            container.mux(packet)
    for offset in (0, Fraction(8, 25)):
        output = run_step(
            tmp_path / f"out{offset.numerator}", "SEGMENT", {"offset": float(offset)}, path, deliver=False
        )
        assert_in_sync(output, [(10, Fraction(10, 25) + offset - Fraction(1, 10))], Fraction(25), deliver=False)
