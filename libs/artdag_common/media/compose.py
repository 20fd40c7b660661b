"""Videos laid over each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from math import floor
from pathlib import Path

from av.video.frame import VideoFrame

from artdag_common.media.encode import PictureShape
from artdag_common.media.geometry import Size, even
from artdag_common.media.limits import guard_size
from artdag_common.media.picture import Picture
from artdag_common.media.pictures import Clip, Target, planes
from artdag_common.media.resize import Scaler, blank, overlap, yuv_of
from artdag_common.media.stage import Stage
from artdag_common.media.timeline import seconds
from artdag_common.media.transitions import WHOLE, blended

BLACK = "#000000"


@dataclass(frozen=True, slots=True)
class Layer:
    """How a picture lies on the canvas.

    Attributes:
        position: x and y of its top left corner, in pixels from that of the canvas.
        opacity: 0 to 1.
        scale: factor of its size.
    """

    position: tuple[float, float] = (0.0, 0.0)
    opacity: float = 1.0
    scale: float = 1.0

    def at(self, place: int, name: str, curves: Mapping[str, Sequence[float]]) -> Layer:
        """Return it as it is at a frame; ``name`` stands before the names of its bound parameters."""

        def value(parameter: str, constant: float) -> float:
            curve = curves.get(f"{name}.{parameter}")
            return constant if curve is None else curve[place]

        position = value("position.0", self.position[0]), value("position.1", self.position[1])
        return Layer(position, value("opacity", self.opacity), value("scale", self.scale))


def layer_stage(
    layers: Sequence[Layer], overlays: Sequence[Path], shape: PictureShape, curves: Mapping[str, Sequence[float]]
) -> Stage:
    """Return the stage that lays pictures on a black canvas of their own size, and those of ``overlays`` above them.

    Output frame ``n`` is made of frame ``n`` of each input at the rate of the first, the first at the bottom. An
    overlay that has ended is not seen any more; a still one, of a single frame, stays. A picture of ``w×h`` pixels is
    scaled to ``2·⌊w·scale/2 + ½⌋ × 2·⌊h·scale/2 + ½⌋``, at least 2 (bicubic), and lies with its corner at
    ``⌊x + ½⌋, ⌊y + ½⌋``, in planes of colour, which have half the resolution, at half of these, rounded down. What
    stands out of the canvas is not seen. Where it lies each plane becomes
    ``⌊(under·(256 − o) + over·o + 128) / 256⌋``, ``o = ⌊256·opacity + ½⌋``.

    Args:
        layers: one for each input, the first one included.
        curves: values of ``inputs.<i>.opacity``, ``inputs.<i>.scale``, ``inputs.<i>.position.<0 or 1>``.
    """
    clips = [Clip(path, f"layer {number}", shape.rate, threads=1) for number, path in enumerate(overlays, 2)]
    target = Target(matrix=shape.tags.matrix)
    black = yuv_of(BLACK, shape.tags)

    def frames(pictures: Iterator[Picture]) -> Iterator[Picture]:
        above = [_Overlay(clip.slot, clip.pictures(target=target), clip.timeline.frames == 1) for clip in clips]
        own = _Overlay("layer 1", iter(()))

        def laid(place: int, picture: Picture) -> Picture:
            now = [layer.at(place, f"inputs.{i}", curves) for i, layer in enumerate(layers)]
            shown = [(each, layer) for each, layer in zip(above, now[1:], strict=True) if each.advance()]
            plain = now[0] == Layer()
            if plain and not shown:
                return picture
            if plain:
                canvas = _copied(picture.yuv())
            else:
                canvas = blank(shape.size, black)
                own.frame = picture.yuv()
                own.lay(canvas, now[0])
            for each, layer in shown:
                each.lay(canvas, layer)
            return picture.with_yuv(canvas)

        return map(laid, count(), pictures)

    return Stage(shape, frames)


class _Overlay:
    """What lies above, picture by picture."""

    def __init__(self, slot: str, pictures: Iterator[VideoFrame], still: bool = False) -> None:
        self._slot = slot
        self._pictures = pictures
        self._still = still
        self._scaler = Scaler()
        self._scaled: tuple[VideoFrame, Size, VideoFrame] | None = None
        self.frame: VideoFrame | None = None

    def advance(self) -> bool:
        """Go on to the next picture; False: it has ended."""
        if self._still and self.frame is not None:
            return True
        self.frame = next(self._pictures, None)
        return self.frame is not None

    def lay(self, canvas: VideoFrame, layer: Layer) -> None:
        """Lay the picture on a canvas."""
        opacity = floor(WHOLE * layer.opacity + 0.5)
        if not opacity or self.frame is None:
            return
        frame = self._in_size(self.frame, seconds(layer.scale))
        corner = floor(layer.position[0] + 0.5), floor(layer.position[1] + 0.5)
        for index, (over, under) in enumerate(zip(planes(frame), planes(canvas), strict=True)):
            at = (corner[0] // 2, corner[1] // 2) if index else corner
            there, here = overlap(at, over.shape, under.shape)
            under[there] = over[here] if opacity == WHOLE else blended(under[there], over[here], opacity)

    def _in_size(self, frame: VideoFrame, scale: Fraction) -> VideoFrame:
        size = even(frame.width * scale), even(frame.height * scale)
        guard_size(*size, self._slot)
        if self._scaled is None or self._scaled[0] is not frame or self._scaled[1] != size:
            self._scaled = None  # not held while the next is made
            self._scaled = frame, size, self._scaler.scaled(frame, size)
        return self._scaled[2]


def _copied(frame: VideoFrame) -> VideoFrame:
    copy = VideoFrame(frame.width, frame.height, frame.format.name)
    for plane, source in zip(planes(copy), planes(frame), strict=True):
        plane[:] = source
    return copy
