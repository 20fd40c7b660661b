"""Storage providers: places of a user's own that get a copy of what is theirs. Nobody sees another's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID, uuid5

import orjson
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from artdag_common.commands import (
    AddStorage,
    CheckStorage,
    EditStorage,
    RemoveStorage,
    SealedSecret,
    SwitchStorage,
)
from artdag_common.domain.storage_kinds import KINDS, canonical_settings, kind_named, read_settings
from artdag_common.errors import InvalidRequestError, StorageNotFoundError
from services.gateway.api.documentation import answers
from services.gateway.api.storage_bodies import (
    CHANGE_EXAMPLE,
    FORM_BODY,
    NEW_EXAMPLE,
    NewStorage,
    StorageChange,
    form_fields,
)
from services.gateway.api.storage_views import (
    FORM,
    STORAGE,
    STORAGE_ID,
    form_view,
    storage_url,
    storage_view,
)
from services.gateway.bodies import read_json
from services.gateway.confidential import json_body, valid
from services.gateway.issuing import patience_of
from services.gateway.launching import OWN_WRITES_SECONDS
from services.gateway.parts import Gateway, Parts, User
from services.gateway.problems import Json
from services.gateway.projections import storage
from services.gateway.projections.storage import StorageRow
from services.gateway.uploads import receive_text
from services.gateway.views import page_view, read_cursor

router = APIRouter(prefix="/storage", tags=["storage"])

STORAGE_IDS = UUID("5a1f3c68-8d3b-5f0e-9d27-61727464616e")
BODY_BYTES = 64 * 1024

StorageId = Annotated[str, Path(description="Id of a provider of yours", examples=[STORAGE_ID], max_length=64)]


@router.get(
    "",
    summary="List storage providers",
    responses=answers({"storage": [STORAGE], "total": 1, "next": None}, 401, 422),
)
async def list_storage(
    parts: Parts,
    user: User,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """Your providers, newest first, with what is there, waits and failed, and what is being copied now."""
    rows, total = await storage.of_owner(parts.pool, user, limit + 1, read_cursor(cursor))
    page = rows[:limit]
    counted = await storage.counted(parts.pool, [row.storage_id for row in page])
    following = page[-1].position if len(rows) > limit else None
    views = [storage_view(row, counted[row.storage_id], parts.copying.now(row.storage_id)) for row in page]
    return Json(page_view("storage", views, total, following))


@router.post(
    "",
    summary="Add a provider (form)",
    status_code=201,
    openapi_extra=FORM_BODY,
    responses=answers(STORAGE, 401, 413, 422, status=201, pending=True),
)
async def add_by_form(request: Request, parts: Parts, user: User) -> Response:
    """As `/storage/add`, from a form: `type`, `name`, `capacity_bytes`, and each setting as a field of its own."""
    raw = await receive_text(request, BODY_BYTES)
    fields = await form_fields(request, raw)
    known: dict[str, Any] = {name: fields.pop(name) for name in ("type", "name", "capacity_bytes") if name in fields}
    return await _add(request, parts, user, raw, valid(NewStorage, known | {"settings": fields}))


@router.post(
    "/add",
    summary="Add a provider (JSON)",
    status_code=201,
    openapi_extra=json_body(NewStorage, NEW_EXAMPLE),
    responses=answers(STORAGE, 401, 413, 422, status=201, pending=True),
)
async def add_by_json(request: Request, parts: Parts, user: User) -> Response:
    """Have what is yours copied to a place of your own, all you have already and all that comes.

    Secrets are sealed at once and never shown again. `POST /storage/{id}/test` tells whether the place works.
    """
    raw = await receive_text(request, BODY_BYTES)
    return await _add(request, parts, user, raw, valid(NewStorage, read_json(raw)))


@router.get(
    "/type/{type}",
    summary="Get the form for a provider type",
    responses=answers(FORM, 422),
)
async def get_form(
    type: Annotated[str, Path(description=f"One of {', '.join(KINDS)}", examples=["s3"], max_length=40)],  # noqa: A002
) -> Response:
    """What a form has to ask for, in order: name, label, help, kind of input, default, and whether it is secret."""
    return Json(form_view(kind_named(type)))


@router.get("/{storage_id}", summary="Get provider details", responses=answers(STORAGE, 401, 404))
async def get_storage(storage_id: StorageId, parts: Parts, user: User) -> Response:
    """Its settings, which secrets are set, what is there, and what is being copied now.

    `copying`: by CID, how many bytes the place has taken so far, `done` of `total`. A pinning service fetches content
    by itself and does not tell how much it has: its `status` says whether it has begun, `queued` or `pinning`.
    """
    return await shown(parts, await wanted(parts, storage_id, user))


@router.patch(
    "/{storage_id}",
    summary="Update a provider",
    openapi_extra=json_body(StorageChange, CHANGE_EXAMPLE),
    responses=answers(STORAGE, 401, 404, 409, 413, 422, pending=True),
)
async def change_storage(request: Request, storage_id: StorageId, parts: Parts, user: User) -> Response:
    """Change name, settings, secrets or capacity, or turn it off and on. What failed there is tried again.

    A new address needs the secrets again: they are not sent where they were not given for.
    """
    raw = await receive_text(request, BODY_BYTES)
    body = valid(StorageChange, read_json(raw))
    command_id = await parts.issuer.command_id(request, user, parts.sealer.fingerprint(raw))
    row = await wanted(parts, storage_id, user)
    done: dict[str, Any] = {}
    if body.model_fields_set - {"enabled"}:
        command = _edit(parts, row, body)
        done = await parts.issuer.issue(command, f"{command_id}-edit", storage_url(storage_id), patience_of(request))
    if body.enabled is not None:
        switch = SwitchStorage(storage_id, user, body.enabled)
        done = await parts.issuer.issue(switch, f"{command_id}-switch", storage_url(storage_id), patience_of(request))
    return await shown(parts, await _seen(parts, storage_id, user, done) or row)


@router.delete(
    "/{storage_id}",
    summary="Delete a provider",
    responses=answers(
        {"storage_id": STORAGE_ID, "name": "my bucket", "deleted": True, "purge": False}, 401, 404, 409, pending=True
    ),
)
async def delete_storage(
    request: Request,
    storage_id: StorageId,
    parts: Parts,
    user: User,
    purge: Annotated[bool, Query(description="Also remove our copies there, in the background")] = False,
) -> Response:
    """Forget a provider and its secrets. Its copies stay where they are, unless `purge` is given."""
    command_id = await parts.issuer.command_id(request, user, b"")
    row = await wanted(parts, storage_id, user)
    deleted = {"storage_id": storage_id, "name": row.name, "deleted": True, "purge": purge}
    await parts.issuer.keys.foretell(request, deleted)
    await parts.issuer.issue(RemoveStorage(storage_id, user, purge), command_id, "/storage", patience_of(request))

    async def gone() -> bool:
        return await storage.find(parts.pool, storage_id, user) is None

    await parts.projector.until(gone, OWN_WRITES_SECONDS)
    return Json(deleted)


@router.post(
    "/{storage_id}/test",
    summary="Test connection",
    responses=answers(
        {"storage_id": STORAGE_ID, "ok": True, "status": "ready", "code": None, "reason": None},
        401,
        404,
        409,
        pending=True,
    ),
)
async def test_storage(request: Request, storage_id: StorageId, parts: Parts, user: User) -> Response:
    """Store something small there, read it back, remove it. What does not work is said in `code` and `reason`.

    `refused`: it answers and says no, so somebody has to act. `away`: it does not answer, and is tried again by itself.
    """
    command_id = await parts.issuer.command_id(request, user, b"")
    await wanted(parts, storage_id, user)
    command = CheckStorage(storage_id, user)
    done = await parts.issuer.issue(command, command_id, storage_url(storage_id), patience_of(request))
    row = await _seen(parts, storage_id, user, done)
    return Json(
        {
            "storage_id": storage_id,
            "ok": done["ok"],
            "status": row.status if row else None,
            "code": done["code"] or None,
            "reason": done["reason"] or None,
        }
    )


# --- what the routes are made of ------------------------------------------------------------------------------------


async def _add(request: Request, parts: Gateway, user: str, raw: bytes, body: NewStorage) -> Response:
    kind = kind_named(body.type)
    settings, secrets = read_settings(kind, body.settings)
    text = canonical_settings(settings)
    command_id = await parts.issuer.command_id(request, user, parts.sealer.fingerprint(raw))
    storage_id = str(uuid5(STORAGE_IDS, command_id))
    same = await storage.same_place(parts.pool, user, kind.name, text)
    if same and same.storage_id != storage_id:
        raise InvalidRequestError(
            f"settings: {same.name!r} ({same.storage_id}) is this very place already; change that one",
            problems=[{"field": "settings", "value": "", "problem": "a place that you have not added yet"}],
        )
    command = AddStorage(
        storage_id,
        user,
        kind.name,
        _name(body.name),
        text,
        _sealed(parts, storage_id, secrets),
        body.capacity_bytes or 0,
    )
    done = await parts.issuer.issue(command, command_id, storage_url(storage_id), patience_of(request))
    row = await _seen(parts, storage_id, user, done)
    view = await _view(parts, row) if row else done
    return Json(view, 201, {"Location": storage_url(storage_id)})


def _edit(parts: Gateway, row: StorageRow, body: StorageChange) -> EditStorage:
    kind = kind_named(row.kind)
    known: dict[str, str] = orjson.loads(row.secrets)
    dropped = [name for name in kind.secrets if name in body.settings and body.settings[name] in (None, "")]
    changed = {name for name, value in body.settings.items() if value is None}
    merged = {name: value for name, value in orjson.loads(row.settings).items() if name not in changed}
    merged |= {name: value for name, value in body.settings.items() if name not in changed and name not in dropped}
    settings, secrets = read_settings(kind, merged, frozenset(known) - {*dropped})
    sealed = _sealed(parts, row.storage_id, {name: secret for name, secret in secrets.items() if secret})
    return EditStorage(
        row.storage_id,
        row.owner,
        row.name if body.name is None else _name(body.name),
        canonical_settings(settings),
        (*sealed, *(SealedSecret(name, b"") for name in dropped)),
        (body.capacity_bytes or 0) if "capacity_bytes" in body.model_fields_set else row.capacity_bytes,
    )


def _sealed(parts: Gateway, storage_id: str, secrets: Mapping[str, str]) -> tuple[SealedSecret, ...]:
    """Return secrets as they may travel; empty ones are none."""
    return tuple(
        SealedSecret(name, parts.sealer.seal(storage_id, name, secret)) for name, secret in secrets.items() if secret
    )


def _name(name: str) -> str:
    name = name.strip()
    if not name or not name.isprintable():
        raise InvalidRequestError(
            "name: may not be blank, and is made of printable characters only",
            problems=[{"field": "name", "value": name[:80], "problem": "printable characters, at least one"}],
        )
    return name


async def wanted(parts: Gateway, storage_id: str, user: str) -> StorageRow:
    """Return a provider of this user.

    Raises:
        StorageNotFoundError: there is none; another's is none.
    """
    row = await storage.find(parts.pool, storage_id, user)
    if row is None:
        raise StorageNotFoundError(f"no storage provider {storage_id}", storage=storage_id)
    return row


async def _seen(parts: Gateway, storage_id: str, user: str, done: Mapping[str, Any]) -> StorageRow | None:
    """Return a provider as it is after what was done, once the read models show it."""

    async def find() -> StorageRow | None:
        return await storage.find(parts.pool, storage_id, user)

    return await parts.projector.reached(find, int(done.get("version", 0)), OWN_WRITES_SECONDS)


async def shown(parts: Gateway, row: StorageRow) -> Response:
    """Return the answer that shows a provider."""
    return Json(await _view(parts, row))


async def _view(parts: Gateway, row: StorageRow) -> dict[str, Any]:
    counted = await storage.counted(parts.pool, [row.storage_id])
    return storage_view(row, counted[row.storage_id], parts.copying.now(row.storage_id))
