"""glitch: a broken transmission.

Frames come in groups of hold; group g is drawn from PCG64 seeded with (seed, g), so that damage stays for a moment
and then jumps. Its strength lies between a quarter of amount and amount, at random. By that strength

- up to 14 bands of rows slip sideways, up to a quarter of the width, and come in again at the other side; every
  third of them in red only, every fifth turns into its negative;
- up to 10 blocks, on a grid of a 30th of the height, show what is elsewhere in the picture;
- red and blue come apart by up to a 40th of the width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    from artdag_common.effects.base import Frame

DRAWN = 160  # random numbers a group, more than are used


class GlitchParams(EffectParams):
    """Parameters of glitch."""

    amount: float = Field(0.5, ge=0, le=1, description="How broken the picture is; 0: not at all")
    hold: int = Field(3, ge=1, le=120, description="Frames that the same damage stays")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Another one gives other damage")


@effect(
    "glitch",
    version="1.0.0",
    author="Art DAG",
    description="Breaks the picture like a bad transmission.",
    example={"amount": 0.8, "seed": 4},
    remembers="number",
)
def process_frame(frame: Frame, params: GlitchParams, state: Any) -> tuple[Frame, Any]:
    """Return the broken frame. ``state`` holds the frame's number."""
    import numpy as np

    number = state.get("number", 0)
    state = {"number": number + 1}
    drawn = iter(np.random.PCG64([params.seed, number // params.hold]).random_raw(DRAWN).tolist())

    def below(limit: int) -> int:
        """Return a random number from 0 to ``limit`` - 1; 0 where there is none."""
        return int(next(drawn)) % limit if limit > 0 else 0

    strength = round(params.amount * (16384 + below(49153)))  # 65536: everything
    if not strength:
        return frame, state
    height, width = frame.shape[:2]

    apart = below(strength * width // 40 // 65536 + 1)
    if apart:
        frame[:, apart:, 0] = frame[:, :-apart, 0].copy()
        frame[:, :-apart, 2] = frame[:, apart:, 2].copy()

    cell = max(1, round(height / 30))
    for _ in range(below(strength * 10 // 65536 + 1)):
        high, wide = min(cell * (1 + below(3)), height), min(cell * (2 + below(12)), width)
        top, left = below(height - high + 1) // cell * cell, below(width - wide + 1) // cell * cell
        from_top, from_left = below(height - high + 1), below(width - wide + 1)
        frame[top : top + high, left : left + wide] = frame[
            from_top : from_top + high, from_left : from_left + wide
        ].copy()

    for band in range(2 + below(strength * 13 // 65536) if strength > 4096 else 1):
        top, slip = below(height), below(strength * width // 4 // 65536 + 1)
        slip = slip if below(2) else -slip
        rows = frame[top : top + 1 + below(height // 10)]
        if band % 5 == 4:
            np.bitwise_not(rows, out=rows)
        if band % 3 == 2:
            rows[..., 0] = np.roll(rows[..., 0], slip, axis=1)
        else:
            rows[:] = np.roll(rows, slip, axis=1)
    return frame, state
