"""What the parameters of a recipe's nodes can be set with: a slider where the range is known, else a field or a choice.

Made of the JSON schemas of step types and effects, and of what the recipe says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from artdag_common.domain.recipe_forms import SOURCES
from artdag_common.errors import UnknownStepTypeError
from artdag_common.steps.base import StepParams, find_step_type
from artdag_common.steps.bind import BIND
from artdag_common.steps.mapping import MAP

WIDEST = 2000
"""The widest range that a slider is good for; a field takes wider ones."""

ENDLESS = 1_000_000
"""From here on nobody wants to know what the greatest value is."""

NOTCHES = 100
"""How many steps a slider has at least."""

COLOUR = "^#[0-9a-fA-F]{6}$"
OWN = "params"
"""The parameter of an EFFECT that holds those of its effect."""

Kind = Literal["slider", "number", "flag", "choice", "colour", "text", "words", "numbers", "json", "bound"]
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Control:
    """What sets one parameter.

    Attributes:
        name: as the ``parameters`` of a run name it; dots lead inside.
        kind: ``words`` and ``numbers``: a list of them; ``bound``: it follows an analysis, and is only shown.
        value: what the recipe says; of lists, ``json`` and ``bound`` as text.
        said: what it means.
        least: the least value; None: any.
        step: of a slider.
        optional: nothing is a value too.
    """

    name: str
    kind: Kind
    value: Any = None
    said: str = ""
    least: float | None = None
    most: float | None = None
    step: float | None = None
    whole: bool = False
    choices: tuple[Any, ...] = ()
    default: Any = None
    optional: bool = False

    @property
    def span(self) -> str:
        """Between what a number lies, in words."""
        most = self.most if self.most is not None and self.most < ENDLESS else None
        if self.least is not None and most is not None:
            return f"{self.least:g} to {most:g}"
        if self.least is not None:
            return f"{self.least:g} or more"
        return f"{most:g} or less" if most is not None else ""

    @property
    def usual(self) -> str:
        """What it is where a recipe says nothing of it, in words; empty where that is what it is here."""
        return "" if self.default in (None, "", self.value) else f"usually {self.default}"


@dataclass(frozen=True, slots=True)
class Knobs:
    """The controls of a node. ``effect``: the name of the one that it applies."""

    node: str
    type: str
    effect: str = ""
    controls: tuple[Control, ...] = field(default=())


def knobs(nodes: Sequence[Mapping[str, Any]], effects: Mapping[str, Schema]) -> list[Knobs]:
    """Return the controls of all nodes that have any.

    Args:
        nodes: of a recipe, each with ``id``, ``type`` and canonical ``config``.
        effects: what is known of effects, each with ``name`` and the schema ``params``, by how the recipe names them.
    """
    found = []
    for node in nodes:
        kind, config = inner(node)
        if kind not in SOURCES:
            effect = effects.get(config.get("effect", ""))
            made = tuple(_of_node(kind, config, effect["params"] if effect else None))
            if made:
                found.append(Knobs(node["id"], kind, effect["name"] if effect else "", made))
    return found


def inner(node: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return a node's step type and parameters: of a MAP those that each item goes through."""
    config = node["config"]
    return (config["operation"], config["config"]) if node["type"] == MAP else (node["type"], config)


def schema_of(params: type[StepParams]) -> dict[str, Any]:
    """Return the schema of parameters, without other names of the same."""
    schema = params.model_json_schema()
    hidden = {name for name, each in params.model_fields.items() if each.exclude} | {BIND}
    schema["properties"] = {name: each for name, each in schema.get("properties", {}).items() if name not in hidden}
    return schema


def _of_node(kind: str, config: Mapping[str, Any], effect: Schema | None) -> list[Control]:
    try:
        schema = schema_of(find_step_type(kind).params)
    except UnknownStepTypeError:  # of another version of the server
        return []
    bound = config.get(BIND, {})
    properties = {name: each for name, each in schema["properties"].items() if name not in ("effect", OWN)}
    made = _controls(properties, schema.get("$defs", {}), config, "", bound)
    if "effect" in config and effect is not None:
        own = config.get(OWN, {})
        made = _controls(effect.get("properties", {}), effect.get("$defs", {}), own, f"{OWN}.", bound) + made
    return made


def _controls(
    properties: Mapping[str, Schema], known: Mapping[str, Schema], config: Mapping[str, Any], prefix: str, bound: Any
) -> list[Control]:
    made: list[Control] = []
    for key, written in properties.items():
        schema, optional = _plain(written, known)
        name, value = f"{prefix}{key}", config.get(key, written.get("default"))
        if name in bound:
            made.append(Control(name, "bound", _follows(bound[name]), schema.get("description", "")))
        elif schema.get("type") == "object" and "properties" in schema and isinstance(value, dict):
            made += _controls(schema["properties"], known, value, f"{name}.", bound)
        elif _holds_objects(schema, known) and isinstance(value, list | tuple):
            entry, _ = _plain(schema["items"], known)
            for place, each in enumerate(value):
                made += _controls(entry["properties"], known, each, f"{name}.{place}.", bound)
        else:
            made.append(_control(name, schema, value, written.get("default"), optional))
    return made


def _holds_objects(schema: Schema, known: Mapping[str, Schema]) -> bool:
    return schema.get("type") == "array" and "properties" in _plain(schema.get("items", {}), known)[0]


def _plain(schema: Schema, known: Mapping[str, Schema]) -> tuple[dict[str, Any], bool]:
    """Return a schema with what it refers to in its place, and whether it may be null."""
    found = dict(schema)
    if "$ref" in found:
        found = {**known.get(found["$ref"].rpartition("/")[2], {}), **found}
    kinds = [each for each in found.get("anyOf", ()) if each.get("type") != "null"]
    optional = len(kinds) < len(found.get("anyOf", ()))
    if len(kinds) == 1:
        found = {**_plain(kinds[0], known)[0], **{key: each for key, each in found.items() if key != "anyOf"}}
    return found, optional


def _control(name: str, schema: Schema, value: Any, default: Any, optional: bool) -> Control:
    said, kind = schema.get("description", ""), schema.get("type")
    if "enum" in schema or "const" in schema:
        choices = tuple(schema.get("enum", (schema.get("const"),)))
        return Control(name, "choice", value, said, choices=choices, default=default, optional=optional)
    if kind == "boolean":
        return Control(name, "flag", bool(value), said, default=default)
    if kind in ("number", "integer"):
        return _number(name, schema, value, default, optional)
    if kind == "string":
        colour = schema.get("pattern") == COLOUR
        return Control(name, "colour" if colour else "text", value, said, default=default, optional=optional)
    items = schema.get("items", {}).get("type")
    if kind == "array" and items in ("string", "number", "integer"):
        listed = [", ".join(map(str, each or ())) for each in (value, default)]
        of: Kind = "words" if items == "string" else "numbers"
        return Control(name, of, listed[0], said, default=listed[1], optional=optional)
    text = json.dumps(value, ensure_ascii=False)
    return Control(name, "json", text, said, default=json.dumps(default, ensure_ascii=False), optional=optional)


def _number(name: str, schema: Schema, value: Any, default: Any, optional: bool) -> Control:
    whole = schema["type"] == "integer"
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    slides = least is not None and most is not None and 0 < most - least <= WIDEST and value is not None
    return Control(
        name,
        "slider" if slides else "number",
        value,
        schema.get("description", ""),
        least,
        most,
        notch(least, most, whole) if slides else None,
        whole,
        default=default,
        optional=optional,
    )


def notch(least: float, most: float, whole: bool) -> float:
    """Return how far a slider goes at once: a power of ten, so that values stay short."""
    step = float(10 ** math.floor(math.log10((most - least) / NOTCHES)))
    return max(1.0, step) if whole else step


def _follows(binding: Mapping[str, Any]) -> str:
    low, high = binding.get("range", (0, 1))
    return f"{binding[BIND]}, from {low:g} to {high:g}"
