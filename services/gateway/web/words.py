"""How values read on pages: numbers with units, times, ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

BYTES = ("B", "kB", "MB", "GB", "TB")
SHORT = 12

STATUS_WORDS = {"requested": "starting", "analyzing": "analysing"}
"""Of those that are called otherwise on pages."""


def size(count: int | None) -> str:
    """Return a number of bytes with its unit (decimal, as disks are sold): 1500 → ``1.5 kB``."""
    if count is None:
        return "–"
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(BYTES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {BYTES[unit]}" if unit == 0 or value >= 99.95 else f"{value:.1f} {BYTES[unit]}"


def seconds(value: float | None) -> str:
    """Return a time span: 0.25 → ``250 ms``, 75 → ``1:15``, 3700 → ``1:01:40``."""
    if value is None:
        return "–"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def milliseconds(value: float | None) -> str:
    """Return a time span given in milliseconds."""
    return seconds(None if value is None else value / 1000)


def number(value: float) -> str:
    """Return a number with its thousands apart: 12345 → ``12 345`` (thin no-break spaces)."""
    return f"{value:,}".replace(",", "\u202f")


def plural(count: int, one: str, many: str = "") -> str:
    """Return a number of things: ``1 step``, ``2 steps``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def short(name: str | None) -> str:
    """Return the beginning of an id or a CID."""
    if not name:
        return "–"
    return name if len(name) <= SHORT else f"{name[:SHORT]}…"


def when(moment: str | datetime | None) -> Markup:
    """Return a time as an element that ``static/times.js`` shows in the reader's zone; without scripts in UTC."""
    if moment is None or moment == "":
        return Markup("–")
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    exact = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact.isoformat().replace("+00:00", "Z"),
        exact.strftime("%Y-%m-%d %H:%M:%S UTC"),
        exact.strftime("%Y-%m-%d %H:%M UTC"),
    )


def address(query: Mapping[str, Any]) -> str:
    """Return the query of an address; a list is named once for each of its members, what is empty is left out."""
    return urlencode({name: value for name, value in query.items() if value}, doseq=True)


def status(word: str) -> str:
    """Return how a status is called on a page."""
    return STATUS_WORDS.get(word, word)


FILTERS: dict[str, Callable[..., Any]] = {
    "size": size,
    "seconds": seconds,
    "milliseconds": milliseconds,
    "number": number,
    "plural": plural,
    "short": short,
    "when": when,
    "address": address,
    "status": status,
}
