"""A picture on its way through a chain of steps: yuv420p or RGB, turned into the other only when somebody asks."""

from __future__ import annotations

from av.video.frame import VideoFrame

from artdag_common.media.pictures import Rgb
from artdag_common.media.rgb import RgbBridge


class Picture:
    """One frame. Steps that stand side by side in a chain hand it on as they made it, so nothing is lost in between."""

    __slots__ = ("_array", "_bridge", "_frame", "number")

    def __init__(
        self, bridge: RgbBridge, number: int, frame: VideoFrame | None = None, array: Rgb | None = None
    ) -> None:
        """``bridge`` turns the one into the other; either ``frame`` (yuv420p, limited range) or ``array`` is given.

        ``number``: its place in the film, from 0.
        """
        self.number = number
        self._bridge = bridge
        self._frame = frame
        self._array = array

    def yuv(self) -> VideoFrame:
        """Return it as yuv420p, limited range. Not to be written to: the decoder may still need it."""
        if self._frame is None:
            assert self._array is not None
            self._frame = self._bridge.frame(self._array)
        return self._frame

    def rgb(self) -> Rgb:
        """Return it as an array of the caller's own, shape (height, width, 3), RGB, 0 to 255."""
        if self._array is not None:
            return self._array.copy()  # whoever made it may keep it, as an echo does
        assert self._frame is not None
        return self._bridge.rgb(self._frame)

    def with_yuv(self, frame: VideoFrame) -> Picture:
        """Return the picture that was made of this one, as yuv420p in limited range."""
        return Picture(self._bridge, self.number, frame=frame)

    def with_rgb(self, array: Rgb) -> Picture:
        """Return the picture that was made of this one, as RGB."""
        return Picture(self._bridge, self.number, array=array)
