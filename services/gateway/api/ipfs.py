"""Content by the names that IPFS has for it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from artdag_common.cid import parse_cid
from services.gateway.api.cache import get_raw
from services.gateway.api.documentation import RANGED, SAME, answers
from services.gateway.contents import Cid, known
from services.gateway.parts import Parts, Viewer

router = APIRouter(prefix="/ipfs", tags=["ipfs"])


@router.get(
    "/{cid}",
    summary="Redirect to an IPFS gateway",
    status_code=307,
    response_class=RedirectResponse,
    responses=answers("", 400, 401, 404, status=307),
)
async def redirect(cid: Cid, parts: Parts, viewer: Viewer) -> Response:
    """To `IPFS_GATEWAY_URL`; where that is not set, to the content here."""
    wanted = parse_cid(cid)
    gateway = parts.settings.ipfs_gateway_url.rstrip("/")
    if gateway:
        return RedirectResponse(f"{gateway}/{wanted}", 307)
    await known(parts, wanted, viewer)
    return RedirectResponse(f"/cache/{wanted}/raw", 307)


@router.get(
    "/{cid}/raw",
    summary="Fetch raw content from IPFS",
    responses=answers("(bytes)", 400, 401, 404, 412, 416, 502, media_type="*/*") | RANGED,
)
@router.head("/{cid}/raw", summary="Ask for size and type", responses=answers("", 400, 401, 404, 412, 502) | SAME)
async def get_ipfs_raw(request: Request, cid: Cid, parts: Parts, viewer: Viewer) -> Response:
    """The bytes: from here, else fetched from wherever this server reads content from, and checked against the CID."""
    return await get_raw(request, cid, parts, viewer)
