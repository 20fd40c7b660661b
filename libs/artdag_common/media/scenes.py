"""How a video changes from picture to picture, and its cuts: where one picture does not continue the one before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artdag_common.errors import AnalysisError
from artdag_common.media.pictures import Clip, Target, planes

SIZE = (64, 36)
"""Width and height at which pictures are compared, whatever their shape: only the rough distribution of light and
colour is left."""

Glimpse = NDArray[np.int16]
"""A picture as a row of numbers, 0 to 255, shape (3456,): 64 x 36 of luma, then 32 x 18 of either chroma."""

LEAST_CHANGE = 12.0
"""Mean change of a number of the picture, of 255, below which nothing is a cut."""
RATIO = 3.0
"""How many times as great as the changes around it a cut is."""
FLASH_FRAMES = 3
"""A picture that is back within as many frames was a flash, not a cut away."""

_AROUND = 4  # changes on either side that a cut is held against
_LIKE_BEFORE = 0.4  # share of a cut's change within which a picture is like another


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a video.

    Attributes:
        rate: frames a second.
        changes: for each frame the mean change of its numbers from the one before, 0 to 255; 0 for the first.
        cuts: frames that begin a scene, ascending; not the first.
    """

    rate: Fraction
    changes: list[float]
    cuts: list[int]


def look(path: Path, progress: Callable[[int, int], None]) -> Seen:
    """Look at every frame of a video once. Few are held at a time, small.

    Args:
        progress: told how many frames of how many are done.

    Raises:
        StepInputError: not a media file, no video in it, or damaged.
        AnalysisError: it is a single picture.
    """
    clip = Clip(path)
    total = clip.timeline.frames
    if total < 2:
        raise AnalysisError("there is one picture only: nothing moves or changes in it")
    changes: list[float] = []

    def watched() -> Iterator[Glimpse]:
        before: Glimpse | None = None
        for done, glimpse in enumerate(_glimpses(clip), 1):
            changes.append(0.0 if before is None else change(before, glimpse))
            before = glimpse
            progress(done, total)
            yield glimpse

    cuts = list(find_cuts(watched()))
    return Seen(clip.timeline.rate, changes, cuts)


def _glimpses(clip: Clip) -> Iterator[Glimpse]:
    """Give each picture of a clip, small. A place without a frame of its own gives the object of the place before."""
    shown = glimpse = None
    for picture in clip.pictures(target=Target(SIZE, "stretch")):
        if glimpse is None or picture is not shown:
            shown = picture
            glimpse = np.concatenate([plane.ravel() for plane in planes(picture)]).astype(np.int16)
        yield glimpse


def find_cuts(glimpses: Iterable[Glimpse]) -> Iterator[int]:
    """Give the frames that begin a scene, the first frame of the film left out, ascending.

    A cut is a change from one frame to the next that is great by itself and stands out from the changes around it, as
    in the adaptive detector of Castellano's PySceneDetect; so a pan or a shake is none. A flash, after which the
    picture is what it was, is none either. Fades and dissolves have no place where they cut: they are not found.

    Args:
        glimpses: the pictures, in order. Nine are held at a time.
    """
    held: deque[Glimpse] = deque(maxlen=2 * _AROUND + 1)  # pictures
    changes: deque[float] = deque(maxlen=2 * _AROUND + 1)  # change of each from the one before
    seen = 0
    for glimpse in glimpses:
        changes.append(change(held[-1], glimpse) if held else 0.0)
        held.append(glimpse)
        seen += 1
        if len(held) > _AROUND and _is_cut(held, changes, place := len(held) - 1 - _AROUND):
            yield seen - len(held) + place
    for place in range(max(0, len(held) - _AROUND), len(held)):  # the last ones have fewer after them
        if _is_cut(held, changes, place):
            yield seen - len(held) + place


def change(before: Glimpse, after: Glimpse) -> float:
    """Return the mean change of a picture's numbers, 0 to 255."""
    return 0.0 if before is after else float(np.abs(after - before).mean())


def _is_cut(held: deque[Glimpse], changes: deque[float], place: int) -> bool:
    here = changes[place]
    if here < LEAST_CHANGE or place == 0:
        return False
    low, high = max(0, place - _AROUND), place + _AROUND + 1
    others = [changes[at] for at in range(low, min(len(changes), high)) if at != place]
    # the median: another cut, or the end of a flash, nearby does not hide this one
    if others and here < RATIO * float(np.median(others)):
        return False
    like = _LIKE_BEFORE * here
    for back in range(1, FLASH_FRAMES + 1):
        if place + back < len(held) and change(held[place - 1], held[place + back]) < like:
            return False  # a flash begins here
        if place - 1 - back >= 0 and change(held[place - 1 - back], held[place]) < like:
            return False  # a flash ends here
    return True
