"""Reads recipes from the content store."""

from __future__ import annotations

from artdag_common.blobs.port import BlobStore
from artdag_common.domain.graph import Graph
from artdag_common.effects.named import have_effects
from services.planner.planning import read_graph


async def read_recipe(blobs: BlobStore, cid: str) -> Graph:
    """Return the DAG of a recipe. The uploaded effects that it names are on the local disk then.

    Raises:
        ContentNotFoundError: the recipe is nowhere.
        InvalidRecipeError: it is something else.
        ServiceUnavailableError: it, or an effect, lies where nobody answers now.
    """
    document = await blobs.read(cid)
    await have_effects(blobs, [document.decode(errors="replace")])
    return read_graph(document)
