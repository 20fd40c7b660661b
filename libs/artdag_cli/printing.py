"""Results, as they are printed: for people in columns, for programs as JSON; on standard output, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

PAGE = 100


def plain(text: str) -> str:
    """Return text that names from elsewhere may be in, with nothing in it that a terminal obeys."""
    return "".join(each if each.isprintable() else "?" for each in text)


def show(document: Any, json_output: bool, lines: Iterable[str]) -> None:
    """Print a document as JSON, or the lines that say the same to people."""
    if json_output:
        print(json.dumps(document, indent=2))
        return
    for line in lines:
        print(plain(line))


def columns(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return rows as lines, in columns; what is not there is a dash."""
    texts = [[" ".join(str("–" if cell in (None, "") else cell).split()) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return ["  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip() for row in texts]


def when(moment: str | None) -> str:
    """Return a time as lists show it."""
    return f"{moment[:16].replace('T', ' ')}Z" if moment else "–"


def gathered(page: Callable[..., Mapping[str, Any]], items_name: str, limit: int, /, **chosen: Any) -> dict[str, Any]:
    """Return up to ``limit`` items of a list under their name, and ``total``, how many there are.

    Args:
        page: asks for one page, given ``cursor``, ``limit`` and what is chosen.
    """
    items: list[Any] = []
    cursor = None
    while True:
        found = page(cursor=cursor, limit=min(limit - len(items), PAGE), **chosen)
        items += found[items_name]
        cursor = found["next"]
        if cursor is None or len(items) >= limit:
            return {items_name: items, "total": found["total"]}


def more(found: Mapping[str, Any], name: str) -> list[str]:
    """Return a line that says how many more there are than are shown, if there are."""
    left = found["total"] - len(found[name])
    return [f"… {left} more: --limit {found['total']}"] if left > 0 else []
