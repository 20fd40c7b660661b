"""What other servers see of this one: its actor, what is published, and where they may send to (docs/federation.md)."""

from __future__ import annotations

import contextlib
import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from artdag_common.commands import SettleActivity
from artdag_common.errors import (
    ContentTooLargeError,
    NotPublishedError,
    SignatureError,
    UnsupportedContentTypeError,
)
from artdag_common.federation.documents import ACTIVITY_JSON, LD_JSON, Document, Documents, encode, in_context
from artdag_common.version import VERSION
from services.gateway.api.documentation import CID, RUN_ID, TIME, answers
from services.gateway.bodies import read_json
from services.gateway.issuing import Pending
from services.gateway.parts import Gateway, Parts
from services.gateway.problems import Json, problem
from services.gateway.projections import publications
from services.gateway.projections.publications import ActivityRow
from services.gateway.publications import activity_document, outbox_documents, published, unpublished
from services.gateway.uploads import refused
from services.gateway.views import read_cursor

router = APIRouter(tags=["federation"])

PAGE = 20
INBOX_BYTES = 64 * 1024
INBOX_SECONDS = 5.0
WORDS_CHARACTERS = 500
NO_REASON = "it does not say why"
DECISIONS = {"Accept": True, "Reject": False}

EXAMPLE = Documents("https://l1.example")
ACTOR = EXAMPLE.actor("-----BEGIN PUBLIC KEY-----\n…")
OBJECT: dict[str, Any] = {
    "id": EXAMPLE.object_url(RUN_ID),
    "type": "Video",
    "name": "Dancing cat",
    "content": "A cat, dancing",
    "attributedTo": "https://l2.example/users/giles",
    "generator": EXAMPLE.actor_id,
    "published": TIME,
    "to": ["https://www.w3.org/ns/activitystreams#Public"],
    "url": [{"type": "Link", "href": f"https://l1.example/cache/{CID}/raw", "mediaType": "video/mp4"}],
    "cid": CID,
}
CREATE: dict[str, Any] = {
    "id": EXAMPLE.activity_url(RUN_ID),
    "type": "Create",
    "actor": EXAMPLE.actor_id,
    "published": TIME,
    "to": ["https://www.w3.org/ns/activitystreams#Public"],
    "object": OBJECT,
}
GONE: dict[int | str, dict[str, Any]] = {
    410: {"description": "It is public no longer", "content": {ACTIVITY_JSON: {"example": {"type": "Tombstone"}}}}
}
Id = Annotated[str, Path(max_length=64, examples=[RUN_ID])]


class Activity(Response):
    """An ActivityPub document."""

    media_type = ACTIVITY_JSON

    def __init__(self, document: Document, status: int = 200, media_type: str = ACTIVITY_JSON) -> None:
        super().__init__(encode(document), status, {"Vary": "Accept", "Cache-Control": "no-cache"}, media_type)


def documents_of(parts: Gateway) -> Documents:
    """Return the documents under this server's address."""
    return Documents(parts.settings.public_url)


# --- who this server is ---------------------------------------------------------------------------------------------


@router.get("/actor", summary="See this server's actor", responses=answers(ACTOR, media_type=ACTIVITY_JSON))
async def get_actor(parts: Parts) -> Response:
    """An `Application`, with the key that its requests to the registry are signed with."""
    return Activity(documents_of(parts).actor(await publications.public_key(parts.pool)))


@router.get(
    "/.well-known/webfinger",
    summary="Find this server's actor (RFC 7033)",
    responses=answers(EXAMPLE.webfinger(), 400, 404, media_type="application/jrd+json"),
)
async def webfinger(
    request: Request,
    parts: Parts,
    resource: Annotated[str, Query(max_length=2000, examples=[EXAMPLE.account])] = "",
    rel: Annotated[list[str] | None, Query(max_length=20, description="Only links of these relations")] = None,
) -> Response:
    """Only its own: people have their accounts at the registry."""
    documents = documents_of(parts)
    if not resource.partition(":")[2]:
        said = "resource has to name an account, such as " + documents.account
        return problem(request, 400, "invalid-request", said, headers={"Access-Control-Allow-Origin": "*"})
    if resource.lower() != documents.account.lower() and resource != documents.actor_id:
        raise NotPublishedError(f"the only account here is {documents.account}")
    found = documents.webfinger()
    if rel:
        found["links"] = [link for link in found["links"] if link["rel"] in rel]
    return Response(encode(found), 200, {"Access-Control-Allow-Origin": "*"}, "application/jrd+json")


@router.get(
    "/.well-known/nodeinfo",
    summary="Find the description of this server",
    responses=answers(EXAMPLE.nodeinfo_links()),
)
async def nodeinfo_links(parts: Parts) -> Response:
    """NodeInfo 2.1."""
    return Json(documents_of(parts).nodeinfo_links())


@router.get(
    "/nodeinfo/2.1", summary="See the description of this server", responses=answers(EXAMPLE.nodeinfo(VERSION, 1))
)
async def nodeinfo(parts: Parts) -> Response:
    """What software it is, and how much is public here."""
    _, public = await publications.counts(parts.pool)
    return Json(documents_of(parts).nodeinfo(VERSION, public))


# --- what is published ----------------------------------------------------------------------------------------------


@router.get(
    "/actor/outbox",
    summary="List activities, newest first",
    responses=answers(EXAMPLE.outbox_head(1), 422, media_type=ACTIVITY_JSON),
)
async def get_outbox(
    parts: Parts,
    page: Annotated[
        str | None, Query(max_length=20, description="`0`: the first; `next` names the following one")
    ] = None,
) -> Response:
    """An `OrderedCollection`; its pages hold the activities. What was unpublished is there as a Delete only."""
    documents = documents_of(parts)
    total, _ = await publications.counts(parts.pool)
    if page is None:
        return Activity(in_context(documents.outbox_head(total)))
    before = read_cursor(page) or None
    rows = await publications.shown(parts.pool, PAGE + 1, before)
    following = str(rows[PAGE - 1].position) if len(rows) > PAGE else None
    items = await outbox_documents(parts, documents, rows[:PAGE])
    return Activity(in_context(documents.outbox_page(page, items, total, following)))


@router.get(
    "/activities/{activity_id}",
    summary="See an activity",
    responses=answers(CREATE, 404, media_type=ACTIVITY_JSON) | GONE,
)
async def get_activity(activity_id: Id, parts: Parts) -> Response:
    """A Create or a Delete; 410 for a Create whose object was unpublished."""
    row = await _activity(parts, activity_id)
    documents = documents_of(parts)
    if row.withdrawn_at:
        return Activity(in_context(documents.withdrawn(await unpublished(parts, row))), 410)
    return Activity(in_context(await activity_document(parts, documents, row)))


@router.get(
    "/objects/{object_id}",
    summary="See a published object",
    responses=answers(OBJECT, 404, media_type=ACTIVITY_JSON) | GONE,
)
async def get_object(object_id: Id, parts: Parts) -> Response:
    """What a Create made; 410 with a `Tombstone` once it was unpublished."""
    row = await _activity(parts, object_id)
    if row.type != "Create":
        raise NotPublishedError(f"no object {object_id} is published here", object=object_id)
    return await _object(parts, row, ACTIVITY_JSON)


async def object_of(parts: Gateway, cid: str, media_type: str) -> Response:
    """Return how content is published, to who asks for it as ActivityPub.

    Raises:
        NotPublishedError: it never was.
    """
    row = await publications.last_of_content(parts.pool, cid)
    if row is None:
        raise NotPublishedError(f"{cid} is not published here", cid=cid)
    return await _object(parts, row, media_type)


async def _object(parts: Gateway, row: ActivityRow, media_type: str) -> Response:
    documents = documents_of(parts)
    if row.withdrawn_at:
        return Activity(in_context(documents.tombstone(await unpublished(parts, row))), 410, media_type)
    return Activity(in_context(documents.object(await published(parts, row))), 200, media_type)


async def _activity(parts: Gateway, activity_id: str) -> ActivityRow:
    row = await publications.activity(parts.pool, activity_id)
    if row is None:
        raise NotPublishedError(f"no activity {activity_id} is published here", activity=activity_id)
    return row


# --- what the registry sends ----------------------------------------------------------------------------------------


@router.post(
    "/actor/inbox",
    summary="Take an activity of the registry",
    status_code=202,
    responses=answers({"noted": True}, 401, 413, 415, 422, status=202),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                ACTIVITY_JSON: {
                    "schema": {"type": "object"},
                    "example": {
                        "id": "https://l2.example/activities/1",
                        "type": "Accept",
                        "actor": "https://l2.example/actor",
                        "object": EXAMPLE.activity_url(RUN_ID),
                    },
                }
            },
        }
    },
)
async def take(request: Request, parts: Parts) -> Response:
    """Signed by the registry's actor (RFC 9421). `Accept` and `Reject` of this server's activities count.

    Anything else is taken and changes nothing (`noted`: false).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (ACTIVITY_JSON, LD_JSON, "application/json"):
        raise UnsupportedContentTypeError(f"Content-Type is {kind[:100]!r}; send {ACTIVITY_JSON}")
    body = await _body(request)
    if parts.l2 is None:
        raise SignatureError("this server has no registry (L2_SERVER), so nobody's activities count here")
    documents = documents_of(parts)
    query = f"?{request.url.query}" if request.url.query else ""
    await parts.l2.check_signed("POST", f"{documents.inbox}{query}", request.headers.items(), body)
    activity = _parsed(body)
    if _id_of(activity.get("actor")) != parts.l2.actor_id:
        raise SignatureError(f"the request is signed by {parts.l2.actor_id}, and speaks for another actor")
    return Json({"noted": await _note(parts, documents, activity, body)}, 202)


async def _note(parts: Gateway, documents: Documents, activity: dict[str, Any], body: bytes) -> bool:
    """Note a decision on one of our activities; False: it is none."""
    taken = DECISIONS.get(str(activity.get("type")))
    activity_id = _id_of(activity.get("object")).removeprefix(documents.activity_url(""))
    row = await publications.activity(parts.pool, activity_id) if taken is not None else None
    if taken is None or row is None or row.state == "local":
        return False
    words = _link(parts, activity) if taken else _reason(activity)
    command = SettleActivity(row.cid, activity_id, taken, words)
    command_id = f"inbox-{activity_id}-{hashlib.sha256(body).hexdigest()}"
    with contextlib.suppress(Pending):  # it is kept, and noted later
        await parts.issuer.issue(command, command_id, f"/activities/{activity_id}", INBOX_SECONDS)
    return True


def _link(parts: Gateway, activity: dict[str, Any]) -> str:
    """Return where the registry shows what it made of an activity; empty: it does not say, or names another server."""
    assert parts.l2
    found = (_id_of(activity.get(name)) for name in ("result", "url"))
    return next((each for each in found if parts.l2.owns(each)), "")


def _reason(activity: dict[str, Any]) -> str:
    """Return why the registry refused: one line of text, not long."""
    said = next((activity[name] for name in ("summary", "content") if isinstance(activity.get(name), str)), "")
    line = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    return line[:WORDS_CHARACTERS] or NO_REASON


def _id_of(value: object) -> str:
    """Return what a reference names: it is an id, or an object that has one."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, str) else ""


async def _body(request: Request) -> bytes:
    """Return a body of up to 64 KiB.

    Raises:
        ContentTooLargeError: it is longer.
    """
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > INBOX_BYTES:
            raise ContentTooLargeError(f"an activity has at most {INBOX_BYTES} bytes", limit_bytes=INBOX_BYTES)
    return body


def _parsed(body: bytes) -> dict[str, Any]:
    """Return the activity in a body.

    Raises:
        InvalidRequestError: there is none.
    """
    found = read_json(body)
    if not isinstance(found, dict):
        raise refused("body", "", "an activity: a JSON object")
    return found
