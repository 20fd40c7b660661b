"""What data looks like: a table, JSON, text, or bytes; as much of it as fits on a page. Pure."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

READ_BYTES = 256 * 1024
TEXT_CHARACTERS = 20_000
HEX_BYTES = 512
HEX_LINE = 16
ROWS = 200
COLUMNS = 30
CELL_CHARACTERS = 200
DELIMITERS = ",;\t"
CONTROLS = frozenset(map(chr, range(32))) - frozenset("\t\n\f\r") | {"\x7f"}
"""Characters that text does not have: all below the blank, except those that order it."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first part of data.

    Attributes:
        kind: ``table``, ``json``, ``text``, or ``bytes``.
        text: of JSON and text as it is to be read, of bytes in hexadecimal with the letters beside; else empty.
        head: names of a table's columns.
        rows: of a table.
        whole: there is no more than is shown.
    """

    kind: str
    text: str = ""
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    whole: bool = True


def beginning_of(head: bytes, size: int) -> Beginning:
    """Return what data begins with.

    Args:
        head: its first bytes, all or :data:`READ_BYTES`.
        size: bytes of the whole.
    """
    complete = len(head) >= size
    text = _text(head, complete)
    if text is None:
        shown = head[:HEX_BYTES]
        return Beginning("bytes", _hex(shown), whole=len(shown) >= size)
    if complete and text.lstrip()[:1] in ("{", "["):
        try:
            return _of_json(orjson.loads(head))
        except (ValueError, orjson.JSONEncodeError):  # none, or nested deeper than it is written again
            pass
    return _of_lines(text, complete) or _of_text(text, complete, "text")


def _text(head: bytes, complete: bool) -> str | None:
    """Return bytes as the text that they are, without a character that is cut at the end; None: they are none."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head, final=complete)
    except UnicodeDecodeError:
        return None
    return text if CONTROLS.isdisjoint(text) else None


def _of_text(text: str, complete: bool, kind: str) -> Beginning:
    return Beginning(kind, text[:TEXT_CHARACTERS], whole=complete and len(text) <= TEXT_CHARACTERS)


def _of_json(value: Any) -> Beginning:
    """Return a list of like objects as a table, all else as JSON, indented."""
    if isinstance(value, list) and value and all(isinstance(each, dict) and each for each in value):
        names = list(dict.fromkeys(name for each in value for name in each))
        flat = not any(isinstance(cell, dict | list) for each in value for cell in each.values())
        if flat and len(names) <= COLUMNS:
            return _table(names, ([_cell(each.get(name, "")) for name in names] for each in value[:ROWS]), len(value))
    return _of_text(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode(), True, "json")


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _of_lines(text: str, complete: bool) -> Beginning | None:
    """Return comma-separated values and the like as a table; None: it is none."""
    lines = text.splitlines()
    if not complete:
        lines = lines[:-1]  # the last may be cut
    filled = [line for line in lines if line.strip()]
    if len(filled) < 2:
        return None
    delimiter = max(DELIMITERS, key=filled[0].count)
    if not filled[0].count(delimiter):
        return None
    try:
        rows = list(csv.reader(io.StringIO("\n".join(filled)), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    head = [name.strip() for name in rows[0]]
    named = all(head) and len(set(head)) == len(head)  # else it is prose with commas
    if not named or len(head) > COLUMNS or any(len(row) != len(head) for row in rows):
        return None
    return _table(head, rows[1 : ROWS + 1], len(rows) - 1 if complete else ROWS + len(rows))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], count: int) -> Beginning:
    cells = tuple(tuple(cell[:CELL_CHARACTERS] for cell in row) for row in rows)
    return Beginning("table", "", tuple(name[:CELL_CHARACTERS] for name in head), cells, len(cells) >= count)


def _hex(data: bytes) -> str:
    """Return bytes as ``xxd`` shows them: offset, hexadecimal, letters."""
    lines = []
    for start in range(0, len(data), HEX_LINE):
        row = data[start : start + HEX_LINE]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):<{3 * HEX_LINE - 1}}  {letters}")
    return "\n".join(lines)
