"""The header of an uploaded effect: inline script metadata (PEP 723), read without running anything.

::

    # /// script
    # requires-python = ">=3.11"
    # dependencies = ["numpy"]
    #
    # [tool.artdag]
    # name = "glow"
    # …
    # ///
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

OPENING, CLOSING = "# /// script", "# ///"
PLACE = re.compile(r"\(at line (\d+), column \d+\)")


@dataclass(slots=True)
class Header:
    """What the header says, and where it stands: its first line, from 1."""

    values: dict[str, Any]
    line: int
    text: list[str]

    def line_of(self, *path: str) -> int:
        """Return the line of a key: the last one that names it below the table it is in; else the header's first."""
        table, key = ".".join(path[:-1]), path[-1]
        inside, found = not table, self.line
        for number, text in enumerate(self.text, self.line + 1):
            entry = text.strip()
            if entry.startswith("["):
                named = entry.strip("[] ")
                inside = named == table
                if named == ".".join(path):
                    return number
            elif inside and re.match(rf'"?{re.escape(key)}"?\s*=', entry):
                return number
            elif named_in_full(entry, path):
                found = number
        return found


def named_in_full(entry: str, path: tuple[str, ...]) -> bool:
    """Return whether a line sets a key by its dotted name."""
    return len(path) > 1 and entry.partition("=")[0].strip().endswith(".".join(path[-2:]))


@dataclass(slots=True)
class Findings:
    """Everything that is wrong with an effect's file."""

    problems: list[dict[str, Any]] = field(default_factory=list)

    def add(self, line: int, place: str, problem: str, value: Any = None) -> None:
        """Note that a rule is broken."""
        found: dict[str, Any] = {"line": line, "field": place, "problem": problem}
        if value is not None:
            found["value"] = str(value)[:80]
        self.problems.append(found)


def read_header(source: str, findings: Findings) -> Header | None:
    """Return the header; None, with a finding, where there is none that can be read."""
    lines = source.splitlines()
    openings = [number for number, text in enumerate(lines) if text.rstrip() == OPENING]
    if not openings:
        findings.add(1, "header", f"the file has no header: comment lines from '{OPENING}' to '{CLOSING}' (PEP 723)")
        return None
    if len(openings) > 1:
        findings.add(openings[1] + 1, "header", f"a second header begins here; the first is in line {openings[0] + 1}")
        return None
    first = openings[0]
    end = None
    for number in range(first + 1, len(lines)):
        text = lines[number].rstrip()
        if text != "#" and not text.startswith("# "):
            break
        if text == CLOSING:
            end = number  # the last one counts
    if end is None:
        findings.add(first + 1, "header", f"the header has no end: a line '{CLOSING}' after lines that begin with '# '")
        return None
    content = [line.rstrip()[2:] for line in lines[first + 1 : end]]
    try:
        return Header(tomllib.loads("\n".join(content)), first + 1, content)
    except tomllib.TOMLDecodeError as error:
        place = PLACE.search(str(error))
        line = first + 1 + int(place[1]) if place else first + 1
        findings.add(line, "header", f"not TOML: {PLACE.sub('', str(error)).strip()}")
    except RecursionError:
        findings.add(first + 1, "header", "nested too deep")
    return None
