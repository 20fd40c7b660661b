"""Recipe YAML → :class:`Graph`, with every problem at once. What a recipe may say is decided here and in its forms.

The step types are those that are registered: whoever parses recipes imports :mod:`artdag_common.steps.registry`.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from artdag_common.domain.graph import Graph, Node
from artdag_common.domain.plan import canonical_json
from artdag_common.domain.recipe_bindings import Use, check_uses, read_config
from artdag_common.domain.recipe_document import read_document
from artdag_common.domain.recipe_fields import Assets
from artdag_common.domain.recipe_forms import SOURCES, Draft, DraftNode, FormReader, Reference
from artdag_common.domain.recipe_lists import LISTS, read_list
from artdag_common.domain.recipe_parameters import read_entries
from artdag_common.domain.recipe_problems import Problems
from artdag_common.errors import UnknownEffectError
from artdag_common.steps.base import PLANNED, STEP_TYPES, StepType, find_step_type
from artdag_common.steps.bind import BIND, most_inputs

NO_ASSETS: Mapping[str, str] = {}
FILLED = {("BEAT_SYNC", "music")}
"""Slots that the planner fills where they are left empty."""


def parse_recipe(text: str | bytes, assets: Assets = NO_ASSETS) -> Graph:
    """Return the recipe in its canonical form. Both YAML forms of one recipe give equal canonical bytes.

    Args:
        text: YAML, at most 1 MiB of UTF-8.
        assets: CIDs of content by name, for assets that the recipe's own registry does not list.

    Returns:
        Nodes in topological order, in the recipe's order where that is free; inputs in slot order; parameters
        normalised, defaults included.

    Raises:
        InvalidRecipeError: with every problem: ``line``, ``column`` (from 1), ``field``, ``problem``, and where they
            apply ``value`` and ``suggestion``.
    """
    problems = Problems()
    root = read_document(text, problems)
    draft = FormReader(problems, assets).read(root)
    nodes = _by_id(draft, problems)
    _check_variables(draft, problems)
    uses: list[Use] = []
    done = [_node(node, nodes, draft, problems, uses) for node in draft.nodes]
    check_uses(uses, nodes, {node.id: node for node in done}, problems)
    if draft.output:
        _check_output(draft.output, nodes, problems)
    order = _in_order(draft.nodes, nodes, problems)
    problems.refuse_any()
    assert draft.output
    ordered = [done[i] for i in order]
    variables = [draft.nodes[i].variable for i in order]
    return Graph(
        name=draft.name,
        version=draft.version,
        description=draft.description,
        owner=draft.owner,
        nodes=tuple(ordered),
        variables=tuple(v for v in variables if v),
        output=draft.output.id,
        on_failure=draft.on_failure,
    )


def effect_recipe(effect: str) -> str:
    """Return the recipe, as YAML, that applies one effect to one input. It bears the effect's name.

    Raises:
        UnknownEffectError: there is no such effect.
    """
    kind = find_step_type("EFFECT")
    try:
        used = kind.effect_used(kind.canonical_config({"effect": effect}))
    except ValidationError as error:
        causes = [getattr(e.get("ctx", {}).get("error"), "__cause__", None) for e in error.errors(include_url=False)]
        for cause in causes:
            if isinstance(cause, UnknownEffectError):
                raise cause from None
        reason = "; ".join(e["msg"] for e in error.errors(include_url=False))
        raise UnknownEffectError(f"effect {effect!r} cannot be used by its name alone: {reason}", name=effect) from None
    if used is None:
        raise UnknownEffectError(f"unknown effect {effect!r}", name=effect)
    name, quoted = json.dumps(used.name), json.dumps(effect)
    return (
        f'name: {name}\nversion: "1.0"\ndescription: {json.dumps(f"Apply the effect {used.name}")}\n\n'
        "inputs:\n  input:\n    type: any\n    description: What the effect is applied to\n\n"
        f"steps:\n  - id: apply\n    type: EFFECT\n    inputs: [input]\n    config:\n      effect: {quoted}\n\n"
        "output: apply\n"
    )


# --- names ---


def _by_id(draft: Draft, problems: Problems) -> dict[str, DraftNode]:
    nodes: dict[str, DraftNode] = {}
    for node in draft.nodes:
        if node.id in nodes:
            first = nodes[node.id].at.line
            at = node.at.value.get("id", node.at) if isinstance(node.at.value, dict) else node.at
            problems.add(at, f"{node.path}.id", f"the id is taken: line {first} has it too", node.id)
        elif node.id:
            nodes[node.id] = node
    return nodes


def _check_variables(draft: Draft, problems: Problems) -> None:
    """A run binds a variable by its name or by its node's id: no name may mean two of them."""
    owners: dict[str, str] = {}
    variables = [(node, node.variable) for node in draft.nodes if node.variable]
    for node, variable in variables:
        owners.setdefault(variable.node, node.path)
    for node, variable in variables:
        owner = owners.setdefault(variable.name, node.path)
        if owner != node.path and variable.name != variable.node:
            at = node.written.get("name", node.at)
            problems.add(at, f"{node.path}.config.name", f"the name means {owner} already", variable.name)


def _check_output(output: Reference, nodes: Mapping[str, DraftNode], problems: Problems) -> None:
    node = nodes.get(output.id)
    if node is None and nodes:
        problems.add(output.at, output.path, f"the output names no node: {output.id!r}", output.id, nodes)
    elif node and node.type in LISTS:
        problems.add(output.at, output.path, f"the output is one thing, but a {node.type} gives several", output.id)


# --- nodes ---


def _node(node: DraftNode, nodes: Mapping[str, DraftNode], draft: Draft, problems: Problems, uses: list[Use]) -> Node:
    """Check a node and return it in its canonical form; where something is wrong, in no form that counts."""
    for reference in node.inputs:
        if reference.id not in nodes:
            others = [name for name in nodes if name != node.id]
            problem = f"the input names no node: {reference.id!r}"
            problems.add(reference.at, reference.path, problem, reference.id, others)
    if node.type in SOURCES:
        if node.inputs:
            problems.add(node.inputs[0].at, f"{node.path}.inputs", f"{node.type} takes no inputs")
        return Node(node.id, node.type, node.config)
    if not node.type:
        return Node(node.id, "", {})
    if node.type in PLANNED or node.type not in STEP_TYPES:
        at, known = node.at.value["type"], STEP_TYPES.keys() - {*PLANNED}
        problems.add(at, f"{node.path}.type", f"unknown step type {node.type!r}", node.type, known)
        return Node(node.id, node.type, {})
    kind = find_step_type(node.type)
    if node.type in LISTS:
        return read_list(node, nodes, draft.effects, problems, uses)
    inputs = _slotted(node, kind, problems)
    config, analyses = read_config(node, kind, draft.effects, problems, uses)
    _check_count(node, kind, inputs, config, nodes, problems)
    node.inputs = [*inputs, *(Reference(name, node.at, node.path) for name in analyses)]
    return Node(node.id, node.type, config, tuple(reference.id for reference in node.inputs))


def _slotted(node: DraftNode, kind: StepType, problems: Problems) -> list[Reference]:
    """Return the inputs in slot order."""
    if not any(reference.slot for reference in node.inputs):
        return node.inputs
    given = {slot: [r for r in node.inputs if r.slot == slot] for slot in {r.slot for r in node.inputs}}
    inputs: list[Reference] = []
    gap = ""
    for slot in kind.slots:
        references = given.pop(slot, [])
        repeats = slot == kind.slots[-1] and kind.max_inputs != len(kind.slots)
        if len(references) > 1 and not repeats:
            problems.add(references[1].at, references[1].path, f"the slot {slot!r} of {kind.name} takes one input")
        if references and gap:
            field = f"{node.path}.inputs.{gap}"
            problems.add(references[0].at, field, f"the slot {gap!r} is empty, but a later one is not")
        gap = gap or ("" if references or (kind.name, slot) in FILLED else slot)
        inputs += references
    for slot, references in given.items():
        field = f"{node.path}.inputs.{slot}"
        problems.add(references[0].at, field, f"{kind.name} has no slot {slot!r}", slot, kind.slots)
        inputs += references
    return inputs


def _check_count(
    node: DraftNode,
    kind: StepType,
    inputs: list[Reference],
    config: dict[str, Any],
    nodes: Mapping[str, DraftNode],
    problems: Problems,
) -> None:
    """A list counts as all that it holds; one that a run binds, or that is made of others, as at least one."""
    least, open_ended = 0, False
    for reference in inputs:
        source = nodes.get(reference.id)
        if source is None:
            return
        least += max(1, len(source.config.get("cids", ())))
        fixed = source.type == "SOURCE_LIST" and source.variable is None
        open_ended = open_ended or (source.type in LISTS and not fixed)
    plain = {key: value for key, value in config.items() if key != BIND}
    low, high = kind.min_inputs, most_inputs(kind, canonical_json(plain).decode()) if plain else kind.max_inputs
    at = node.at.value.get("inputs", node.at)
    wanted = f"{low}" if low == high else f"at least {low}" if high is None else f"{low} to {high}"
    plural = "" if wanted == "1" else "s"
    if (least < low and not open_ended) or (high is not None and least > high):
        slots = f" ({', '.join(kind.slots)})" if kind.slots else ""
        problem = f"{kind.name} takes {wanted} input{plural}{slots}, not {least}"
        problems.add(at, f"{node.path}.inputs", problem, [reference.id for reference in inputs])
    elif plain and not open_ended:
        read_entries(node, kind, plain, least, problems)


# --- order ---


def _in_order(draft: list[DraftNode], nodes: Mapping[str, DraftNode], problems: Problems) -> list[int]:
    """Return the places of the nodes in topological order, the earliest of the recipe first; note every cycle."""
    places = {id(node): i for i, node in enumerate(draft)}
    place = {name: places[id(node)] for name, node in nodes.items()}
    reads = [[place[r.id] for r in node.inputs if r.id in place] for node in draft]
    readers: list[list[int]] = [[] for _ in draft]
    for i, sources in enumerate(reads):
        for source in sources:
            readers[source].append(i)
    missing = [len(sources) for sources in reads]
    free = [i for i, count in enumerate(missing) if not count]
    order: list[int] = []
    left = set(range(len(draft)))
    while True:
        while free:
            i = heapq.heappop(free)
            order.append(i)
            left.discard(i)
            _release(readers[i], missing, left, free)
        if not left:
            return order
        cycle = _cycle(left, reads)
        first = draft[cycle[0]]
        names = " → ".join(draft[i].id for i in (*cycle, cycle[0]))
        problems.add(first.at, f"{first.path}.inputs", f"the nodes wait for each other, each for the next: {names}")
        left.difference_update(cycle)
        for i in cycle:
            _release(readers[i], missing, left, free)


def _release(readers: Iterable[int], missing: list[int], left: set[int], free: list[int]) -> None:
    for reader in readers:
        missing[reader] -= 1
        if not missing[reader] and reader in left:
            heapq.heappush(free, reader)


def _cycle(left: set[int], reads: list[list[int]]) -> list[int]:
    """Return a cycle among nodes that all wait for one of them, its earliest node first."""
    seen: dict[int, int] = {}
    path: list[int] = []
    i = min(left)
    while i not in seen:
        seen[i] = len(path)
        path.append(i)
        i = next(source for source in reads[i] if source in left)
    cycle = path[seen[i] :]
    start = cycle.index(min(cycle))
    return cycle[start:] + cycle[:start]
