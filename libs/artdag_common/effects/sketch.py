"""sketch: drawn with a pencil, with ink, or with light.

The light of a pixel is l = ⌊(77 R + 150 G + 29 B) / 256⌋. Its edge is e = (|l right − l left| + |l below − l above|)
· strength, at most 255; pixels beyond the border count as those at it.

- pencil: paper, darker by e where there are edges, with hatching: strokes in one direction where l < 170 · hatching,
  in the other too where l < 105 · hatching, a 60th of the height apart.
- ink: the picture's own colours under black lines: each value · (255 − e) / 255.
- neon: the picture's own colours, made bright, on black where there are edges: 2 · value · e / 255, at most 255.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artdag_common.effects.base import Frame

PAPER = (250, 246, 236)
STROKE = 88  # how dark a stroke of the hatching is


class SketchParams(EffectParams):
    """Parameters of sketch."""

    style: Literal["pencil", "ink", "neon"] = Field("pencil", description="What it is drawn with")
    strength: float = Field(2.0, ge=0, le=16, description="How soon a change of light becomes a line")
    hatching: float = Field(0.8, ge=0, le=1.5, description="How much of the shadow is hatched, with pencil")


@effect(
    "sketch",
    version="1.0.0",
    author="Art DAG",
    description="Draws the picture with pencil, ink or light.",
    example={"style": "pencil", "strength": 3.0},
    remembers="nothing",
)
def process_frame(frame: Frame, params: SketchParams, state: Any) -> tuple[Frame, Any]:
    """Return the drawing. ``state`` holds the hatching of the shape it was last needed in."""
    import numpy as np

    light = 77 * frame[..., 0].astype(np.uint16)
    light += 150 * frame[..., 1].astype(np.uint16)
    light += 29 * frame[..., 2].astype(np.uint16)
    light >>= 8
    edge = _edge(light.view(np.int16), round(params.strength * 16))
    if params.style == "ink":
        np.subtract(255, edge, out=edge)
        for channel in range(3):
            frame[..., channel] = (edge * frame[..., channel] + 127) // 255
    elif params.style == "neon":
        for channel in range(3):
            frame[..., channel] = np.minimum(edge * frame[..., channel] >> 7, 255)
    else:
        if state.get("hatching_for") != light.shape:
            state = {"hatching_for": light.shape, "hatching": _hatching(*light.shape)}
        one, other = state["hatching"]
        edge += one * (light < round(170 * params.hatching))
        edge += other * (light < round(105 * params.hatching))
        np.minimum(edge, 224, out=edge)
        for channel, white in enumerate(PAPER):
            frame[..., channel] = white - edge
    return frame, state


def _edge(light: NDArray[np.int16], strength: int) -> NDArray[np.uint16]:
    """Return the edges, 0 to 255; ``strength`` in 16ths."""
    import numpy as np

    edge = np.zeros(light.shape, np.int16)
    for axis in (0, 1):
        across, found = (np.moveaxis(each, axis, 0) for each in (light, edge))
        found[1:-1] += np.abs(across[2:] - across[:-2])
        found[0] += np.abs(across[1] - across[0])
        found[-1] += np.abs(across[-1] - across[-2])
    # what is beyond 255 at this strength is cut off first, so that nothing overflows
    np.minimum(edge, 255 * 16 // max(strength, 8) + 1, out=edge)
    edge *= strength
    edge >>= 4
    return np.minimum(edge, 255, out=edge).view(np.uint16)


def _hatching(height: int, width: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Return how dark the strokes of either direction are: shape (height, width), 0 or STROKE."""
    import numpy as np

    apart = max(3, round(height / 60))
    thick = max(1, round(apart / 4))
    y, x = np.arange(height)[:, None], np.arange(width)
    one, other = (x + y) % apart < thick, (x - y) % apart < thick
    return (one * STROKE).astype(np.uint16), (other * STROKE).astype(np.uint16)
