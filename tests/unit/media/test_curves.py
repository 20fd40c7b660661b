"""Features of an analysis, frame by frame."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pytest

from artdag_common.errors import StepInputError
from artdag_common.media.curves import curve, curves, duration, event_times, level
from artdag_common.steps.bind import Bound

RATE = Fraction(10)
DOCUMENT: dict[str, Any] = {
    "features": ["beats", "energy", "onsets", "scene_changes", "spectrum"],
    "audio": {
        "duration": 2.0,
        "beats": {"beat_times": [0.5, 1.0], "downbeat_times": [0.5]},
        "onsets": [0.26, 1.7],
        "energy": {"times": [0.0, 1.0, 2.0], "values": [0.0, 1.0, 0.5], "window_ms": 50},
        "spectrum": {"times": [0.0, 1.0], "bass": [1.0, 0.0], "mid": [0.2, 0.2], "high": [0.0, 3.0]},
    },
    "video": {"duration": 2.5, "scene_changes": [1.0]},
}


def values(feature: str, frames: int = 20, rate: Fraction = RATE, **more: Any) -> list[float]:
    return curve(DOCUMENT, Bound.model_validate({"input": 1, "feature": feature, **more}), rate, frames)


def test_a_level_lies_on_the_line_between_its_times() -> None:
    up, down = [n / 10 for n in range(11)], [1 - n / 20 for n in range(1, 11)]
    assert values("energy", 25) == pytest.approx([*up, *down, 0.5, 0.5, 0.5, 0.5], abs=1e-12)


def test_a_range_may_fall_and_values_stay_inside_it() -> None:
    assert values("spectrum.bass", 12, range=(10, -2))[::5] == [-2.0, 4.0, 10.0]
    assert values("spectrum.high", 11, range=(0, 4))[3:6] == [3.6, 4.0, 4.0]
    assert str(values("spectrum.bass", 11, range=(0, -1))[10]) == "0.0"


def test_an_offset_comes_later() -> None:
    assert values("energy", 8, offset=0.3) == pytest.approx([0, 0, 0, 0, 0.1, 0.2, 0.3, 0.4])
    assert values("beats", 9, offset=-0.3, decay=0.001) == [0, 0, 1, 0, 0, 0, 0, 1, 0]


def test_an_event_is_1_at_its_frame_and_falls() -> None:
    fall = [round(math.exp(-n / 2), 6) for n in range(5)]
    assert values("beats", 12, decay=0.2) == [0, 0, 0, 0, 0, *fall, *fall[:2]]


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(30000, 1001), Fraction(60)])
def test_events_belong_to_the_frame_nearest_to_them(rate: Fraction) -> None:
    found = values("onsets", 120, rate, decay=0.001)
    nearest = [(Fraction(time) * rate + Fraction(1, 2)).__floor__() for time in ("0.26", "1.7")]
    assert [n for n, value in enumerate(found) if value == 1] == nearest


def test_every_kind_of_event_is_found_at_its_place() -> None:
    assert values("downbeats", decay=0.001).index(1) == 5
    assert values("scene_changes", decay=0.001).index(1) == 10


def test_on_an_event_a_level_is_held_and_falls() -> None:
    found = values("energy", 12, on_event="beats", decay=1.0)
    assert found[:5] == [0] * 5
    assert found[5:10] == [round(0.5 * math.exp(-n / 10), 6) for n in range(5)]
    assert found[10] == 1.0


def test_a_greater_event_is_not_cut_off_by_a_smaller_one() -> None:
    found = values("spectrum.bass", 18, on_event="onsets", decay=10.0)
    height = 0.74  # of the bass at 0.26 s; at 1.7 s it is 0
    assert found[3] == height
    assert found[17] == round(height * math.exp(-14 / 100), 6)


def test_an_event_on_an_event_has_its_height_there() -> None:
    found = values("downbeats", 11, on_event="beats", decay=0.5)
    assert found[5] == 1.0
    assert found[10] == round(math.exp(-1), 6)


def test_smoothing_is_the_mean_around_each_frame() -> None:
    found = values("beats", 20, decay=0.001, smooth=0.4)
    assert found[:13] == [0, 0, 0, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]
    assert values("energy", 3, smooth=0.2) == [0.05, 0.1, 0.15]


def test_noise_is_the_same_each_time_bounded_and_seeded() -> None:
    found = values("spectrum.mid", 500, noise=0.1)
    assert found == values("spectrum.mid", 500, noise=0.1) != values("spectrum.mid", 500, noise=0.1, seed=1)
    assert 0.1 <= min(found) < 0.105
    assert 0.295 < max(found) <= 0.3
    assert sum(found) / 500 == pytest.approx(0.2, abs=0.01)
    assert values("spectrum.mid", 4, noise=0.1) == [0.241169, 0.129617, 0.275334, 0.251313]
    assert 0 <= min(values("energy", 20, noise=1.0)) <= max(values("energy", 20, noise=1.0)) <= 1


def test_a_step_reads_each_parameter_from_its_own_input(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    paths[0].write_bytes(b"{}")
    paths[1].write_bytes(orjson.dumps(DOCUMENT))
    bound = Bound.model_validate({"input": 2, "feature": "energy"})
    assert curves({"params.amount": bound}, paths, RATE, 20) == {"params.amount": values("energy")}
    (tmp_path / "a").write_bytes(b"no document")
    with pytest.raises(StepInputError, match="not the output of ANALYZE"):
        curves({"a": bound.model_copy(update={"input": 1})}, paths, RATE, 20)


def test_what_planning_reads() -> None:
    assert event_times(DOCUMENT, "onsets") == [Fraction("0.26"), Fraction("1.7")]
    assert (duration(DOCUMENT, "beats"), duration(DOCUMENT, "scene_changes")) == (2, Fraction(5, 2))
    assert level(DOCUMENT, "spectrum.mid") == ([0.0, 1.0], [0.2, 0.2])


@pytest.mark.parametrize(
    ("document", "feature", "reason"),
    [
        ({}, "energy", "no audio.energy.times: add 'energy' to the features"),
        ({"audio": {}}, "spectrum.bass", "no audio.spectrum.times: add 'spectrum'"),
        ({"audio": {}, "errors": {"beats": "too short"}}, "downbeats", "downbeat_times: too short"),
        ({"video": {"scene_changes": ["x"]}}, "scene_changes", "not all numbers"),
        ({"audio": {"onsets": [True]}}, "onsets", "not all numbers"),
        ({"audio": {"energy": {"times": [0, 1], "values": [0]}}}, "energy", "not one value for each"),
        ({"audio": {"energy": {"times": [1, 1], "values": [0, 0]}}}, "energy", "not one value for each"),
        ({"audio": {"energy": {"times": [], "values": []}}}, "energy", "not one value for each"),
        ([], "energy", "no audio.energy.times"),
    ],
)
def test_what_is_missing_is_named(document: Any, feature: str, reason: str) -> None:
    with pytest.raises(StepInputError) as refused:
        curve(document, Bound.model_validate({"input": 1, "feature": feature}), RATE, 5)
    assert reason in refused.value.message
