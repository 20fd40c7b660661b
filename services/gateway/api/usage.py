"""What a user's content takes."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from artdag_common.domain.retention import OUTPUT, UPLOADED
from services.gateway.api.documentation import answers
from services.gateway.parts import Parts, User
from services.gateway.problems import Json
from services.gateway.quota import tell_room

router = APIRouter(tags=["cache"])

USAGE = {
    "owner": "owner",
    "used_bytes": 1572864,
    "quota_bytes": 10737418240,
    "free_bytes": 10735845376,
    "objects": 2,
    "uploads": {"objects": 1, "bytes": 1048576},
    "outputs": {"objects": 1, "bytes": 524288},
}
SUMS = """SELECT h.kind, count(*) AS objects, coalesce(sum(b.size_bytes), 0)::bigint AS bytes
FROM (SELECT DISTINCT cid, kind FROM content_holds WHERE owner = $1) h JOIN content_books b USING (cid)
GROUP BY h.kind"""
ALL = """SELECT count(*) AS objects, coalesce(sum(size_bytes), 0)::bigint AS bytes FROM content_books
WHERE cid IN (SELECT cid FROM content_holds WHERE owner = $1)"""


@router.get("/api/usage", summary="Get your storage use", responses=answers(USAGE, 401))
async def get_usage(parts: Parts, user: User) -> Response:
    """Your uploads and the outputs of your runs. What is both, or was made twice, counts once.

    `quota_bytes` and `free_bytes` are null where there is no limit (`ARTDAG_QUOTA_BYTES`).
    """
    kinds = {row["kind"]: row for row in await parts.pool.fetch(SUMS, user)}
    (total,) = await parts.pool.fetch(ALL, user)
    quota = parts.settings.quota_bytes
    if quota:
        tell_room(total["bytes"], quota)

    def of(kind: str) -> dict[str, int]:
        row = kinds.get(kind)
        return {"objects": row["objects"], "bytes": row["bytes"]} if row else {"objects": 0, "bytes": 0}

    return Json(
        {
            "owner": user,
            "used_bytes": total["bytes"],
            "quota_bytes": quota or None,
            "free_bytes": max(0, quota - total["bytes"]) if quota else None,
            "objects": total["objects"],
            "uploads": of(UPLOADED),
            "outputs": of(OUTPUT),
        }
    )
