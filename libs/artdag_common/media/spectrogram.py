"""The frequencies of a sound over its time, as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from artdag_common.errors import StepInputError
from artdag_common.media.soundtrack import Sound, Span, in_blocks, read_sound, sound_start
from artdag_common.media.waveform import sound_of

RATE_HZ = 32_000
WINDOW, HOP = 4096, 1024  # 8 Hz, every 32 ms
LOWEST_HZ, HIGHEST_HZ = 40, 15_000
RANGE_DB = 75
SILENCE = 1e-9  # power of a Hann window over samples at about -90 dB
AT_ONCE = 256  # windows transformed at once
MOST_COLUMNS = 4096
"""As soon as there are more, every two become one: a day of sound takes no more memory than a minute."""
PALETTE = ((8, 8, 24), (58, 20, 96), (160, 40, 110), (240, 112, 72), (252, 240, 180))
"""Colours from soft to loud; between them straight lines. Luma rises all along, so that it reads in grey too."""
MARKS = ((100, "100 Hz"), (1000, "1 kHz"), (10_000, "10 kHz"))
MARK_HEIGHT = 96
"""Pixels from which marks are written."""

Powers = NDArray[np.float32]
"""Shape (rows, columns): power, the lowest frequency first."""


def spectrogram(media: Path, output: Path, width: int, height: int) -> Path:
    """Write a PNG: time from left to right, frequency from below on a logarithmic scale, 75 dB from dark to light.

    The lightest point is the loudest there is. All channels are mixed to one.

    Raises:
        StepInputError: ``media`` has no sound, or an empty one.
    """
    shape = sound_of(media, "spectrogram", RATE_HZ)
    powers = _collected(_spectra(read_sound(Span(media, sound_start(media), None), shape), height))
    if not powers.size:
        raise StepInputError("media: the audio is empty; there is no spectrogram to show", slot="media")
    levels = _levels(_fitted(powers, width))
    picture = Image.fromarray(_palette()[levels[::-1]])
    if height >= MARK_HEIGHT:
        _mark(picture)
    picture.save(output, "PNG", optimize=True)
    return output


def _spectra(pieces: Iterable[Sound], rows: int) -> Iterator[Powers]:
    """Give the power of each row, window by window: shape (rows, windows)."""
    hann = np.hanning(WINDOW + 1)[:-1]
    low, part, wide = _bands(rows)
    held = np.zeros(WINDOW // 2)  # so that the first window has its middle at the first sample
    silence = np.zeros((1, WINDOW // 2), np.float32)
    heard = 0
    for block in _ending(in_blocks(pieces, AT_ONCE * HOP), silence):
        heard += block.shape[1]
        joined = np.concatenate([held, block[0]])
        count = (len(joined) - WINDOW) // HOP + 1
        if count <= 0:
            held = joined
            continue
        cut = np.lib.stride_tricks.sliding_window_view(joined, WINDOW)[::HOP][:count]
        held = joined[count * HOP :]
        power = np.square(np.abs(np.fft.rfft(cut * hann, axis=1))) / (hann.sum() / 2) ** 2
        most = np.maximum.reduceat(power, low, axis=1)[:, :-1]  # so that a tone is as light high up, in a wide row
        near = power[:, low[:-1]] * (1 - part) + power[:, low[:-1] + 1] * part
        yield np.where(wide > 1, most, near).T.astype(np.float32)


def _ending(blocks: Iterable[Sound], last: Sound) -> Iterator[Sound]:
    some = False
    for block in blocks:
        some = True
        yield block
    if some:
        yield last


def _bands(rows: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the bin at or below each edge, how far each row lies towards the next bin, and how many it holds."""
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, rows + 1) * WINDOW / RATE_HZ
    low = np.floor(edges).astype(np.int64)
    return low, edges[:-1] - low[:-1], low[1:] - low[:-1]


def _collected(spectra: Iterable[Powers]) -> Powers:
    done: list[Powers] = []
    pairs, left = 1, None
    for found in spectra:
        fresh = found if left is None else np.concatenate([left, found], axis=1)
        whole = fresh.shape[1] // pairs * pairs
        left = fresh[:, whole:]
        done.append(_together(fresh[:, :whole], pairs))
        if sum(each.shape[1] for each in done) > MOST_COLUMNS:
            joined = np.concatenate(done, axis=1)
            even = joined.shape[1] // 2 * 2
            done, pairs = [_together(joined[:, :even], 2)], 2 * pairs
    if left is not None and left.shape[1]:
        done.append(left.mean(axis=1, keepdims=True))
    return np.concatenate(done, axis=1) if done else np.zeros((0, 0), np.float32)


def _together(powers: Powers, count: int) -> Powers:
    return powers.reshape(powers.shape[0], -1, count).mean(axis=2) if powers.size else powers


def _fitted(powers: Powers, width: int) -> Powers:
    """Bring columns to the width of the picture: the mean of several, or between two."""
    count = powers.shape[1]
    if count >= width:
        edges = np.arange(width + 1) * count // width
        sums = np.concatenate([np.zeros((len(powers), 1)), np.cumsum(powers, axis=1, dtype=np.float64)], axis=1)
        return _single((sums[:, edges[1:]] - sums[:, edges[:-1]]) / np.diff(edges))
    at = np.clip((np.arange(width) + 0.5) * count / width - 0.5, 0, count - 1)
    low = np.minimum(at.astype(np.int64), max(0, count - 2))
    part = at - low
    return _single(powers[:, low] * (1 - part) + powers[:, np.minimum(low + 1, count - 1)] * part)


def _single(powers: NDArray[np.float64]) -> Powers:
    return powers.astype(np.float32)


def _levels(powers: Powers) -> NDArray[np.uint8]:
    """Return loudness from 0 to 255."""
    decibels = 10 * np.log10(np.maximum(powers, SILENCE))
    top = max(float(decibels.max()), 10 * np.log10(SILENCE) + RANGE_DB)
    levels: NDArray[np.uint8] = np.round(np.clip((decibels - top) / RANGE_DB + 1, 0, 1) * 255).astype(np.uint8)
    return levels


def _palette() -> NDArray[np.uint8]:
    places = np.linspace(0, 255, len(PALETTE))
    lines = [np.interp(np.arange(256), places, [colour[channel] for colour in PALETTE]) for channel in range(3)]
    return np.round(np.stack(lines, axis=1)).astype(np.uint8)


def _mark(picture: Image.Image) -> None:
    """Write frequencies at the left, with a tick each."""
    pen = ImageDraw.Draw(picture, "RGBA")
    font = ImageFont.load_default(10)
    octaves = np.log(HIGHEST_HZ / LOWEST_HZ)
    for hertz, text in MARKS:
        y = round(picture.height * (1 - np.log(hertz / LOWEST_HZ) / octaves))
        pen.line([(0, y), (picture.width, y)], fill=(255, 255, 255, 40))
        left, top, right, bottom = pen.textbbox((6, y), text, font=font, anchor="lm")
        pen.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=(0, 0, 0, 150))
        pen.text((6, y), text, font=font, anchor="lm", fill=(255, 255, 255, 230))
