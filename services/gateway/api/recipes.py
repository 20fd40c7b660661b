"""Recipes: upload, look, run, delete. ``/configs`` is the earlier name of the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from artdag_common.commands import DeleteRecipe
from artdag_common.domain.recipe_document import MAX_BYTES
from artdag_common.errors import NotYoursError
from services.gateway.api.documentation import CID, RECIPE, RECIPE_DETAIL, RUN, answers
from services.gateway.api.runs import Inputs
from services.gateway.api.wishes import Changing
from services.gateway.issuing import patience_of
from services.gateway.launching import created, launch, recipe_seen, register
from services.gateway.parts import Parts, User, Viewer, Whose
from services.gateway.problems import Json
from services.gateway.projections import recipes
from services.gateway.uploads import is_form, receive_form, receive_text, refused
from services.gateway.views import page_view, read_cursor, recipe_detail, recipe_view

RecipeId = Annotated[str, Path(description="Recipe id or name", examples=["beat-sync"], max_length=256)]
FIELDS = ("recipe", "config", "yaml", "file")
YAML_EXAMPLE = """name: dog
inputs:
  media: {type: any}
steps:
  - id: apply
    type: EFFECT
    config: {effect: dog}
    inputs: [media]
output: apply
"""
UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": {"type": "string"}, "example": YAML_EXAMPLE},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
            },
        },
    }
}


class RecipeRun(Changing):
    """What to run a recipe on."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"inputs": {"video": CID, "audio": CID}, "output_name": "my-output"}},
    )

    inputs: Inputs = Field(default_factory=dict, description="CIDs or asset names, by the names of the inputs")
    output_name: str = Field("", max_length=200, description="What the output is called in the provenance record")


async def upload_recipe(request: Request, parts: Parts, user: User) -> Response:
    """Make a recipe known, from YAML as the body or as a form's file. All its problems are reported at once."""
    if is_form(request):
        form = await receive_form(request, parts.blobs, MAX_BYTES)
        texts = [form.fields[name] for name in FIELDS if name in form.fields]
        if form.files:
            source = await parts.blobs.read(form.files[0].cid)
        elif texts:
            source = texts[0].encode()
        else:
            raise refused("file", "", "a recipe: send it as the form's file")
    else:
        source = await receive_text(request, MAX_BYTES)
    command_id = await parts.issuer.command_id(request, user, source)
    sketch = await parts.names.sketch(source, user)
    cid = await register(parts, request, sketch, user, command_id)
    await recipe_seen(parts, user, cid)
    row = await recipes.find(parts.pool, user, cid)
    known = {"recipe_id": cid, "name": sketch.graph.name, "version": sketch.graph.version}
    return Json(recipe_view(row) if row else known, 201 if row else 202, {"Location": f"/recipes/{cid}"})


async def list_recipes(
    parts: Parts,
    viewer: Viewer,
    owner: Whose,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
    name: Annotated[str | None, Query(max_length=200, description="Part of a name")] = None,
) -> Response:
    """One page of your recipes and of published ones, newest first; `next` is the cursor of the following page."""
    rows, total = await recipes.newest(parts.pool, viewer, limit + 1, read_cursor(cursor), owner, name)
    page = rows[:limit]
    following = page[-1].position if len(rows) > limit else None
    return Json(page_view("recipes", [recipe_view(row) for row in page], total, following))


async def get_recipe(recipe: RecipeId, parts: Parts, viewer: Viewer) -> Response:
    """A recipe with its inputs and its nodes. A name means your own, else what was published last."""
    row = await parts.names.recipe(recipe, viewer)
    return Json(recipe_detail(row, await parts.names.graph(row.cid)))


async def delete_recipe(request: Request, recipe: RecipeId, parts: Parts, user: User) -> Response:
    """Take a recipe off your list. Runs made with it stay, and others who have it keep it."""
    command_id = await parts.issuer.command_id(request, user, b"")
    row = await parts.names.recipe(recipe, user)
    if row.owner != user:
        raise NotYoursError(f"recipe {row.cid} is not yours to delete: somebody else published it", recipe=row.cid)
    deleted = {"recipe_id": row.cid, "name": row.name, "deleted": True}
    await parts.issuer.keys.foretell(request, deleted)
    await parts.issuer.issue(DeleteRecipe(row.cid, user), command_id, f"/recipes/{row.cid}", patience_of(request))
    await recipe_seen(parts, user, row.cid, present=False)
    return Json(deleted)


async def run_recipe(request: Request, recipe: RecipeId, body: RecipeRun, parts: Parts, user: User) -> Response:
    """Render a recipe. With an `Idempotency-Key`, repeating the request gives the same run."""
    row = await parts.names.recipe(recipe, user)
    wishes = body.wishes(body.force)
    asked = (row.cid, body.inputs, body.output_name)
    run_id = await launch(parts, request, user, *asked, wishes=wishes, parameters=body.parameters)
    return await created(parts, run_id)


def _routes(prefix: str, what: str, plural: str, *, earlier: bool) -> APIRouter:
    router = APIRouter(prefix=prefix, tags=["configs (earlier name of recipes)" if earlier else "recipes"])

    def add(path: str, method: str, endpoint: Callable[..., Any], summary: str, **more: Any) -> None:
        router.add_api_route(path, endpoint, methods=[method], summary=summary, deprecated=earlier or None, **more)

    add(
        "/upload",
        "POST",
        upload_recipe,
        f"Upload {what} YAML",
        status_code=201,
        openapi_extra=UPLOAD_BODY,
        responses=answers(RECIPE, 401, 413, 422, 507, status=201, pending=True),
    )
    page = {"recipes": [RECIPE], "total": 1, "next": None}
    add("", "GET", list_recipes, f"List {plural}", responses=answers(page, 401, 422))
    add("/{recipe}", "GET", get_recipe, f"Get {what} details", responses=answers(RECIPE_DETAIL, 401, 404))
    deleted = {"recipe_id": CID, "name": "beat-sync", "deleted": True}
    add(
        "/{recipe}",
        "DELETE",
        delete_recipe,
        f"Delete {what}",
        responses=answers(deleted, 401, 404, 409, pending=True),
    )
    add(
        "/{recipe}/run",
        "POST",
        run_recipe,
        f"Execute {what}",
        status_code=201,
        responses=answers(RUN, 401, 404, 422, status=201, pending=True),
    )
    return router


router = APIRouter()
router.include_router(_routes("/recipes", "a recipe", "recipes", earlier=False))
router.include_router(_routes("/configs", "a config", "configs", earlier=True))
