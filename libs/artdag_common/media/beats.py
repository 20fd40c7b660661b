"""Beats of music, followed through changes of tempo.

Two stages. *Onset strength*: how much louder the bands of a logarithmic filter bank became, 100 times a second
(spectral flux as in Böck and Widmer, "Maximum filter vibrato suppression for onset detection", DAFx 2013; here without
the vibrato filter, and with the bass counting for more, since drums and bass lines carry the beat while cymbals divide
it). *Path*: the sequence of beats that explains the onsets best, by dynamic programming as in Ellis, "Beat tracking by
dynamic programming", J. New Music Research 36(1), 2007, whose recursion runs over the time of the last beat; to follow
the tempo it runs over time and length of the last interval, as in Laroche, "Efficient tempo and beat tracking in audio
recordings", J. AES 51(4), 2003. No tempo is estimated beforehand: it is part of the path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artdag_common.errors import AnalysisError

Floats = NDArray[np.float64]

RATE_HZ = 22_000
"""Samples per second that the tracker works on."""
FRAME_RATE_HZ = 100
MIN_SECONDS = 2
SILENCE = 10 ** (-60 / 20)
"""Peak below which a track counts as silent: 60 dB under full scale."""

# Onset strength
_HOP = RATE_HZ // FRAME_RATE_HZ
_WINDOW = 1024
_BLOCK = 32  # frames transformed at once: what they take stays in the processor's cache
_LAG = 2  # frames over which the rise is taken
_BAND_EDGES_HZ = np.geomspace(30, 10_000, 42)
_BASS_HZ = 400  # bands above weigh less, in proportion to their frequency
_COMPRESSION = 10.0
_MEAN_FRAMES = 50  # the mean of half a second is taken off
_SCALE_FRAMES = 50  # the scale follows the maximum of blocks of half a second
_SCALE_SECONDS = 3
# For beats the scale follows more slowly, so that what sings through a break does not count for as much as the drums.
_BEATS_SCALE_SECONDS = 10
_SCALE_FLOOR = 0.05  # of the greatest rise: noise in a pause is not blown up to onsets
_LEAST_RISE = 0.02  # in nepers: nor is the ripple of a tone that does not change
_ONSET = 0.1  # strength below which a frame is no onset
_MET = 0.2  # strength of an onset that meets a beat
_LEAST_MET = 0.2  # share of the beats that an onset meets; with fewer there is no pulse

# Path. Its score is in frames: a perfect beat brings the length of the interval that it ends, so that twice as many
# beats bring no more. The figures were chosen on generated tracks from 64 to 174 BPM: those of `benchmarks/beats.py`,
# with seeds of their own, and free tempo, breaks and waltzes beside them.
_SLOWEST_BPM, _FASTEST_BPM = 50, 215
_HINT_REACH = 1.4  # a hint near the ends of that range widens it by this factor
# People tap along at 120 to 130 by preference (Moelants, "Preferred tempo reconsidered", ICMPC 2002). Where 87 and 174,
# or 100 and 200, explain a track equally well, this decides: the narrowest choice of all that are made here.
_USUAL_BPM = 120
_FAINT = 0.1  # onset strength from which a beat brings something; grows with the logarithm up to 1
_UNEXPLAINED = 4.0  # cost of an onset inside an interval, times -log(1 - strength), each frame
_UNUSUAL = 0.4  # cost of a tempo an octave from the usual one, half of this share of the interval
_UNHINTED = 2.0  # the same where somebody said the tempo: more than a beat can bring
# Cost of a change of the interval, times the logarithm of the ratio. With less, a melody in a break pulls the beat to
# its own notes; with more, a real step is not taken.
_CHANGE = 250.0
_NEAR_BEAT = 2  # frames around a beat that belong to it
_RISEN = 0.4  # share of its peak at which an onset has begun
_LONGEST_RISE = 8  # frames
_LATENESS = 1.4  # frames from there to the onset itself: a spectrum sees what comes half a window later


@dataclass(frozen=True, slots=True)
class Beats:
    """Beats of a track.

    Attributes:
        times: shape (beats,), seconds from the start, ascending, at least two.
        tempo: beats per minute, the median over the track.
        confidence: 0 to 1: share of the beats that meet an onset, times how far these stand out from what lies between.
            Measured: drums 0.84, noise 0.32.
    """

    times: Floats
    tempo: float
    confidence: float


def find_beats(samples: NDArray[np.float32], tempo_hint: float | None = None, off_beat: bool = False) -> Beats:
    """Find the beats of a track.

    Args:
        samples: shape (n,), mono, finite, -1 to 1, at :data:`RATE_HZ`.
        tempo_hint: beats per minute, 40 to 300: which of the tempos that fit (each beat, every other, twice as many)
            is meant. It need not be exact, and the beats still follow a changing tempo.
        off_beat: what stands out are the off-beats: the beats lie half way between, with one before the first and one
            after the last where something begins there too. Tempo and confidence are those of the off-beats.

    Raises:
        AnalysisError: fewer than :data:`MIN_SECONDS` of sound, silence, no pulse, or fewer than two beats.
    """
    if len(samples) < MIN_SECONDS * RATE_HZ:
        raise AnalysisError(f"beats need at least {MIN_SECONDS} s of sound; there are {len(samples) / RATE_HZ:.2f} s")
    if _peak(samples) < SILENCE:
        raise AnalysisError("the sound is silent: it has no beats")
    strength = onset_strength(samples, _BEATS_SCALE_SECONDS)
    path = follow_pulse(strength, tempo_hint)
    path = path[_sounding(strength, path)]
    met = float((_running_max(strength, _NEAR_BEAT)[path] >= _MET).mean()) if len(path) > 1 else 0.0
    if met < _LEAST_MET:
        raise AnalysisError("the sound has no regular pulse, so no beats")
    times = _refined(strength, path) / FRAME_RATE_HZ
    tempo, confidence = _tempo(times), met * _contrast(strength, path)
    if off_beat:
        path = _half_way(strength, path)
        if len(path) < 2:
            raise AnalysisError("off_beat: too little sound; fewer than two beats lie half way between those found")
        times = _refined(strength, path, _MET) / FRAME_RATE_HZ  # most of what is faint there is no beat
    return Beats(times, tempo, confidence)


def onset_strength(samples: NDArray[np.float32], scale_seconds: int = _SCALE_SECONDS) -> Floats:
    """Measure how strongly something begins, :data:`FRAME_RATE_HZ` times a second.

    Args:
        samples: shape (n,), mono, at :data:`RATE_HZ`, not all zero. Their level does not matter.
        scale_seconds: how far the scale looks to either side.

    Returns:
        Shape (frames,), 0 to 1, where 1 is the strongest onset within about ``scale_seconds``. Frame i is at i / 100 s.
    """
    rise = _rise(samples)
    rise = np.maximum(0.0, rise - _running_mean(rise, _MEAN_FRAMES))
    blocks = -(-len(rise) // _SCALE_FRAMES)
    maxima = np.pad(rise, (0, blocks * _SCALE_FRAMES - len(rise))).reshape(blocks, _SCALE_FRAMES).max(1)
    scale = np.repeat(_running_max(maxima, scale_seconds * FRAME_RATE_HZ // _SCALE_FRAMES), _SCALE_FRAMES)[: len(rise)]
    strength: Floats = rise / np.maximum(scale, max(_SCALE_FLOOR * float(maxima.max()), _LEAST_RISE))
    return strength


def _rise(samples: NDArray[np.float32]) -> Floats:
    """Weighted mean over the bands of the rise of the logarithm of their magnitude, shape (frames,)."""
    padded = np.pad(samples, _WINDOW // 2, mode="reflect")  # the edges of the track are no onsets
    padded *= np.float32(1 / _peak(samples))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    window = np.hanning(_WINDOW).astype(np.float32)
    bins_hz = np.fft.rfftfreq(_WINDOW, 1 / RATE_HZ)
    edges = np.unique(np.searchsorted(bins_hz, _BAND_EDGES_HZ))
    weights = np.minimum(1.0, _BASS_HZ / np.sqrt(bins_hz[edges[:-1]] * bins_hz[edges[1:]]))
    weights = (weights / weights.sum()).astype(np.float32)
    level = np.zeros((_LAG + len(frames), len(weights)), np.float32)
    for begin in range(0, len(frames), _BLOCK):
        block = frames[begin : begin + _BLOCK]
        magnitude = np.abs(np.fft.rfft(block * window, axis=1)[:, : edges[-1]])
        level[_LAG + begin : _LAG + begin + len(block)] = np.add.reduceat(magnitude, edges[:-1], axis=1)
    level *= np.float32(_COMPRESSION)
    np.log1p(level, out=level)
    # A drum at time 0 stands out from what follows, a noise that goes on does not.
    level[:_LAG] = np.median(level[_LAG : _LAG + FRAME_RATE_HZ], axis=0)
    rise = level[_LAG:] - level[:-_LAG]
    np.maximum(rise, 0, out=rise)
    rise *= weights
    total: Floats = rise.sum(1).astype(np.float64)
    return total


def follow_pulse(strength: Floats, tempo_hint: float | None = None) -> NDArray[np.int64]:
    """Find the sequence of beats with the highest score.

    A state is a beat at frame t whose interval since the beat before is τ frames. Its score is the best over all
    previous intervals σ of the score of (t - τ, σ) less the cost of the change from σ to τ, plus what the interval
    brings: τ times (reward of the onset at t less the cost of an unusual tempo), less the cost of the onsets that it
    leaves unexplained. The previous beat is at least the shortest interval back, so as many frames are done at once.
    Where there are no onsets nothing is gained by changing the interval: beats go on through a break at the tempo that
    joins what is before to what is after.

    Args:
        strength: shape (frames,), 0 to 1, at :data:`FRAME_RATE_HZ`.
        tempo_hint: see :func:`find_beats`.

    Returns:
        Shape (beats,), frames, ascending. It covers the whole track, its silent parts too.
    """
    count = len(strength)
    reward = 1 - np.log(np.maximum(_running_max(strength, 1), _FAINT)) / np.log(_FAINT)
    surprise = _UNEXPLAINED * np.concatenate([[0.0], np.cumsum(-np.log(1 - np.minimum(strength, 0.95)))])
    minute = 60 * FRAME_RATE_HZ
    slowest = min(_SLOWEST_BPM, (tempo_hint or _SLOWEST_BPM * _HINT_REACH) / _HINT_REACH)
    fastest = max(_FASTEST_BPM, (tempo_hint or 0) * _HINT_REACH)
    intervals = np.arange(math.ceil(minute / fastest), math.floor(minute / slowest) + 1)
    shortest, longest = int(intervals[0]), int(intervals[-1])
    octaves = np.log2(minute / intervals / (tempo_hint or _USUAL_BPM))
    unusual = (_UNHINTED if tempo_hint else _UNUSUAL) * 0.5 * octaves**2
    change = _CHANGE * np.log(intervals)

    # The scores of the last frames are all that is needed: a ring of as many blocks. What was never written is a beat
    # before the track, which costs nothing.
    blocks = -(-longest // shortest) + 1
    onward = np.zeros((blocks * shortest, len(intervals)))  # [t, τ]: best score of a beat at t that τ follows
    score = np.empty_like(onward)  # [t, τ]
    origins = np.arange(len(onward))[:, None] - intervals  # of a beat at t with τ before it; negative: from the end
    origins = (origins % len(onward) * len(intervals) + np.arange(len(intervals))).reshape(blocks, shortest, -1)
    marks = np.empty((count, len(intervals)), np.uint8)
    for begin in range(0, count, shortest):
        t = np.arange(begin, min(count, begin + shortest))
        block = begin // shortest % blocks
        here = slice(block * shortest, block * shortest + len(t))
        explained = surprise[np.maximum(t - _NEAR_BEAT, 0)]
        passed = surprise[np.minimum(t + _NEAR_BEAT + 1, count)]
        length = intervals if begin >= longest else np.minimum(intervals, t[:, None] + 1)
        states = onward.take(origins[block, : len(t)])
        states += length * (reward[t, None] - unusual)
        states -= explained[:, None]
        score[here] = states
        marks[t] = _change_tempo(states, change, onward[here])
        onward[here] += passed[:, None]

    t = np.arange(max(0, count - longest), count)  # the last beat: the next one would be after the track
    rest = surprise[count] - surprise[np.minimum(t + _NEAR_BEAT + 1, count)]
    final = score[t % len(onward)] - (count - t)[:, None] * unusual - rest[:, None]
    final = np.where(t[:, None] + intervals >= count - 1, final, -np.inf)
    row, kind = divmod(int(final.argmax()), len(intervals))
    frame = int(t[row])
    path = [frame]
    while (earlier := frame - int(intervals[kind])) >= 0:
        frame, kind = earlier, _kind_before(marks[earlier], kind)
        path.append(frame)
    return np.array(path[::-1], np.int64)


_BEST_OF_SHORTER, _BEST_OF_LONGER, _FROM_SHORTER = 1, 2, 4


def _change_tempo(states: Floats, place: Floats, onward: Floats) -> NDArray[np.uint8]:
    """Find the best score with which each interval can follow, over all intervals before it.

    The cost of a change is a distance on a line: the best predecessor among the shorter ones and the best among the
    longer ones are running maxima, so this takes two passes instead of all pairs.

    Args:
        states: shape (t, intervals), scores with the interval before.
        place: shape (intervals,), where on the line an interval lies, ascending.
        onward: like ``states``; receives the scores.

    Returns:
        Marks that :func:`_kind_before` reads: whether a predecessor is the best of those that are shorter, or longer,
        up to itself; and from which side an interval is reached.
    """
    up, down = states + place, (states - place)[:, ::-1]
    shorter, longer = np.maximum.accumulate(up, axis=1), np.maximum.accumulate(down, axis=1)
    marks = (up >= shorter).view(np.uint8)
    marks |= (down >= longer)[:, ::-1].view(np.uint8) << 1
    shorter -= place
    longer = longer[:, ::-1] + place
    marks |= (shorter >= longer).view(np.uint8) << 2
    np.maximum(shorter, longer, out=onward)
    return marks


def _kind_before(marks: NDArray[np.uint8], kind: int) -> int:
    """Return the index of the interval before the one with this index; of equals the nearest to it."""
    if marks[kind] & _FROM_SHORTER:
        return int(np.flatnonzero(marks[: kind + 1] & _BEST_OF_SHORTER)[-1])
    return kind + int(np.flatnonzero(marks[kind:] & _BEST_OF_LONGER)[0])


def _sounding(strength: Floats, path: NDArray[np.int64]) -> slice:
    """Leave out beats before the first and after the last onset that a beat meets."""
    met = np.flatnonzero(_running_max(strength, _NEAR_BEAT)[path] >= _ONSET)
    return slice(int(met[0]), int(met[-1]) + 1) if len(met) else slice(0)


def _half_way(strength: Floats, path: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the frames half way between beats; also before the first and after the last, if they meet an onset."""
    halves = np.diff(path) // 2
    before, after = path[0] - halves[0], path[-1] + halves[-1]
    met = _running_max(strength, _NEAR_BEAT) >= _MET
    first = [before] if before >= 0 and met[before] else []
    last = [after] if after < len(met) and met[after] else []
    return np.concatenate([first, path[:-1] + halves, last]).astype(np.int64)


def _refined(strength: Floats, path: NDArray[np.int64], least: float = _ONSET) -> Floats:
    """Move beats to where the onset next to them begins, if there is one of ``least`` strength. In frames.

    That is where its strength has risen to a share of its peak, between frames by a straight line: a bowed note rises
    for longer than a drum, so that its peak is later by half of that, but its beginning is not.
    """
    refined = path.astype(np.float64)
    for i, frame in enumerate(path):
        begin = max(1, int(frame) - 3)
        nearby = strength[begin : min(len(strength) - 1, int(frame) + 5)]
        if not len(nearby) or nearby.max() < least:
            continue
        refined[i] = begun(strength, begin + int(nearby.argmax()))
    return np.maximum.accumulate(np.maximum(refined, 0))


def begun(strength: Floats, peak: int) -> float:
    """Return where the onset with this peak begins, in frames."""
    level = _RISEN * strength[peak]
    at = peak
    while at > max(0, peak - _LONGEST_RISE) and strength[at - 1] >= level:
        at -= 1
    step = strength[at] - strength[at - 1] if at else 0.0
    rest = float((strength[at] - level) / step) if step > 0 and strength[at - 1] < level else 0.0
    return at - rest + _LATENESS


def _tempo(times: Floats) -> float:
    """Median tempo in beats per minute, taken over eight beats where there are as many."""
    span = min(8, len(times) - 1)
    return float(60 * span / np.median(times[span:] - times[:-span]))


def _contrast(strength: Floats, path: NDArray[np.int64]) -> float:
    """Contrast between the frames at beats, ±20 ms, and all others from the first beat to the last, 0 to 1."""
    at_beat = np.zeros(len(strength), bool)
    for shift in range(-_NEAR_BEAT, _NEAR_BEAT + 1):
        at_beat[np.clip(path + shift, 0, len(strength) - 1)] = True
    inside = slice(int(path[0]), int(path[-1]) + 1)
    on = float(strength[inside][at_beat[inside]].mean())
    off = float(strength[inside][~at_beat[inside]].mean())
    return max(0.0, (on - off) / (on + off)) if on > 0 else 0.0


def _peak(samples: NDArray[np.float32]) -> float:
    return max(float(samples.max()), -float(samples.min()))


def _running_mean(values: Floats, width: int) -> Floats:
    """Mean over ``width`` + 1 values around each, fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(0, index - width // 2), np.minimum(len(values), index + width // 2 + 1)
    mean: Floats = (total[high] - total[low]) / (high - low)
    return mean


def _running_max(values: Floats, reach: int) -> Floats:
    """Maximum over ``reach`` values on either side of each."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, reach), 2 * reach + 1)
    maximum: Floats = windows.max(1)
    return maximum
