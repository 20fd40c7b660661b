"""SLICE: so many frames, exactly; and the parameters of the lists that become slices."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from artdag_common.cid import cid_of
from artdag_common.domain.recipe_yaml import parse_recipe
from artdag_common.domain.run import InputBinding
from artdag_common.errors import StepInputError
from artdag_common.media.probe import probe
from artdag_common.media.slicing import runs
from artdag_common.media.soundtrack import sound_duration
from artdag_common.steps import slices  # noqa: F401
from artdag_common.steps.registry import find_step_type
from services.planner.planning import compile_plan
from tests.unit.media.counted import numbers_of, write_counted
from tests.unit.steps.running import run_step

EXAMPLES = Path(__file__).parents[3] / "examples" / "recipes"


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ({"frames": 5}, range(5)),
        ({"frames": 5, "start": 20}, range(20, 25)),
        ({"frames": 4, "start": 58}, (58, 59, 0, 1)),
        ({"frames": 3, "start": 125}, range(5, 8)),
        ({"frames": 10, "position": 0}, range(10)),
        ({"frames": 10, "position": 0.999999}, range(50, 60)),
        ({"frames": 11, "position": 0.5}, range(25, 36)),
        ({"frames": 60, "position": 0.7}, range(60)),
        ({"frames": 130, "position": 0.7}, (*range(60), *range(60), *range(10))),
        ({"frames": 6, "rate": 15, "start": 3}, range(6, 18, 2)),
    ],
)
def test_the_very_frames_are_shown(tmp_path: Path, silent: Path, config: dict[str, Any], shown: Any) -> None:
    output = run_step(tmp_path / "out", "SLICE", config, silent)
    assert numbers_of(output) == list(shown)
    assert probe(output).frame_rate == config.get("rate", 30)


def test_sound_begins_again_with_the_pictures(tmp_path: Path, clicking: Path) -> None:
    output = run_step(tmp_path / "out", "SLICE", {"frames": 75, "start": 45}, clicking)
    assert (probe(output).frames, sound_duration(output)) == (75, Fraction(5, 2))
    between = run_step(tmp_path / "between", "SLICE", {"frames": 75, "start": 45}, clicking, deliver=False)
    assert [round(at, 4) for at in clicks_of(between)] == [0.0, 1.0, 2.0]


def clicks_of(path: Path) -> list[float]:
    """Return the seconds at which a click is heard."""
    import av

    found = []
    with av.open(str(path)) as container:
        samples = 0
        for frame in container.decode(audio=0):
            row = frame.to_ndarray().reshape(-1)
            found += [(samples + int(i)) / frame.sample_rate for i in (abs(row) > 0.3).nonzero()[0]]
            samples += frame.samples
    return found


def test_a_single_frame_lasts_as_long_as_it_has_to(tmp_path: Path) -> None:
    still = write_counted(tmp_path / "still.mp4", 1, first=77)
    assert numbers_of(run_step(tmp_path / "out", "SLICE", {"frames": 40, "position": 0.3}, still)) == [77] * 40


def test_slices_join_to_the_sum_of_their_frames(tmp_path: Path, silent: Path) -> None:
    slow = write_counted(tmp_path / "slow.mp4", 10, rate=10, first=100)
    parts = [
        run_step(tmp_path / f"{i}", "SLICE", {"frames": frames}, clip, deliver=False)
        for i, (frames, clip) in enumerate([(7, silent), (9, slow), (5, silent)])
    ]
    shown = numbers_of(run_step(tmp_path / "out", "SEQUENCE", {}, *parts))
    assert shown == [*range(7), *(100 + i // 3 for i in range(9)), *range(5)]


def test_sound_alone_has_nothing_to_show(tmp_path: Path, music: Path) -> None:
    with pytest.raises(StepInputError, match="footage: the file holds audio only"):
        run_step(tmp_path / "out", "SLICE", {"frames": 3}, music)


@pytest.mark.parametrize("begin", [0, 3, 6])
@pytest.mark.parametrize("frames", [1, 4, 7, 30])
def test_runs_follow_each_other_round_and_round(begin: int, frames: int) -> None:
    shown = [place for first, last in runs(begin, frames, 7) for place in range(first, last)]
    assert shown == [(begin + j) % 7 for j in range(frames)]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "frames"),
        ({"frames": 0}, "greater than or equal to 1"),
        ({"frames": 1, "start": 1, "position": 0.5}, "position or start, not both"),
        ({"frames": 1, "position": 1}, "less than 1"),
        ({"frames": 1, "rate": "fast"}, "'fast' is not a frame rate"),
        ({"frames": 1, "rate": 0}, "1 to 120 frames a second, not 0"),
        ({"frames": 1, "rate": "30/0"}, "is not a frame rate"),
    ],
)
def test_wrong_parameters_are_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        find_step_type("SLICE").canonical_config(config)


@pytest.mark.parametrize("rate", [29.97, "29.97", "30000/1001", "60000/2002"])
def test_a_rate_is_one_parameter_however_it_is_written(rate: Any) -> None:
    kind = find_step_type("SLICE")
    assert kind.canonical_config({"frames": 1, "rate": rate}) == kind.canonical_config(
        {"frames": 1, "rate": "30000/1001", "start": 0}
    )


def test_the_two_lists_differ_in_whose_turn_it_is() -> None:
    assert '"order":"random"' in find_step_type("RANDOM_SLICE").canonical_config({})
    assert '"order":"cycle"' in find_step_type("SLICE_ON").canonical_config({})
    assert find_step_type("SLICE_ON").run is None


def test_the_beat_cut_example_is_as_long_as_its_music_and_changes_on_its_beats(
    tmp_path: Path, silent: Path, music: Path
) -> None:
    dark = write_counted(tmp_path / "dark.mp4", 20, rate=15, first=100)
    files = {cid_of(path.read_bytes()): path for path in (music, silent, dark)}
    names = list(files)
    bound = (InputBinding("music", (names[0],)), InputBinding("clips", tuple(names[1:])))
    beats = [0.11 * i for i in range(13)]
    document = {"audio": {"duration": 1.5, "beats": {"beat_times": beats}}}
    compiled = compile_plan(parse_recipe((EXAMPLES / "beat-cut.yaml").read_bytes()), bound, "", {"beats": document})
    outputs: list[Path] = []
    for i, step in enumerate(compiled.steps):
        inputs = [outputs[source] for source in step.inputs]
        if step.type == "SOURCE":
            outputs.append(files[step.output_cid])
        elif step.type == "ANALYZE":
            outputs.append(tmp_path / "not made")
        else:
            config = orjson.loads(step.config)
            outputs.append(run_step(tmp_path / f"{i}", step.type, config, *inputs, deliver=step.deliver))
    film = outputs[compiled.output]
    assert (probe(film).frames, sound_duration(film)) == (45, Fraction(3, 2))
    shown = numbers_of(film)
    jumps = [n for n, (a, b) in enumerate(pairwise(shown), 1) if (a < 100) != (b < 100)]
    assert jumps == [13, 26, 40]  # at 0.44, 0.88 and 1.32 s: every fourth beat, and two clips that take turns
