"""The parameters that an uploaded effect declares in its header → a class that checks them, as built-in effects have.

``[tool.artdag.params.<name>]`` with ``type``, and where they apply ``default``, ``min``, ``max``, ``choices`` and
``description``. A parameter without default has to be given.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, create_model

from artdag_common.effects.base import EffectParams
from artdag_common.effects.header import Findings, Header

MOST = 50
TEXT_CHARACTERS = 1000
CHOICES = 100
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
NAME_RULE = "a parameter's name is 1 to 40 small letters, digits and '_', and begins with a letter"
TYPES: dict[str, type] = {
    "float": float,
    "number": float,
    "int": int,
    "integer": int,
    "bool": bool,
    "boolean": bool,
    "str": str,
    "string": str,
}
KEYS = ("type", "default", "min", "max", "choices", "description")


def read_params(header: Header, declared: Any, findings: Findings) -> type[EffectParams]:
    """Return the class of the parameters; what is wrong with a declaration is noted, and it is left out."""
    place = ("tool", "artdag", "params")
    if not isinstance(declared, dict):
        findings.add(header.line_of(*place), "tool.artdag.params", "the parameters are tables, one for each", declared)
        return EffectParams
    if len(declared) > MOST:
        rule = f"an effect has at most {MOST} parameters"
        findings.add(header.line_of(*place), "tool.artdag.params", rule, len(declared))
        return EffectParams
    fields: dict[str, Any] = {}
    for name, item in declared.items():
        before = len(findings.problems)
        found = _field(name, item, header, findings)
        if len(findings.problems) == before:
            fields[name] = found
    made: type[EffectParams] = create_model("UploadedParams", __base__=EffectParams, **fields)
    return made


def _field(name: str, item: Any, header: Header, findings: Findings) -> tuple[Any, Any]:
    path = ("tool", "artdag", "params", name)

    def wrong(key: str, problem: str, value: Any = None) -> None:
        whole = (*path, key) if key else path
        findings.add(header.line_of(*whole), ".".join(whole), problem, value)

    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        wrong("", NAME_RULE, name)
    elif hasattr(EffectParams, name) or name.startswith("model_"):
        wrong("", "this name means something else already; choose another", name)
    if not isinstance(item, dict):
        wrong("", "a parameter is a table with 'type' and more", item)
        return Any, None
    for key in item.keys() - {*KEYS}:
        wrong(key, f"unknown key; known are {', '.join(KEYS)}")
    kind = TYPES.get(str(item.get("type")))
    if kind is None:
        wrong("type", "the type is float, int, bool or str", item.get("type"))
        return Any, None
    description = item.get("description", "")
    if not isinstance(description, str) or len(description) > TEXT_CHARACTERS:
        wrong("description", f"the description is text of at most {TEXT_CHARACTERS} characters")
        return Any, None
    rules = _bounds(kind, item, wrong)
    annotation: Any = kind
    if "choices" in item:
        choices = item["choices"]
        if kind is bool or rules or not _all_of(choices, kind):
            wrong("choices", f"the choices are 1 to {CHOICES} values of the type, without 'min' and 'max'", choices)
            return Any, None
        annotation = Literal[tuple(kind(choice) for choice in choices)]
    elif kind is str:
        rules["max_length"] = TEXT_CHARACTERS
    elif kind is float:
        rules["allow_inf_nan"] = False
    given = {"default": item["default"]} if "default" in item else {}
    if given and kind is float and isinstance(given["default"], int) and not isinstance(given["default"], bool):
        given = {"default": float(given["default"])}
    if given:
        checked = create_model("Checked", value=(annotation, Field(**rules)))
        try:
            checked.model_validate({"value": given["default"]}, strict=True)
        except ValidationError as error:
            wrong("default", error.errors()[0]["msg"][:1].lower() + error.errors()[0]["msg"][1:], item["default"])
    return annotation, Field(**given, **rules, description=description)


def _bounds(kind: type, item: Mapping[str, Any], wrong: Any) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    for key, rule in (("min", "ge"), ("max", "le")):
        if key in item:
            if kind not in (int, float):
                wrong(key, f"only numbers have a {key!r}", item[key])
            elif not _is_number(item[key], kind):
                wrong(key, f"the {key!r} is a number of the parameter's type", item[key])
            else:
                rules[rule] = item[key]
    if len(rules) == 2 and rules["ge"] > rules["le"]:
        wrong("max", f"the 'max' is below the 'min', {rules['ge']}", rules["le"])
    return rules


def _is_number(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and (kind is float or isinstance(value, int))


def _all_of(choices: Any, kind: type) -> bool:
    if not isinstance(choices, list) or not 1 <= len(choices) <= CHOICES:
        return False
    if kind is str:
        return all(isinstance(choice, str) and len(choice) <= TEXT_CHARACTERS for choice in choices)
    return kind is int and all(_is_number(choice, kind) for choice in choices)
