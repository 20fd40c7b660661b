"""One link of a chain: what it makes of a stream of pictures, one of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from artdag_common.media.encode import PictureShape
from artdag_common.media.picture import Picture


@dataclass(frozen=True, slots=True)
class Stage:
    """A frame-wise change.

    Attributes:
        shape: what comes out; only the size may differ from what goes in.
        frames: gives one picture for each that it is given, in order. Best a ``map``: a generator holds on to its last
            pictures while the next one is made, several MB at 720p for each stage.
    """

    shape: PictureShape
    frames: Callable[[Iterator[Picture]], Iterator[Picture]]


MakeStage = Callable[[PictureShape, int], Stage]
"""``(what goes in, how many pictures) -> stage``."""
