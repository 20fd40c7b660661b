"""Sound comes out of files as it went in."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from artdag_common.errors import StepInputError
from artdag_common.media import sound
from artdag_common.media.sound import load_sound, sound_facts
from tests.unit.analysis.music import write_video, write_wav

RATE_HZ = 22_000


def _tone(seconds: float, rate_hz: int) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 200 * np.arange(int(seconds * rate_hz)) / rate_hz)).astype(np.float32)


@pytest.mark.parametrize(("rate_hz", "channels"), [(44_100, 1), (48_000, 2), (8_000, 1), (48_000, 8), (8_000, 12)])
def test_any_rate_becomes_mono_at_the_rate_asked_for(tmp_path: Path, rate_hz: int, channels: int) -> None:
    path = write_wav(tmp_path / "tone.wav", _tone(1, rate_hz), rate_hz, channels)
    samples = load_sound(path, RATE_HZ)
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(RATE_HZ, abs=30)
    middle = slice(2_000, 20_000)
    np.testing.assert_allclose(samples[middle], _tone(1, RATE_HZ)[middle], atol=0.01)
    assert sound_facts(path) == sound.SoundFacts(1.0, rate_hz, channels)


def test_sound_that_begins_later_keeps_its_place(tmp_path: Path) -> None:
    path = write_video(tmp_path / "late.mkv", frames=50, sound=_tone(1, 48_000), late=0.5)
    samples = load_sound(path, RATE_HZ)
    begin = int(np.flatnonzero(np.abs(samples) > 0.05)[0]) / RATE_HZ
    assert begin == pytest.approx(0.5, abs=0.01)


def test_what_is_no_number_becomes_silence(tmp_path: Path) -> None:
    path = tmp_path / "broken.wav"
    samples = np.full((1, 4_096), 0.25, np.float32)
    samples[0, 1_000:1_010] = np.nan
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    loaded = load_sound(path, RATE_HZ)
    assert np.isfinite(loaded).all()
    np.testing.assert_array_equal(loaded[:900], 0.25)


def test_a_video_without_sound_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "mute.mp4")
    with pytest.raises(StepInputError, match="no audio"):
        load_sound(path, RATE_HZ)
    with pytest.raises(StepInputError, match="no audio"):
        sound_facts(path)


def test_what_lasts_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "MAX_SECONDS", 1)
    path = write_wav(tmp_path / "long.wav", _tone(1.5, 8_000), 8_000)
    with pytest.raises(StepInputError, match="longer than 1 s"):
        load_sound(path, RATE_HZ)


def test_what_is_no_media_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "poem.wav"
    path.write_text("not a sound " * 100)
    with pytest.raises(StepInputError, match="cannot be read"):
        load_sound(path, RATE_HZ)
