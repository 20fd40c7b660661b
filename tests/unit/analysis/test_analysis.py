"""Features analysed one by one and joined are what one analysis of all says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from artdag_common.errors import AnalysisError, StepInputError
from artdag_common.media.curves import event_times
from artdag_common.steps.analysis import joined
from artdag_common.steps.analyze import FEATURES, AnalyzeParams, per_feature
from artdag_common.steps.registry import find_step_type
from tests.unit.analysis.music import beats_at, drums, write_video, write_wav
from tests.unit.analysis.test_analyze import Folder


def run(name: str, folder: Path, config: dict[str, Any], *inputs: Path) -> Path:
    kind = find_step_type(name)
    assert kind.run is not None
    folder.mkdir()
    written: Path = kind.run(Folder(folder), kind.params.model_validate_json(kind.canonical_config(config)), *inputs)
    return written


def apart(media: Path, folder: Path, **config: Any) -> Path:
    """Analyse each feature by itself and join what comes out, as a plan does."""
    alone = per_feature(AnalyzeParams.model_validate(config))
    parts = [run("ANALYZE", folder / feature, parameters, media) for feature, parameters in alone]
    return run("ANALYSIS", folder / "joined", {}, *parts)


def test_a_film_with_music_says_the_same_either_way(tmp_path: Path) -> None:
    music = drums(beats_at(lambda t: 120, 6), 6, 48_000)
    film = write_video(tmp_path / "film.mkv", frames=150, sound=music)
    together = run("ANALYZE", tmp_path / "together", {"features": ["all"], "tempo_hint": 118, "off_beat": True}, film)
    assert apart(film, tmp_path, features=["all"], tempo_hint=118, off_beat=True).read_bytes() == together.read_bytes()
    document = orjson.loads(together.read_bytes())
    assert document["features"] == list(FEATURES)
    black_again = [frame for frame in range(1, 150) if frame * 9 // 256 > (frame - 1) * 9 // 256]
    assert document["video"]["scene_changes"] == [frame / 25 for frame in black_again]
    assert {"beats", "energy", "onsets", "spectrum"} < document["audio"].keys()
    assert document["audio"]["beats"]["tempo"] == pytest.approx(120, rel=0.02)


def test_one_feature_failing_leaves_the_others(tmp_path: Path) -> None:
    silence = write_wav(tmp_path / "silence.wav", np.zeros(3 * 8_000, np.float32), 8_000)
    document = orjson.loads(apart(silence, tmp_path, features=["beats", "energy"]).read_bytes())
    assert document["features"] == ["beats", "energy"]
    assert not any(document["audio"]["energy"]["values"])
    with pytest.raises(StepInputError, match=r"no audio\.beats\.beat_times: the sound is silent"):
        event_times(document, "beats")


@pytest.mark.parametrize("features", [["beats"], ["beats", "tempo"]])
def test_nothing_is_written_if_every_feature_fails(tmp_path: Path, features: list[str]) -> None:
    silence = write_wav(tmp_path / "silence.wav", np.zeros(3 * 8_000, np.float32), 8_000)
    with pytest.raises(AnalysisError, match=f"{', '.join(features)}: the sound is silent"):
        apart(silence, tmp_path, features=features)
    assert not (tmp_path / "joined" / "output.json").exists()


def test_documents_about_different_files_are_refused() -> None:
    with pytest.raises(StepInputError, match=r"audio\.duration is 3\.0 and 4\.0"):
        joined(
            [
                {"features": ["energy"], "audio": {"duration": 3.0, "energy": {}}},
                {"features": ["onsets"], "audio": {"duration": 4.0, "onsets": []}},
            ]
        )


@pytest.mark.parametrize("content", [b"\x00\x01", b"[1]", b'{"beats": []}'])
def test_what_is_no_analysis_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(StepInputError, match="part 1: not the output of ANALYZE"):
        run("ANALYSIS", tmp_path / "joined", {}, path)
