"""Parameters that are bound to a feature of an analysis: found in a node's config, checked, and set apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from artdag_common.domain.graph import Node
from artdag_common.domain.recipe_document import Located
from artdag_common.domain.recipe_forms import DraftNode
from artdag_common.domain.recipe_parameters import add_invalid, read_parameters
from artdag_common.domain.recipe_problems import Problems
from artdag_common.steps.base import STEP_TYPES, StepType
from artdag_common.steps.bind import BIND, Binding
from artdag_common.steps.mapping import SLICED

ANALYZE = "ANALYZE"
OWN = "params"
"""An effect's own parameters, which may hold for one frame even where they are whole numbers."""


@dataclass(frozen=True, slots=True)
class Use:
    """An analysis that somebody reads: where it is named, and the features of ANALYZE that have to be in it.

    ``times``: it says what the plan is, so that it has to exist before.
    """

    at: Located
    path: str
    node: str
    features: frozenset[str]
    times: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """A bound parameter as written."""

    names: tuple[str | int, ...]  # keys, and places in lists, counted from 0
    path: str
    at: Located
    binding: Binding

    @property
    def name(self) -> str:
        return ".".join(map(str, self.names))

    def end(self, which: int) -> Located:
        """Return an end of the range, where it stands in the text."""
        at = self.at.value.get("range", self.at)
        value = self.binding.range[which]
        return Located(value, at.line, at.column, str(value))


def read_config(
    node: DraftNode, kind: StepType, effects: Mapping[str, str], problems: Problems, uses: list[Use]
) -> tuple[dict[str, Any], list[str]]:
    """Return the normalised parameters of a node, and the analyses that they read.

    Bound ones stand under ``bind`` by their dotted names, and in their own place with the lower end of their range.
    Both ends have to be values that the parameter takes.
    """
    found: list[_Found] = []
    before = len(problems.found)
    if BIND in node.written:
        problem = "'bind' belongs to one parameter: write it as the value of that parameter"
        problems.add(node.written[BIND], f"{node.path}.config.{BIND}", problem)
        return {}, []
    for key, item in node.written.items():
        _find(item, (key,), f"{node.path}.config.{key}", found, problems)
    for each in found:
        if kind.stage is None:
            able = ", ".join(sorted(name for name, other in STEP_TYPES.items() if other.stage and name != "CHAIN"))
            problem = (
                f"{kind.name} does not work frame by frame, so its parameters cannot be bound; those of {able} can"
            )
            problems.add(each.at, each.path, problem)
    if len(problems.found) > before:
        return {}, []
    low, high = (_with(node, found, which) for which in (0, 1))
    config = read_parameters(low, kind, effects, problems)
    if not found or len(problems.found) > before:
        return config, []
    ends = config, read_parameters(high, kind, effects, problems)
    if len(problems.found) > before:
        return config, []
    by_frame = all(kind.frame_wise(kind.params.model_validate(end)) for end in ends)
    for each in found:
        if by_frame:
            _check_number(each, config, problems)
        else:
            problem = f"with these parameters {kind.name} does not work frame by frame, so none of them can be bound"
            problems.add(each.at, each.path, problem)
        uses.append(Use(each.at.value[BIND], f"{each.path}.{BIND}", each.binding.node, each.binding.analyzed))
    config[BIND] = {each.name: each.binding.model_dump(mode="json") for each in found}
    return config, list(dict.fromkeys(config[BIND][name][BIND].partition(".")[0] for name in sorted(config[BIND])))


def check_uses(
    uses: Iterable[Use], drafts: Mapping[str, DraftNode], nodes: Mapping[str, Node], problems: Problems
) -> None:
    """Note analyses that are none, or that are not asked for what is read of them."""
    for use in uses:
        draft = drafts.get(use.node)
        if problems.about(use.path):
            continue
        if draft is None:
            known = [name for name, other in drafts.items() if other.type == ANALYZE]
            problems.add(use.at, use.path, f"there is no node {use.node!r}", use.node, known)
        elif draft.type != ANALYZE:
            problem = f"{use.node!r} is a {draft.type}; what is read here is an ANALYZE"
            problems.add(use.at, use.path, problem, use.node)
        elif missing := use.features.difference(asked := nodes[use.node].config.get("features", use.features)):
            names = ", ".join(sorted(missing))
            problem = f"{use.node!r} is asked for {', '.join(asked)} only; add {names} to its features"
            problems.add(use.at, use.path, problem, use.at.plain())
        elif use.times and (late := _sliced_below(use.node, nodes)):
            problem = f"the timing has to be known before anything is cut, but {use.node!r} depends on {late!r}"
            problems.add(use.at, use.path, problem, use.node)


def _sliced_below(name: str, nodes: Mapping[str, Node]) -> str:
    """Return a list of slices that a node depends on; empty: none."""
    seen: set[str] = set()
    left = [name]
    while left:
        node = nodes.get(left.pop())
        if node is None or node.id in seen:
            continue
        if node.type in SLICED:
            return node.id
        seen.add(node.id)
        left += node.inputs
    return ""


def _find(item: Located, names: tuple[str | int, ...], path: str, found: list[_Found], problems: Problems) -> None:
    if isinstance(item.value, list):
        for i, inner in enumerate(item.value):
            _find(inner, (*names, i), f"{path}[{i}]", found, problems)
        return
    if not isinstance(item.value, dict):
        return
    if BIND not in item.value:
        for key, inner in item.value.items():
            _find(inner, (*names, key), f"{path}.{key}", found, problems)
        return
    if names[0] == OWN and any(isinstance(name, int) for name in names):
        problems.add(item, path, "a parameter of an effect can be bound, but not one item of a list")
        return
    try:
        binding = Binding.model_validate(item.plain())
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            add_invalid(item, path, "a bound parameter", Binding, dict(detail), problems)
        return
    found.append(_Found(names, path, item, binding))


def _with(node: DraftNode, found: Iterable[_Found], which: int) -> DraftNode:
    """Return the node with an end of the range in place of each bound parameter."""
    ends = {id(each.at): each.end(which) for each in found}
    return replace(node, written=_replaced(Located(node.written), ends).value) if ends else node


def _replaced(item: Located, ends: Mapping[int, Located]) -> Located:
    """Return a value with others in place of some that it holds, which are known by their ``id``."""
    if id(item) in ends:
        return ends[id(item)]
    if isinstance(item.value, dict):
        return replace(item, value={key: _replaced(inner, ends) for key, inner in item.value.items()})
    if isinstance(item.value, list):
        return replace(item, value=[_replaced(inner, ends) for inner in item.value])
    return item


def _check_number(found: _Found, config: dict[str, Any], problems: Problems) -> None:
    value: Any = config
    for name in found.names:
        try:
            value = value[name]
        except (KeyError, IndexError, TypeError):  # the type keeps it in another form
            value = None
    if isinstance(value, float) or (type(value) is int and found.names[0] == OWN):
        return
    problem = f"{found.name!r} is not a number that can change from frame to frame, so it cannot be bound"
    problems.add(found.at, found.path, problem)
