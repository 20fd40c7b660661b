"""Frames gone by, for effects that look back: they lie in a file, so that a long memory takes no room in the process.

Sixteen frames of 720p are 44 MB. The file has no name, and is gone with whoever remembers, or with its process.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artdag_common.effects.base import Frame

_folder: Path | None = None


def keep_in(folder: Path | None) -> None:
    """Say where the files are: on a disk, not in memory. None, as in the beginning: where the system has such files."""
    global _folder
    _folder = folder


class Past:
    """The last frames of a film, all of one shape, to the byte."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """``shape``: (height, width, 3).

        Raises, here and where frames are added:
            OSError: there is no room for the file.
        """
        self.shape = shape
        self._size = shape[0] * shape[1] * shape[2]
        self._file = tempfile.TemporaryFile(dir=_folder, buffering=0)  # noqa: SIM115 - closed below
        weakref.finalize(self, self._file.close)
        self._held: deque[int] = deque()  # places in the file, that of the oldest first
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._held)

    def forget_all_but(self, count: int) -> None:
        """Forget the oldest."""
        while len(self._held) > count:
            self._free.append(self._held.popleft())

    def oldest(self) -> Frame:
        """Return the oldest frame, in an array of the caller's own."""
        import numpy as np

        frame = np.empty(self.shape, np.uint8)
        into, at = frame.data.cast("B"), self._held[0] * self._size
        while into:
            done = os.preadv(self._file.fileno(), [into], at)
            into, at = into[done:], at + done
        return frame

    def add(self, frame: Frame) -> None:
        """Remember a frame: the youngest now."""
        import numpy as np

        place = self._free.pop() if self._free else len(self._held)
        left, at = np.ascontiguousarray(frame).data.cast("B"), place * self._size
        while left:
            done = os.pwrite(self._file.fileno(), left, at)
            left, at = left[done:], at + done
        self._held.append(place)
