"""What people call things → CIDs: content by CID or asset name, recipes by id, name, effect name or as YAML."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from artdag_common.blobs.absence import absent
from artdag_common.blobs.port import BlobStore
from artdag_common.cid import is_cid, parse_cid
from artdag_common.domain.graph import Graph
from artdag_common.domain.recipe_forms import SOURCES
from artdag_common.domain.recipe_yaml import effect_recipe, parse_recipe
from artdag_common.domain.run import InputBinding
from artdag_common.effects import uploaded
from artdag_common.effects.named import effects_named
from artdag_common.effects.registry import EFFECTS
from artdag_common.errors import (
    ContentNotFoundError,
    InvalidInputsError,
    InvalidRecipeError,
    RecipeNotFoundError,
    UnknownEffectError,
    UnknownStepTypeError,
)
from artdag_common.steps import registry  # noqa: F401  (the step types that recipes may name become known)
from services.gateway.projections import objects, recipes
from services.gateway.visibility import seen_content

NAMED_AT_MOST = 200


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


def content_of(graph: Graph, bound: Sequence[InputBinding]) -> set[str]:
    """Return the content that a run of a recipe reads: bound to its inputs, named at its sources, and as defaults."""
    given = {binding.name for binding in bound}
    found = {cid for binding in bound for cid in binding.cids}
    found |= {v.default for v in graph.variables if is_cid(v.default) and not {v.name, v.node} & given}
    for node in graph.nodes:
        if node.type in SOURCES:
            found.update(filter(None, (node.config.get("cid"), *node.config.get("cids", ()))))
    return {parse_cid(cid) for cid in found if is_cid(cid)}


class Names:
    """Looks names up, for a user: what the user does not see is not there."""

    def __init__(self, pool: asyncpg.Pool, blobs: BlobStore, shared: bool = False) -> None:
        """``shared``: several people use this server."""
        self._pool = pool
        self._blobs = blobs
        self._shared = shared

    async def content(self, reference: str, owner: str) -> str:
        """Return the CID of content named by CID, by the owner's name for it, or by one that it is published under.

        Raises:
            ContentNotFoundError: the owner sees nothing of this name.
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

    async def recipe(self, reference: str, viewer: str) -> recipes.RecipeRow:
        """Return a registered recipe by id or name, the viewer's own before what others published.

        Raises:
            RecipeNotFoundError: the viewer sees none; the message names the nearest.
        """
        row = await self._find_recipe(reference, viewer)
        if row is None:
            shown = reference if len(reference) <= 80 else reference[:77] + "…"
            known = [] if is_cid(reference) else await recipes.names(self._pool, viewer)
            raise RecipeNotFoundError(f"no recipe {shown!r}{nearest(reference[:NAMED_AT_MOST], known)}", recipe=shown)
        return row

    async def sketch(self, source: bytes, owner: str) -> Sketch:
        """Read a recipe; assets that its registry does not list are looked up among the owner's names.

        Raises:
            InvalidRecipeError: with all its problems.
        """
        assets = await objects.by_name(self._pool, owner)
        with uploaded.only(()) as asked:
            try:
                return Sketch(await asyncio.to_thread(parse_recipe, source, assets), source)
            except InvalidRecipeError:
                if not asked:
                    raise
        with uploaded.only(await self._effects(asked, owner)):
            return Sketch(await asyncio.to_thread(parse_recipe, source, assets), source)

    async def _effects(self, cids: Iterable[str], owner: str) -> set[str]:
        """Return those of ``cids`` that the owner sees; their files are on the local disk then."""
        seen = await seen_content(self._pool, owner, cids, self._shared)
        for cid in seen:
            with contextlib.suppress(ContentNotFoundError):  # named by whoever reads the recipe
                await self._blobs.path(cid)  # it may have come to another node
        return seen

    async def recipe_or_sketch(self, reference: str, owner: str) -> recipes.RecipeRow | Sketch:
        """Return what is to be run: a registered recipe, one given as YAML, or one effect by itself.

        Raises:
            RecipeNotFoundError: nothing has this name.
            InvalidRecipeError: the YAML has problems.
        """
        if inline(reference):
            return await self.sketch(reference.encode(), owner)
        row = await self._find_recipe(reference, owner)
        if row is None:
            try:
                with uploaded.only(await self._effects([parse_cid(reference)], owner) if is_cid(reference) else ()):
                    text = effect_recipe(reference)
                return await self.sketch(text.encode(), owner)
            except (UnknownEffectError, UnknownStepTypeError):  # nor is it an effect
                pass
        return row or await self.recipe(reference, owner)

    async def graph(self, cid: str) -> Graph:
        """Return the DAG of a registered recipe."""
        return Graph.from_canonical(orjson.loads(await self._blobs.read(cid)))

    async def bind(self, graph: Graph, inputs: Any, owner: str) -> tuple[InputBinding, ...]:
        """Return a run's inputs with every name turned into a CID.

        Args:
            inputs: a mapping of input names, or a list in the order of the recipe's inputs; each a CID, a name, or a
                list of those.

        Raises:
            InvalidInputsError: there are more than the recipe has; or some content, also what the recipe itself names,
                is not stored here, or not for the owner to see.
            UnknownEffectError: the same of an effect.
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
        await self._check_seen(graph, bindings, owner)
        return tuple(bindings)

    async def _check_seen(self, graph: Graph, bound: Sequence[InputBinding], owner: str) -> None:
        """Refuse content and effects that are not there for the owner: to name them in a run is to read them."""
        wanted = content_of(graph, bound)
        seen = await seen_content(self._pool, owner, wanted, self._shared)
        missing = sorted((wanted - seen) | await absent(self._blobs, seen))
        if missing:
            raise InvalidInputsError(
                f"not stored here: {', '.join(missing)}; upload with POST /cache/upload first", missing=missing
            )
        named = effects_named([graph.canonical().decode()]) - {effect.cid for effect in EFFECTS.values()}
        if named and (hidden := sorted(named - await seen_content(self._pool, owner, named, self._shared))):
            raise uploaded.unknown(hidden[0])

    async def _find_recipe(self, reference: str, viewer: str) -> recipes.RecipeRow | None:
        if is_cid(reference):
            return await recipes.find(self._pool, viewer, parse_cid(reference))
        return await recipes.find_named(self._pool, viewer, reference)


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
