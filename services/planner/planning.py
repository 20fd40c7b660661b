"""Recipe + bound inputs → steps with cache ids. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from pydantic import ValidationError

from artdag_common.domain.graph import Graph
from artdag_common.domain.plan import PlannedStep
from artdag_common.domain.run import InputBinding
from artdag_common.errors import InvalidInputsError, InvalidRecipeError
from artdag_common.steps.bind import BIND
from artdag_common.steps.mapping import SLICED
from artdag_common.steps.registry import find_step_type
from services.planner.draft import Draft
from services.planner.expansion import ANALYZE, SOURCES, fixed_cids, place
from services.planner.fusion import fuse

__all__ = ["Compiled", "bind", "compile_plan", "fixed_cids", "read_graph", "timings"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """All steps of a run, those that analyse its inputs in front.

    Attributes:
        steps: where analyses are missing that say what the plan is, those in front only.
        analysis: how many of ``steps`` come before the plan: the sources, the analyses of them, and those that say what
            the plan is, with all that they need.
        output: index of the step that gives the run's output; -1: not known before the analyses are there.
        analysed: of each analysis in front its node, the index of the step whose output it analyses, and the index of
            the step that gives it.
    """

    steps: tuple[PlannedStep, ...]
    analysis: int
    output: int
    analysed: tuple[tuple[str, int, int], ...] = ()


@lru_cache(maxsize=32)
def read_graph(document: bytes) -> Graph:
    """Return the DAG of a recipe's canonical form.

    Raises:
        InvalidRecipeError: it is something else.
    """
    try:
        return Graph.from_canonical(orjson.loads(document))
    except (KeyError, TypeError, ValueError) as error:
        reason = f"not the canonical form of a recipe: {type(error).__name__}: {error}"
        raise InvalidRecipeError([{"field": "", "message": reason}]) from error


def bind(graph: Graph, inputs: Sequence[InputBinding]) -> dict[str, tuple[str, ...]]:
    """Return the CIDs of each variable node.

    Raises:
        InvalidInputsError: an input is missing, unknown, bound twice, or holds the wrong number of CIDs.
    """
    by_name = {name: v for v in graph.variables for name in (v.node, v.name)}
    bound: dict[str, tuple[str, ...]] = {v.node: (v.default,) for v in graph.variables if v.default}
    named: dict[str, str] = {}
    problems = []
    for binding in inputs:
        variable = by_name.get(binding.name)
        if variable is None:
            known = ", ".join(v.name for v in graph.variables) or "none"
            problems.append(f"input {binding.name!r} is not one of the recipe's inputs ({known})")
        elif not binding.cids or (len(binding.cids) > 1 and not variable.many):
            problems.append(f"input {binding.name!r} takes {'at least one CID' if variable.many else 'one CID'}")
        elif variable.node in named:
            problems.append(f"input {binding.name!r} is bound twice, here and by {named[variable.node]!r}")
        else:
            named[variable.node] = binding.name
            bound[variable.node] = binding.cids
    problems += [f"input {v.name!r} is missing" for v in graph.variables if v.node not in bound and not problems]
    if problems:
        raise InvalidInputsError("; ".join(problems), problems=problems)
    return bound


def timings(graph: Graph) -> tuple[str, ...]:
    """Return the analysis nodes that say what the plan is: those that time slices."""
    return tuple(dict.fromkeys(n.config["timing"] for n in graph.nodes if n.type in SLICED))


def compile_plan(
    graph: Graph,
    inputs: Sequence[InputBinding],
    cluster_key: str,
    analyses: Mapping[str, Any] | None = None,
    forced: Collection[str] = (),
) -> Compiled:
    """Turn a recipe and its bound inputs into steps.

    Args:
        analyses: documents of the nodes that :func:`timings` names; None: they are not there yet.
        forced: nodes whose steps are computed again, with all that follows them.

    Raises:
        InvalidInputsError: the inputs, or an analysis of them, do not fit.
        StepConfigError: a parameter breaks a rule.
    """
    bound = bind(graph, inputs)
    draft = Draft(graph.name or "recipe", cluster_key, _delivered(graph), frozenset(forced))
    front = _front(graph)
    for node in graph.nodes:
        if node.id in front:
            place(draft, node, bound, {})
    analysis = len(draft.steps)
    analysed = tuple(
        (node.id, found.media, found.whole)
        for node in graph.nodes
        if node.id in front and (found := draft.analyses.get(draft.places[node.id][0]))
    )
    waiting: set[str] = set()
    for node in graph.nodes:
        if (node.type in SLICED and analyses is None) or not waiting.isdisjoint(node.inputs):
            waiting.add(node.id)  # the others are planned all the same, to find now what is wrong with them
        elif node.id not in front:
            place(draft, node, bound, analyses or {})
    if waiting:
        return Compiled(tuple(draft.steps[:analysis]), analysis, -1, analysed)
    steps, output = fuse(draft.steps, analysis, draft.places[graph.output][-1], cluster_key)
    return Compiled(steps, analysis, output, analysed)


def _front(graph: Graph) -> set[str]:
    """Return the nodes whose steps run before the plan is made."""
    nodes = {node.id: node for node in graph.nodes}
    sources = {n.id for n in graph.nodes if n.type in SOURCES}
    front = sources | {n.id for n in graph.nodes if n.type == ANALYZE and sources.issuperset(n.inputs)}
    left = list(timings(graph))
    while left:
        node = nodes[left.pop()]
        if node.type in SLICED:
            raise InvalidInputsError(f"the timing of slices depends on the slices of {node.id!r}", node=node.id)
        front.add(node.id)
        left += [name for name in node.inputs if name not in front]
    return front


def _delivered(graph: Graph) -> str:
    """Return the node whose steps make what people get: the output, or whatever the output hands on."""
    nodes = {node.id: node for node in graph.nodes}
    node = nodes[graph.output]
    while (kind := find_step_type(node.type)).run is not None:
        plain = {key: value for key, value in node.config.items() if key != BIND}
        try:
            passed = kind.passes(kind.params.model_validate(plain))
        except ValidationError:  # of which planning the node tells more
            break
        if passed is None or passed >= len(node.inputs):
            break
        node = nodes[node.inputs[passed]]
    return node.id
