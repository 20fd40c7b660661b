"""Media for the demo, drawn and played by ourselves: a cat that runs and jumps, and drums whose beats are known.

Both come out the same, byte for byte, each time.
"""

from __future__ import annotations

import math
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from artdag_common.media.encode import PictureShape, VideoWriter
from artdag_common.media.pictures import ColourTags
from artdag_common.media.rgb import RgbBridge

Point = tuple[float, float]
Rgb = tuple[int, int, int]

# --- the cat --------------------------------------------------------------------------------------------------------

CAT_SIZE = (640, 360)
CAT_RATE = Fraction(30)
CAT_FRAMES = 180
CAT_SECONDS = CAT_FRAMES / CAT_RATE
UNTAGGED = ColourTags(space=2, primaries=2, transfer=2)

GROUND = 300  # pixels from the top: where the cat's feet are
NEAR, MIDDLE, FAR = 8, 3, 1  # pixels a frame
STRIDE = 14  # frames of a stride
LEAP, LEAP_EVERY, LEAP_HEIGHT = 24, 60, 92  # frames, frames, pixels
OVERSAMPLING = 2
CANVAS = (300, 210)  # pixels in which the cat is drawn

FUR, FUR_DARK, FUR_SHADE, CREAM = (246, 156, 66), (204, 104, 34), (222, 130, 48), (255, 240, 216)
PINK, INK, IRIS = (246, 150, 150), (50, 36, 34), (98, 178, 92)


def make_cat(path: Path, frames: int = CAT_FRAMES) -> None:
    """Write six seconds of a cat that runs through a meadow and jumps over logs: H.264, 640x360, 30 frames a second."""
    sky, hills, meadow = _sky(), _hills(), _meadow()
    log = _log()
    bridge = RgbBridge(UNTAGGED)
    with VideoWriter(path, PictureShape(CAT_SIZE, CAT_RATE, UNTAGGED)) as writer:
        for number in range(frames):
            picture = _window(sky, FAR * number)
            for strip, speed in ((hills, MIDDLE), (meadow, NEAR)):
                part = _window(strip, speed * number)
                picture.alpha_composite(part, (0, CAT_SIZE[1] - part.height))
            left = 120 + round(170 * (0.5 - 0.5 * math.cos(2 * math.pi * number / CAT_FRAMES)))
            phase = (number + LEAP_EVERY // 2) % LEAP_EVERY
            through = phase / LEAP if phase < LEAP else None
            lift = 0.0 if through is None else 4 * LEAP_HEIGHT * through * (1 - through)
            log_left = left + 120 - NEAR * (phase - LEAP // 2)
            if phase > LEAP_EVERY - 34:  # the next one comes into view
                log_left += NEAR * LEAP_EVERY
            if -log.width < log_left < CAT_SIZE[0]:
                _lay(picture, log, log_left, GROUND - log.height + 12)
            _shadow(picture, left + 140, 1 - lift / 150)
            _lay(picture, _cat(number, through), left, GROUND - CANVAS[1] + 16 - round(lift))
            frame = np.asarray(picture.convert("RGB"))
            writer.write(bridge.frame(frame))


def _window(strip: Image.Image, left: int) -> Image.Image:
    """Cut what is in view out of a strip that repeats."""
    width = CAT_SIZE[0]
    left %= strip.width - width
    return strip.crop((left, 0, left + width, strip.height))


def _lay(picture: Image.Image, part: Image.Image, left: int, top: int) -> None:
    """Lay a part on the picture; it may stand out at the sides."""
    skip = max(0, -left)
    picture.alpha_composite(part.crop((skip, 0, part.width, part.height)), (left + skip, top))


def _repeated(strip: Image.Image) -> Image.Image:
    """Add the beginning of a strip to its end, so that it can go round."""
    whole = Image.new("RGBA", (strip.width + CAT_SIZE[0], strip.height))
    whole.paste(strip, (0, 0))
    whole.paste(strip.crop((0, 0, CAT_SIZE[0], strip.height)), (strip.width, 0))
    return whole


def _shadow(picture: Image.Image, middle: int, strength: float) -> None:
    half = round(70 * strength)
    shade = Image.new("RGBA", (2 * half, 14), (0, 0, 0, 0))
    ImageDraw.Draw(shade).ellipse([0, 0, 2 * half - 1, 13], fill=(20, 60, 20, round(90 * strength)))
    _lay(picture, shade, middle - half, GROUND + 4)


def _sky() -> Image.Image:
    width, height = CAT_SIZE
    rows = np.linspace(0, 1, height)[:, None]
    top, bottom = np.array([108, 186, 240]), np.array([255, 238, 206])
    colours = np.round(top * (1 - rows) + bottom * rows).astype(np.uint8)
    strip = Image.fromarray(np.repeat(colours[:, None, :], width, axis=1), "RGB").convert("RGBA")
    pen = ImageDraw.Draw(strip)
    for x, y, size in ((60, 60, 26), (250, 100, 20), (430, 46, 30), (560, 120, 18)):
        for dx, dy, part in ((-1.2, 0.3, 0.7), (-0.4, -0.25, 1.0), (0.6, -0.05, 0.85), (1.4, 0.35, 0.6)):
            cx, cy, r = x + dx * size, y + dy * size, part * size
            pen.ellipse([cx - r, cy - 0.8 * r, cx + r, cy + 0.8 * r], fill=(255, 255, 255, 255))
    return _repeated(strip)


def _hills() -> Image.Image:
    width, height = 640, 190
    strip = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    pen = ImageDraw.Draw(strip)
    for colour, base, swells in (
        ((150, 206, 150), 40, ((30, 1, 0.4), (14, 3, 2.0))),
        ((112, 184, 112), 84, ((24, 2, 1.2), (10, 3, 0.2))),
    ):
        ridge = [
            (x, base - sum(h * math.sin(2 * math.pi * n * x / width + p) for h, n, p in swells))
            for x in range(width + 1)
        ]
        pen.polygon([(0, height), *ridge, (width, height)], fill=(*colour, 255))
    for x in (70, 210, 300, 470, 585):
        pen.rectangle([x - 3, 84, x + 3, 120], fill=(126, 88, 60, 255))
        for dy, half in ((40, 22), (58, 27), (76, 31)):
            pen.polygon([(x, dy), (x - half, dy + 32), (x + half, dy + 32)], fill=(60, 142, 86, 255))
    return _repeated(strip)


def _meadow() -> Image.Image:
    width, height = 960, 100
    strip = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    pen = ImageDraw.Draw(strip)
    pen.rectangle([0, 16, width, height], fill=(124, 198, 84, 255))
    pen.rectangle([0, 32, width, 66], fill=(226, 192, 138, 255))  # the path
    pen.rectangle([0, 62, width, 66], fill=(200, 162, 108, 255))
    random = np.random.default_rng(7)
    for x in range(0, width, 6):
        tip = x + int(random.integers(-4, 5))
        pen.polygon([(x, 18), (x + 6, 18), (tip + 3, int(random.integers(2, 12)))], fill=(104, 180, 70, 255))
    for x in range(6, width, 30):
        stone = x + int(random.integers(0, 20)), 40 + int(random.integers(0, 18))
        pen.ellipse([*stone, stone[0] + 7, stone[1] + 4], fill=(204, 168, 116, 255))
    petals = ((255, 255, 255), (255, 214, 92), (244, 128, 160), (178, 140, 236))
    for number, x in enumerate(range(10, width - 10, 22)):
        y, colour = 74 + int(random.integers(0, 18)), petals[number % len(petals)]
        for angle in range(0, 360, 72):
            px, py = x + 4 * math.cos(math.radians(angle)), y + 4 * math.sin(math.radians(angle))
            pen.ellipse([px - 3, py - 3, px + 3, py + 3], fill=(*colour, 255))
        pen.ellipse([x - 2, y - 2, x + 2, y + 2], fill=(250, 180, 60, 255))
    return _repeated(strip)


def _log() -> Image.Image:
    scale = OVERSAMPLING
    log = Image.new("RGBA", (76 * scale, 48 * scale), (120, 78, 46, 0))
    pen = ImageDraw.Draw(log)
    pen.rounded_rectangle([4 * scale, 6 * scale, 70 * scale, 44 * scale], 18 * scale, fill=(134, 90, 54, 255))
    for y in (16, 26, 35):
        pen.line([14 * scale, y * scale, 44 * scale, y * scale], fill=(108, 70, 40, 255), width=2 * scale)
    for inset, colour in ((0, (222, 182, 130)), (6, (190, 146, 96)), (9, (222, 182, 130)), (14, (190, 146, 96))):
        pen.ellipse(
            [(46 + 0.7 * inset) * scale, (6 + inset) * scale, (74 - 0.7 * inset) * scale, (44 - inset) * scale],
            fill=(*colour, 255),
        )
    pen.polygon([(p[0] * scale, p[1] * scale) for p in ((20, 8), (26, -2), (30, 8))], fill=(104, 180, 70, 255))
    return log.resize((76, 48), Image.Resampling.BOX)


def _cat(number: int, leap: float | None) -> Image.Image:
    """Draw the cat, running to the right.

    Args:
        number: frame; sets the stride.
        leap: how far a jump has come, 0 to 1; None: feet on the ground.
    """
    scale = OVERSAMPLING
    picture = Image.new("RGBA", (CANVAS[0] * scale, CANVAS[1] * scale), (*FUR, 0))
    pen = ImageDraw.Draw(picture)
    turn = 2 * math.pi * number / STRIDE
    pitch = 0.0 if leap is None else math.radians(16) * math.cos(math.pi * leap)
    bob = 0.0 if leap is not None else 4 * math.sin(2 * turn)

    def at(x: float, y: float) -> Point:
        """Pitch about the middle of the body, and bring to pixels."""
        dx, dy = x - 140, y - 120
        return (
            (140 + dx * math.cos(pitch) + dy * math.sin(pitch)) * scale,
            (120 + bob + dy * math.cos(pitch) - dx * math.sin(pitch)) * scale,
        )

    def oval(x: float, y: float, rx: float, ry: float, fill: Rgb) -> None:
        points = [at(x + rx * math.cos(a / 24 * math.pi), y + ry * math.sin(a / 24 * math.pi)) for a in range(48)]
        pen.polygon(points, fill=(*fill, 255))

    def limb(points: list[Point], fill: Rgb, thick: float, tip: float | None = None) -> None:
        """Draw discs along a curve through three points, from ``thick`` to ``tip`` pixels wide."""
        (ax, ay), (bx, by), (cx, cy) = points
        for step in range(25):
            t = step / 24
            x = (1 - t) ** 2 * ax + 2 * t * (1 - t) * bx + t * t * cx
            y = (1 - t) ** 2 * ay + 2 * t * (1 - t) * by + t * t * cy
            half = (thick + ((tip or thick) - thick) * t) / 2 * scale
            px, py = at(x, y)
            pen.ellipse([px - half, py - half, px + half, py + half], fill=(*fill, 255))

    def leg(x: float, y: float, angle: float, fill: Rgb, fore: bool) -> None:
        if leap is None:
            foot = x + 34 * math.sin(angle), y + 62 - max(0.0, 20 * math.cos(angle))
        else:
            reach = 50 if fore else -52
            foot = x + reach + 6 * math.sin(angle), y + (34 if fore else 40) - (22 * leap if fore else 0)
        knee = (x + foot[0]) / 2 + (7 if fore else -9), (y + foot[1]) / 2
        limb([(x, y), knee, foot], fill, 22 if fore else 26, 14)
        oval(foot[0] + 4, foot[1] + 2, 11, 7, CREAM)

    # what is behind: tail, far legs
    wave = math.sin(turn)
    limb([(66, 108), (22, 112 - 16 * wave), (26 - 6 * wave, 46 + 16 * wave)], FUR_DARK, 16, 12)
    limb([(66, 108), (22, 112 - 16 * wave), (26 - 6 * wave, 46 + 16 * wave)], FUR, 13, 10)
    oval(26 - 6 * wave, 46 + 16 * wave, 7, 8, CREAM)
    leg(84, 128, turn + 2.4, FUR_SHADE, False)
    leg(190, 128, turn + 2.4 + math.pi, FUR_SHADE, True)

    # body
    oval(138, 116, 84, 36, FUR)
    oval(146, 136, 62, 15, CREAM)
    oval(90, 118, 36, 34, FUR)
    for x in (88, 112, 136, 160):
        limb([(x, 82), (x - 7, 96), (x - 3, 110)], FUR_DARK, 9, 3)
    leg(96, 128, turn, FUR, False)
    leg(196, 128, turn + math.pi, FUR, True)

    # head
    hx, hy = 222.0, 84 + 3 * math.sin(2 * turn + 1)
    for side, inner in ((-1, False), (1, False), (-1, True), (1, True)):
        shrink = 0.55 if inner else 1.0
        bx, by = hx + side * 26, hy - 26
        ear = [(bx - 17 * shrink, by + 8), (bx + side * 7, by - 32 * shrink + 2), (bx + 17 * shrink, by + 8)]
        pen.polygon([at(*p) for p in ear], fill=(*(PINK if inner else FUR), 255))
    oval(hx, hy, 46, 39, FUR)
    for dx, length in ((-11, 14), (0, 18), (11, 14)):
        limb([(hx + dx, hy - 38), (hx + dx, hy - 30), (hx + dx * 0.8, hy - 36 + length)], FUR_DARK, 7, 3)
    oval(hx + 3, hy + 18, 27, 17, CREAM)
    blink = number % 75 in (0, 1, 2, 3)
    for side in (-1, 1):
        ex, ey = hx + side * 19 + 4, hy - 4
        if blink:
            limb([(ex - 9, ey), (ex, ey + 6), (ex + 9, ey)], INK, 3)
        else:
            oval(ex, ey, 11, 12, (255, 255, 255))
            oval(ex + 2, ey + 1, 8.5, 10, IRIS)
            oval(ex + 3, ey + 1, 4.5, 8.5, INK)
            oval(ex + 5, ey - 4, 2.8, 3, (255, 255, 255))
        for slope in (-4, 5):
            start = hx + side * 26 + 3, hy + 17 + slope / 2
            limb(
                [start, (start[0] + side * 12, start[1]), (start[0] + side * 25, start[1] + slope)], (255, 252, 244), 2
            )
        limb([(hx + 4, hy + 16), (hx + 4 + side * 6, hy + 25), (hx + 4 + side * 13, hy + 19)], INK, 2.6)
    pen.polygon([at(hx - 3, hy + 8), at(hx + 11, hy + 8), at(hx + 4, hy + 16)], fill=(*PINK, 255))
    return picture.resize(CANVAS, Image.Resampling.BOX)


# --- the drums ------------------------------------------------------------------------------------------------------

DRUM_RATE_HZ = 44_100
DRUM_BPM = 120
DRUM_SECONDS = 8.0
DRUM_BEATS = tuple(0.125 + beat * 60 / DRUM_BPM for beat in range(16))
"""Seconds at which the beats of :func:`make_drums` fall."""
SWING = 0.58  # where between two beats the second eighth falls: 0.5 is straight

Samples = NDArray[np.float64]
"""Shape (n,), about -1 to 1."""


def make_drums(path: Path) -> None:
    """Write eight seconds of drums, four bars at 120 beats a minute with a fill at the end: WAV, 44.1 kHz, mono."""
    mix = np.zeros(round(DRUM_SECONDS * DRUM_RATE_HZ))
    kick, snare, hat, crash = _kick(), _snare(), _hat(0.05), _hat(0.6)
    toms = [_kick(pitch) for pitch in (190, 160, 130, 100)]
    beat_seconds = 60 / DRUM_BPM
    for beat, time in enumerate(DRUM_BEATS):
        _strike(mix, snare if beat % 2 else kick, time, 0.85)
        _strike(mix, hat, time, 0.34)
        if beat == 15:
            for sixteenth, tom in enumerate(toms):
                _strike(mix, tom, time + sixteenth * beat_seconds / 4, 0.6)
            continue
        _strike(mix, hat, time + SWING * beat_seconds, 0.2)
        if beat % 4 == 2:
            _strike(mix, kick, time + SWING * beat_seconds, 0.5)
    _strike(mix, crash, DRUM_BEATS[0], 0.3)
    _strike(mix, crash, DRUM_BEATS[8], 0.22)
    loud = np.tanh(1.2 * mix) / np.tanh(1.2)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(DRUM_RATE_HZ)
        file.writeframes(np.round(np.clip(loud, -1, 1) * 32_000).astype("<i2").tobytes())


def _strike(mix: Samples, sound: Samples, time: float, gain: float) -> None:
    begin = round(time * DRUM_RATE_HZ)
    part = mix[begin : begin + len(sound)]
    part += gain * sound[: len(part)]


def _times(seconds: float) -> Samples:
    return np.arange(round(seconds * DRUM_RATE_HZ)) / DRUM_RATE_HZ


def _kick(pitch_hz: float = 52) -> Samples:
    t = _times(0.28)
    sweep = pitch_hz * t + 4.2 * (1 - np.exp(-t * 34))
    click = 0.4 * np.exp(-t * 900)
    return np.sin(2 * np.pi * sweep) * np.exp(-t * 13) + click


def _noise(count: int, seed: int) -> Samples:
    return np.random.default_rng(seed).uniform(-1, 1, count)


def _snare() -> Samples:
    t = _times(0.22)
    rattle = np.diff(_noise(len(t) + 1, 3))
    return 0.5 * np.sin(2 * np.pi * 188 * t) * np.exp(-t * 26) + 0.55 * rattle * np.exp(-t * 19)


def _hat(length_seconds: float) -> Samples:
    t = _times(min(1.2, 4 * length_seconds))
    hiss = np.diff(_noise(len(t) + 2, 5), n=2)
    return 0.5 * hiss * np.exp(-t / length_seconds * 2.2)
