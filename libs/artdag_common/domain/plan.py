"""A plan: a recipe bound to its inputs and analyses, as steps with cache ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha3_256
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One unit of work of a plan. A step's place in its run's list of steps is its index; inputs are such indices.

    Attributes:
        node: node id in the recipe; the members of a list are ``node[i]``.
        type: step type, for example ``SEGMENT``.
        cache_id: 64 hexadecimal digits, see :func:`cache_id`.
        config: canonical JSON of all parameters, defaults included.
        inputs: indices of the steps whose outputs this one reads, in slot order.
        label: human-readable name, ``<recipe>.<node>.<what>``.
        level: 0 without inputs, else 1 + the highest level of an input. For people to look at.
        output_cid: what the step gave when it was computed before; empty: it has to run.
        deliver: people get its output, so it is made to be watched; every other one is read by steps, and loses
            nothing.
        forced: it is computed again, whatever was computed before.
    """

    node: str
    type: str
    cache_id: str
    config: str
    inputs: tuple[int, ...]
    label: str
    level: int
    output_cid: str = ""
    deliver: bool = False
    forced: bool = False

    @property
    def is_source(self) -> bool:
        """True for content that was given, not made."""
        return self.type == "SOURCE"


def canonical_json(value: Any) -> bytes:
    """Return ``value`` as JSON with sorted keys and no white space: equal values give equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def cache_id(cluster_key: str, step_type: str, implementation: str, config: str, inputs: Sequence[str]) -> str:
    """Return the identity of a step's result: SHA3-256 over all that can change it, and nothing else.

    Args:
        cluster_key: separates trust domains; servers with the same key share results.
        implementation: version of the step type, with the CID of the effect where there is one.
        config: canonical JSON of the parameters.
        inputs: cache ids of the inputs in slot order.
    """
    digest = sha3_256(b"artdag-step-1")
    parts = [part.encode() for part in (cluster_key, step_type, implementation, config, *inputs)]
    digest.update(b"".join([len(part).to_bytes(8, "big") + part for part in parts]))
    return digest.hexdigest()


def plan_id(recipe_cid: str, inputs: Sequence[tuple[str, Sequence[str]]], analyses: Sequence[str]) -> str:
    """Return the identity of a plan: recipe, bound inputs and the analyses that shaped it (their cache ids)."""
    return sha3_256(canonical_json([recipe_cid, sorted((n, list(c)) for n, c in inputs), sorted(analyses)])).hexdigest()


def plan_document(plan: str, recipe_cid: str, steps: Sequence[PlannedStep], output: int) -> dict[str, Any]:
    """Return the plan as the JSON document that is stored as content. It says nothing of who ran it, or when."""
    return {
        "plan_id": plan,
        "recipe_cid": recipe_cid,
        "output": output,
        "steps": [
            {
                "index": index,
                "node": step.node,
                "type": step.type,
                "cache_id": step.cache_id,
                "config": orjson.loads(step.config),
                "inputs": list(step.inputs),
                "label": step.label,
                "level": step.level,
                "deliver": step.deliver,
            }
            for index, step in enumerate(steps)
        ],
    }
