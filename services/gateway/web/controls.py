"""What the parameters of a recipe's nodes can be set with: a slider where the range is known, else a field or a choice.

Made of the JSON schemas of step types and effects, and of what the recipe says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
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

DEEPEST = 3
"""How far inside others parameters are told of: those of outside packages may hold themselves."""

NONE = ("null", '""', "[]", "{}")
"""Defaults, as JSON, that say nothing."""

WORDS = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "string": "text",
    "object": "parameters by name",
}
LISTED = {"number": "numbers", "integer": "whole numbers", "string": "words"}

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
        above: ``least`` itself is too little.
        below: ``most`` itself is too much.
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
    above: bool = False
    below: bool = False

    @property
    def label(self) -> str:
        """What it is called where its node is known."""
        return self.name.removeprefix(f"{OWN}.")

    @property
    def ends(self) -> tuple[float, float]:
        """Where a slider begins and ends."""
        assert self.least is not None
        assert self.most is not None
        assert self.step is not None
        return self.least + self.step * self.above, self.most - self.step * self.below

    @property
    def span(self) -> str:
        """Between what a number lies, in words."""
        least, most = self.least, self.most
        if most is None or most >= ENDLESS:
            high = ""
        elif least is None:
            high = f"less than {most:g}" if self.below else f"{most:g} or less"
        else:
            high = f"less than {most:g}" if self.below else f"up to {most:g}"
        if least is None:
            return high
        if high and not (self.above or self.below):
            return f"{least:g} to {most:g}"
        low = f"more than {least:g}" if self.above else f"{least:g} or more"
        return f"{low}, {high}" if high else low

    @property
    def written(self) -> str:
        """The value as a recipe may have it."""
        texts = ("words", "numbers", "json", "bound")
        return str(self.value) if self.kind in texts else json.dumps(self.value, ensure_ascii=False)

    @property
    def usual(self) -> str:
        """What it is where a recipe says nothing of it, in words; empty where that is what it is here."""
        if self.default in (None, "", self.value):
            return ""
        return f"usually {('on' if self.default else 'off') if self.kind == 'flag' else self.default}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a parameter may be, for people who write recipes.

    Attributes:
        name: with dots inside others; ``[]`` stands for each member of a list.
        takes: what values, in words.
        usual: the value where a recipe says nothing of it, as JSON; empty: nothing; None: it has to be given.
        said: what it means.
    """

    name: str
    takes: str
    usual: str | None
    said: str


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


@cache
def schema_of(params: type[StepParams]) -> dict[str, Any]:
    """Return the schema of parameters, without other names of the same."""
    schema = params.model_json_schema()
    hidden = {name for name, each in params.model_fields.items() if each.exclude} | {BIND}
    schema["properties"] = {name: each for name, each in schema.get("properties", {}).items() if name not in hidden}
    return schema


def parameters(schema: Schema) -> list[Parameter]:
    """Return what all parameters of a schema may be."""
    return _parameters(schema, schema.get("$defs", {}), "")


def _parameters(schema: Schema, known: Mapping[str, Schema], prefix: str) -> list[Parameter]:
    found: list[Parameter] = []
    for key, written in schema.get("properties", {}).items():
        name = f"{prefix}{key}"
        plain, optional = _plain(written, known)
        inside = prefix.count(".") < DEEPEST
        if inside and "properties" in plain:
            found += _parameters(plain, known, f"{name}.")
        elif inside and _holds_objects(plain, known):
            found += _parameters(_plain(plain["items"], known)[0], known, f"{name}[].")
        else:
            default = json.dumps(written.get("default"), ensure_ascii=False)
            usual = None if key in schema.get("required", ()) else "" if default in NONE else default
            takes = f"{_takes(plain)} or nothing" if optional else _takes(plain)
            found.append(Parameter(name, takes, usual, plain.get("description", "")))
    return found


def _takes(schema: Schema) -> str:
    if "enum" in schema or "const" in schema:
        return ", ".join(map(str, schema.get("enum", (schema.get("const"),))))
    kind = schema.get("type")
    if kind in ("number", "integer"):
        span = _number("", schema, None, None, False).span
        return f"{WORDS[kind]}, {span}" if span else WORDS[kind]
    if schema.get("pattern") == COLOUR:
        return "a colour, #rrggbb"
    if kind == "array":
        few = f"{schema['maxItems']} " if "prefixItems" in schema else ""
        of = (schema.get("prefixItems") or [schema.get("items", {})])[0].get("type")
        return f"a list of {few}{LISTED.get(of, 'values')}"
    return WORDS.get(kind or "", "a value")


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
        above="minimum" not in schema and "exclusiveMinimum" in schema,
        below="maximum" not in schema and "exclusiveMaximum" in schema,
    )


def notch(least: float, most: float, whole: bool) -> float:
    """Return how far a slider goes at once: a power of ten, so that values stay short."""
    step = float(10 ** math.floor(math.log10((most - least) / NOTCHES)))
    return max(1.0, step) if whole else step


def _follows(binding: Mapping[str, Any]) -> str:
    low, high = binding.get("range", (0, 1))
    return f"{binding[BIND]}, from {low:g} to {high:g}"
