"""mirror: one side of the picture and its reflection.

The mirror stands at round(axis · width) of the picture, for top and bottom at round(axis · height), at least 1 px
from the edges. The side that is kept stays; the other shows its reflection, mirrored again where the kept side ends.
quad keeps the upper left quarter and mirrors it both ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artdag_common.effects.base import Frame


class MirrorParams(EffectParams):
    """Parameters of mirror."""

    keep: Literal["left", "right", "top", "bottom", "quad"] = Field("left", description="The side that is reflected")
    axis: float = Field(0.5, ge=0, le=1, description="Where the mirror stands: 0 left or upper edge, 1 right or lower")


@effect(
    "mirror",
    version="1.0.0",
    author="Art DAG",
    description="Reflects one side of the picture in the other.",
    example={"keep": "left", "axis": 0.42},
    remembers="nothing",
)
def process_frame(frame: Frame, params: MirrorParams, state: Any) -> tuple[Frame, Any]:
    """Return the mirrored frame. ``state`` is not used: no frame depends on others."""
    import numpy as np

    height, width = frame.shape[:2]
    if params.keep in ("top", "bottom", "quad"):
        frame = frame[_reflected(height, params.axis, params.keep == "bottom")]
    if params.keep in ("left", "right", "quad"):
        columns = _reflected(width, params.axis, params.keep == "right")
        frame = np.take(frame, columns, axis=1, out=np.empty_like(frame), mode="clip")
    return frame, state


def _reflected(length: int, axis: float, end: bool) -> NDArray[np.int64]:
    """Return which row or column each one shows; ``end``: the side behind the mirror is kept."""
    import numpy as np

    mirror = min(max(round(axis * length), 1), length - 1)
    kept = length - mirror if end else mirror
    place = np.arange(length) % (2 * kept)
    place = np.minimum(place, 2 * kept - 1 - place)
    return length - 1 - place[::-1] if end else place
