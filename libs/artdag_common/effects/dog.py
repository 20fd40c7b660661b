"""dog: turns the picture into a dog.

A dog's head, drawn with curves, looks out of the picture: ears swing, the head tilts, the tongue hangs and pants, now
and then an eye winks. Its coat takes on the light of the picture below, which goes on around it in warm colours.
Drawn once for each pose and size and kept packed (thirty poses take 2 MB each at 720p), then laid over each frame by
whole numbers, so that every processor gives the same.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from artdag_common.effects.base import Frame

    Point = tuple[float, float]
    Colour = tuple[int, int, int]

POSES = 16  # of one swing of ears, head and tongue
FRAMES_A_POSE = 2
BLINK_EVERY, BLINK_FRAMES = 96, 6
OVERSAMPLING = 3
ROWS = 32  # at a time, so that little memory is in use

COAT, COAT_DARK, COAT_LIGHT = (214, 150, 84), (122, 72, 40), (238, 190, 128)
CREAM, CREAM_SHADE = (255, 244, 226), (236, 216, 188)
NOSE, NOSE_SHINE = (52, 36, 36), (150, 130, 130)
TONGUE, TONGUE_LINE = (243, 120, 138), (208, 82, 106)
MOUTH, LINE = (110, 40, 44), (84, 50, 34)
COLLAR, COLLAR_DARK, TAG, TAG_LINE = (204, 44, 52), (158, 28, 38), (250, 204, 76), (196, 148, 36)
WARM = (255, 208, 140)


class DogParams(EffectParams):
    """Parameters of dog."""

    size: float = Field(0.94, ge=0.2, le=1, description="Height of the dog by that of the picture")
    tint: float = Field(0.4, ge=0, le=1, description="How warm the picture around it becomes")
    likeness: float = Field(0.35, ge=0, le=1, description="How much of the picture's light shows in the coat")


@effect(
    "dog",
    version="1.0.1",
    author="Art DAG",
    description="Turns the picture into a dog that pants, blinks and swings its ears.",
    remembers="number",
)
def process_frame(frame: Frame, params: DogParams, state: Any) -> tuple[Frame, Any]:
    """Return the frame with the dog in it. ``state`` holds the frame's number and what was drawn."""
    import numpy as np

    height, width = frame.shape[:2]
    number = state.get("number", 0)
    side = max(1, round(params.size * min(height, width)))
    if state.get("side") != side:
        state = {**state, "side": side, "sprites": {}}
    if state.get("tint") != params.tint:
        state = {**state, "tint": params.tint, "warm": _warm_table(params.tint)}
    pose = number // FRAMES_A_POSE % POSES
    blink = number % BLINK_EVERY >= BLINK_EVERY - BLINK_FRAMES
    if state.get("posed") != (pose, blink, side):
        packed: dict[tuple[int, bool], bytes] = state["sprites"]
        if (pose, blink) not in packed:
            packed[pose, blink] = zlib.compress(_sprite(side, pose / POSES, blink).tobytes(), 1)
        drawn = np.frombuffer(zlib.decompress(packed[pose, blink]), np.uint8).reshape(side, side, 4)
        state = {**state, "posed": (pose, blink, side), "sprite": drawn}
    sprite = state["sprite"]

    warm = state["warm"]
    for channel in range(3):
        frame[..., channel] = warm[channel][frame[..., channel]]
    top, left = height - side, (width - side) // 2
    weight = round(params.likeness * 128)
    for row in range(0, side, ROWS):
        below = frame[top + row : top + min(side, row + ROWS), left : left + side]
        band = sprite[row : row + ROWS].astype(np.int32)
        cover = band[..., 3:] + (band[..., 3:] >> 7)
        # what the light below does to the coat: 256 is unchanged, mid grey changes nothing
        under = below.astype(np.int32)
        light = 256 + (((under[..., 1:2] - 128) * weight) >> 7)
        coat = np.minimum((band[..., :3] * light) >> 8, 255)
        below[:] = under + (((coat - under) * cover) >> 8)
    state["number"] = number + 1
    return frame, state


def _warm_table(tint: float) -> NDArray[np.uint8]:
    """Return what each value of each channel becomes: shape (3, 256)."""
    import numpy as np

    weight = round(tint * 256)
    values = np.arange(256)
    warm = [values * (256 - weight) + ((values * 3 + 255) * aim >> 10) * weight >> 8 for aim in WARM]
    return np.clip(np.stack(warm), 0, 255).astype(np.uint8)


def _sprite(side: int, phase: float, blink: bool) -> Frame:
    """Draw a pose.

    Args:
        side: pixels.
        phase: place in the swing, 0 to 1.

    Returns:
        Colours and cover (side, side, 4), 0 to 255.
    """
    import numpy as np
    from PIL import Image

    big = side * OVERSAMPLING
    drawn, colours = _draw(big, phase, blink)
    inks = np.array([(*COAT, 0), *((*colour, 255) for colour in colours)], np.uint8).view(np.uint32)[:, 0]
    small = np.empty((side, side, 4), np.uint8)
    for row in range(0, side, ROWS):
        below = min(side, row + ROWS)
        which = np.asarray(drawn.crop((0, row * OVERSAMPLING, big, below * OVERSAMPLING)))
        band = np.take(inks, which, mode="clip").view(np.uint8).reshape(*which.shape, 4)
        # Pillow weighs colours by their cover as it shrinks, so that edges don't take on the colour of what is empty
        small[row:below] = np.asarray(Image.fromarray(band).resize((side, below - row), Image.Resampling.BOX))
    return small


def _draw(big: int, phase: float, blink: bool) -> tuple[Image, list[Colour]]:
    """Draw the head on a square of ``big`` pixels; coordinates go from -1 to 1, downwards.

    Returns:
        Which colour each pixel has, one byte each: 0 for none, else its place in the list, counted from 1; the list.
    """
    from PIL import Image as Images
    from PIL import ImageDraw

    picture = Images.new("L", (big, big))
    pen = ImageDraw.Draw(picture)
    colours: list[Colour] = []
    swing = math.sin(2 * math.pi * phase)
    pant = 0.5 - 0.5 * math.cos(4 * math.pi * phase)

    tilt = math.radians(3.0) * swing
    cosine, sine = 0.95 * math.cos(tilt), 0.95 * math.sin(tilt)

    def at(points: list[Point]) -> list[Point]:
        """Tilt about the collar, and bring to pixels."""
        turned = [(x * cosine + (y - 0.85) * sine, (y - 0.85) * cosine - x * sine + 0.85) for x, y in points]
        return [((x + 1) * big / 2, (y + 1) * big / 2) for x, y in turned]

    def ink(colour: Colour) -> int:
        if colour not in colours:
            colours.append(colour)
        return colours.index(colour) + 1

    def blob(points: list[Point], fill: Colour, mirrored: bool = False) -> None:
        pen.polygon(at(_smooth([(-x, y) for x, y in points] if mirrored else points)), fill=ink(fill))

    def oval(x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        ((px, py),) = at([(x, y)])
        wide, high = 0.95 * rx * big / 2, 0.95 * ry * big / 2
        pen.ellipse([px - wide, py - high, px + wide, py + high], fill=ink(fill))

    def stroke(points: list[Point], fill: Colour, width: float) -> None:
        line = at(_smooth(points, closed=False))
        thick = max(1, round(width * big / 2))
        pen.line(line, fill=ink(fill), width=thick, joint="curve")
        for x, y in (line[0], line[-1]):
            pen.ellipse([x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2], fill=ink(fill))

    # neck and collar
    blob(
        [
            (-0.40, 0.45),
            (-0.46, 0.80),
            (-0.60, 1.05),
            (-0.72, 1.40),
            (0.72, 1.40),
            (0.60, 1.05),
            (0.46, 0.80),
            (0.40, 0.45),
        ],
        COAT,
    )
    blob([(-0.46, 0.74), (0.0, 0.84), (0.46, 0.74), (0.49, 0.86), (0.0, 0.97), (-0.49, 0.86)], COLLAR_DARK)
    blob([(-0.46, 0.74), (0.0, 0.82), (0.46, 0.74), (0.48, 0.83), (0.0, 0.93), (-0.48, 0.83)], COLLAR)
    oval(0.0 + 0.02 * swing, 0.93, 0.085, 0.085, TAG_LINE)
    oval(0.0 + 0.02 * swing, 0.93, 0.068, 0.068, TAG)

    # head
    blob(
        [
            (0.0, -0.74), (0.32, -0.69), (0.56, -0.46), (0.62, -0.10), (0.60, 0.22), (0.44, 0.54), (0.20, 0.70),
            (-0.20, 0.70), (-0.44, 0.54), (-0.60, 0.22), (-0.62, -0.10), (-0.56, -0.46), (-0.32, -0.69),
        ],
        COAT,
    )  # fmt: skip
    # the blaze between the eyes, and a dark patch round one of them
    blob(
        [(0.0, -0.72), (0.12, -0.60), (0.09, -0.25), (0.17, 0.10), (-0.17, 0.10), (-0.09, -0.25), (-0.12, -0.60)], CREAM
    )
    blob(
        [(0.15, -0.36), (0.30, -0.44), (0.47, -0.32), (0.50, -0.08), (0.40, 0.08), (0.24, 0.08), (0.14, -0.10)],
        COAT_DARK,
    )

    # ears: they hang from the top of the head and swing against its tilt
    for mirrored in (False, True):
        lag = 0.09 * swing * (-1 if mirrored else 1)
        outer = [
            (0.30, -0.70), (0.52, -0.72), (0.74, -0.52), (0.88 + lag, -0.10), (0.90 + 1.6 * lag, 0.26),
            (0.76 + 1.8 * lag, 0.42), (0.62 + 1.4 * lag, 0.28), (0.55 + 0.6 * lag, -0.06), (0.46, -0.38),
        ]  # fmt: skip
        inner = [
            (0.52, -0.58), (0.68, -0.44), (0.80 + lag, -0.06), (0.81 + 1.6 * lag, 0.22), (0.74 + 1.7 * lag, 0.31),
            (0.67 + 1.4 * lag, 0.20), (0.62 + 0.6 * lag, -0.10),
        ]  # fmt: skip
        blob(outer, COAT_DARK, mirrored)
        blob(inner, (144, 88, 52), mirrored)

    # mouth, open below the muzzle, and the tongue
    blob([(-0.20, 0.40), (0.20, 0.40), (0.17, 0.58), (0.0, 0.66), (-0.17, 0.58)], MOUTH)
    tip = 0.70 + 0.09 * pant
    sway = 0.03 * swing
    blob([(-0.12, 0.46), (0.12, 0.46), (0.135 + sway, tip - 0.10), (sway, tip), (-0.135 + sway, tip - 0.10)], TONGUE)
    stroke([(0.0, 0.50), (0.3 * sway, 0.56), (0.7 * sway, tip - 0.10)], TONGUE_LINE, 0.022)

    # muzzle
    blob(
        [
            (0.0, 0.00),
            (0.24, 0.06),
            (0.38, 0.24),
            (0.34, 0.42),
            (0.17, 0.50),
            (0.0, 0.43),
            (-0.17, 0.50),
            (-0.34, 0.42),
            (-0.38, 0.24),
            (-0.24, 0.06),
        ],
        CREAM_SHADE,
    )
    blob(
        [
            (0.0, 0.00),
            (0.24, 0.06),
            (0.37, 0.22),
            (0.32, 0.39),
            (0.16, 0.46),
            (0.0, 0.40),
            (-0.16, 0.46),
            (-0.32, 0.39),
            (-0.37, 0.22),
            (-0.24, 0.06),
        ],
        CREAM,
    )
    stroke([(0.0, 0.20), (0.0, 0.32), (0.0, 0.39)], LINE, 0.026)
    for sign in (-1, 1):
        stroke([(0.0, 0.39), (sign * 0.11, 0.455), (sign * 0.24, 0.42), (sign * 0.32, 0.32)], LINE, 0.026)
        for x, y in ((0.17, 0.25), (0.25, 0.30), (0.16, 0.34)):
            oval(sign * x, y, 0.013, 0.013, COAT_DARK)

    # nose
    blob(
        [
            (0.0, 0.00),
            (0.12, 0.01),
            (0.17, 0.09),
            (0.10, 0.18),
            (0.0, 0.23),
            (-0.10, 0.18),
            (-0.17, 0.09),
            (-0.12, 0.01),
        ],
        NOSE,
    )
    blob([(-0.08, 0.035), (0.0, 0.025), (0.03, 0.05), (-0.03, 0.075), (-0.09, 0.07)], NOSE_SHINE)

    # eyes and brows
    for sign in (-1, 1):
        x, y = sign * 0.29, -0.16
        if blink and sign < 0:
            stroke([(x - 0.11, y + 0.00), (x, y + 0.055), (x + 0.11, y + 0.00)], LINE, 0.034)
        else:
            oval(x, y, 0.125, 0.14, (250, 246, 240))
            oval(x - sign * 0.012, y + 0.012, 0.102, 0.117, (86, 50, 28))
            oval(x - sign * 0.012, y + 0.012, 0.070, 0.084, (24, 16, 16))
            oval(x - 0.045, y - 0.045, 0.036, 0.038, (255, 255, 255))
            oval(x + 0.035, y + 0.060, 0.016, 0.017, (255, 255, 255))
        lift = 0.02 * pant
        stroke(
            [(x - 0.10, y - 0.20 - lift), (x, y - 0.245 - lift), (x + 0.10, y - 0.205 - lift)],
            COAT_LIGHT if sign > 0 else COAT_DARK,
            0.04,
        )
    return picture, colours


def _smooth(points: list[Point], closed: bool = True) -> list[Point]:
    """Return a curve through the points (Catmull and Rom, 1974), as short straight pieces."""
    count = len(points)
    ring = points[-1:] + points + points[:2] if closed else points[:1] + points + points[-1:]
    curve = []
    for i in range(count if closed else count - 1):
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = ring[i : i + 4]
        for step in range(12):
            t = step / 12
            curve.append(
                (
                    bx + t / 2 * (cx - ax + t * (2 * ax - 5 * bx + 4 * cx - dx + t * (3 * (bx - cx) + dx - ax))),
                    by + t / 2 * (cy - ay + t * (2 * ay - 5 * by + 4 * cy - dy + t * (3 * (by - cy) + dy - ay))),
                )
            )
    return curve if closed else [*curve, points[-1]]
