"""JSON schemas of answers, made of the examples that document them: what is shown and what is promised is one thing."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


class ByName(dict[str, Any]):
    """In an example: an object whose keys are names that differ from answer to answer. Its values may be anything."""


class Either(dict[str, Any]):
    """An example with others of another shape that an answer may have instead."""

    def __init__(self, shown: dict[str, Any], *others: dict[str, Any]) -> None:
        super().__init__(shown)
        self.others = others


def shape(shown: Any) -> Schema:
    """Return the schema of what an example shows.

    Every member of an example is always there, and may be null; more members may be there. A number without a fraction
    is an integer. What is null, or empty, in an example may be anything there.
    """
    match shown:
        case Either():
            return {"anyOf": [_object(dict(shown)), *map(_object, shown.others), {"type": "null"}]}
        case bool():
            return {"type": ["boolean", "null"]}
        case int():
            return {"type": ["integer", "null"]}
        case float():
            return {"type": ["number", "null"]}
        case str():
            return {"type": ["string", "null"]}
        case [first, *_]:
            return {"type": ["array", "null"], "items": shape(first)}
        case []:
            return {"type": ["array", "null"]}
        case ByName():
            return {"type": ["object", "null"]}
        case dict():
            return _object(shown) | {"type": ["object", "null"]}
    return {}


def whole(shown: Any) -> Schema:
    """Return the schema of a whole answer, which is never null."""
    match shown:
        case Either():
            return {"anyOf": [_object(dict(shown)), *map(_object, shown.others)]}
        case ByName():
            return {"type": "object"}
        case dict():
            return _object(shown)
    return shape(shown)


def _object(shown: dict[str, Any]) -> Schema:
    members = {name: shape(value) for name, value in shown.items()}
    return {"type": "object", "properties": members, "required": list(members)}
