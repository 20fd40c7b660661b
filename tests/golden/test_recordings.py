"""Beats of recorded music. ``recordings/README.md`` says whose it is, and what is known of its beats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from artdag_common.media.beats import RATE_HZ, find_beats
from artdag_common.media.sound import load_sound, sound_facts
from tests.unit.analysis.music import f_measure, median_offset

FOLDER = Path(__file__).parent / "recordings"
SECONDS = 30


@dataclass(frozen=True)
class Loop:
    """A loop, played over and over for :data:`SECONDS` or a little longer."""

    name: str
    beats: int

    @property
    def seconds(self) -> float:
        return sound_facts(FOLDER / f"{self.name}.flac").duration

    @property
    def tempo(self) -> float:
        return 60 * self.beats / self.seconds

    def played(self) -> NDArray[np.float32]:
        return np.tile(load_sound(FOLDER / f"{self.name}.flac", RATE_HZ), math.ceil(SECONDS / self.seconds))

    def truth(self) -> NDArray[np.float64]:
        return np.arange(math.ceil(SECONDS / self.seconds) * self.beats) * self.seconds / self.beats


ON_THE_BEAT = [Loop("breakbeat", 4), Loop("compus", 16), Loop("garzul", 16), Loop("mika", 16), Loop("safari", 16)]
TABLA = Loop("tabla", 16)
"""Its strong strokes are between the beats, and the tracker takes them for the beats: half a beat off, tempo right.
``off_beat`` says so."""


@pytest.mark.parametrize("loop", [*ON_THE_BEAT, TABLA], ids=lambda loop: loop.name)
def test_the_tempo_is_found_but_for_the_octave(loop: Loop) -> None:
    found = find_beats(loop.played()).tempo
    octave = math.log2(found / loop.tempo)
    assert abs(octave) < 1.1
    assert octave == pytest.approx(round(octave), abs=math.log2(1.01))


@pytest.mark.parametrize("loop", [*ON_THE_BEAT, TABLA], ids=lambda loop: loop.name)
def test_a_hint_settles_the_octave(loop: Loop) -> None:
    assert find_beats(loop.played(), loop.tempo).tempo == pytest.approx(loop.tempo, rel=0.01)


@pytest.mark.parametrize("loop", ON_THE_BEAT, ids=lambda loop: loop.name)
def test_beats_are_found_where_they_are(loop: Loop) -> None:
    found = find_beats(loop.played(), loop.tempo).times
    assert f_measure(loop.truth(), found) >= 0.97
    assert abs(median_offset(loop.truth(), found)) <= 0.015


def test_beats_between_strong_strokes_are_found_where_they_are() -> None:
    played = TABLA.played()
    assert f_measure(TABLA.truth(), find_beats(played, TABLA.tempo).times) <= 0.1
    found = find_beats(played, TABLA.tempo, off_beat=True)
    assert f_measure(TABLA.truth(), found.times) >= 0.97
    assert abs(median_offset(TABLA.truth(), found.times)) <= 0.015
    assert found.tempo == pytest.approx(TABLA.tempo, rel=0.01)
