"""Picture files: stills, and those that move (GIF, APNG, WebP, AVIF), as upright RGB pictures that last a while.

They are read by Pillow and not by FFmpeg, which does not know animated WebP, decodes a picture before its size can be
looked at, and takes a pattern for a name.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import (  # noqa: F401  (each makes its format known)
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from artdag_common.errors import ArtdagError, StepInputError
from artdag_common.media import limits
from artdag_common.media.geometry import Size
from artdag_common.media.types import media_type_of

FORMATS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
}
MOVING = frozenset({"GIF", "PNG", "WEBP", "AVIF"})  # TIFF and JPEG hold pages and previews beside the first picture
TIMED_BY_LOADING = frozenset({"WEBP", "AVIF"})
SHORTEST_MS, SHORT_MEANS_MS = 20, 100
"""Shorter delays than the first are shown as the second, as browsers do: GIFs say 0 where they mean "as usual"."""
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What an orientation of EXIF (CIPA DC-008, section 4.6.4) asks for."""

Rgb = NDArray[np.uint8]
"""Shape (height, width, 3), 0 to 255."""


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What a picture file holds.

    Attributes:
        size: width and height, upright.
        codec: ``png``, ``jpeg``, ``gif``, ``webp``, ``avif``, ``bmp`` or ``tiff``.
        durations: seconds that each picture is shown; empty: a still.
    """

    size: Size
    codec: str
    durations: tuple[Fraction, ...]


def picture_type(path: Path) -> str:
    """Return the media type of a picture file; of anything else: empty."""
    kind = media_type_of(path)
    return kind if kind in FORMATS else ""


def picture_facts(path: Path, slot: str = "media") -> PictureFacts:
    """Return what a picture file holds.

    Raises:
        StepInputError: it is damaged, or beyond the limits.
    """
    with _opened(path, slot) as image:
        codec = FORMATS[picture_type(path)].lower()
        first, count = _frames(image, slot)
        image.seek(first)
        size = image.size
        if _orientation(image) >= 5:
            size = size[::-1]
        if count == 1:
            return PictureFacts(size, codec, ())
        return PictureFacts(size, codec, tuple(_duration(image, first + each) for each in range(count)))


def picture_arrays(path: Path, slot: str = "media") -> Iterator[Rgb]:
    """Give the pictures of a file: upright, transparent parts black.

    Raises:
        StepInputError: it is damaged, or beyond the limits.
    """
    with _ours(slot):
        image = _open(path, slot)
    with image:  # open over all pictures, which GIF and APNG build one on the other
        with _ours(slot):
            first, count = _frames(image, slot)
        for each in range(first, first + count):
            with _ours(slot):
                image.seek(each)
                image.load()
                array = _array(image, _orientation(image))
            yield array


@contextmanager
def _opened(path: Path, slot: str) -> Iterator[Image.Image]:
    with _ours(slot), _open(path, slot) as image:
        yield image


def _open(path: Path, slot: str) -> Image.Image:
    image = Image.open(path, formats=[FORMATS[picture_type(path)]])
    limits.guard_size(*image.size, slot)
    return image


@contextmanager
def _ours(slot: str) -> Iterator[None]:
    """Turn what Pillow raises into our error: with damaged files that is any exception there is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except ArtdagError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise StepInputError(
            f"{slot}: the picture has too many pixels; at most {limits.MAX_SIDE} a side and {limits.MAX_PIXELS} in all"
            " are read",
            slot=slot,
        ) from error
    except MemoryError as error:
        raise StepInputError(f"{slot}: the picture needs more memory than a step has", slot=slot) from error
    except UnidentifiedImageError as error:
        raise StepInputError(f"{slot}: the picture cannot be read: its header is damaged", slot=slot) from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise StepInputError(f"{slot}: the picture cannot be read: {reason}", slot=slot) from error


def _frames(image: Image.Image, slot: str) -> tuple[int, int]:
    """Return the number of the first picture that is shown, and how many there are."""
    count: int = getattr(image, "n_frames", 1) if image.format in MOVING else 1
    if count > limits.MAX_PICTURES:
        raise StepInputError(
            f"{slot}: the file claims {count} pictures; at most {limits.MAX_PICTURES} are read", slot=slot
        )
    if count > 1 and image.info.get("default_image"):  # for viewers that do not know APNG
        return 1, count - 1
    return 0, count


def _duration(image: Image.Image, number: int) -> Fraction:
    image.seek(number)
    if image.format in TIMED_BY_LOADING:
        image.load()
    length = Fraction(image.info.get("duration") or 0).limit_denominator(1000)
    return Fraction(length if length >= SHORTEST_MS else SHORT_MEANS_MS) / 1000


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged notes do not make a picture unreadable
        return 1
    return found if found in TURNS else 1


def _array(image: Image.Image, orientation: int) -> Rgb:
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
        grey = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        plain = Image.fromarray(grey).convert("RGB")
    elif image.has_transparency_data:
        cover = image.convert("RGBA")
        plain = Image.alpha_composite(Image.new("RGBA", cover.size, (0, 0, 0, 255)), cover).convert("RGB")
    else:
        plain = image.convert("RGB")
    if orientation in TURNS:
        plain = plain.transpose(TURNS[orientation])
    return np.array(plain)
