"""A recipe's DAG as graphs on pages are drawn: a list for each fact, nodes named by their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def drawn(nodes: Sequence[Mapping[str, Any]], output: str) -> dict[str, Any]:
    """Return the lists.

    Args:
        nodes: each with ``id``, ``type``, ``config`` and ``inputs``, in topological order.
        output: id of the node that gives the result.
    """
    places = {node["id"]: place for place, node in enumerate(nodes)}
    inputs = [list(dict.fromkeys(places[each] for each in node["inputs"])) for node in nodes]
    levels: list[int] = []
    for read in inputs:
        levels.append(1 + max((levels[each] for each in read), default=-1))
    return {
        "active": False,
        "output": places[output],
        "names": [node["id"] for node in nodes],
        "types": [node["type"] for node in nodes],
        "levels": levels,
        "inputs": inputs,
        "configs": [node["config"] for node in nodes],
    }
