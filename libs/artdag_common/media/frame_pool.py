"""Frames for pictures that are made, in the memory of those that nobody looks at any more.

A worker gives large blocks back to the system at once (``services/executor/memory.py``): a picture of 720p in new
memory costs 340 faults of pages then.
"""

from __future__ import annotations

import sys
import threading
from collections import deque

from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange

from artdag_common.media.pictures import PIXELS, UNSAID

KEPT = 6
"""Frames whose memory may be used again: as many as are on their way from a stage to the encoder, and one more."""
OURS = 2
"""References to a frame that only the pool has, while it is looked at: the variable, and the argument."""

_lock = threading.Lock()
_kept: deque[VideoFrame] = deque(maxlen=KEPT)


def take_frame(width: int, height: int) -> VideoFrame:
    """Return a yuv420p frame to be written to, whatever is in it.

    One that was given before is given again once nobody has it, nor a view of its planes. Encoders and filters that
    work on after they were given a frame have a reference to its memory: then it gets another.
    """
    with _lock:
        for _ in range(len(_kept)):
            frame = _kept.popleft()
            idle = sys.getrefcount(frame) == OURS
            _kept.append(frame)
            if idle and (frame.width, frame.height) == (width, height):
                break
        else:
            frame = VideoFrame(width, height, PIXELS)
            _kept.append(frame)
            return frame
    frame.make_writable()
    frame.pts = None
    frame.pict_type = PictureType.NONE
    frame.colorspace, frame.color_range = UNSAID, ColorRange.UNSPECIFIED
    return frame
