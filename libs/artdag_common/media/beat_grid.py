"""Video time bent so that it meets beats: whole numbers only, exact at any length, no drift.

All of it is about a film of ``N`` frames made of a source of ``L``. A *grid* says where its intervals begin: ascending
frames, the first 0, the last ``N``; interval ``i`` has the frames ``g`` to ``g' − 1``, with ``g`` and ``g'`` the
``i``-th of the grid and the next. The maps give for each frame of the film, in order, the source frame that it shows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from itertools import pairwise

from artdag_common.media.timeline import nearest

ONE = 4096
"""Heights of a pulse are counted in this unit: 1 is this many."""


def length_in_frames(duration: Fraction, rate: Fraction) -> int:
    """Return the frames of ``duration`` seconds at ``rate`` frames a second, at least 1; halves go up."""
    return max(1, nearest(duration * rate))


def chosen(times: Iterable[Fraction], every: int = 1, offset: Fraction = Fraction(0)) -> list[Fraction]:
    """Return the first of ``times``, and each ``every``-th from it on, moved by ``offset``; all in seconds, ascending.

    Args:
        times: in any order; one that is given twice counts once.
        every: at least 1.
        offset: above 0: later.
    """
    return [time + offset for time in sorted(set(times))[::every]]


def beat_places(beats: Iterable[Fraction], rate: Fraction, length: int) -> list[int]:
    """Return the frames on which beats fall, ascending, each once.

    A beat at ``b`` seconds falls on frame ``⌊b·r + ½⌋``, the one nearest to its own time, so that it is off by half a
    frame at most, however many came before it. Those outside the film are left out.

    Args:
        beats: seconds, in any order.
        length: frames of the film, at least 1.
    """
    return sorted({frame for frame in (nearest(beat * rate) for beat in beats) if 0 <= frame < length})


def beat_frames(beats: Iterable[Fraction], rate: Fraction, length: int) -> list[int]:
    """Return the grid of beats: their places, and 0 and ``length``."""
    return sorted({0, length, *beat_places(beats, rate, length)})


def stretched(
    grid: Sequence[int], source_length: int, ease: Fraction = Fraction(0), cuts: Iterable[int] = ()
) -> Iterator[int]:
    """Give each interval its own part of the source, in order, spread over it: never going back.

    Part ``i`` begins at source frame ``a`` and is ``l`` long, see :func:`parts`. Of the ``M`` frames of interval ``i``
    the ``j``-th shows ``a + ⌊l·(1 − e)·x + l·e·x²⌋``, ``x = (2j + 1) / 2M``: with ``e`` 0 the one under the middle of
    its share, ``a + ⌊(2j + 1)·l / 2M⌋``, at a constant speed. ``e`` above 0 makes the speed grow steadily within the
    interval, from ``1 − e`` to ``1 + e`` times its mean, into the beat.

    Args:
        source_length: frames of the source, at least 1.
        ease: 0 to 1.
        cuts: source frames that had best fall on beats, see :func:`parts`.
    """
    p, q = ease.numerator, ease.denominator
    for (begin, end), (first, last) in zip(pairwise(grid), pairwise(parts(grid, source_length, cuts)), strict=True):
        whole, length = 2 * (end - begin), last - first
        for x in range(1, whole, 2):
            yield first + length * x * ((q - p) * whole + p * x) // (q * whole * whole)


def parts(grid: Sequence[int], source_length: int, cuts: Iterable[int] = ()) -> list[int]:
    """Return where the parts of a source begin, as many as there are intervals, and its end; never descending.

    Without cuts they are equal: with ``m`` intervals, part ``i`` begins at ``⌊i·L/m⌋``.

    With cuts, parts begin on them. If there are no more cuts than inner beats, each cut in turn takes the free beat
    that is nearest to where it lies in the source, both as shares of their lengths, the earlier of equals; one that
    still leaves a later beat for each cut to come. If there are more, each beat takes a cut by the same rule, and the
    cuts that are left fall between beats. What lies between two cuts that were taken is cut into equal parts, as above.

    Args:
        cuts: source frames, in any order; 0, the end and what lies beyond do not count.
    """
    beats = grid[1:-1]
    inner = sorted({cut for cut in cuts if 0 < cut < source_length})
    length = grid[-1]
    if len(inner) <= len(beats):
        taken = zip(_nearest_free(inner, source_length, beats, length), range(len(inner)), strict=True)
    else:
        taken = zip(range(len(beats)), _nearest_free(beats, length, inner, source_length), strict=True)
    fixed = [(0, 0), *((beat + 1, inner[cut]) for beat, cut in taken), (len(grid) - 1, source_length)]
    found = [0]
    for (i, begin), (k, end) in pairwise(fixed):
        found += [begin + t * (end - begin) // (k - i) for t in range(1, k - i + 1)]
    return found


def _nearest_free(few: Sequence[int], few_end: int, many: Sequence[int], many_end: int) -> Iterator[int]:
    """Give for each of ``few`` the place in ``many`` of the one nearest to it, ascending, none twice.

    Args:
        few, many: ascending, ``few`` not longer than ``many``.
        few_end, many_end: what their numbers are shares of.
    """
    first = 0
    for turn, value in enumerate(few):
        last = len(many) - (len(few) - turn)  # the others still need one each
        at = bisect_left(many, Fraction(value * many_end, few_end), first, last)
        if at > first and value * many_end * 2 <= (many[at - 1] + many[at]) * few_end:
            at -= 1
        yield at
        first = at + 1


def jumped(grid: Sequence[int], source_length: int, seed: int) -> Iterator[int]:
    """Jump at each beat to another place of the source, and play on from there.

    With ``s`` drawn for an interval of ``M`` frames, its ``j``-th shows ``(s + j) mod L``. Starts are drawn evenly from
    the ``S = max(1, L − M + 1)`` places at which the interval still fits, without those that lie within ``⌊S/4⌋`` of
    the place where the interval before left off, so that the jump is seen; where that leaves none, from all. The
    ``i``-th draw from ``n`` places is ``⌊h·n / 2⁶⁴⌋``, ``h`` the first 8 bytes of the SHA-256 of
    ``artdag-cut-1/<seed>/<i>``.

    Args:
        source_length: frames of the source, at least 1.
    """
    after: int | None = None  # the place where the interval before left off
    for i, (begin, end) in enumerate(pairwise(grid)):
        places = max(1, source_length - (end - begin) + 1)
        low = high = 0  # the places from low to high − 1 are left out
        if after is not None:
            low, high = max(0, after - places // 4), min(places, after + places // 4 + 1)
            if low >= high or high - low == places:
                low = high = 0
        start = _drawn(seed, i, places - (high - low))
        start += high - low if start >= low else 0
        for j in range(end - begin):
            yield (start + j) % source_length
        after = (start + end - begin) % source_length


def _drawn(seed: int, turn: int, below: int) -> int:
    return int.from_bytes(sha256(f"artdag-cut-1/{seed}/{turn}".encode()).digest()[:8]) * below >> 64


def looped(grid: Sequence[int], source_length: int) -> Iterator[int]:
    """Begin the source again at each beat: the ``j``-th frame of an interval shows ``j mod L``.

    Args:
        source_length: frames of the source, at least 1.
    """
    for begin, end in pairwise(grid):
        for j in range(end - begin):
            yield j % source_length


def pulses(places: Sequence[int], length: int, strength: Fraction, decay: Fraction) -> Iterator[int]:
    """Give for each frame the height of the pulse that the latest beat set off, in units of 1/:data:`ONE`.

    At frame ``n``, ``g`` the last beat's place at or before it: ``⌊4096·strength·e^(−(n − g)/decay) + ½⌋``; before the
    first beat 0. The exponential is rounded correctly to 28 digits, so that it is the same on every machine.

    Args:
        places: as :func:`beat_places` returns.
        length: frames.
        strength: height on the beat, 0 to 1.
        decay: frames in which it falls to 1/e, above 0.
    """
    heights: list[int] = []  # by distance from the beat
    upcoming = iter([*places, length])
    beat, following = None, next(upcoming)
    for n in range(length):
        if n == following:
            beat, following = n, next(upcoming)
        if beat is None:
            yield 0
            continue
        while len(heights) <= n - beat:
            heights.append(_height(len(heights), strength, decay) if not heights or heights[-1] else 0)
        yield heights[n - beat]


def _height(distance: int, strength: Fraction, decay: Fraction) -> int:
    fall = (Decimal(-distance * decay.denominator) / decay.numerator).exp()
    return nearest(ONE * strength * Fraction(fall))
