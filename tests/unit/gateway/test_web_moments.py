"""An analysis as facts and as a table."""

from __future__ import annotations

from typing import Any

from services.gateway.web.moments import facts_of, moments_of

SOUND: dict[str, Any] = {"duration": 2.5, "sample_rate": 44_100, "channels": 1}
BEATS = {
    "beat_times": [0.5, 1.0, 1.5],
    "downbeat_times": [1.0],
    "tempo": 120.0,
    "confidence": 0.94,
    "time_signature": 4,
}
ENERGY = {"times": [0.025, 0.5, 1.01, 2.4], "values": [0.1, 0.2, 0.9, 0.4], "window_ms": 50}
SPECTRUM = {"times": [0.5, 1.5], "bass": [0.1, 0.2], "mid": [0.3, 0.4], "high": [0.5, 0.6], "window_ms": 50}
FILM = {"duration": 6.0, "frame_rate": 29.97, "width": 640, "height": 360, "codec": "h264"}


def test_beats_are_counted_from_the_downbeat_on() -> None:
    found = moments_of({"audio": SOUND | {"beats": BEATS}})
    assert [(each.time, each.what) for each in found] == [
        (0.5, "upbeat 1"),
        (1.0, "bar 1, beat 1"),
        (1.5, "bar 1, beat 2"),
    ]
    assert found[0].readings == (None, None, None, None)


def test_without_downbeats_beats_have_numbers() -> None:
    found = moments_of({"audio": {"beats": {"beat_times": [0.5, 1.0]}}})
    assert [each.what for each in found] == ["beat 1", "beat 2"]


def test_beats_and_scenes_stand_in_one_order() -> None:
    found = moments_of({"audio": {"beats": BEATS}, "video": FILM | {"scene_changes": [0.7, 4.0]}})
    assert [each.what for each in found if each.what.startswith("scene")] == ["scene 2", "scene 3"]
    assert [each.time for each in found] == [0.5, 0.7, 1.0, 1.5, 4.0]


def test_a_moment_reads_the_nearest_value_of_each_curve() -> None:
    found = moments_of({"audio": SOUND | {"beats": BEATS, "energy": ENERGY, "spectrum": SPECTRUM}})
    assert found[0].readings == (0.2, 0.1, 0.3, 0.5)
    assert found[1].readings[0] == 0.9
    assert found[2].readings == (0.9, 0.2, 0.4, 0.6)


def test_curves_alone_are_read_second_by_second() -> None:
    found = moments_of({"audio": SOUND | {"energy": ENERGY}})
    assert [(each.time, each.what, each.readings[0]) for each in found] == [
        (0.0, "", 0.1),
        (1.0, "", 0.9),
        (2.0, "", 0.4),
    ]


def test_nothing_found_is_no_moment() -> None:
    assert moments_of({"features": ["beats"], "errors": {"beats": "silence"}}) == []
    assert moments_of({"audio": SOUND | {"energy": {"times": [], "values": []}}}) == []


def test_facts_have_their_units() -> None:
    audio = SOUND | {"beats": BEATS, "onsets": [0.5]}
    found = dict(facts_of({"audio": audio, "video": FILM | {"scene_changes": [], "motion_tempo": 96.04}}))
    assert found == {
        "Tempo": "120.0 beats a minute",
        "Beats": "3 beats in 1 bar",
        "Beats in a bar": "4",
        "How sure": "94 %",
        "Onsets": "1 note",
        "Tempo of the motion": "96.0 a minute",
        "Scenes": "1 scene",
        "Sound": "2.5 s, 44100 Hz",
        "Pictures": "6.0 s, 640 × 360 pixels, 29.97 a second",
    }


def test_a_tempo_without_beats_is_a_fact() -> None:
    assert facts_of({"audio": {"beats": {"tempo": 90.0}}}) == [("Tempo", "90.0 beats a minute")]
