"""Small videos whose scenes and motion are known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SIZE = (96, 64)


def scene(number: int, frames: int, shift: float = 1.0) -> list[NDArray[np.uint8]]:
    """A picture of coarse blocks in the colours of ``number``, moving sideways by ``shift`` pixels a frame."""
    rng = np.random.default_rng(number)
    width, height = SIZE
    blocks = rng.integers(20, 235, (height // 16, width // 16, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    return [np.roll(blocks, round(shift * index), axis=1) for index in range(frames)]


def write_pictures(path: Path, pictures: Iterable[NDArray[np.uint8]], rate: int = 25) -> Path:
    """Write RGB pictures as H.264."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "18"})
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(video.encode(None))
    return path
