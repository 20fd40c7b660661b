"""The peaks of a sound over its time, as a picture for web pages: dark on transparent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artdag_common.errors import StepInputError
from artdag_common.media.soundtrack import Sound, SoundShape, Span, read_sound, sound_shape, sound_start

COLOUR = (31, 41, 55)
PEAK_COVER, BODY_COVER = 120, 235  # 0 to 255
FINEST = 64
"""Samples of a block, to begin with."""
MOST_BLOCKS = 1 << 16
"""As soon as there are more, every two become one, so that a day of sound takes no more memory than a minute."""
MOST_GAIN = 8.0
"""A soft sound is shown larger, up to this: silence stays a line."""
STEPS = 16
"""Parts of a pixel to which edges are rounded."""

Blocks = NDArray[np.float32]
"""Shape (3, blocks): least, greatest, and mean square of the samples of a block."""


def waveform(media: Path, output: Path, width: int, height: int) -> Path:
    """Write a PNG: per column the least and the greatest sample of all channels, and inside them the effective value.

    The loudest sample reaches the edge; a sound more than 18 dB under full scale is shown smaller than that.

    Raises:
        StepInputError: ``media`` has no sound, or an empty one.
    """
    shape = sound_of(media, "waveform")
    blocks = collected(read_sound(Span(media, sound_start(media), None), shape))
    if not blocks.size:
        raise StepInputError("media: the audio is empty; there is no waveform to show", slot="media")
    Image.fromarray(_drawn(_columns(blocks, width), height), "RGBA").save(output, "PNG", optimize=True)
    return output


def sound_of(media: Path, what: str, rate_hz: int = 0) -> SoundShape:
    """Return the shape in which a file's sound is looked at.

    Args:
        what: name of the picture, for the message.
        rate_hz: samples a second, and then one channel; 0: as in the file.

    Raises:
        StepInputError: ``media`` has no sound.
    """
    shape = sound_shape(media)
    if shape is None:
        raise StepInputError(f"media: the file holds no audio; there is no {what} to show", slot="media")
    return SoundShape(rate_hz, 1) if rate_hz else shape


def collected(pieces: Iterable[Sound]) -> Blocks:
    """Return least, greatest and mean square of a sound's blocks, all of one length; the rest at the end is a block."""
    done: list[Blocks] = []
    count, length = 0, FINEST
    held: Sound | None = None
    for piece in pieces:
        joined = piece if held is None else np.concatenate([held, piece], axis=1)
        whole = joined.shape[1] - joined.shape[1] % length
        held = joined[:, whole:]
        if whole:
            done.append(_blocks(joined[:, :whole], length))
            count += whole // length
        while count > MOST_BLOCKS:
            merged = _merged(np.concatenate(done, axis=1))
            done, count, length = [merged], merged.shape[1], 2 * length
    if held is not None and held.shape[1]:
        done.append(_blocks(held, held.shape[1]))
    return np.concatenate(done, axis=1) if done else np.zeros((3, 0), np.float32)


def _blocks(sound: Sound, length: int) -> Blocks:
    cut = sound.reshape(sound.shape[0], -1, length)
    return np.stack([cut.min(axis=(0, 2)), cut.max(axis=(0, 2)), np.square(cut).mean(axis=(0, 2))])


def _merged(blocks: Blocks) -> Blocks:
    """Make one block of every two; an odd one at the end counts as two."""
    pairs = np.concatenate([blocks, blocks[:, -1:]], axis=1)[:, : (blocks.shape[1] + 1) // 2 * 2].reshape(3, -1, 2)
    return np.stack([pairs[0].min(axis=1), pairs[1].max(axis=1), pairs[2].mean(axis=1)])


def _columns(blocks: Blocks, width: int) -> Blocks:
    """Return least, greatest and effective value of each column."""
    count = blocks.shape[1]
    begins = np.arange(width) * count // width
    ends = np.maximum(begins + 1, np.append(begins[1:], count))
    sums = np.concatenate([[0.0], np.cumsum(blocks[2], dtype=np.float64)])
    mean = (sums[ends] - sums[begins]) / (ends - begins)
    return np.stack(
        [
            np.minimum.reduceat(blocks[0], begins),
            np.maximum.reduceat(blocks[1], begins),
            np.sqrt(np.maximum(mean, 0)).astype(np.float32),
        ]
    )


def _drawn(columns: Blocks, height: int) -> NDArray[np.uint8]:
    """Draw columns: shape (height, width, 4)."""
    loudest = float(np.abs(columns[:2]).max())
    middle = height / 2
    scale = middle * min(MOST_GAIN, 1 / loudest if loudest else 1.0)
    low, high, body = columns[0] * scale, columns[1] * scale, columns[2] * scale
    body_low, body_high = np.maximum(low, -body), np.minimum(high, body)
    peak = _covered(middle - high, middle - low, height) * PEAK_COVER
    inner = _covered(middle - body_high, middle - body_low, height) * (BODY_COVER - PEAK_COVER)
    line = _covered(np.full_like(low, middle - 0.5), np.full_like(low, middle + 0.5), height) * PEAK_COVER
    picture = np.empty((height, columns.shape[1], 4), np.uint8)
    picture[..., :3] = COLOUR
    picture[..., 3] = (np.maximum(peak, line) + inner) // STEPS
    return picture


def _covered(top: Blocks, bottom: Blocks, height: int) -> NDArray[np.int64]:
    """Return how much of each pixel lies between two edges, in parts of :data:`STEPS`: shape (height, columns)."""
    first, last = (np.round(edge * STEPS).astype(np.int64) for edge in (top, bottom))
    rows = np.arange(height)[:, None] * STEPS
    covered: NDArray[np.int64] = np.clip(np.minimum(last, rows + STEPS) - np.maximum(first, rows), 0, STEPS)
    return covered
