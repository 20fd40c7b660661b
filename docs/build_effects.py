"""Makes docs/effects.md and the pictures in docs/effects/ from the effects themselves.

python docs/build_effects.py           write them
python docs/build_effects.py --check   say what is stale, missing or too many; exit 1 if anything is
"""

from __future__ import annotations

import inspect
import json
import math
import sys
from fractions import Fraction
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "libs")]

import av  # noqa: E402
import numpy as np  # noqa: E402
from av.video.frame import VideoFrame  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from artdag_common.effects.base import Effect  # noqa: E402
from artdag_common.effects.registry import EFFECTS  # noqa: E402

Picture = NDArray[np.uint8]

PAGE = ROOT / "docs" / "effects.md"
FOLDER = ROOT / "docs" / "effects"
WIDTH, HEIGHT, GAP = 384, 216, 6
FINE = 2  # drawn so many times as large, for smooth edges
FRAMES = 26  # so far into the clip the pictures are taken
LIMIT_BYTES = 40_000
TOLERANCE = 1.0  # mean difference of two decoded pictures, of 255: other processors may round a few values otherwise

INTRODUCTION = """\
# Effects

<!-- Made by docs/build_effects.py from the effects themselves: change those, then run it. -->

An effect changes the frames of a video, one by one; its sound stays. A step of type EFFECT names it:

```yaml
name: posterized
inputs: {clip: video}
steps:
  - {id: look, type: EFFECT, inputs: [clip], config: {effect: posterize, params: {levels: 4}}}
output: look
```

`examples/recipes/effects.yaml` chains several. Wrong names, wrong parameters and values out of range are refused
before anything runs. Each effect is one file in `libs/artdag_common/effects/`, and its identity is the CID of that
file: changing it renders anew, nothing else does.

What all of them keep to:

- The same frames and parameters give the same bytes, on every run and on any number of cores. Chance comes from `seed`
  and the frame's number alone.
- Lengths are shares of the picture's height, so that a small preview looks like the large result. Any size will do,
  from 2 × 2 px, odd ones too. Times are in frames.
- Parameters may differ from frame to frame: numbers can be bound to the music.
- Below, v is a value of a channel, 0 to 255, and ⌊ ⌋ rounds down.

The pictures show a frame before and after.

"""


def document() -> str:
    """Return the text of the page."""
    links = ", ".join(f"[{name}](#{name})" for name in sorted(EFFECTS))
    return INTRODUCTION + links + "\n" + "".join(section(EFFECTS[name]) for name in sorted(EFFECTS))


def section(effect: Effect) -> str:
    """Return what the page says of one effect."""
    doc = inspect.getdoc(inspect.getmodule(effect.process_frame)) or ""
    exactly = doc.partition("\n\n")[2].strip()
    config = f"{{effect: {effect.name}}}"
    if effect.example:
        config = f"{{effect: {effect.name}, params: {flow(effect.example)}}}"
    parts = [
        f"## {effect.name}",
        effect.description,
        f"![A frame before and after {effect.name}](effects/{effect.name}.jpg)",
        exactly,
        table(effect),
        f"```yaml\n- {{id: look, type: EFFECT, inputs: [clip], config: {config}}}\n```",
    ]
    return "\n" + "\n\n".join(part for part in parts if part) + "\n"


def flow(values: Any) -> str:
    """Return a mapping as YAML on one line."""
    return "{" + ", ".join(f"{name}: {json.dumps(value)}" for name, value in values.items()) + "}"


def table(effect: Effect) -> str:
    """Return the parameters of an effect as a table, from its model."""
    properties = effect.params.model_json_schema().get("properties", {})
    if not properties:
        return ""
    rows = ["| Parameter | Values | Default | Meaning |", "|---|---|---|---|"]
    for name, rule in properties.items():
        default = json.dumps(rule["default"]).strip('"')
        rows.append(f"| `{name}` | {values(rule)} | {default} | {rule['description']} |")
    return "\n".join(rows)


def values(rule: dict[str, Any]) -> str:
    """Return in words what a parameter may be, from its JSON schema."""
    if "enum" in rule:
        return ", ".join(rule["enum"])
    if rule["type"] == "boolean":
        return "true, false"
    if "minimum" in rule:
        whole = "whole, " if rule["type"] == "integer" else ""
        return f"{whole}{rule['minimum']:g} to {rule['maximum']:g}"
    return "#rrggbb" if "pattern" in rule else str(rule["type"])


# -- the scene: balloons over a lake at dusk --


def scene(number: int) -> Picture:
    """Draw a frame of the clip that the pictures are made of: shape (HEIGHT, WIDTH, 3)."""
    time = number / FRAMES
    picture = dusk().copy()
    balloon(picture, 1.52 + 0.10 * time, 0.23 - 0.03 * time, 0.075, ["2ec4b6", "f7fff7"])
    balloon(picture, 0.30 + 0.36 * time, 0.40 - 0.10 * math.sin(2.2 * time), 0.19, ["e63946", "ffd166", "f4f1de"])
    return picture.reshape(HEIGHT, FINE, WIDTH, FINE, 3).mean(axis=(1, 3)).round().astype(np.uint8)


@cache
def dusk() -> NDArray[np.float64]:
    """Draw what does not move, FINE times as large."""
    y, x = np.mgrid[0 : HEIGHT * FINE, 0 : WIDTH * FINE] / (HEIGHT * FINE)
    picture = blend(y / 0.62, ["1b1e56", "5a3a8c", "c75c8d", "ff9e6d", "ffd9a0"])
    sun = np.hypot(x - 1.22, y - 0.47)
    cover(picture, np.exp(-((sun / 0.22) ** 2)) * 0.75, "ffe2a0")
    cover(picture, sun < 0.085, "fff7d6")
    for star in range(46):
        far = np.hypot(x - star * 0.7548 % 1.78, y - star * 0.5698 % 0.3)
        cover(picture, far < 0.0022 + star % 3 * 0.0009, "f4ecff")
    for ground, rough, height, colour in ((0.56, 0.9, 0.10, "7c4a86"), (0.60, 2.1, 0.07, "4c3272")):
        ridge = ground - height * np.abs(np.sin(3.1 * rough * x + 2 * rough) * np.sin(1.7 * rough * x + 1)) ** 0.8
        cover(picture, y > ridge - 0.008 * np.sin(40 * x * rough), colour)
    lake = y > 0.63
    depth = np.clip((y - 0.63) / 0.37, 0, 1)
    water = blend(depth, ["f0a184", "9a5a94", "3a2f74", "17184a"])
    picture[lake] = water[lake]
    glitter = np.sin(260 * depth**0.6 + 5 * np.sin(30 * x)) > 0.35
    cover(picture, lake & glitter & (np.abs(x - 1.22) < 0.05 + 0.12 * depth), "ffe0a8", 0.85)
    cover(picture, y > 0.955 - 0.10 * np.exp(-(((x - 0.15) / 0.45) ** 2)) + 0.006 * np.sin(170 * x), "10122e")
    for reed in range(26):
        foot = 0.02 + reed * 0.026 + 0.009 * (reed * 7 % 5)
        top = 0.74 + 0.03 * (reed * 5 % 7)
        bend = 0.04 * (1 - (y - top) / 0.25) ** 2 * math.sin(reed)
        cover(picture, (np.abs(x - foot - bend) < 0.0035) & (y > top), "10122e")
    return picture


def balloon(picture: NDArray[np.float64], at_x: float, at_y: float, size: float, hues: list[str]) -> None:
    """Draw a hot-air balloon; ``size`` is the radius of its envelope."""
    left, top = (round((at - 1.05 * size) * HEIGHT * FINE) for at in (at_x, at_y))
    side = round(2.9 * size * HEIGHT * FINE)
    picture = picture[top : top + side, left : left + side]
    y, x = np.mgrid[top : top + picture.shape[0], left : left + picture.shape[1]] / (HEIGHT * FINE)
    across, down = (x - at_x) / size, (y - at_y) / size
    half = np.where(down < 0, np.sqrt(np.clip(1 - down**2, 0, 1)), np.clip(1 - 0.62 * np.clip(down, 0, 2) ** 1.6, 0, 1))
    half = np.where((down > -1) & (down < 1.22), half, 0)
    inside = np.abs(across) < half
    turn = np.arcsin(np.clip(across / np.maximum(half, 1e-6), -1, 1))
    for stripe in range(8):
        cover(picture, inside & (np.floor((turn / np.pi + 0.5) * 8) == stripe), hues[stripe % len(hues)])
    cover(picture, inside & (np.abs(down - 0.28) < 0.07), hues[-1])
    cover(picture, np.clip(0.15 - 0.55 * across + 0.25 * down, 0, 0.6) * inside, "2b1246")
    cover(picture, np.exp(-(((across - 0.42) / 0.16) ** 2) - ((down + 0.42) / 0.22) ** 2) * 0.6 * inside, "ffffff")
    for rope in (-1, 1):
        cover(picture, (np.abs(across - rope * 0.13) < 0.016) & (down > 1.15) & (down < 1.55), "2a1c33")
    cover(picture, (np.abs(across) < 0.17) & (down > 1.5) & (down < 1.75), "7a4a2b")


def cover(picture: NDArray[np.float64], share: Any, colour: str, by: float = 1.0) -> None:
    """Lay a colour over the picture, by a share of 0 to 1 for each pixel."""
    share = np.asarray(share, np.float64)[..., None] * by
    picture += (np.array(list(bytes.fromhex(colour)), np.float64) - picture) * share


def blend(place: Any, colours: list[str]) -> NDArray[np.float64]:
    """Return colours for places from 0 to 1: shape (height, width, 3)."""
    at = np.clip(place, 0, 1) * (len(colours) - 1)
    stops = np.array([list(bytes.fromhex(colour)) for colour in colours])
    return np.stack([np.interp(at, np.arange(len(colours)), stops[:, c]) for c in range(3)], axis=-1)


@cache
def clip() -> tuple[Picture, ...]:
    """Return the frames of the clip."""
    return tuple(scene(number) for number in range(FRAMES))


# -- the pictures --


def before_and_after(effect: Effect) -> Picture:
    """Return the last frame of the clip, and beside it what the effect makes of it."""
    params = effect.params.model_validate(dict(effect.example))
    state: Any = {}
    after = clip()[0]
    for frame in clip():
        after, state = effect.process_frame(frame.copy(), params, state)
    return np.concatenate([clip()[-1], np.full((HEIGHT, GAP, 3), 255, np.uint8), after], axis=1)


def encode(picture: Picture) -> bytes:
    """Return the picture as JPEG, as good as it can be in LIMIT_BYTES."""
    for quality in range(3, 32):
        file = BytesIO()
        with av.open(file, "w", format="mjpeg") as container:
            stream = container.add_stream("mjpeg", rate=Fraction(1))
            stream.height, stream.width = picture.shape[:2]
            stream.pix_fmt = "yuvj444p"
            stream.codec_context.qmin = stream.codec_context.qmax = quality
            stream.codec_context.bit_rate = 8 * LIMIT_BYTES
            stream.codec_context.flags |= 1 << 23  # bitexact: no name of a library in the file
            frame = VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuvj444p", dst_color_range="JPEG")
            container.mux([*stream.encode(frame), *stream.encode()])
        if len(file.getvalue()) <= LIMIT_BYTES:
            return file.getvalue()
    raise ValueError("the picture cannot be made small enough")


def decode(file: bytes) -> Picture:
    """Return the picture in a JPEG file."""
    with av.open(BytesIO(file), format="mjpeg") as container:
        (frame,) = container.decode(video=0)
        return frame.to_ndarray(format="rgb24")


def differs(stored: bytes, made: bytes) -> bool:
    """Whether two JPEG files show different pictures."""
    one, other = decode(stored), decode(made)
    return one.shape != other.shape or float(np.abs(one.astype(int) - other).mean()) > TOLERANCE


def stale() -> list[str]:
    """Return what is not as it would be made now."""
    problems = []
    if not PAGE.exists() or PAGE.read_text() != document():
        problems.append(f"{PAGE.relative_to(ROOT)} is not what the effects say")
    for name, effect in sorted(EFFECTS.items()):
        path = FOLDER / f"{name}.jpg"
        if not path.exists():
            problems.append(f"{path.relative_to(ROOT)} is missing")
        elif path.stat().st_size > LIMIT_BYTES:
            problems.append(f"{path.relative_to(ROOT)} has more than {LIMIT_BYTES} bytes")
        elif differs(path.read_bytes(), encode(before_and_after(effect))):
            problems.append(f"{path.relative_to(ROOT)} shows something else than the effect")
    known = {f"{name}.jpg" for name in EFFECTS}
    problems += [
        f"{path.relative_to(ROOT)} belongs to no effect" for path in FOLDER.iterdir() if path.name not in known
    ]
    return problems


def main() -> int:
    """Write the page and the pictures, or check them."""
    if "--check" in sys.argv[1:]:
        problems = stale()
        for problem in problems:
            print(problem, file=sys.stderr)
        if problems:
            print("run: python docs/build_effects.py", file=sys.stderr)
        return 1 if problems else 0
    FOLDER.mkdir(exist_ok=True)
    PAGE.write_text(document())
    for name, effect in EFFECTS.items():
        (FOLDER / f"{name}.jpg").write_bytes(encode(before_and_after(effect)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
