"""Deletion of content, and of what nobody needs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from artdag_common.cid import parse_cid
from artdag_common.commands import CollectGarbage, DeleteObject
from artdag_common.domain.retention import OPERATOR
from artdag_common.errors import NotYoursError
from services.gateway.api.documentation import CID, answers
from services.gateway.api.shapes import ByName
from services.gateway.contents import Cid, check_seen
from services.gateway.issuing import patience_of
from services.gateway.launching import OWN_WRITES_SECONDS
from services.gateway.parts import Gateway, Parts, User
from services.gateway.problems import Json
from services.gateway.projections import objects

router = APIRouter(tags=["cache"])

DAY_SECONDS = 86_400
DELETED: dict[str, Any] = {"cid": CID, "deleted": True, "freed_bytes": 1048576}
REPORT: dict[str, Any] = {
    "dry_run": True,
    "count": 1,
    "bytes": 1048576,
    "why": ByName(unused={"count": 1, "bytes": 1048576, "reason": "nobody needs it, and nobody has used it for long"}),
    "items": [{"cid": CID, "size_bytes": 1048576, "why": "unused"}],
    "truncated": False,
}
Days = Annotated[
    float | None,
    Query(ge=0, le=36_500, description="Days without use after which intermediates go; else `ARTDAG_RETENTION_DAYS`"),
]


class Collection(BaseModel):
    """What is to be removed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"older_than_days": 30}})

    older_than_days: float | None = Field(
        None, ge=0, le=36_500, description="Days without use; left out: `ARTDAG_RETENTION_DAYS`"
    )


@router.get("/cache/gc", summary="See what nobody needs", responses=answers(REPORT, 401, 403, 422, pending=True))
async def see_garbage(request: Request, parts: Parts, user: User, older_than_days: Days = None) -> Response:
    """What `POST /cache/gc` would remove now, and why. For the operator."""
    return await _collect(request, parts, user, True, older_than_days)


@router.post("/cache/gc", summary="Remove what nobody needs", responses=answers(REPORT, 401, 403, 422, pending=True))
async def collect_garbage(request: Request, parts: Parts, user: User, body: Collection | None = None) -> Response:
    """Intermediates and pictures that were not used for long, files that no book names, bytes of deleted content.

    Never what a run, a recipe, a publication or a user needs. It happens every hour by itself too. For the operator.
    """
    return await _collect(request, parts, user, False, body.older_than_days if body else None)


async def _collect(request: Request, parts: Gateway, user: str, dry_run: bool, days: float | None) -> Response:
    if user != OPERATOR:
        raise NotYoursError("only the operator of this system sees and removes what nobody needs")
    command_id = await parts.issuer.command_id(request, user, await request.body() + str(days).encode())
    older_than_s = -1 if days is None else round(days * DAY_SECONDS)
    command = CollectGarbage(user, dry_run, older_than_s)
    return Json(await parts.issuer.issue(command, command_id, "/cache/gc", patience_of(request)))


@router.delete(
    "/cache/{cid}", summary="Delete content", responses=answers(DELETED, 400, 401, 403, 404, 409, pending=True)
)
async def delete_content(request: Request, cid: Cid, parts: Parts, user: User) -> Response:
    """For whoever uploaded or named it, and for the operator where nobody has.

    Refused (409) while it is published, or a run, recipe or effect of yours needs it: `rule` says which, `holders`
    names them with links. What others need keeps the bytes here, for them; you are not told. `freed_bytes`: of yours.
    """
    wanted = parse_cid(cid)
    command_id = await parts.issuer.command_id(request, user, b"")
    if await parts.issuer.handled(command_id) is None:  # else it is gone, and the same is answered again
        await check_seen(parts, wanted, user)
    command = DeleteObject(wanted, user, user == OPERATOR)
    done = await parts.issuer.issue(command, command_id, f"/cache/{wanted}", patience_of(request))
    left = None if done["deleted"] else await objects.find(parts.pool, wanted)

    async def gone() -> bool:
        if done["deleted"]:
            return await objects.find(parts.pool, wanted) is None
        return not await objects.has(parts.pool, user, wanted)

    await parts.projector.until(gone, OWN_WRITES_SECONDS)
    freed = left.size_bytes if left else done["freed_bytes"]
    return Json({"cid": wanted, "deleted": True, "freed_bytes": freed})
