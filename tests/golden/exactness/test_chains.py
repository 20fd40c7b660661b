"""Steps in a row: what the first one counted, the last one still counts, and sound stays with its pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden.exactness.films import Film, assert_in_sync, assert_pictures, assert_sound, sample, silence
from tests.unit.media.counted import heard, lag, numbers_of, stamps_of, timed, write_counted, write_wav
from tests.unit.steps.running import run_step


@dataclass
class Chain:
    """Steps one after the other; all but the last hand their result on."""

    folder: Path
    media: Path
    deliver: bool
    done: int = 0

    def then(self, name: str, config: dict[str, Any], *others: Path, before: tuple[Path, ...] = ()) -> Chain:
        """Run a step on the result so far; other inputs stand after it, or before."""
        return self._run(name, config, [*before, self.media, *others], deliver=False)

    def last(self, name: str, config: dict[str, Any], *others: Path) -> Path:
        """Run the last step."""
        return self._run(name, config, [self.media, *others], self.deliver).media

    def _run(self, name: str, config: dict[str, Any], inputs: list[Path], deliver: bool) -> Chain:
        folder = self.folder / f"step{self.done}"
        output = run_step(folder, name, config, *inputs, deliver=deliver)
        return Chain(self.folder, output, self.deliver, self.done + 1)


def segment(first: int, last: int, rate: Fraction) -> dict[str, Any]:
    return {"start": float(first / rate), "end": float(last / rate)}


def test_cut_resized_inverted_and_joined(tmp_path: Path, film: Film, deliver: bool) -> None:
    part = Chain(tmp_path, film.path, deliver).then("SEGMENT", segment(5, 25, film.rate))
    part = part.then("RESIZE", {"width": 96, "height": 54})
    output = part.then("EFFECT", {"effect": "invert"}).last("SEQUENCE", {"resize_mode": "stretch"}, part.media)
    assert_pictures(output, film.rate, [*(255 - n for n in range(5, 25)), *range(5, 25)])
    assert_in_sync(output, [(1, 6 / film.rate), (21, 6 / film.rate)], film.rate, deliver)
    # a part may have a sample more or less than the whole has room for: it is cut there, or filled up
    own = np.concatenate([film.heard(5, 25), silence(1)])
    pieces = [own[: film.at(20)], own[: film.at(40) - film.at(20)]]
    assert_sound(output, film.rate_hz, np.concatenate(pieces), deliver)


def test_cut_again_and_again(tmp_path: Path, film: Film, deliver: bool) -> None:
    """Four cuts, each at times of its own, are one cut at the sum of their frames."""
    chain, first = Chain(tmp_path, film.path, deliver), 0
    for offset in ("0.111", "0.2", "0.0333"):
        chain = chain.then("SEGMENT", {"offset": float(offset)})
        first += sample(Fraction(offset), film.rate)
    output = chain.last("SEGMENT", {"offset": 0.25, "duration": 0.5})
    begin = first + sample(Fraction(1, 4), film.rate)
    end = first + sample(Fraction(3, 4), film.rate)
    assert_pictures(output, film.rate, range(begin, end))
    # where a frame is not a whole number of samples, each cut begins at the one next to its frame: half of one at most
    rounded = 4 * Fraction(1, 2) if (film.rate_hz / film.rate).denominator > 1 else 0
    late = lag(heard(output), 0.2, float(begin / film.rate + Fraction(1, 5)))
    assert abs(late) <= rounded + (Fraction(1, 2) if deliver else 0)


def test_joined_cut_looped_to_music_and_put_under_another(tmp_path: Path, film: Film, deliver: bool) -> None:
    music = write_wav(tmp_path / "music.wav", timed(2 * film.rate_hz, film.rate_hz), film.rate_hz)
    analysis = tmp_path / "analysis.json"
    analysis.write_text(json.dumps({"audio": {"duration": 1.5, "beats": {"beat_times": [0.5, 1.0]}}}))
    chain = Chain(tmp_path, film.path, deliver).then("SEQUENCE", {}, film.path)
    chain = chain.then("SEGMENT", segment(film.frames - 10, film.frames + 10, film.rate))
    chain = chain.then("BEAT_SYNC", {"mode": "loop"}, analysis)
    output = chain.then("EFFECT", {"effect": "invert"}).last("MUX", {}, music)
    source = [*range(film.frames - 10, film.frames), *range(10)]
    length, grid = sample(Fraction(3, 2), film.rate), [sample(Fraction(n, 2), film.rate) for n in range(3)]
    shown = [source[(n - max(g for g in grid if g <= n)) % 20] for n in range(length)]
    assert_pictures(output, film.rate, [255 - n for n in shown])
    samples = timed(2 * film.rate_hz, film.rate_hz)[0, : sample(length / film.rate, film.rate_hz)]
    assert_sound(output, film.rate_hz, samples, deliver)


def test_layered_blended_adjusted_and_crossfaded(tmp_path: Path, film: Film, deliver: bool) -> None:
    small = write_counted(tmp_path / "small.mp4", 30, film.rate, (32, 16))
    high = write_counted(tmp_path / "high.mp4", 1, film.rate, first=128)  # a still, which sets the highest bit
    chain = Chain(tmp_path, film.path, deliver).then("SEGMENT", segment(4, 34, film.rate))
    chain = chain.then("LAYER", {}, small).then("BLEND", {"mode": "lighten", "opacity": 1}, high)
    chain = chain.then("TRANSFORM", {"effects": {"contrast": 0.9, "hue": 20}})
    config = {"transition": {"type": "crossfade", "duration": float(4 / film.rate)}}
    output = chain.last("SEQUENCE", config, film.path)
    numbers = numbers_of(output)
    assert numbers[:26] == [128 + n for n in range(4, 30)]
    assert numbers[30:] == list(range(4, film.frames))
    assert stamps_of(output) == [n / film.rate for n in range(30 - 4 + film.frames)]
    assert_in_sync(output, [(1, 5 / film.rate), (31, 5 / film.rate)], film.rate, deliver)


def test_delivered_films_can_go_on(tmp_path: Path, film: Film) -> None:
    """Five generations for people, each with AAC anew: pictures are counted right and sound has not moved."""
    path = film.path
    for turn in range(5):
        path = run_step(tmp_path / str(turn), "SEGMENT", {}, path)
    assert_pictures(path, film.rate, range(film.frames))
    assert_in_sync(path, [(2, 2 / film.rate), (20, 20 / film.rate)], film.rate, deliver=True)
