"""A plan while it is made: its steps so far, and which of them each node became."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from artdag_common.domain.plan import PlannedStep, cache_id, canonical_json
from artdag_common.steps.bind import BIND
from artdag_common.steps.registry import StepType, find_step_type


@dataclass(frozen=True, slots=True)
class Analysed:
    """The analysis of one thing.

    Attributes:
        media: index of the step whose output is analysed.
        whole: index of the step that gives the document with all its features.
        parts: index of the step that gives each feature by itself.
    """

    media: int
    whole: int
    parts: Mapping[str, int]


@dataclass(slots=True)
class Draft:
    """Steps so far.

    Attributes:
        delivered: the node whose output people get.
        forced: nodes whose steps are computed again; whatever reads those is, too.
        again: the steps of those nodes, sources too, which nobody computes.
        places: the steps that each node became.
        analyses: those steps that are an analysis.
    """

    recipe: str
    cluster_key: str
    delivered: str
    forced: frozenset[str] = frozenset()
    steps: list[PlannedStep] = field(default_factory=list)
    again: set[int] = field(default_factory=set)
    places: dict[str, tuple[int, ...]] = field(default_factory=dict)
    analyses: dict[int, Analysed] = field(default_factory=dict)

    def add(
        self,
        node: str,
        kind: StepType,
        config: str,
        inputs: Sequence[int],
        *,
        what: str = "",
        part: str = "",
        output_cid: str = "",
        deliver: bool = False,
    ) -> int:
        """Add a step and return its index.

        Args:
            what: the last part of its label; by default its type.
            part: what tells it apart from others of the same node, in brackets.
            deliver: its output is for people.
        """
        index = len(self.steps)
        if node in self.forced or not self.again.isdisjoint(inputs):
            self.again.add(index)
        self.steps.append(
            PlannedStep(
                node=f"{node}{part}",
                type=kind.name,
                cache_id=identity(self.cluster_key, kind.name, config, deliver, [self.steps[i] for i in inputs]),
                config=config,
                inputs=tuple(inputs),
                label=f"{self.recipe}.{node}.{what or kind.name.lower()}{part}",
                level=level(self.steps[i] for i in inputs),
                output_cid=output_cid,
                deliver=deliver,
                forced=index in self.again and not output_cid,
            )
        )
        return index


def plain_config(config: str) -> str:
    """Return a step's parameters without the bindings: what its type checks."""
    values: dict[str, Any] = orjson.loads(config)
    if BIND not in values:
        return config
    return canonical_json({key: value for key, value in values.items() if key != BIND}).decode()


def identity(cluster_key: str, step_type: str, config: str, deliver: bool, inputs: Sequence[PlannedStep]) -> str:
    """Return the cache id of a step."""
    implementation = find_step_type(step_type).implementation(plain_config(config), deliver)
    return cache_id(cluster_key, step_type, implementation, config, [each.cache_id for each in inputs])


def level(inputs: Iterable[PlannedStep]) -> int:
    """Return the level of a step that reads ``inputs``."""
    return 1 + max((each.level for each in inputs), default=-1)
