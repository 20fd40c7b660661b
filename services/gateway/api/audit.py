"""The audit trail, and the people who have been here: who did what, who was refused; erasing a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from artdag_common.domain.access import OWNER
from artdag_common.errors import NotYoursError, UserNotFoundError
from services.gateway.api.documentation import CID, RUN_ID, TIME, answers
from services.gateway.api.shapes import ByName
from services.gateway.erasing import PUBLICATIONS, Erasure
from services.gateway.issuing import patience_of
from services.gateway.launching import OWN_WRITES_SECONDS
from services.gateway.parts import Gateway, Parts, User
from services.gateway.problems import Json
from services.gateway.projections import audit
from services.gateway.projections.audit import GC, EntryRow, UserRow, Wanted
from services.gateway.views import page_view, read_cursor, time_view

router = APIRouter(prefix="/api", tags=["audit"])

L2 = "l2"
NOBODY = frozenset({"", GC, L2})
"""Whoever did something and is no user."""

USER_ID = "u-mfzwizltoqzdgnbvgy3tqojqge"
Kind = Literal["sign-in", "refusal", "revocation", "publication", "cancellation", "deletion", "erasure", "dead-letter"]
UserId = Annotated[str, Path(description="User id, or handle: `@name@domain`", examples=[USER_ID], max_length=256)]

ENTRY: dict[str, Any] = {
    "id": 43008,
    "at": TIME,
    "kind": "deletion",
    "event": "RunDeleted",
    "code": None,
    "by": {"id": USER_ID, "handle": "@giles@artdag.org"},
    "user": {"id": USER_ID, "handle": "@giles@artdag.org"},
    "what": f"run-{RUN_ID}",
    "address": None,
    "count": 1,
    "first_at": TIME,
    "last_at": TIME,
}
PERSON: dict[str, Any] = {
    "user_id": USER_ID,
    "handle": "@giles@artdag.org",
    "joined_at": TIME,
    "signed_in_at": TIME,
    "sign_ins": 3,
    "revoked_at": None,
    "erased_at": None,
    "links": {"self": f"/api/users/{USER_ID}", "audit": f"/api/audit?user={USER_ID}"},
}
PUBLIC = {"cid": CID, "name": "my film", "published_at": TIME, "run_id": RUN_ID, "provenance_cid": CID}
PERSON_DETAIL = PERSON | {
    "theirs": {"runs": 12, "recipes": 3, "effects": 1, "storage": 1, "content": 7, "bytes": 48_000_000},
    "public": [PUBLIC],
}
ERASED: dict[str, Any] = {
    "user_id": USER_ID,
    "erased": True,
    "removed": ByName({"storage": 1, "runs": 11, "recipes": 3, "content": 6}),
    "freed_bytes": 44_000_000,
    "kept": [{"part": "runs", "id": RUN_ID, "rule": "published", "reason": "run 7d0f… cannot be deleted: …"}],
    "public": [PUBLIC],
    "next": None,
}
THEIRS = """SELECT
    (SELECT count(*) FROM rm_runs WHERE owner = $1 AND NOT deleted) AS runs,
    (SELECT count(*) FROM rm_recipes WHERE owner = $1 AND NOT deleted) AS recipes,
    (SELECT count(*) FROM rm_effects WHERE owner = $1 AND NOT deleted) AS effects,
    (SELECT count(*) FROM rm_storage WHERE owner = $1) AS storage,
    (SELECT count(DISTINCT cid) FROM content_holds WHERE holder = 'user-' || $1) AS content,
    content_used($1) AS bytes"""
PUBLISHED = """SELECT cid, name, published_at, run_id, provenance_cid FROM rm_object_publications
WHERE owner = $1 ORDER BY published_at, cid LIMIT 1000"""


@router.get(
    "/audit",
    summary="Read the audit trail",
    responses=answers({"entries": [ENTRY], "next": None}, 401, 403, 404, 422),
)
async def read_trail(
    request: Request,
    parts: Parts,
    viewer: User,
    kind: Annotated[Kind | None, Query(description="Only entries of this kind")] = None,
    since: Annotated[datetime | None, Query(description="Only what was noted at this time or later")] = None,
    until: Annotated[datetime | None, Query(description="Only what was noted before this time")] = None,
    user: Annotated[
        str | None, Query(description="Only what this user did or what concerns them", max_length=256)
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
    after: Annotated[str | None, Query(description="Only entries after this id, oldest first", max_length=18)] = None,
) -> Response:
    """Sign-ins, refusals, revocations, publications, deletions and erasures, newest first.

    You see what you did and what concerns you; the operator sees all. With `after` and `Prefer: wait=5` the answer
    waits so many seconds for something to tell. Refusals come a few seconds late, counted.
    """
    about = await _user_id(parts, user) if user else ""
    if viewer != OWNER and about not in ("", viewer):
        raise NotYoursError("only the operator of this system sees what concerns others")
    newer = read_cursor(after)
    wanted = Wanted(
        concerning="" if viewer == OWNER else viewer,
        user=about,
        kind=kind or "",
        since=_aware(since),
        until=_aware(until),
        before=None if newer is not None else read_cursor(cursor),
        after=newer,
    )

    async def look() -> list[EntryRow]:
        return await audit.find(parts.pool, wanted, limit + 1)

    patience = patience_of(request) if newer is not None and "prefer" in request.headers else 0.0
    rows = await parts.projector.until(look, patience) if patience else await look()
    page = rows[:limit]
    names = await _handles(parts, page)
    following = str(page[-1].place) if len(rows) > limit else None
    return Json({"entries": [entry_view(row, names) for row in page], "next": following})


@router.get(
    "/users", summary="List people", responses=answers({"users": [PERSON], "total": 1, "next": None}, 401, 403, 422)
)
async def list_users(
    parts: Parts,
    viewer: User,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """Everybody who ever signed in, who came last first. For the operator."""
    _operator(viewer)
    rows, total = await audit.users(parts.pool, limit + 1, read_cursor(cursor))
    page = rows[:limit]
    names = await parts.people.handles(row.user_id for row in page)
    following = page[-1].position if len(rows) > limit else None
    return Json(page_view("users", [person_view(row, names[row.user_id]) for row in page], total, following))


@router.get("/users/{user_id}", summary="See a person", responses=answers(PERSON_DETAIL, 401, 403, 404))
async def get_user(user_id: UserId, parts: Parts, viewer: User) -> Response:
    """Who it is, what is theirs here, and what of it is public. For the operator."""
    _operator(viewer)
    row = await _wanted(parts, user_id)
    (theirs,) = await parts.pool.fetch(THEIRS, row.user_id)
    view = person_view(row, await parts.people.handle(row.user_id))
    return Json(view | {"theirs": dict(theirs), "public": await _public(parts, row.user_id)})


@router.delete(
    "/users/{user_id}", summary="Erase a person", responses=answers(ERASED, 401, 403, 404, 422, 503, pending=True)
)
async def erase_user(
    request: Request,
    user_id: UserId,
    parts: Parts,
    viewer: User,
    content: Annotated[bool, Query(description="Also delete what is theirs, where nothing else needs it")] = False,
    unpublish: Annotated[bool, Query(description="Before all else, unpublish what they published")] = False,
    cursor: Annotated[str | None, Query(description="`next` of the answer before", max_length=300)] = None,
) -> Response:
    """Take every token, forget who it was, and remove their storage providers with the secrets. For the operator.

    It may take several requests: while `next` is not null, ask again with it as `cursor`. Asking again from the
    beginning does no harm. What is published stays public, under the name in `public`, unless `unpublish` is given.
    """
    _operator(viewer)
    await parts.issuer.command_id(request, viewer, b"")
    row = await _wanted(parts, user_id)
    erased = await Erasure(parts.issuer, parts.pool, row.user_id, viewer).go_on(content, unpublish, cursor)

    async def shown() -> bool:
        known = await audit.user(parts.pool, row.user_id)
        return known is not None and known.erased_at is not None

    if not unpublish or not (erased.next or "").startswith(PUBLICATIONS):
        await parts.projector.until(shown, OWN_WRITES_SECONDS)
    return Json(
        {
            "user_id": row.user_id,
            "erased": not (erased.next or "").startswith(PUBLICATIONS),
            "removed": erased.removed,
            "freed_bytes": erased.freed_bytes,
            "kept": erased.kept,
            "public": await _public(parts, row.user_id),
            "next": erased.next,
        }
    )


def _operator(viewer: str) -> None:
    if viewer != OWNER:
        raise NotYoursError("only the operator of this system sees who uses it")


async def _user_id(parts: Gateway, text: str) -> str:
    """Return the id of a user who is given by id or by handle.

    Raises:
        UserNotFoundError: nobody has this handle.
    """
    if not text.startswith("@"):
        return text
    found = await parts.people.find(text)
    if not found:
        raise UserNotFoundError(f"nobody here is {text}", user=text)
    return found


async def _wanted(parts: Gateway, text: str) -> UserRow:
    """Return one who has been here, given by id or by handle.

    Raises:
        UserNotFoundError: nobody is.
    """
    row = await audit.user(parts.pool, await _user_id(parts, text))
    if row is None:
        raise UserNotFoundError(f"no user {text}", user=text)
    return row


async def _public(parts: Gateway, user_id: str) -> list[dict[str, Any]]:
    rows = await parts.pool.fetch(PUBLISHED, user_id)
    return [
        {
            "cid": row["cid"],
            "name": row["name"],
            "published_at": time_view(row["published_at"]),
            "run_id": row["run_id"] or None,
            "provenance_cid": row["provenance_cid"] or None,
        }
        for row in rows
    ]


async def _handles(parts: Gateway, rows: Sequence[EntryRow]) -> Mapping[str, str]:
    return await parts.people.handles({each for row in rows for each in (row.by_id, row.user_id)} - NOBODY)


def _aware(moment: datetime | None) -> datetime | None:
    """Return a time with its zone: UTC where none is said."""
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def entry_view(row: EntryRow, handles: Mapping[str, str]) -> dict[str, Any]:
    """Return an entry, with the handles that people have now."""

    def named(user_id: str) -> dict[str, str | None] | None:
        return {"id": user_id, "handle": handles.get(user_id)} if user_id else None

    return {
        "id": row.place,
        "at": time_view(row.at),
        "kind": row.kind,
        "event": row.event,
        "code": row.code or None,
        "by": named(row.by_id),
        "user": named(row.user_id),
        "what": row.what or None,
        "address": row.address or None,
        "count": row.count,
        "first_at": time_view(row.first_at),
        "last_at": time_view(row.last_at),
    }


def person_view(row: UserRow, handle: str) -> dict[str, Any]:
    """Return somebody who has been here."""
    return {
        "user_id": row.user_id,
        "handle": handle,
        "joined_at": time_view(row.joined_at),
        "signed_in_at": time_view(row.signed_in_at),
        "sign_ins": row.sign_ins,
        "revoked_at": time_view(row.revoked_at),
        "erased_at": time_view(row.erased_at),
        "links": {"self": f"/api/users/{row.user_id}", "audit": f"/api/audit?user={row.user_id}"},
    }
