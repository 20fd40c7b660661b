"""Whether a file is all there: many formats say in front how long they are."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from artdag_common.errors import StepInputError

EBML, SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
RIFF_UNKNOWN = 0x7FFF_F000
"""Lengths from here on are written by recorders that do not know it yet (RFC 2361 files end at 2 GB)."""
MAX_BOXES = 1_000_000
BOXES = frozenset(
    b"ftyp styp moov moof mdat mfra meta free skip wide sidx ssix uuid pdin prft emsg pnot PICT udta".split()
)
"""Kinds of boxes that a film has at its top level. What is behind the last of them is not the film's."""


def check_whole(path: Path, slot: str) -> None:
    """Refuse a file that ends before the end that it names itself.

    MP4 and QuickTime name the length of each box, Matroska and WebM that of the segment, WAV and AVI that of the RIFF
    chunk. Files of a recording that was broken off say that they do not know, and are read as far as they go; other
    formats do not say.

    Raises:
        StepInputError: bytes are missing.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        end = _named_end(file, size)
    if end > size:
        raise StepInputError(
            f"{slot}: the file ends early: it has {size} bytes and says that there are {end}; was it copied whole?",
            slot=slot,
        )


def _named_end(file: BinaryIO, size: int) -> int:
    """Return where the file says that it ends; where it does not say: 0."""
    head = file.read(12)
    if head[4:8] == b"ftyp":
        return _end_of_boxes(file, size)
    if head[:4] == EBML:
        return _end_of_segment(file)
    if head[:4] == b"RIFF" and head[8:12] in (b"WAVE", b"AVI "):
        length = int.from_bytes(head[4:8], "little")
        return length + 8 if length < RIFF_UNKNOWN else 0
    return 0


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    """Walk the boxes of the top level (ISO/IEC 14496-12, section 4.2)."""
    at = 0
    for _ in range(MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if length < 8 or head[4:8] not in BOXES:  # 0: to the end of the file; else it is no box
            break
        at += length
        if at >= size:
            break
    return at


def _end_of_segment(file: BinaryIO) -> int:
    """Find the end of the segment (RFC 8794, sections 4 and 5)."""
    file.seek(4)
    header = _vint(file)
    if header is None:
        return 0
    at = file.tell() + header
    file.seek(at)
    if file.read(4) != SEGMENT:
        return 0
    length = _vint(file)
    return 0 if length is None else file.tell() + length


def _vint(file: BinaryIO) -> int | None:
    """Read a length of one to eight bytes; None: not known, or none."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    rest = file.read(more)
    value = int.from_bytes(bytes([first[0] & ((1 << (7 - more)) - 1)]) + rest, "big")
    return None if value == (1 << 7 * (more + 1)) - 1 or len(rest) < more else value
