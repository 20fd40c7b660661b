"""A recipe with some parameters changed: its canonical form written out as a recipe again, with other values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from artdag_common.domain.graph import Graph, Node, Variable
from artdag_common.domain.recipe_forms import SOURCES
from artdag_common.domain.recipe_problems import shown
from artdag_common.errors import InvalidRequestError, UnknownStepTypeError
from artdag_common.steps.base import find_step_type
from artdag_common.steps.bind import BIND
from artdag_common.steps.mapping import MAP, SLICED

CHANGED = ", changed"
"""What the name of a recipe ends in that was made of another one: it does not take that one's name away."""

LONGEST_NAME = 100
PLACE = re.compile(r"dag\.nodes\[(\d+)\](?:\.config)?(.*)")

Parameters = Mapping[str, Mapping[str, Any]]
"""Node → parameter → value. A parameter inside another is named with dots: ``params.strength``."""


def changed_source(graph: Graph, parameters: Parameters) -> bytes:
    """Return the text of a recipe that differs from another in these parameters, and in its name.

    Nothing is checked but that the nodes exist and have parameters: :func:`recipe_yaml.parse_recipe` checks the rest,
    and :func:`blame` says what of it is about a parameter.

    Raises:
        InvalidRequestError: there is no such node, or it is a source; the nearest is named.
    """
    problems = [found for node in parameters if (found := _not_a_node(graph, node))]
    if problems:
        raise _refused(problems)
    name = f"{graph.name.removesuffix(CHANGED)[: LONGEST_NAME - len(CHANGED)]}{CHANGED}"
    return written(graph, parameters, name)


def written(graph: Graph, parameters: Parameters, name: str) -> bytes:
    """Return a recipe as text, in JSON, which is YAML too. Without changes it has the same canonical form."""
    variables = {variable.node: variable for variable in graph.variables}
    document: dict[str, Any] = {"name": name, "version": graph.version}
    document |= {key: value for key in ("description", "owner", "on_failure") if (value := getattr(graph, key))}
    nodes = [_node(node, variables.get(node.id), parameters.get(node.id, {})) for node in graph.nodes]
    document["dag"] = {"nodes": nodes, "output": graph.output}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def blame(graph: Graph, problems: Sequence[Mapping[str, Any]]) -> InvalidRequestError:
    """Return what is wrong with a changed recipe as what is wrong with the parameters that were asked for."""
    found = []
    for problem in problems:
        entry = {key: value for key, value in problem.items() if key not in ("line", "column")}
        if match := PLACE.fullmatch(problem["field"]):
            node = graph.nodes[int(match[1])]
            entry["field"] = f"parameters.{node.id}{match[2].removeprefix('.config') if node.type == MAP else match[2]}"
        found.append(entry)
    return _refused(found)


def differences(before: Graph, after: Graph) -> dict[str, dict[str, dict[str, Any]]]:
    """Return which parameters two recipes with the same nodes differ in: node → parameter → ``from`` and ``to``."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for old, new in zip(before.nodes, after.nodes, strict=True):
        was, is_now = _parameters(old), _parameters(new)
        for key in sorted({*was, *is_now}):
            if was.get(key) != is_now.get(key):
                found.setdefault(old.id, {})[key] = {"from": was.get(key), "to": is_now.get(key)}
    return found


def computing(graph: Graph) -> list[str]:
    """Return the nodes of a recipe that compute something, in order."""
    return [node.id for node in graph.nodes if node.type not in SOURCES]


def _not_a_node(graph: Graph, name: str) -> dict[str, Any] | None:
    node = next((node for node in graph.nodes if node.id == name), None)
    field = f"parameters.{name}"
    if node is None:
        known = computing(graph)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(known[:10])}"
        return {"field": field, "value": shown(name), "problem": f"the recipe has no node {name!r}{hint}"}
    if node.type in SOURCES:
        problem = f"{name!r} is a {node.type}, which has no parameters: bind other content to it under 'inputs'"
        return {"field": field, "value": shown(name), "problem": problem}
    return None


def _refused(problems: Sequence[dict[str, Any]]) -> InvalidRequestError:
    first = problems[0]
    value = f", not {first['value']!r}" if "value" in first and repr(first["value"]) not in first["problem"] else ""
    return InvalidRequestError(f"{first['field']}: {first['problem']}{value}", problems=list(problems))


def _node(node: Node, variable: Variable | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {"id": node.id, "type": node.type}
    if node.type in SOURCES:
        return document | {"config": _declared(variable) if variable else node.config}
    config = dict(node.config)
    if node.type == MAP:
        inner = _plain(node.id, config["operation"], config["config"], changes)
        return document | {"config": {"operation": config["operation"], "config": inner}, "inputs": config["items"]}
    if node.type in SLICED:
        roles = {role: config.pop(role) for role in ("items", "timing", "seed_from")}
        document["inputs"] = {role: given for role, given in roles.items() if given is not None}
    else:
        bound = len({each[BIND].partition(".")[0] for each in config.get(BIND, {}).values()})
        document["inputs"] = list(node.inputs[: len(node.inputs) - bound])  # analyses come with what is bound to them
    return document | {"config": _plain(node.id, node.type, config, changes)}


def _declared(variable: Variable) -> dict[str, Any]:
    document: dict[str, Any] = {"input": True, "name": variable.name, "type": variable.media}
    return document | {key: value for key in ("description", "default") if (value := getattr(variable, key))}


def _plain(node: str, kind: str, canonical: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as people write them: bindings in their places, what is as it would be anyway left out."""
    config: dict[str, Any] = orjson.loads(orjson.dumps(canonical))
    for name, binding in config.pop(BIND, {}).items():
        _put(config, name.split("."), binding)
    try:
        fields = find_step_type(kind).params.model_fields
    except UnknownStepTypeError:  # of another version: told by whoever reads the text
        fields = {}
    for key, field in fields.items():
        if key in config and config[key] == field.get_default(call_default_factory=True):
            del config[key]
    if "effect" in changes and "params" not in changes:
        config.pop("params", None)  # they are another effect's
    for key, value in changes.items():
        if not _put(config, key.split("."), value):
            problem = f"there is nothing called {key!r} to change; name the whole parameter {key.partition('.')[0]!r}"
            raise _refused([{"field": f"parameters.{node}.{key}", "value": shown(value), "problem": problem}])
    return config


def _put(config: Any, names: Sequence[str], value: Any) -> bool:
    """Set a value at its place; False: there is no such place."""
    for i, name in enumerate(names):
        last = i == len(names) - 1
        if isinstance(config, list) and name.isdecimal() and int(name) < len(config):
            place: Any = int(name)
        elif isinstance(config, dict):
            place = name
        else:
            return False
        if last:
            config[place] = value
        elif isinstance(config, dict) and not isinstance(config.get(place), dict | list):
            config[place] = {}
        config = config[place]
    return True


def _parameters(node: Node) -> dict[str, Any]:
    """Return the parameters of a node, without the nodes that it reads."""
    if node.type == MAP:
        return dict(node.config["config"])
    return {key: value for key, value in node.config.items() if key not in ("items", "timing", "seed_from")}
