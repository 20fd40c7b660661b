"""The DAG of a recipe in its canonical form: nodes, named inputs, output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from artdag_common.domain.plan import canonical_json


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its id, its type, its configuration as written, and the nodes it reads in slot order."""

    id: str
    type: str
    config: dict[str, Any]
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Variable:
    """A named input that a run binds.

    Attributes:
        name: how runs name it; the id of ``node`` is accepted too.
        media: video, audio, image or any.
        default: CID or asset name used where a run binds nothing; empty: it has to be bound.
        many: takes a list.
    """

    name: str
    node: str
    media: str = "any"
    description: str = ""
    default: str = ""
    many: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """A recipe's DAG. Nodes are in topological order.

    ``on_failure``: ``continue`` lets the branches that can still finish do so when a step fails; empty: the run ends.
    """

    name: str
    version: str
    description: str
    owner: str
    nodes: tuple[Node, ...]
    variables: tuple[Variable, ...]
    output: str
    on_failure: str = ""

    def canonical(self) -> bytes:
        """Return the canonical form, whose CID is the recipe's id: equal recipes give equal bytes, in either form."""
        return canonical_json(
            {
                "artdag": "recipe-1",
                "name": self.name,
                "version": self.version,
                "description": self.description,
                "owner": self.owner,
                "nodes": [
                    {"id": n.id, "type": n.type, "config": n.config, "inputs": list(n.inputs)} for n in self.nodes
                ],
                "variables": [
                    {
                        "name": v.name,
                        "node": v.node,
                        "media": v.media,
                        "description": v.description,
                        "default": v.default,
                        "many": v.many,
                    }
                    for v in self.variables
                ],
                "output": self.output,
                # Left out where it is nothing special: recipes from before there was a choice keep their ids.
                **({"on_failure": self.on_failure} if self.on_failure else {}),
            }
        )

    @classmethod
    def from_canonical(cls, document: dict[str, Any]) -> Graph:
        """Read a canonical form back."""
        return cls(
            name=document["name"],
            version=document["version"],
            description=document["description"],
            owner=document["owner"],
            nodes=tuple(Node(n["id"], n["type"], n["config"], tuple(n["inputs"])) for n in document["nodes"]),
            variables=tuple(Variable(**v) for v in document["variables"]),
            output=document["output"],
            on_failure=document.get("on_failure", ""),
        )
