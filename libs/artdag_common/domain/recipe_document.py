"""YAML text → values that know their line and column. Safe and bounded: plain mappings, lists and scalars only.

Scalars follow the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema): ``no`` and ``12:30`` are
text, not a boolean and a number of minutes. Everything unusual is a problem, never a surprise: tags, duplicate keys,
keys that are not text, infinite numbers, control characters. Limits hold while the text is being read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from artdag_common.domain.recipe_problems import Problems

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 100_000
MAX_ALIASES = 64
MAX_KEY = 200
TOO_LARGE = 2**64

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is about 15 times as fast
NULL = re.compile(r"|~|null|Null|NULL")
TRUE = re.compile(r"true|True|TRUE")
FALSE = re.compile(r"false|False|FALSE")
DECIMAL = re.compile(r"[-+]?[0-9]+")
RADIX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN")
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(slots=True)  # not frozen, for speed; nothing changes one
class Located:
    """A value and where it stands: at its key inside a mapping, at itself inside a list.

    Attributes:
        value: text, number, boolean, None, a list of Located, or a mapping of names to Located.
        raw: a scalar as it was written.
        size: how many values it holds, itself included.
        height: how deep it nests; 0 for a scalar.
    """

    value: Any
    line: int = 1
    column: int = 1
    raw: str = ""
    size: int = 1
    height: int = 0

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


def read_document(text: str | bytes, problems: Problems) -> Located:
    """Return the one document in ``text``.

    Raises:
        InvalidRecipeError: it is not YAML, or breaks a limit; other problems are only noted in ``problems``.
    """
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    start = Located(None)
    if size > MAX_BYTES:
        problems.fatal(start, "", f"a recipe has at most {MAX_BYTES:,} bytes, this has {size:,}")
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            problems.fatal(Located(None, line), "", f"a recipe is UTF-8 text, but byte {error.start} is not")
    text = text.removeprefix("\ufeff")
    if found := FORBIDDEN.search(text):
        line, column = _position(text, found.start())
        problems.fatal(Located(None, line, column), "", f"the character {found[0]!a} is not allowed")
    try:
        return _Reader(text, problems).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Located(None, *_position(text, mark.index)) if mark else start
        problems.fatal(at, "", _syntax(text, at.line, error))
    except yaml.reader.ReaderError as error:
        line, column = _position(text, error.position)
        problems.fatal(Located(None, line, column), "", f"not YAML: {error.reason}")
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the pure parser lets a bad \U escape through
        problems.fatal(start, "", f"not YAML: {error}")


def _position(text: str, index: int) -> tuple[int, int]:
    before = text[:index].rstrip("\n") if index >= len(text) else text[:index]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _syntax(text: str, line: int, error: yaml.MarkedYAMLError) -> str:
    lines = text.split("\n")
    written = lines[line - 1] if line <= len(lines) else ""
    hint = "; indent with spaces, not with tabs" if "\t" in written else ""
    return f"not YAML: {': '.join(part for part in (error.context, error.problem) if part)}{hint}"


@dataclass(slots=True)
class _Reader:
    """Builds values from the parser's events. Depth is bounded, so recursion is too."""

    text: str
    problems: Problems
    count: int = 0
    aliases: int = 0
    anchors: dict[str, Located | None] = field(default_factory=dict)  # None: not read to its end yet
    events: Iterator[Event] = field(init=False)

    def __post_init__(self) -> None:
        self.events = yaml.parse(self.text, Loader=LOADER)

    def document(self) -> Located:
        event = next(self.events)
        while isinstance(event, StreamStartEvent | DocumentStartEvent):
            event = next(self.events)
        if isinstance(event, StreamEndEvent):
            self.problems.fatal(Located(None), "", "the recipe is empty")
        root = self.read(event, "", 0)
        next(self.events)  # end of the document
        event = next(self.events)
        if not isinstance(event, StreamEndEvent):
            self.problems.fatal(_at(event), "", "a recipe is one YAML document; a second one begins here")
        return root

    def read(self, event: Event, path: str, depth: int) -> Located:
        """Return the value that begins with ``event``."""
        if isinstance(event, AliasEvent):
            return self.alias(event, path, depth)
        assert isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent)
        self.take(event, path, 1)
        if event.tag is not None:
            self.problems.add(_at(event), path, "tags are not allowed in a recipe", event.tag)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        if isinstance(event, ScalarEvent):
            value = self.scalar(event, path)
        else:
            if depth >= MAX_DEPTH:
                self.problems.fatal(_at(event), path, f"a recipe nests at most {MAX_DEPTH} levels deep")
            inner = self.mapping if isinstance(event, MappingStartEvent) else self.sequence
            value = inner(event, path, depth + 1)
        if event.anchor is not None:
            self.anchors[event.anchor] = value
        return value

    def take(self, event: Event, path: str, size: int) -> None:
        self.count += size
        if self.count > MAX_VALUES:
            self.problems.fatal(_at(event), path, f"a recipe holds at most {MAX_VALUES:,} values, aliases included")

    def alias(self, event: AliasEvent, path: str, depth: int) -> Located:
        at = _at(event)
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            self.problems.fatal(at, path, f"a recipe has at most {MAX_ALIASES} aliases")
        anchor = event.anchor or ""
        target = self.anchors.get(anchor)
        if target is None:
            inside = anchor in self.anchors
            rule = "stands inside what it names" if inside else "names no anchor above it"
            self.problems.fatal(at, path, f"the alias {rule}", f"*{anchor}")
        if depth + target.height > MAX_DEPTH:
            self.problems.fatal(at, path, f"a recipe nests at most {MAX_DEPTH} levels deep")
        self.take(event, path, target.size)
        return replace(target, line=at.line, column=at.column)

    def sequence(self, start: Event, path: str, depth: int) -> Located:
        items: list[Located] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            items.append(self.read(event, f"{path}[{len(items)}]", depth))
        return _whole(start, items, items)

    def mapping(self, start: Event, path: str, depth: int) -> Located:
        entries: dict[str, Located] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            place = _at(event)
            key = self.read(event, path, depth)
            name = key.value if isinstance(key.value, str) else None
            step = "?" if name is None else name[:MAX_KEY]
            inner = f"{path}.{step}" if path else step
            value = self.read(next(self.events), inner, depth)
            if name is None:
                self.problems.add(place, path, "keys are text; put it in quotes", key.raw or key.plain())
            elif len(name) > MAX_KEY:
                self.problems.add(place, path, f"keys have at most {MAX_KEY} characters", name)
            elif name in entries:
                first = entries[name].line
                self.problems.add(place, inner, f"the key stands twice, first in line {first}", name)
            else:
                entries[name] = replace(value, line=place.line, column=place.column)
        return _whole(start, entries, list(entries.values()))

    def scalar(self, event: ScalarEvent, path: str) -> Located:
        raw = event.value
        at = _at(event)
        if found := FORBIDDEN.search(raw):
            self.problems.add(at, path, f"the character {found[0]!a} is not allowed")
            raw = FORBIDDEN.sub("�", raw)
        value: Any = raw
        if event.style in (None, "") and event.tag is None:
            value = _resolved(raw)
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                self.problems.add(at, path, "whole numbers have at most 64 bits", raw)
                value = 0
            elif isinstance(value, float) and not math.isfinite(value):
                self.problems.add(at, path, "numbers are finite", raw)
                value = 0.0
        return Located(value, at.line, at.column, raw)


def _resolved(raw: str) -> Any:
    if NULL.fullmatch(raw):
        return None
    if TRUE.fullmatch(raw) or FALSE.fullmatch(raw):
        return bool(TRUE.fullmatch(raw))
    if DECIMAL.fullmatch(raw) or RADIX.fullmatch(raw):
        if len(raw) > 30:
            return TOO_LARGE
        return int(raw, 0 if RADIX.fullmatch(raw) else 10)
    if FLOAT.fullmatch(raw):
        return float(raw)
    if NOT_FINITE.fullmatch(raw):
        return float(raw.replace(".", ""))
    return raw


def _at(event: Event) -> Located:
    mark = event.start_mark
    assert mark
    return Located(None, mark.line + 1, mark.column + 1)


def _whole(start: Event, value: Any, parts: list[Located]) -> Located:
    at = _at(start)
    return Located(
        value,
        at.line,
        at.column,
        size=1 + sum(part.size for part in parts),
        height=1 + max((part.height for part in parts), default=0),
    )
