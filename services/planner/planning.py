"""Recipe + bound inputs → steps with cache ids. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import orjson
from pydantic import ValidationError

from artdag_common.domain.graph import Graph, Node
from artdag_common.domain.plan import PlannedStep, cache_id, canonical_json
from artdag_common.domain.run import InputBinding
from artdag_common.errors import InvalidInputsError, InvalidRecipeError, StepConfigError
from artdag_common.steps.registry import StepType, find_step_type

ACCOMPANIED = "BEAT_SYNC"


@dataclass(slots=True)
class _Draft:
    """Steps so far, and which of them each node became."""

    recipe: str
    cluster_key: str
    steps: list[PlannedStep] = field(default_factory=list)
    places: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def add(
        self, node: str, kind: StepType, config: str, inputs: Sequence[int], what: str = "", output_cid: str = ""
    ) -> int:
        name = f"{self.recipe}.{node}"
        label = f"{name}.{what or kind.name.lower()}"
        self.steps.append(
            PlannedStep(
                node=node,
                type=kind.name,
                cache_id=cache_id(
                    self.cluster_key,
                    kind.name,
                    kind.implementation(config),
                    config,
                    [self.steps[i].cache_id for i in inputs],
                ),
                config=config,
                inputs=tuple(inputs),
                label=label,
                level=1 + max((self.steps[i].level for i in inputs), default=-1),
                output_cid=output_cid,
            )
        )
        return len(self.steps) - 1


@dataclass(frozen=True, slots=True)
class Compiled:
    """All steps of a run, those that analyse its inputs in front.

    Attributes:
        analysis: how many of ``steps`` belong to the analysis of the inputs: the sources and what reads only them.
        output: index of the step that gives the run's output.
    """

    steps: tuple[PlannedStep, ...]
    analysis: int
    output: int


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


def compile_plan(graph: Graph, inputs: Sequence[InputBinding], cluster_key: str) -> Compiled:
    """Turn a recipe and its bound inputs into steps.

    BEAT_SYNC takes along the media that its analysis
    describes, so that the result can be heard.

    Raises:
        InvalidInputsError: the inputs do not fit.
    """
    bound = bind(graph, inputs)
    draft = _Draft(graph.name or "recipe", cluster_key)
    analysing = _analysis_nodes(graph)
    front = [n for n in graph.nodes if n.type.startswith("SOURCE") or n.id in analysing]
    for node in front:
        _place(draft, node, bound)
    analysis = len(draft.steps)
    for node in graph.nodes:
        if node.id not in draft.places:
            _place(draft, node, bound)
    return Compiled(tuple(draft.steps), analysis, draft.places[graph.output][-1])


def _analysis_nodes(graph: Graph) -> set[str]:
    sources = {n.id for n in graph.nodes if n.type in ("SOURCE", "SOURCE_LIST")}
    return {n.id for n in graph.nodes if n.type == "ANALYZE" and sources.issuperset(n.inputs)}


def _place(draft: _Draft, node: Node, bound: Mapping[str, tuple[str, ...]]) -> None:
    if node.type in ("SOURCE", "SOURCE_LIST"):
        cids = bound.get(node.id) or fixed_cids(node)
        source = find_step_type("SOURCE")
        draft.places[node.id] = tuple(
            draft.add(
                node.id if len(cids) == 1 else f"{node.id}[{i}]",
                source,
                canonical_json({"cid": cid}).decode(),
                (),
                output_cid=cid,
            )
            for i, cid in enumerate(cids)
        )
        return
    kind = find_step_type(node.type)
    try:
        config = kind.canonical_config(node.config)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))} {e['input']!r}: {e['msg']}" for e in error.errors()]
        raise StepConfigError(f"{node.id} ({kind.name}): {'; '.join(problems)}", node=node.id) from error
    inputs = [place for source_node in node.inputs for place in draft.places[source_node]]
    if len(inputs) < kind.min_inputs or (kind.max_inputs is not None and len(inputs) > kind.max_inputs):
        most = "" if kind.max_inputs is None else f" and at most {kind.max_inputs}"
        raise InvalidInputsError(
            f"{node.id} ({kind.name}) takes at least {kind.min_inputs}{most} inputs, and the lists bound here give it"
            f" {len(inputs)}",
            node=node.id,
        )
    if node.type == ACCOMPANIED and len(inputs) == 2:
        analysis = draft.steps[inputs[1]]
        inputs += analysis.inputs[:1] if analysis.type == "ANALYZE" else ()
    draft.places[node.id] = (draft.add(node.id, kind, config, inputs),)


def fixed_cids(node: Node) -> tuple[str, ...]:
    """Return the content that the recipe itself names at a source; none where a run binds it."""
    if node.type not in ("SOURCE", "SOURCE_LIST"):
        return ()
    return tuple(node.config["cids"]) if "cids" in node.config else tuple(filter(None, [node.config.get("cid")]))
