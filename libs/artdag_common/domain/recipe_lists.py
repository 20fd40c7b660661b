"""MAP, RANDOM_SLICE and SLICE_ON: nodes that become one step for each item of a list, or each interval of music."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from artdag_common.domain.graph import Node
from artdag_common.domain.recipe_bindings import ANALYZE, Use, read_config
from artdag_common.domain.recipe_document import Located
from artdag_common.domain.recipe_forms import SOURCES, DraftNode, Reference
from artdag_common.domain.recipe_parameters import read_entries, read_parameters
from artdag_common.domain.recipe_problems import Problems
from artdag_common.errors import UnknownStepTypeError
from artdag_common.steps.base import PLANNED, STEP_TYPES, StepType, find_step_type
from artdag_common.steps.bind import EVENTS
from artdag_common.steps.mapping import MAP, SLICED

LISTS = ("SOURCE_LIST", MAP, *SLICED)
"""Node types that stand for several things."""

ROLES = ("items", "timing", "seed_from")
BESIDE = ("operation", "config", *ROLES, "feature")


def read_list(
    node: DraftNode, nodes: Mapping[str, DraftNode], effects: Mapping[str, str], problems: Problems, uses: list[Use]
) -> Node:
    """Check such a node and return it in its canonical form. A MAP of RANDOM_SLICE or SLICE_ON is that itself.

    ``config`` names the nodes it reads by their roles, ``items``, ``timing`` and ``seed_from``; its inputs are all of
    them, and the analyses of bound parameters, in that order.
    """
    kind = _operation(node, problems) if node.type == MAP else find_step_type(node.type)
    if kind is None:
        return Node(node.id, node.type, {})
    roles = ROLES if kind.name in SLICED else ROLES[:1]
    given = _references(node, nodes, kind, roles, problems)
    inner = _parameters(node, roles, problems)
    if kind.name in SLICED:
        config = read_parameters(inner, kind, effects, problems)
        analyses: list[str] = []
        for timing in given["timing"]:
            features = frozenset({EVENTS[config.get("feature", "beats")]})
            uses.append(Use(timing.at, timing.path, timing.id, features, times=True))
    else:
        config, analyses = read_config(inner, kind, effects, problems, uses)
        if config:
            read_entries(inner, kind, config, 1, problems)
        config = {"operation": kind.name, "config": config}
    config["items"] = [reference.id for reference in given["items"]]
    if kind.name in SLICED:
        config |= {role: given[role][0].id if given[role] else None for role in ROLES[1:]}
    references = [*(reference for role in roles for reference in given[role])]
    node.inputs = [*references, *(Reference(name, node.at, node.path) for name in analyses)]
    inputs = tuple(reference.id for reference in node.inputs)
    return Node(node.id, kind.name if kind.name in SLICED else node.type, config, inputs)


def _operation(node: DraftNode, problems: Problems) -> StepType | None:
    path = f"{node.path}.config.operation"
    written = node.written.get("operation")
    if written is None or not isinstance(written.value, str):
        problem = "the parameter 'operation' of MAP is missing: name the step type that each item goes through"
        problems.add(written or node.at, path, problem)
        return None
    names = [name for name, kind in STEP_TYPES.items() if name not in (*SOURCES, MAP, *PLANNED) and _takes_one(kind)]
    try:
        kind = find_step_type(written.value)
    except UnknownStepTypeError:
        problems.add(written, path, f"unknown step type {written.value!r}", written.value, names)
        return None
    if kind.name not in names:
        problem = f"each item of MAP goes through a step by itself, and {kind.name} is none that takes one input"
        problems.add(written, path, problem, written.value, names)
        return None
    return kind


def _takes_one(kind: StepType) -> bool:
    return kind.name in SLICED or (kind.run is not None and kind.min_inputs <= 1)


def _references(
    node: DraftNode, nodes: Mapping[str, DraftNode], kind: StepType, roles: tuple[str, ...], problems: Problems
) -> dict[str, list[Reference]]:
    """Return the nodes that are read, by role: named as inputs, in slots of that name, or in the config."""
    given: dict[str, list[Reference]] = {role: [] for role in ROLES}
    before = len(problems.found)
    for reference in node.inputs:
        role = reference.slot or "items"
        if role not in roles:
            field = f"{node.path}.inputs.{role}"
            problems.add(reference.at, field, f"{kind.name} has no slot {role!r}", role, roles)
            continue
        of = nodes.get(reference.id)
        if not reference.slot and "timing" in roles and of and of.type == ANALYZE:
            role = "timing"
        given[role].append(reference)
    for role in roles:
        written = node.written.get(role)
        if written is None or written.value is None:
            continue
        path = f"{node.path}.config.{role}"
        if given[role]:
            problems.add(written, path, f"{role!r} is among the inputs already: name it once", written.plain())
            continue
        for at, place in _listed(written, path) if role == "items" else [(written, path)]:
            if not isinstance(at.value, str):
                problems.add(at, place, f"{role!r} is the id of a node", at.plain())
                continue
            given[role].append(Reference(at.value, at, place))
            if at.value not in nodes:
                known = [name for name in nodes if name != node.id]
                problems.add(at, place, f"{role!r} names no node: {at.value!r}", at.value, known)
    at = node.at.value.get("inputs", node.at) if isinstance(node.at.value, dict) else node.at
    for role, wanted in (("items", "what it works on"), ("timing", "the ANALYZE whose beats or onsets cut it")):
        if role in roles and not given[role] and len(problems.found) == before:
            problems.add(at, f"{node.path}.inputs", f"{kind.name} needs {role!r}: {wanted}")
    for role in ROLES[1:]:
        for extra in given[role][1:]:
            problems.add(
                extra.at, extra.path, f"{role!r} is one node, and {given[role][0].id!r} is it already", extra.id
            )
    return given


def _listed(written: Located, path: str) -> list[tuple[Located, str]]:
    if isinstance(written.value, list):
        return [(item, f"{path}[{i}]") for i, item in enumerate(written.value)]
    return [(written, path)]


def _parameters(node: DraftNode, roles: tuple[str, ...], problems: Problems) -> DraftNode:
    """Return the node as it would be if it were of the operation's type: with that type's parameters only."""
    own = {*ROLES[1:], "feature"} if len(roles) == 1 else set()
    for key in own & node.written.keys() if node.type == MAP else ():
        problem = f"{key!r} has a meaning for RANDOM_SLICE and SLICE_ON only"
        problems.add(node.written[key], f"{node.path}.config.{key}", problem)
    if node.type != MAP:
        return replace(node, written={k: v for k, v in node.written.items() if k not in roles})
    config = node.written.get("config")
    rest = {key: item for key, item in node.written.items() if key not in BESIDE}
    feature = {k: v for k, v in node.written.items() if k == "feature" and len(roles) > 1}
    if config is None or config.value is None:
        return replace(node, written=rest | feature)
    path = f"{node.path}.config"
    for key, item in rest.items():
        problems.add(item, f"{path}.{key}", f"unknown key {key!r} beside 'config'", key, BESIDE)
    if not isinstance(config.value, dict):
        problems.add(config, f"{path}.config", "'config' is a mapping of names to values", config.plain())
        return replace(node, written=feature)
    return replace(node, path=path, at=config, written=feature | config.value)
