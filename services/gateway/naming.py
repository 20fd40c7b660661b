"""What people call things → CIDs: content by CID or asset name, recipes by id, name, effect name or as YAML."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from artdag_common.blobs.port import BlobStore
from artdag_common.cid import is_cid, parse_cid
from artdag_common.domain.graph import Graph
from artdag_common.domain.recipe_yaml import effect_recipe, parse_recipe
from artdag_common.domain.run import InputBinding
from artdag_common.errors import (
    ContentNotFoundError,
    InvalidInputsError,
    RecipeNotFoundError,
    UnknownEffectError,
    UnknownStepTypeError,
)
from artdag_common.steps import registry  # noqa: F401  (the step types that recipes may name become known)
from services.gateway.projections import effects, objects, recipes

NAMED_AT_MOST = 200
CID = re.compile(r"\bba[a-z2-7]{57}\b")


@dataclass(frozen=True, slots=True)
class Sketch:
    """A recipe as YAML that may not be registered yet."""

    graph: Graph
    source: bytes


def nearest(name: str, known: Sequence[str]) -> str:
    """Return a clause for a message that names what may have been meant."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(known[:10])}" if known else ""


def inline(reference: str) -> bool:
    """Return whether a reference to a recipe is the recipe itself."""
    return "\n" in reference or ": " in reference


class Names:
    """Looks names up."""

    def __init__(self, pool: asyncpg.Pool, blobs: BlobStore) -> None:
        self._pool = pool
        self._blobs = blobs

    async def content(self, reference: str, owner: str) -> str:
        """Return the CID of content named by CID or by the owner's name for it.

        Raises:
            ContentNotFoundError: the owner has nothing of this name.
        """
        if is_cid(reference):
            return parse_cid(reference)
        cid = await objects.find_named(self._pool, owner, reference)
        if cid is None:
            shown = reference if len(reference) <= 80 else reference[:77] + "…"
            raise ContentNotFoundError(
                f"{shown!r} is neither a CID nor the name of content of yours"
                f"{nearest(reference[:NAMED_AT_MOST], await objects.names(self._pool, owner))}",
                name=shown,
            )
        return cid

    async def recipe(self, reference: str) -> recipes.RecipeRow:
        """Return a registered recipe by id or name.

        Raises:
            RecipeNotFoundError: there is none; the message names the nearest.
        """
        row = await self._find_recipe(reference)
        if row is None:
            shown = reference if len(reference) <= 80 else reference[:77] + "…"
            known = [] if is_cid(reference) else await recipes.names(self._pool)
            raise RecipeNotFoundError(f"no recipe {shown!r}{nearest(reference[:NAMED_AT_MOST], known)}", recipe=shown)
        return row

    async def sketch(self, source: bytes, owner: str) -> Sketch:
        """Read a recipe; assets that its registry does not list are looked up among the owner's names.

        Raises:
            InvalidRecipeError: with all its problems.
        """
        assets = await objects.by_name(self._pool, owner)
        for cid in await effects.known(self._pool, CID.findall(source.decode(errors="replace"))):
            with contextlib.suppress(ContentNotFoundError):  # named by whoever reads the recipe
                await self._blobs.path(cid)  # it may have come to another node
        return Sketch(await asyncio.to_thread(parse_recipe, source, assets), source)

    async def recipe_or_sketch(self, reference: str, owner: str) -> recipes.RecipeRow | Sketch:
        """Return what is to be run: a registered recipe, one given as YAML, or one effect by itself.

        Raises:
            RecipeNotFoundError: nothing has this name.
            InvalidRecipeError: the YAML has problems.
        """
        if inline(reference):
            return await self.sketch(reference.encode(), owner)
        row = await self._find_recipe(reference)
        if row is None:
            try:
                return await self.sketch(effect_recipe(reference).encode(), owner)
            except (UnknownEffectError, UnknownStepTypeError):  # nor is it an effect
                pass
        return row or await self.recipe(reference)

    async def graph(self, cid: str) -> Graph:
        """Return the DAG of a registered recipe."""
        return Graph.from_canonical(orjson.loads(await self._blobs.read(cid)))

    async def bind(self, graph: Graph, inputs: Any, owner: str) -> tuple[InputBinding, ...]:
        """Return a run's inputs with every name turned into a CID.

        Args:
            inputs: a mapping of input names, or a list in the order of the recipe's inputs; each a CID, a name, or a
                list of those.

        Raises:
            InvalidInputsError: there are more than the recipe has.
            ContentNotFoundError: a name stands for nothing.
        """
        given = inputs if isinstance(inputs, Mapping) else _in_order(graph, inputs)
        bindings = []
        for name, references in given.items():
            listed = [references] if isinstance(references, str) else references
            bindings.append(InputBinding(name, tuple([await self.content(each, owner) for each in listed])))
        bound = {binding.name for binding in bindings}
        for variable in graph.variables:
            if variable.default and not is_cid(variable.default) and not {variable.name, variable.node} & bound:
                bindings.append(InputBinding(variable.name, (await self.content(variable.default, owner),)))
        return tuple(bindings)

    async def _find_recipe(self, reference: str) -> recipes.RecipeRow | None:
        if is_cid(reference):
            return await recipes.find(self._pool, parse_cid(reference))
        return await recipes.find_named(self._pool, reference)


def _in_order(graph: Graph, inputs: Sequence[Any]) -> dict[str, Any]:
    """Give inputs without names the names of the recipe's inputs; a last one that takes a list takes the rest."""
    variables = graph.variables
    values = list(inputs)
    if variables and variables[-1].many and len(values) >= len(variables):
        head = len(variables) - 1
        rest = [each for value in values[head:] for each in ([value] if isinstance(value, str) else value)]
        values = [*values[:head], rest]
    if len(values) > len(variables):
        known = ", ".join(v.name for v in variables) or "none"
        raise InvalidInputsError(
            f"{len(values)} inputs are given, the recipe takes {len(variables)} ({known})",
            problems=[f"{len(values)} inputs for {len(variables)}"],
        )
    return {variable.name: value for variable, value in zip(variables, values, strict=False)}
