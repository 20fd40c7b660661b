"""Publishing: make content public, look what came of it, take it back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from artdag_common.commands import PublishObject, UnpublishObject
from artdag_common.errors import NothingToPublishError
from services.gateway.api.documentation import ACTIVITY, CID, PUBLICATION, answers
from services.gateway.api.runs import RunId
from services.gateway.api.runs import own as own_run
from services.gateway.booking import NAME_CHARACTERS, check_name
from services.gateway.contents import Addressed, Cid, known, meta_views, own, version_of
from services.gateway.issuing import Pending, patience_of
from services.gateway.parts import Gateway, Parts, User, Viewer
from services.gateway.problems import Json
from services.gateway.projections import objects, publications
from services.gateway.projections.objects import ObjectRow
from services.gateway.publications import activity_views, publication_views
from services.gateway.uploads import refused

router = APIRouter(tags=["publishing"])

DESCRIPTION_CHARACTERS = 10_000
ACTIVITIES = 50
"""That are shown, the newest."""

STANDING: dict[str, Any] = {
    "cid": CID,
    "state": "pending",
    "published": PUBLICATION,
    "activities": [ACTIVITY | {"type": "Create", "object": PUBLICATION["object"], "at": PUBLICATION["published_at"]}],
}


class Publishing(Addressed):
    """Under what content becomes public. What is left out is as you described it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "Cat", "description": "A cat, dancing"}}
    )

    name: str | None = Field(None, max_length=NAME_CHARACTERS)
    description: str | None = Field(None, max_length=DESCRIPTION_CHARACTERS)


class RunPublishing(BaseModel):
    """Under what a run's output becomes public. What is left out is as you described it, or as the run calls it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "Cat", "description": "A cat, dancing"}}
    )

    name: str | None = Field(None, max_length=NAME_CHARACTERS)
    description: str | None = Field(None, max_length=DESCRIPTION_CHARACTERS)


@router.post(
    "/cache/{cid}/publish",
    summary="Publish",
    responses=answers({"cid": CID, "published": PUBLICATION}, 400, 401, 404, 422, pending=True),
)
async def publish(request: Request, cid: Cid, parts: Parts, user: User, body: Publishing | None = None) -> Response:
    """Make content public in your name, with the provenance of the run that made it. The same again changes nothing.

    On a server with a registry (L2) it is told, after this answer: `GET` the same address shows what came of it. What
    is published cannot be deleted.
    """
    command_id = await parts.issuer.command_id(request, user, await request.body())
    row = await own(parts, cid, user, "publish")
    given = body or Publishing.model_validate({})
    given.check(row.cid)
    made = await objects.origin_of(parts.pool, row.cid, user)
    origin = (made["run_id"], made["recipe_cid"], made["provenance_cid"]) if made else ("", "", "")
    return await _publish(parts, request, command_id, user, row, (given.name, given.description), origin)


@router.post(
    "/runs/{run_id}/publish",
    summary="Publish a run's output",
    responses=answers({"cid": CID, "published": PUBLICATION}, 401, 404, 409, 422, pending=True),
)
async def publish_run(
    request: Request, run_id: RunId, parts: Parts, user: User, body: RunPublishing | None = None
) -> Response:
    """Make what a run of yours gave public, with its provenance."""
    command_id = await parts.issuer.command_id(request, user, await request.body())
    run = await own_run(parts, run_id, user, "publish")
    if not run.output_cid:
        raise NothingToPublishError(f"run {run_id} is {run.status}, and has no output to publish", run=run_id)
    row = await known(parts, run.output_cid, user)
    origin = (run.run_id, run.recipe_cid, run.provenance_cid)
    given = body or RunPublishing.model_validate({})
    name = given.name if given.name is not None else run.output_name or None
    return await _publish(parts, request, command_id, user, row, (name, given.description), origin, run.recipe_name)


async def _publish(
    parts: Gateway,
    request: Request,
    command_id: str,
    user: str,
    row: ObjectRow,
    said: tuple[str | None, str | None],
    origin: tuple[str, str, str],
    otherwise: str = "",
) -> Response:
    """Publish content under a name and a description; None: as it is described.

    Args:
        otherwise: its name where it has none.
    """
    (meta,) = await meta_views(parts, [row], user)
    name = (said[0] if said[0] is not None else meta["name"] or otherwise).strip()
    check_name(name)
    if not name:
        raise refused("name", "", "there: content is published under a name; send one, or name it first")
    description = said[1] if said[1] is not None else meta["description"]
    command = PublishObject(row.cid, user, name, description, *origin)
    done = await parts.issuer.issue(command, command_id, f"/cache/{row.cid}/publish", patience_of(request))
    await version_of(parts, row, int(done.get("version", 0)))
    said_now = await _own_publication(parts, row.cid, user)
    if said_now is None:  # the read models are behind
        raise Pending(command_id, f"/cache/{row.cid}/publish")
    return Json({"cid": row.cid, "published": said_now})


@router.get("/cache/{cid}/publish", summary="See what is published", responses=answers(STANDING, 400, 401, 404))
async def get_publication(cid: Cid, parts: Parts, viewer: Viewer) -> Response:
    """Under what content is public in your name, and what the registry made of it. Empty for who published nothing.

    `state`: `none`, `local` (published here only), `pending` (the registry has not decided), `delivered`, `refused`, or
    `unpublished`.
    """
    row = await known(parts, cid, viewer)
    return Json(await _standing(parts, row.cid, viewer))


async def _standing(parts: Gateway, cid: str, viewer: str) -> dict[str, Any]:
    shown = await _own_publication(parts, cid, viewer)
    rows = await publications.activities_of(parts.pool, cid, viewer, ACTIVITIES)
    state = shown["activity"]["state"] if shown else "unpublished" if rows else "none"
    return {"cid": cid, "state": state, "published": shown, "activities": await activity_views(parts, rows)}


async def _own_publication(parts: Gateway, cid: str, user: str) -> dict[str, Any] | None:
    found = (await publication_views(parts, [cid], user)).get(cid, [])
    return next((each for each in found if each["owner"] == user), None)


@router.delete(
    "/cache/{cid}/publish",
    summary="Unpublish",
    responses=answers(STANDING | {"state": "unpublished", "published": None}, 400, 401, 404, pending=True),
)
async def unpublish(request: Request, cid: Cid, parts: Parts, user: User) -> Response:
    """Make content public no longer in your name. The registry is told, after what it was told before."""
    command_id = await parts.issuer.command_id(request, user, b"")
    row = await own(parts, cid, user, "unpublish")
    command = UnpublishObject(row.cid, user)
    done = await parts.issuer.issue(command, command_id, f"/cache/{row.cid}/publish", patience_of(request))
    await version_of(parts, row, int(done.get("version", 0)))
    return Json(await _standing(parts, row.cid, user))
