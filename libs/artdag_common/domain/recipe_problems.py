"""What is wrong with a recipe: each problem with its place, its value, the rule and the nearest right thing."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any, NoReturn, Protocol

import orjson

from artdag_common.errors import InvalidRecipeError

MAX_PROBLEMS = 200
MAX_COMPARISONS = 20_000  # for suggestions: a hostile recipe must not buy minutes of them
SHOWN = 80
NOTHING: Any = object()


class Place(Protocol):
    """Where something stands in the text; both count from 1."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...


class Problems:
    """Collects problems, in the order of the text at the end."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self._comparisons = MAX_COMPARISONS

    def add(
        self,
        at: Place,
        field: str,
        problem: str,
        value: Any = NOTHING,
        known: Collection[str] = (),
    ) -> None:
        """Note a problem.

        Args:
            field: path such as ``steps[1].config.mode``; empty for the whole text.
            problem: the rule that is broken, in words.
            value: what was written there.
            known: what could have been meant; the nearest to ``value`` becomes the suggestion.

        Raises:
            InvalidRecipeError: there are more problems than anybody reads.
        """
        entry: dict[str, Any] = {"line": at.line, "column": at.column, "field": field, "problem": problem}
        if value is not NOTHING:
            entry["value"] = shown(value)
        if known:
            suggestion = self._nearest(value, known)
            if suggestion:
                entry["suggestion"] = suggestion
                entry["problem"] += f"; did you mean {suggestion!r}?"
            elif len(known) <= 30:
                entry["problem"] += f"; known are {', '.join(sorted(known))}"
        self.found.append(entry)
        if len(self.found) == MAX_PROBLEMS:
            entry = {"line": at.line, "column": at.column, "field": ""}
            self.found.append({**entry, "problem": f"only the first {MAX_PROBLEMS} problems are listed"})
            self.refuse()

    def about(self, field: str) -> bool:
        """Return whether ``field`` has a problem already, of which a further one would only be a consequence."""
        return any(problem["field"] == field for problem in self.found)

    def fatal(self, at: Place, field: str, problem: str, value: Any = NOTHING) -> NoReturn:
        """Note a problem after which the rest cannot be read, and refuse the recipe."""
        self.add(at, field, problem, value)
        self.refuse()

    def refuse(self) -> NoReturn:
        """Raise what was found."""
        raise InvalidRecipeError(sorted(self.found, key=lambda p: (p["line"], p["column"])))

    def refuse_any(self) -> None:
        """Raise what was found, if anything was."""
        if self.found:
            self.refuse()

    def _nearest(self, value: Any, known: Collection[str]) -> str | None:
        self._comparisons -= len(known)
        if self._comparisons < 0 or not isinstance(value, str) or len(value) > SHOWN:
            return None
        folded = {name.casefold(): name for name in known}
        near = difflib.get_close_matches(value.casefold(), folded, n=1, cutoff=0.6)
        return folded[near[0]] if near else None


def shown(value: Any) -> Any:
    """Return ``value`` as it appears in a problem: scalars as they are, long things cut."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
