"""Features of an analysis as one value per frame; and what planning reads of an analysis: events and length."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from artdag_common.errors import StepInputError
from artdag_common.media.timeline import nearest, seconds
from artdag_common.steps.analysis import read_document
from artdag_common.steps.bind import EVENTS, FEATURES, Bound

ONE = 10**9
"""Values from 0 to 1 are counted in this unit, so that sums of them are exact."""
DIGITS = 6

PLACES = {
    "beats": ("audio", "beats", "beat_times"),
    "downbeats": ("audio", "beats", "downbeat_times"),
    "onsets": ("audio", "onsets"),
    "scene_changes": ("video", "scene_changes"),
    "energy": ("audio", "energy", "values"),
    "spectrum.bass": ("audio", "spectrum", "bass"),
    "spectrum.mid": ("audio", "spectrum", "mid"),
    "spectrum.high": ("audio", "spectrum", "high"),
}
"""Where an analysis holds each feature; the times of a level stand beside it, as ``times``."""


def curves(bind: Mapping[str, Bound], analyses: Sequence[Path], rate: Fraction, frames: int) -> dict[str, list[float]]:
    """Return the values of all bound parameters of a step, by their dotted names; see :func:`curve`.

    Args:
        analyses: the step's inputs from the second on; a binding's ``input`` counts the first one too.

    Raises:
        StepInputError: one of them is no analysis, or does not hold the feature.
    """
    documents = {bound.input: read_document(analyses[bound.input - 1]) for bound in bind.values()}
    return {name: curve(documents[bound.input], bound, rate, frames) for name, bound in bind.items()}


def curve(document: Any, bound: Bound, rate: Fraction, frames: int) -> list[float]:
    """Return a bound parameter's value at each frame.

    Frame ``n`` is shown at ``n / rate`` seconds. With ``w`` for the feature as it was analysed, 0 to 1, a level's
    value between two of its times lying on the straight line between them, and before the first and after the last
    time staying as it is there:

    1. Signal. A level without ``on_event``: ``w(n / rate − offset)``. Else each event at ``e`` seconds belongs to
       frame ``g = ⌊(e + offset)·rate + ½⌋`` with the height ``h``: ``w(e)`` of a level, 1 of an event (where an event
       has another one as ``on_event``: the height that its own signal has at ``g``); the signal at ``n`` is the
       greatest ``h·exp(−(n − g) / (rate·decay))`` of all events with ``g ≤ n``, and 0 before the first.
    2. Smoothing: the mean of the frames ``n − k`` to ``n + k`` that exist, ``k = ⌊smooth·rate/2 + ½⌋``.
    3. Noise: ``noise·u`` is added, ``u`` between −1 and 1 by SHA-256 of seed and frame, and the sum kept in 0 to 1.
    4. Range: ``lo + (hi − lo)·value``.

    All but the exponential is exact to 1e-9; results are rounded to 1e-6, which makes them the same everywhere.

    Args:
        document: what ANALYZE wrote.
        rate: frames a second.
        frames: how many.

    Raises:
        StepInputError: the document does not hold the feature; the message says what to ask ANALYZE for.
    """
    signal = _signal(document, bound, rate, frames)
    half = nearest(seconds(bound.smooth) * rate / 2)
    smooth = _means(signal, half) if half else signal
    if bound.noise:
        smooth = [_kept(v + round(bound.noise * _noise(bound.seed, n))) for n, v in enumerate(smooth)]
    low, high = bound.range
    return [round(low + (high - low) * (value / ONE), DIGITS) + 0.0 for value in smooth]  # + 0.0: no minus zero


def _signal(document: Any, bound: Bound, rate: Fraction, frames: int) -> list[int]:
    offset = seconds(bound.offset)
    fall = 1 / (float(rate) * bound.decay)  # of the exponent, per frame
    if bound.feature in EVENTS:
        own = _envelope([(_frame(e, offset, rate), ONE) for e in event_times(document, bound.feature)], fall, frames)
        if bound.on_event is None:
            return own
        places = [_frame(e, offset, rate) for e in event_times(document, bound.on_event)]
        return _envelope([(g, own[g]) for g in places if 0 <= g < frames], fall, frames)
    times, values = level(document, bound.feature)
    if bound.on_event is None:
        shift = float(offset)
        return [_at(times, values, n * rate.denominator / rate.numerator - shift) for n in range(frames)]
    events = event_times(document, bound.on_event)
    return _envelope([(_frame(e, offset, rate), _at(times, values, float(e))) for e in events], fall, frames)


def _frame(event: Fraction, offset: Fraction, rate: Fraction) -> int:
    return nearest((event + offset) * rate)


def _envelope(events: Sequence[tuple[int, int]], fall: float, frames: int) -> list[int]:
    """Return the greatest of the falling events at each frame.

    All fall alike, so whichever is the greatest at one frame stays it until the next event.
    """
    starts: dict[int, int] = {}
    for place, height in events:
        starts[place] = max(height, starts.get(place, 0))
    upcoming = sorted(starts.items(), reverse=True)
    begin, top, found = 0, 0, []
    for n in range(frames):
        while upcoming and upcoming[-1][0] <= n:
            place, height = upcoming.pop()
            if height >= top * math.exp(-(place - begin) * fall):
                begin, top = place, height
        found.append(round(top * math.exp(-(n - begin) * fall)))
    return found


def _at(times: Sequence[float], values: Sequence[float], time: float) -> int:
    after = bisect_right(times, time)
    if after == 0:
        value = values[0]
    elif after == len(times):
        value = values[-1]
    else:
        begin, end = times[after - 1], times[after]
        share = (time - begin) / (end - begin)
        value = values[after - 1] + (values[after] - values[after - 1]) * share
    return _kept(round(value * ONE))


def _means(values: Sequence[int], half: int) -> list[int]:
    sums = [0]
    for value in values:
        sums.append(sums[-1] + value)
    found = []
    for n in range(len(values)):
        first, last = max(0, n - half), min(len(values), n + half + 1)
        count = last - first
        found.append((2 * (sums[last] - sums[first]) + count) // (2 * count))
    return found


def _noise(seed: int, n: int) -> int:
    """Return a number from −ONE to ONE, each as likely."""
    drawn = int.from_bytes(sha256(f"artdag-noise-1/{seed}/{n}".encode()).digest()[:8])
    return (drawn * (2 * ONE + 1) >> 64) - ONE


def _kept(value: int) -> int:
    return min(ONE, max(0, value))


# --- what an analysis holds ---


def event_times(document: Any, feature: str) -> list[Fraction]:
    """Return the events of an analysis, in seconds.

    Args:
        feature: one of :data:`artdag_common.steps.bind.EVENTS`.

    Raises:
        StepInputError: the document does not hold them.
    """
    return [seconds(time) for time in _numbers(document, feature, PLACES[feature])]


def level(document: Any, feature: str) -> tuple[list[float], list[float]]:
    """Return the times of a level, in ascending seconds, and its values, 0 to 1; at least one of each.

    Raises:
        StepInputError: the document does not hold it.
    """
    place = PLACES[feature]
    times = _numbers(document, feature, (*place[:-1], "times"))
    values = _numbers(document, feature, place)
    if len(times) != len(values) or not times or any(a >= b for a, b in pairwise(times)):
        raise StepInputError(f"analysis: {feature!r} has not one value for each of its times", slot="analysis")
    return times, values


def duration(document: Any, feature: str) -> Fraction:
    """Return the length, in seconds, above 0, of the sound or the pictures that a feature is of.

    Raises:
        StepInputError: the document does not hold it.
    """
    length = _numbers(document, feature, (PLACES[feature][0], "duration"))[0]
    if length <= 0:
        raise StepInputError(f"analysis: {PLACES[feature][0]} lasts {length:g} s", slot="analysis")
    return seconds(length)


def _numbers(document: Any, feature: str, place: Sequence[str]) -> list[float]:
    found: Any = document
    for key in place:
        found = found.get(key) if isinstance(found, Mapping) else None
    if found is None:
        errors = document.get("errors") if isinstance(document, Mapping) else None
        reason = errors.get(FEATURES[feature]) if isinstance(errors, Mapping) else None
        hint = reason or f"add {FEATURES[feature]!r} to the features of ANALYZE"
        raise StepInputError(f"analysis: it has no {'.'.join(place)}: {hint}", slot="analysis", feature=feature)
    numbers = found if isinstance(found, list) else [found]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in numbers):
        raise StepInputError(f"analysis: {'.'.join(place)} are not all numbers", slot="analysis", feature=feature)
    return numbers
