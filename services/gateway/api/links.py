"""OpenAPI links: which answer holds the id that another route takes, so that programs can follow them."""

from __future__ import annotations

from typing import Any

CONTENT = (
    "GET /cache/{cid}",
    "GET /cache/{cid}/meta",
    "PATCH /cache/{cid}/meta",
    "GET /cache/{cid}/raw",
    "GET /ipfs/{cid}",
    "POST /cache/{cid}/publish",
    "DELETE /cache/{cid}",
)
RECIPES = ("GET /recipes/{recipe}", "POST /recipes/{recipe}/run", "DELETE /recipes/{recipe}")
EFFECTS = ("GET /effects/{effect}", "GET /effects/{effect}/source")
RUNS = (
    "GET /runs/{run_id}",
    "GET /api/run/{run_id}/plan",
    "GET /api/run/{run_id}/analysis",
    "POST /runs/{run_id}/cancel",
    "DELETE /runs/{run_id}",
)
STORAGE = (
    "GET /storage/{storage_id}",
    "PATCH /storage/{storage_id}",
    "GET /storage/{storage_id}/copies",
    "DELETE /storage/{storage_id}",
)
UPLOADS = ("GET /cache/uploads/{upload_id}", "HEAD /cache/uploads/{upload_id}", "DELETE /cache/uploads/{upload_id}")

LINKS: tuple[tuple[str, str, str, str, tuple[str, ...]], ...] = (
    ("POST /cache/upload", "201", "cid", "cid", CONTENT),
    ("POST /cache/uploads", "201", "upload_id", "upload_id", UPLOADS),
    ("POST /recipes/upload", "201", "recipe", "recipe_id", RECIPES),
    ("POST /effects/upload", "201", "effect", "cid", EFFECTS),
    ("POST /recipes/{recipe}/run", "201", "run_id", "run_id", RUNS),
    ("POST /runs", "201", "run_id", "run_id", RUNS),
    ("POST /api/plan", "201", "run_id", "run_id", RUNS),
    ("POST /storage/add", "201", "storage_id", "storage_id", STORAGE),
)
"""Route and status of an answer, the parameter that it fills, the member of its body that does, the routes that take
it."""


def link(paths: dict[str, Any]) -> None:
    """Put the links into the paths of an OpenAPI document."""
    for source, status, parameter, member, targets in LINKS:
        answer = _operation(paths, source)["responses"][status]
        for target in targets:
            operation = _operation(paths, target)
            answer.setdefault("links", {})[operation["operationId"]] = {
                "operationId": operation["operationId"],
                "description": operation["summary"],
                "parameters": {parameter: f"$response.body#/{member}"},
            }


def _operation(paths: dict[str, Any], route: str) -> dict[str, Any]:
    method, _, path = route.partition(" ")
    operation: dict[str, Any] = paths[path][method.lower()]
    return operation
