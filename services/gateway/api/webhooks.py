"""Webhooks: addresses of a user's own that are told how the user's runs end. Nobody sees another's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any
from uuid import UUID, uuid5

import orjson
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from artdag_common.commands import (
    AddWebhook,
    EditWebhook,
    PingWebhook,
    RemoveWebhook,
    RepeatNotice,
    SwitchWebhook,
)
from artdag_common.domain.webhook import TOLD, secret_key, secret_text, told_events
from artdag_common.errors import DeliveryNotFoundError, WebhookNotFoundError
from services.gateway.api.documentation import RUN_ID, TIME, answers
from services.gateway.bodies import read_json
from services.gateway.confidential import json_body, valid
from services.gateway.issuing import patience_of
from services.gateway.launching import OWN_WRITES_SECONDS
from services.gateway.parts import Gateway, Parts, User
from services.gateway.problems import Json
from services.gateway.projections import webhooks
from services.gateway.projections.webhooks import NoticeRow, Waiting, WebhookRow
from services.gateway.uploads import receive_text
from services.gateway.views import page_view, read_cursor, run_url, time_view

router = APIRouter(prefix="/webhooks", tags=["webhooks"])

WEBHOOK_IDS = UUID("0b9a2b1c-7d57-5c1b-9c5e-61727464616e")
BODY_BYTES = 16 * 1024
URL_CHARACTERS = 1000
SECRET_CHARACTERS = 200
MOST_EVENTS = 10
SECRET = "secret"  # noqa: S105  (name of the field)
WEBHOOK_ID = "7c2f1d7e-8f4b-5d0e-9a51-0e6d1f1f7a20"
NOTICE_ID = "3f8a3c0e-94a5-5b57-8e30-2f2e9ad5c001"
EVENTS = tuple(TOLD.values())

WebhookId = Annotated[str, Path(description="Id of a webhook of yours", examples=[WEBHOOK_ID], max_length=64)]
NEW_EXAMPLE: dict[str, Any] = {"url": "https://example.com/artdag", "events": ["run.completed", "run.failed"]}
CHANGE_EXAMPLE: dict[str, Any] = {"events": ["run.failed"], "enabled": True}
WEBHOOK: dict[str, Any] = {
    "webhook_id": WEBHOOK_ID,
    "url": "https://example.com/artdag",
    "events": ["run.completed", "run.failed"],
    "enabled": True,
    "reason": None,
    "secret_set_at": TIME,
    "created_at": TIME,
    "updated_at": TIME,
    "links": {"self": f"/webhooks/{WEBHOOK_ID}", "test": f"/webhooks/{WEBHOOK_ID}/test"},
}
DELIVERY: dict[str, Any] = {
    "delivery_id": NOTICE_ID,
    "event": "run.completed",
    "run_id": RUN_ID,
    "state": "delivered",
    "attempts": 1,
    "status": 204,
    "reason": None,
    "next_attempt_at": None,
    "requested_at": TIME,
    "updated_at": TIME,
    "links": {"run": f"/runs/{RUN_ID}", "retry": f"/webhooks/{WEBHOOK_ID}/deliveries/{NOTICE_ID}/retry"},
}
TESTED = {"webhook_id": WEBHOOK_ID, "ok": True, "status": 204, "reason": None, "duration_ms": 48}


class NewWebhook(BaseModel):
    """An address that is to be told, of what, and the secret by which it knows who tells it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": NEW_EXAMPLE})

    url: str = Field(max_length=URL_CHARACTERS, description="https://host/path, with nothing secret in it")
    events: list[str] = Field(
        default_factory=list, max_length=MOST_EVENTS, description=f"Of {', '.join(EVENTS)}; none: all of them"
    )
    secret: str | None = Field(
        None, max_length=SECRET_CHARACTERS, description="whsec_ and 24 to 64 bytes in base64; null: one is made"
    )


class WebhookChange(BaseModel):
    """What is to change; what is not named stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": CHANGE_EXAMPLE})

    url: str | None = Field(None, max_length=URL_CHARACTERS)
    events: list[str] | None = Field(None, max_length=MOST_EVENTS)
    secret: str | None = Field(None, max_length=SECRET_CHARACTERS, description="Another one; it is not shown again")
    enabled: bool | None = Field(None, description="Whether it is told of runs")


@router.post(
    "",
    summary="Add a webhook",
    status_code=201,
    openapi_extra=json_body(NewWebhook, NEW_EXAMPLE),
    responses=answers(WEBHOOK | {SECRET: "whsec_…"}, 401, 413, 422, status=201, pending=True),
)
async def add_webhook(request: Request, parts: Parts, user: User) -> Response:
    """Have an address of yours told how each of your runs ends, from now on, as Standard Webhooks 1.0 has it.

    Every message is signed with the secret, which only this answer shows. `POST /webhooks/{id}/test` sends one.
    """
    raw = await receive_text(request, BODY_BYTES)
    command_id = await parts.issuer.command_id(request, user, parts.sealer.fingerprint(raw))
    body = valid(NewWebhook, read_json(raw))
    webhook_id = str(uuid5(WEBHOOK_IDS, command_id))
    # Derived, so that whoever repeats a request that was not answered is told the same one.
    secret = body.secret or secret_text(parts.sealer.fingerprint(b"webhook secret " + webhook_id.encode()))
    sealed = _sealed(parts, webhook_id, secret)
    command = AddWebhook(webhook_id, user, body.url, told_events(body.events), sealed)
    done = await parts.issuer.issue(command, command_id, _url(webhook_id), patience_of(request))
    view = await _after(parts, webhook_id, user, done) or done
    return Json(view | {SECRET: secret}, 201, {"Location": _url(webhook_id)})


@router.get("", summary="List webhooks", responses=answers({"webhooks": [WEBHOOK], "total": 1}, 401))
async def list_webhooks(parts: Parts, user: User) -> Response:
    """Your webhooks, newest first. `reason`: why the server disabled one."""
    rows = await webhooks.of_owner(parts.pool, user)
    return Json({"webhooks": [webhook_view(row) for row in rows], "total": len(rows)})


@router.get(
    "/{webhook_id}",
    summary="Get a webhook and its deliveries",
    responses=answers(WEBHOOK | {"deliveries": [DELIVERY], "total": 1, "next": None}, 401, 404, 422),
)
async def get_webhook(
    webhook_id: WebhookId,
    parts: Parts,
    user: User,
    limit: Annotated[int, Query(ge=1, le=200, description="Deliveries on a page")] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """A webhook, and what it was told, newest first: delivered, waiting for the next attempt, or given up, and why."""
    row = await _wanted(parts, webhook_id, user)
    found, total = await webhooks.notices(parts.pool, webhook_id, limit + 1, read_cursor(cursor))
    page = found[:limit]
    following = page[-1].position if len(found) > limit else None
    waiting = await webhooks.waiting(parts.pool, [each.notice_id for each in page if each.state == "waiting"])
    views = [delivery_view(each, waiting.get(each.notice_id)) for each in page]
    return Json(webhook_view(row) | page_view("deliveries", views, total, following))


@router.patch(
    "/{webhook_id}",
    summary="Update a webhook",
    openapi_extra=json_body(WebhookChange, CHANGE_EXAMPLE),
    responses=answers(WEBHOOK, 401, 404, 409, 413, 422, pending=True),
)
async def change_webhook(request: Request, webhook_id: WebhookId, parts: Parts, user: User) -> Response:
    """Change address, events or secret, or turn it off and on. What it did not take is tried again.

    While it is off nothing is noted for it: of runs that end then it is never told.
    """
    raw = await receive_text(request, BODY_BYTES)
    command_id = await parts.issuer.command_id(request, user, parts.sealer.fingerprint(raw))
    body = valid(WebhookChange, read_json(raw))
    row = await _wanted(parts, webhook_id, user)
    done: dict[str, Any] = {}
    if body.url is not None or body.events is not None or body.secret is not None:
        command = EditWebhook(
            webhook_id,
            user,
            row.url if body.url is None else body.url,
            told_events(orjson.loads(row.events) if body.events is None else body.events),
            _sealed(parts, webhook_id, body.secret) if body.secret is not None else b"",
        )
        done = await parts.issuer.issue(command, f"{command_id}-edit", _url(webhook_id), patience_of(request))
    if body.enabled is not None:
        switch = SwitchWebhook(webhook_id, user, body.enabled)
        done = await parts.issuer.issue(switch, f"{command_id}-switch", _url(webhook_id), patience_of(request))
    return Json(await _after(parts, webhook_id, user, done) or webhook_view(row))


@router.delete(
    "/{webhook_id}",
    summary="Delete a webhook",
    responses=answers({"webhook_id": WEBHOOK_ID, "deleted": True}, 401, 404, 409, pending=True),
)
async def delete_webhook(request: Request, webhook_id: WebhookId, parts: Parts, user: User) -> Response:
    """Forget a webhook and its secret. What it was still to be told is never sent."""
    command_id = await parts.issuer.command_id(request, user, b"")
    await _wanted(parts, webhook_id, user)
    deleted = {"webhook_id": webhook_id, "deleted": True}
    await parts.issuer.keys.foretell(request, deleted)
    await parts.issuer.issue(RemoveWebhook(webhook_id, user), command_id, "/webhooks", patience_of(request))

    async def gone() -> bool:
        return await webhooks.find(parts.pool, webhook_id, user) is None

    await parts.projector.until(gone, OWN_WRITES_SECONDS)
    return Json(deleted)


@router.post(
    "/{webhook_id}/test",
    summary="Send a ping",
    responses=answers(TESTED, 401, 404, 409, pending=True),
)
async def ping_webhook(request: Request, webhook_id: WebhookId, parts: Parts, user: User) -> Response:
    """Send a signed message of type `ping`, once, and tell what came back: `status` 0 means that nothing did.

    Where it is taken, whatever waits for this webhook is sent at once.
    """
    command_id = await parts.issuer.command_id(request, user, b"")
    await _wanted(parts, webhook_id, user)
    command = PingWebhook(webhook_id, user)
    done = await parts.issuer.issue(command, command_id, _url(webhook_id), patience_of(request))
    facts = {name: done[name] for name in ("ok", "status", "duration_ms")}
    return Json({"webhook_id": webhook_id, "reason": done["reason"] or None} | facts)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/retry",
    summary="Send a delivery again",
    responses=answers(DELIVERY, 401, 404, 409, pending=True),
)
async def retry_delivery(
    request: Request,
    webhook_id: WebhookId,
    delivery_id: Annotated[str, Path(description="Id of a delivery", examples=[NOTICE_ID], max_length=64)],
    parts: Parts,
    user: User,
) -> Response:
    """Send it again under the same id, whatever came of it; one that waits is tried at once."""
    command_id = await parts.issuer.command_id(request, user, b"")
    await _wanted(parts, webhook_id, user)
    command = RepeatNotice(webhook_id, user, delivery_id)
    done = await parts.issuer.issue(command, command_id, _url(webhook_id), patience_of(request))
    find = partial(webhooks.notice, parts.pool, webhook_id, delivery_id)
    row = await parts.projector.reached(find, done["version"], OWN_WRITES_SECONDS) or await find()
    if row is None:
        raise DeliveryNotFoundError(f"webhook {webhook_id} was told nothing under {delivery_id}")
    waiting = await webhooks.waiting(parts.pool, [delivery_id])
    return Json(delivery_view(row, waiting.get(delivery_id)))


# --- what the routes are made of ------------------------------------------------------------------------------------


def _sealed(parts: Gateway, webhook_id: str, secret: str) -> bytes:
    secret_key(secret)
    return parts.sealer.seal(f"webhook-{webhook_id}", SECRET, secret)


async def _wanted(parts: Gateway, webhook_id: str, user: str) -> WebhookRow:
    """Return a webhook of this user.

    Raises:
        WebhookNotFoundError: there is none; another's is none.
    """
    row = await webhooks.find(parts.pool, webhook_id, user)
    if row is None:
        raise WebhookNotFoundError(f"no webhook {webhook_id}", webhook=webhook_id)
    return row


async def _after(parts: Gateway, webhook_id: str, user: str, done: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a webhook as it is after what was done, once the read models show it; None: not yet."""
    row = await parts.projector.reached(
        partial(webhooks.find, parts.pool, webhook_id, user), int(done.get("version", 0)), OWN_WRITES_SECONDS
    )
    return webhook_view(row) if row else None


def _url(webhook_id: str) -> str:
    return f"/webhooks/{webhook_id}"


def webhook_view(row: WebhookRow) -> dict[str, Any]:
    """Return a webhook; of its secret, since when it has that."""
    url = _url(row.webhook_id)
    return {
        "webhook_id": row.webhook_id,
        "url": row.url,
        "events": orjson.loads(row.events),
        "enabled": row.enabled,
        "reason": row.reason or None,
        "secret_set_at": time_view(row.sealed_at),
        "created_at": time_view(row.created_at),
        "updated_at": time_view(row.updated_at),
        "links": {"self": url, "test": f"{url}/test"},
    }


def delivery_view(row: NoticeRow, waiting: Waiting | None) -> dict[str, Any]:
    """Return what a webhook was told; ``waiting``: how it stands where it is not settled."""
    now = waiting or Waiting(row.attempts, row.updated_at, row.status, row.reason)
    return {
        "delivery_id": row.notice_id,
        "event": row.told,
        "run_id": row.run_id,
        "state": row.state,
        "attempts": now.attempts,
        "status": now.status,
        "reason": now.reason or None,
        "next_attempt_at": time_view(waiting.due_at) if waiting else None,
        "requested_at": time_view(row.requested_at),
        "updated_at": time_view(row.updated_at),
        "links": {"run": run_url(row.run_id), "retry": f"{_url(row.webhook_id)}/deliveries/{row.notice_id}/retry"},
    }
