"""Recipes that are being written: what is wrong with one, and how its DAG looks, without keeping anything."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from artdag_common.domain.graph import Graph
from artdag_common.domain.recipe_document import MAX_BYTES
from artdag_common.errors import InvalidRecipeError
from services.gateway.api.documentation import CID, answers
from services.gateway.api.recipes import YAML_EXAMPLE
from services.gateway.api.shapes import ByName, Either
from services.gateway.drawing import drawn
from services.gateway.parts import Parts, User
from services.gateway.problems import Json
from services.gateway.uploads import receive_text
from services.gateway.views import variable_view

router = APIRouter(prefix="/api", tags=["recipes"])

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/yaml": {"schema": {"type": "string"}, "example": YAML_EXAMPLE}},
    }
}
FOUND: dict[str, Any] = {
    "name": "dog",
    "version": "1.0",
    "problems": [],
    "inputs": [
        {"name": "media", "node": "media", "type": "any", "description": "", "default": CID, "list": False},
    ],
    "graph": {
        "active": False,
        "output": 1,
        "names": ["media", "apply"],
        "types": ["SOURCE", "EFFECT"],
        "levels": [0, 1],
        "inputs": [[], [0]],
        "configs": [ByName(input=True), ByName(effect="dog")],
    },
}
PROBLEM: dict[str, Any] = {
    "line": 5,
    "column": 11,
    "field": "steps[0].type",
    "problem": "unknown step type 'EFECT'; did you mean 'EFFECT'?",
}
NOTHING: dict[str, Any] = {"name": None, "version": None, "problems": [], "inputs": [], "graph": None}


@router.post(
    "/recipes/check",
    summary="Check a recipe that is being written",
    openapi_extra=BODY,
    responses=answers(Either(FOUND, NOTHING | {"problems": [PROBLEM]}), 401, 413),
)
async def check_recipe(request: Request, parts: Parts, user: User) -> Response:
    """What is wrong with it, by line and column; of one with no problems, its inputs and its DAG. Nothing is kept.

    `graph` is a list for each fact, by the places of the nodes; null where there are problems.
    """
    source = await receive_text(request, MAX_BYTES)
    try:
        graph = (await parts.names.sketch(source, user)).graph
    except InvalidRecipeError as error:
        return Json(NOTHING | {"problems": error.problems})
    return Json(checked(graph))


def checked(graph: Graph) -> dict[str, Any]:
    """Return what is said of a recipe without problems."""
    nodes = [{"id": n.id, "type": n.type, "config": n.config, "inputs": n.inputs} for n in graph.nodes]
    return {
        "name": graph.name,
        "version": graph.version,
        "problems": [],
        "inputs": [variable_view(each) for each in graph.variables],
        "graph": drawn(nodes, graph.output),
    }
