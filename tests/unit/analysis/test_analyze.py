"""The step ANALYZE: parameters, document, failures, determinism."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from pydantic import ValidationError

from artdag_common.domain.plan import canonical_json
from artdag_common.errors import StepInputError
from artdag_common.steps.analyze import FEATURES, AnalyzeParams, per_feature
from artdag_common.steps.registry import find_step_type
from tests.unit.analysis.music import beats_at, drums, f_measure, write_video, write_wav

TRUTH = beats_at(lambda t: 120, 20)


class Folder:
    """A step's context that keeps what it was told."""

    seed = 0

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ticks: list[tuple[int, int]] = []

    def output(self, extension: str) -> Path:
        return self.path / f"output.{extension}"

    def progress(self, done: int, total: int) -> None:
        self.ticks.append((done, total))


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("music") / "drums.wav", drums(TRUTH, 20, 48_000), 48_000, channels=2)


@pytest.fixture
def silence(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "silence.wav", np.zeros(3 * 8_000, np.float32), 8_000)


def analyze(media: Path, folder: Path, **config: Any) -> dict[str, Any]:
    kind = find_step_type("ANALYZE")
    assert kind.run is not None
    params = kind.params.model_validate_json(kind.canonical_config(config))
    written = kind.run(Folder(folder), params, media).read_bytes()
    document: dict[str, Any] = orjson.loads(written)
    assert written == canonical_json(document)
    return document


# --- parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "canonical"),
    [
        ({}, list(FEATURES)),
        ({"features": ["all"]}, list(FEATURES)),
        ({"features": ["tempo", "all"]}, list(FEATURES)),
        ({"feature": "all"}, list(FEATURES)),
        ({"feature": "energy"}, ["energy"]),
        ({"features": "energy"}, ["energy"]),
        ({"features": ["energy", "beats"]}, ["beats", "energy"]),
        ({"features": ["beats", "energy", "beats"]}, ["beats", "energy"]),
        ({"features": ["energy"], "tempo_hint": 90}, ["energy"]),
        ({"features": ["energy", "tempo"], "off_beat": True}, ["energy", "tempo"]),
        ({"features": ["beats"], "off_beat": False}, ["beats"]),
    ],
)
def test_equal_wishes_have_one_form(config: dict[str, Any], canonical: list[str]) -> None:
    kind = find_step_type("ANALYZE")
    once = kind.canonical_config(config)
    assert orjson.loads(once) == {"features": canonical}
    assert kind.canonical_config(orjson.loads(once)) == once


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"features": ["beat"]}, "unknown feature 'beat'; did you mean beats\\? known are beats, energy, metadata"),
        ({"feature": "Tempo"}, "did you mean tempo"),
        ({"features": ["chords"]}, "unknown feature 'chords'; .*known are beats, energy, metadata, .* tempo and all"),
        ({"features": ["beats"], "tempo_hint": 20}, "tempo_hint"),
        ({"features": []}, "name at least one"),
        ({"feature": "beats", "features": ["all"]}, "give one of them"),
        ({"feature": "beats", "features": ["energy"]}, "give one of them"),
        ({"features": [3]}, "string"),
        ({"window": 50}, "window"),
    ],
)
def test_other_wishes_are_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        find_step_type("ANALYZE").canonical_config(config)


def test_a_feature_alone_has_only_the_parameters_that_matter_to_it() -> None:
    wish = {"features": ["tempo", "energy", "beats"], "tempo_hint": 80, "off_beat": True}
    assert per_feature(AnalyzeParams.model_validate(wish)) == [
        ("beats", {"features": ["beats"], "tempo_hint": 80.0, "off_beat": True}),
        ("energy", {"features": ["energy"]}),
        ("tempo", {"features": ["tempo"], "tempo_hint": 80.0}),
    ]


# --- the document ---------------------------------------------------------------------------------------------------


def test_all_features_of_music(music: Path, tmp_path: Path) -> None:
    document = analyze(music, tmp_path, features=["all"])
    assert document.keys() == {"features", "audio", "errors"}
    assert document["errors"].keys() == {"motion_tempo", "scene_changes"}
    assert document["features"] == list(FEATURES)
    audio = document["audio"]
    assert (audio["duration"], audio["sample_rate"], audio["channels"]) == (20.0, 48_000, 2)
    assert audio["beats"].keys() == {"beat_times", "tempo", "confidence", "downbeat_times", "time_signature"}
    assert audio["beats"]["time_signature"] == 4
    assert f_measure(TRUTH[::4], np.array(audio["beats"]["downbeat_times"])) >= 0.9
    assert set(audio["beats"]["downbeat_times"]) < set(audio["beats"]["beat_times"])
    spectrum = audio["spectrum"]
    assert spectrum["times"] == audio["energy"]["times"]
    assert [max(spectrum[band]) for band in ("bass", "mid", "high")] == [1.0, 1.0, 1.0]
    halves = np.sort(np.concatenate([TRUTH[:-1], TRUTH[:-1] + 0.25]))
    assert f_measure(halves, np.array(audio["onsets"])) >= 0.9
    assert f_measure(TRUTH, np.array(audio["beats"]["beat_times"])) >= 0.95
    assert audio["beats"]["tempo"] == pytest.approx(120, rel=0.01)
    energy = audio["energy"]
    assert energy["window_ms"] == 50
    assert len(energy["times"]) == len(energy["values"]) == 400
    assert (min(energy["values"]) >= 0, max(energy["values"])) == (True, 1.0)
    assert all(round(time, 3) == time for time in audio["beats"]["beat_times"] + energy["times"] + energy["values"])


def test_tempo_alone(music: Path, tmp_path: Path) -> None:
    audio = analyze(music, tmp_path, feature="tempo")["audio"]
    assert audio["beats"] == {"tempo": pytest.approx(120, rel=0.01)}


def test_metadata_of_a_video_with_sound(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mkv", frames=50, sound=np.zeros(2 * 48_000, np.float32))
    document = analyze(path, tmp_path, feature="metadata")
    assert document["video"] == {"duration": 2.0, "frame_rate": 25.0, "width": 64, "height": 48, "codec": "h264"}
    assert document["audio"]["duration"] == pytest.approx(2, abs=0.1)
    assert (document["audio"]["sample_rate"], document["audio"]["channels"]) == (48_000, 1)


def test_progress_reaches_its_end(music: Path, tmp_path: Path) -> None:
    kind = find_step_type("ANALYZE")
    assert kind.run is not None
    folder = Folder(tmp_path)
    kind.run(folder, kind.params.model_validate({"features": ["metadata", "energy"]}), music)
    assert folder.ticks == [(0, 2), (1, 2), (2, 2)]


# --- failures -------------------------------------------------------------------------------------------------------


def test_one_feature_failing_is_an_error_on_that_feature(silence: Path, tmp_path: Path) -> None:
    document = analyze(silence, tmp_path)
    assert document["errors"].keys() == {"beats", "motion_tempo", "onsets", "scene_changes", "tempo"}
    assert "silent" in document["errors"]["beats"]
    assert "silent" in document["errors"]["onsets"]
    assert "beats" not in document["audio"]
    assert not any(document["audio"]["energy"]["values"])


def test_a_video_without_sound_has_only_metadata(tmp_path: Path) -> None:
    document = analyze(write_video(tmp_path / "mute.mp4"), tmp_path, features=["beats", "energy", "metadata", "tempo"])
    assert document["errors"].keys() == {"beats", "energy", "tempo"}
    assert "audio" not in document
    assert document["video"]["width"] == 64


def test_the_only_feature_failing_is_written_down_too(silence: Path, tmp_path: Path) -> None:
    document = analyze(silence, tmp_path, feature="beats")
    assert document == {"features": ["beats"], "errors": {"beats": "the sound is silent: it has no beats"}}


def test_what_is_no_media_file_fails_the_step(tmp_path: Path) -> None:
    path = tmp_path / "poem.mp3"
    path.write_text("no sound at all " * 50)
    with pytest.raises(StepInputError, match="cannot be read"):
        analyze(path, tmp_path)


# --- determinism ----------------------------------------------------------------------------------------------------

FRESH = """
import sys
from pathlib import Path
from artdag_common.steps.registry import find_step_type
loaded = {"av", "numpy"} & set(sys.modules)
assert not loaded, loaded
class Folder:
    def output(self, extension): return Path(sys.argv[2])
    def progress(self, done, total): pass
kind = find_step_type("ANALYZE")
kind.run(Folder(), kind.params(), Path(sys.argv[1]))
"""


def test_fresh_processes_write_the_same_bytes_and_the_registry_loads_no_media_library(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mkv", frames=125, sound=drums(TRUTH[:10], 5, 48_000))
    digests = set()
    for name in ("first", "second"):
        output = tmp_path / name
        subprocess.run(
            [sys.executable, "-c", FRESH, str(film), str(output)],
            check=True,
            env={"PYTHONPATH": ":".join(path for path in sys.path if path), "PYTHONHASHSEED": str(len(name))},
        )
        digests.add(hashlib.sha256(output.read_bytes()).hexdigest())
    assert len(digests) == 1
