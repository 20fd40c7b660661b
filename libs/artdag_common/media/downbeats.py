"""Bars: how many beats they have, and where they begin.

What sounds from each beat to the next is one spectrum, as in Davies and Plumbley, "A spectral difference approach to
downbeat extraction in musical audio", EUSIPCO 2006. Bars repeat: spectra that are a bar apart resemble each other, so
the distance at which they do tells three beats a bar from four. Bars begin where the harmony changes and the bass
enters; which beats those are is a path through the positions of the bar, by dynamic programming, so that a beat too
many or too few does not put every later bar wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from artdag_common.media.beats import RATE_HZ

Floats = NDArray[np.float64]

METERS = (4, 3)
"""Beats a bar that are told apart; the first where nothing tells."""

_SPECTRUM = 8192  # samples of a beat's spectrum: 0.37 s; a shorter beat is filled up with zeros
_ATTACK_SECONDS = 0.08
_HARMONY_HZ = np.geomspace(60, 2000, 61)
_BASS_HZ = 150
_COMPRESSION = 0.3  # power to which magnitudes are raised, so that quiet notes count
_REPEATS = 3  # bars over which resemblance is taken
_HARMONY, _BASS, _REPEAT = 1.0, 0.5, 2.0  # weights: change of harmony, bass, resemblance a bar apart
_WALTZ = 0.2  # by how much three beats a bar have to win; without a pattern both have none, drums win by 0.8 to 3
_SLIP = 6.0  # cost of a bar that is too short or too long


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of a track.

    Attributes:
        downbeat_times: shape (bars,), seconds, ascending: those beats that begin one.
        beats_per_bar: 3 or 4.
    """

    downbeat_times: Floats
    beats_per_bar: int


def find_bars(samples: NDArray[np.float32], beat_times: Floats) -> Bars:
    """Group beats into bars.

    Args:
        samples: shape (n,), mono, at :data:`artdag_common.media.beats.RATE_HZ`.
        beat_times: shape (beats,), seconds, ascending, at least one.

    Returns:
        Three or four beats a bar; of fewer than two bars, or where every beat is like the next, four.
    """
    sounds, attacks, bass = _spectra(samples, beat_times)
    accent = _HARMONY * _standard(_change(sounds)) + _BASS * _standard(bass)
    four, three = (_contrast(accent, meter) + _REPEAT * _resemblance(attacks, meter) for meter in METERS)
    meter = METERS[len(beat_times) >= 2 * max(METERS) and three > four + _WALTZ]
    return Bars(beat_times[_positions(accent, meter) == 0], meter)


def _spectra(samples: NDArray[np.float32], beat_times: Floats) -> tuple[Floats, Floats, Floats]:
    """Spectrum of each beat, spectrum of its beginning, and its bass: shapes (beats, bands) twice and (beats,)."""
    starts = np.minimum(np.round(beat_times * RATE_HZ).astype(np.int64), len(samples))
    ends = np.append(starts[1:], len(samples))
    attack = int(_ATTACK_SECONDS * RATE_HZ)
    bins_hz = np.fft.rfftfreq(_SPECTRUM, 1 / RATE_HZ)
    edges = np.unique(np.searchsorted(bins_hz, _HARMONY_HZ))
    low = int(np.searchsorted(bins_hz, _BASS_HZ))
    sounds = np.zeros((len(starts), len(edges) - 1))
    attacks = np.zeros((len(starts), len(edges)))
    bass = np.zeros(len(starts))
    hann = cache(lambda length: np.hanning(length).astype(np.float32))  # most beats are as long as the one before
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        whole = samples[start : min(end, start + _SPECTRUM)]
        if len(whole) < 2:
            continue
        magnitude = np.abs(np.fft.rfft(whole * hann(len(whole)), _SPECTRUM)[: edges[-1]])
        sounds[i] = np.add.reduceat(magnitude, edges[:-1]) ** _COMPRESSION
        begin = whole[:attack]
        magnitude = np.abs(np.fft.rfft(begin * hann(2 * len(begin))[len(begin) :], _SPECTRUM))
        attacks[i] = np.add.reduceat(magnitude, edges) ** _COMPRESSION
        bass[i] = np.sqrt(np.square(magnitude[:low]).sum())
    return sounds, attacks, bass**_COMPRESSION


def _change(spectra: Floats) -> Floats:
    """How far each spectrum is from the one before, 0 to 1; the first has none: the mean."""
    change = np.zeros(len(spectra))
    if len(spectra) > 1:
        change[1:] = 1 - _cosine(spectra[1:], spectra[:-1])
        change[0] = change[1:].mean()
    return change


def _resemblance(spectra: Floats, meter: int) -> float:
    """How much more alike beats are that are whole bars apart than beats are on average."""
    centred = spectra - spectra.mean(0)
    apart = [_cosine(centred[bars * meter :], centred[: -bars * meter]) for bars in range(1, _REPEATS + 1)]
    alike = [float(each.mean()) for each in apart if len(each)]
    return sum(alike) / len(alike) if alike else 0.0


def _contrast(accent: Floats, meter: int) -> float:
    """How far the strongest position of the bar stands out from the others."""
    if len(accent) < 2 * meter:
        return 0.0
    return max(float(accent[at::meter].mean()) for at in range(meter)) * (1 - 1 / meter)


def _positions(accent: Floats, meter: int) -> NDArray[np.int64]:
    """Position in the bar of each beat, 0 to ``meter`` - 1: the path whose first beats have the greatest accents."""
    count = len(accent)
    score = np.zeros(meter)
    before = np.zeros((count, meter), np.int64)
    one_before = np.roll(np.arange(meter), 1)  # position p follows p - 1
    for i in range(count):
        usual = score[one_before]
        best = int(score.argmax())
        slipped = usual < score[best] - _SLIP
        before[i] = np.where(slipped, best, one_before)
        score = np.where(slipped, score[best] - _SLIP, usual)
        score[0] += accent[i]
    place = int(score.argmax())
    places = np.empty(count, np.int64)
    for i in range(count - 1, -1, -1):
        places[i] = place
        place = int(before[i, place])
    return places


def _standard(values: Floats) -> Floats:
    """Values with mean 0 and deviation 1; all 0 where they do not differ."""
    deviation = float(values.std())
    standard: Floats = (values - values.mean()) / deviation if deviation > 1e-6 else np.zeros_like(values)
    return standard


def _cosine(first: Floats, second: Floats) -> Floats:
    """Cosine of the angle between rows; 0 where one is empty."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosine: Floats = np.divide((first * second).sum(1), norms, out=np.zeros(len(first)), where=norms > 1e-9)
    return cosine
