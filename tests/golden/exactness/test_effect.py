"""EFFECT and CHAIN: one frame for each, at its place; sound stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from artdag_common.steps.registry import find_step_type
from tests.golden.exactness.films import Film, assert_in_sync, assert_pictures, assert_sound
from tests.unit.steps.running import run_step

INVERT: dict[str, Any] = {"effect": "invert"}


def test_each_frame_is_inverted(tmp_path: Path, film: Film, deliver: bool) -> None:
    output = run_step(tmp_path / "out", "EFFECT", INVERT, film.path, deliver=deliver)
    assert_pictures(output, film.rate, [255 - n for n in range(film.frames)])  # every bit of the number
    assert_sound(output, film.rate_hz, film.sound, deliver)
    assert_in_sync(output, [(0, 0 / film.rate), (30, 30 / film.rate)], film.rate, deliver)


def test_a_chain_of_three(tmp_path: Path, film: Film, deliver: bool) -> None:
    kind = find_step_type("EFFECT")
    config = kind.canonical_config(INVERT)
    links = [{"type": "EFFECT", "config": INVERT, "implementation": kind.implementation(config)}] * 3
    output = run_step(tmp_path / "out", "CHAIN", {"links": links}, film.path, deliver=deliver)
    assert_pictures(output, film.rate, [255 - n for n in range(film.frames)])
    assert_sound(output, film.rate_hz, film.sound, deliver)


def test_what_changes_nothing_gives_the_very_file(tmp_path: Path, film: Film) -> None:
    assert run_step(tmp_path / "out", "EFFECT", {"effect": "identity"}, film.path) == film.path
    assert run_step(tmp_path / "noop", "NOOP", {}, film.path) == film.path
