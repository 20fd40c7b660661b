"""Storage providers: places of a user's own that get a copy of what is theirs. Nobody sees another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID, uuid5

import orjson
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.responses import Response

from artdag_common.cid import parse_cid
from artdag_common.commands import (
    AddStorage,
    CheckStorage,
    CopyObject,
    EditStorage,
    RemoveStorage,
    SealedSecret,
    SwitchStorage,
)
from artdag_common.domain.storage_kinds import KINDS, StorageKind, canonical_settings, kind_named, read_settings
from artdag_common.errors import ContentNotFoundError, InvalidRequestError, StorageNotFoundError
from services.gateway.api.documentation import CID, TIME, answers
from services.gateway.api.shapes import ByName
from services.gateway.bodies import read_json
from services.gateway.issuing import patience_of
from services.gateway.launching import OWN_WRITES_SECONDS
from services.gateway.parts import Gateway, Parts, User
from services.gateway.problems import Json
from services.gateway.projections import storage
from services.gateway.projections.storage import STATES, CopyRow, Counted, StorageRow
from services.gateway.uploads import is_form, receive_text
from services.gateway.views import page_view, read_cursor, time_view

router = APIRouter(prefix="/storage", tags=["storage"])

STORAGE_IDS = UUID("5a1f3c68-8d3b-5f0e-9d27-61727464616e")
BODY_BYTES = 64 * 1024
MOST_FIELDS = 64
NAME_CHARACTERS = 100
MOST_BYTES = 2**62
URLENCODED = "application/x-www-form-urlencoded"
STORAGE_ID = "2b1f6f0e-5d0c-5f43-9c86-0f6a3a6f7a10"

StorageId = Annotated[str, Path(description="Id of a provider of yours", examples=[STORAGE_ID], max_length=64)]
Model = TypeVar("Model", bound=BaseModel)

NEW_EXAMPLE: dict[str, Any] = {
    "type": "s3",
    "name": "my bucket",
    "settings": {
        "endpoint": "https://s3.eu-central-1.amazonaws.com",
        "bucket": "my-art",
        "region": "eu-central-1",
        "access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "secret_access_key": "(secret)",
    },
    "capacity_bytes": 100_000_000_000,
}
CHANGE_EXAMPLE: dict[str, Any] = {"name": "my other bucket", "settings": {"prefix": "art/"}, "enabled": True}
STORAGE: dict[str, Any] = {
    "storage_id": STORAGE_ID,
    "type": "s3",
    "name": "my bucket",
    "status": "ready",
    "code": None,
    "reason": None,
    "enabled": True,
    "settings": ByName(
        access_key_id="AKIAIOSFODNN7EXAMPLE",
        bucket="my-art",
        endpoint="https://s3.eu-central-1.amazonaws.com",
        prefix="",
        region="eu-central-1",
        style="path",
    ),
    "secrets": ByName(secret_access_key={"set": True, "set_at": TIME}),
    "capacity_bytes": 100_000_000_000,
    "usage": {
        "made": {"objects": 12, "size_bytes": 48_000_000},
        "waiting": {"objects": 1, "size_bytes": 4_000_000},
        "failed": {"objects": 0, "size_bytes": 0},
        "fraction": 0.9231,
    },
    "checked_at": TIME,
    "created_at": TIME,
    "updated_at": TIME,
    "links": {
        "self": f"/storage/{STORAGE_ID}",
        "copies": f"/storage/{STORAGE_ID}/copies",
        "test": f"/storage/{STORAGE_ID}/test",
        "retry": f"/storage/{STORAGE_ID}/retry",
    },
}
STORAGE_DETAIL = STORAGE | {"copying": ByName({CID: {"done": 0, "total": 4_000_000}})}
COPY: dict[str, Any] = {
    "cid": CID,
    "state": "made",
    "location": "s3://my-art/ly/" + CID,
    "size_bytes": 4_000_000,
    "attempt": 0,
    "code": None,
    "reason": None,
    "progress": None,
    "requested_at": TIME,
    "updated_at": TIME,
    "links": {"content": f"/cache/{CID}"},
}
FORM: dict[str, Any] = {
    "type": "ipfs",
    "label": KINDS["ipfs"].label,
    "description": KINDS["ipfs"].description,
    "fields": KINDS["ipfs"].fields(),
}


class NewStorage(BaseModel):
    """A place that is to get copies. `GET /storage/type/{type}` tells its settings; secrets are among them."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": NEW_EXAMPLE})

    type: str = Field(max_length=40, description=f"One of {', '.join(KINDS)}")
    name: str = Field(min_length=1, max_length=NAME_CHARACTERS, description="What you call it")
    settings: dict[str, Any] = Field(default_factory=dict, description="Its settings, secrets included")
    capacity_bytes: int | None = Field(None, ge=1, le=MOST_BYTES, description="What it may hold; null: no limit")


class StorageChange(BaseModel):
    """What is to change. Settings and secrets that are not named stay; null: back to the default, or not set."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": CHANGE_EXAMPLE})

    name: str | None = Field(None, min_length=1, max_length=NAME_CHARACTERS)
    settings: dict[str, Any] = Field(default_factory=dict)
    capacity_bytes: int | None = Field(None, ge=1, le=MOST_BYTES, description="What it may hold; null: no limit")
    enabled: bool | None = Field(None, description="Whether it gets copies")


def _json_body(model: type[BaseModel], shown: dict[str, Any]) -> dict[str, Any]:
    schema = model.model_json_schema()
    schema.pop("example", None)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": shown}}}}


FORM_FIELDS: dict[str, Any] = {
    "type": {"type": "string"},
    "name": {"type": "string"},
    "capacity_bytes": {"type": "string", "description": "Empty: no limit"},
}
FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "name"],
    "properties": FORM_FIELDS,
    "additionalProperties": {"type": "string", "description": "The settings of the type, each as a field"},
}
FORM_EXAMPLE = {"type": "local", "name": "disk", "path": "/mnt/backup"}
FORM_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": FORM_SCHEMA, "example": FORM_EXAMPLE} for kind in (URLENCODED, "multipart/form-data")
        },
    }
}


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
    """Your providers, newest first, with what is there, waits and failed."""
    rows, total = await storage.of_owner(parts.pool, user, limit + 1, read_cursor(cursor))
    page = rows[:limit]
    counted = await storage.counted(parts.pool, [row.storage_id for row in page])
    following = page[-1].position if len(rows) > limit else None
    views = [storage_view(row, counted[row.storage_id]) for row in page]
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
    fields = await _form_fields(request, raw)
    known: dict[str, Any] = {name: fields.pop(name) for name in ("type", "name", "capacity_bytes") if name in fields}
    return await _add(request, parts, user, raw, _valid(NewStorage, known | {"settings": fields}))


@router.post(
    "/add",
    summary="Add a provider (JSON)",
    status_code=201,
    openapi_extra=_json_body(NewStorage, NEW_EXAMPLE),
    responses=answers(STORAGE, 401, 413, 422, status=201, pending=True),
)
async def add_by_json(request: Request, parts: Parts, user: User) -> Response:
    """Have what is yours copied to a place of your own, all you have already and all that comes.

    Secrets are sealed at once and never shown again. `POST /storage/{id}/test` tells whether the place works.
    """
    raw = await receive_text(request, BODY_BYTES)
    return await _add(request, parts, user, raw, _valid(NewStorage, read_json(raw)))


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


@router.get("/{storage_id}", summary="Get provider details", responses=answers(STORAGE_DETAIL, 401, 404))
async def get_storage(storage_id: StorageId, parts: Parts, user: User) -> Response:
    """Its settings, which secrets are set, what is there, and what is being copied now."""
    return await _shown(parts, await _wanted(parts, storage_id, user))


@router.patch(
    "/{storage_id}",
    summary="Update a provider",
    openapi_extra=_json_body(StorageChange, CHANGE_EXAMPLE),
    responses=answers(STORAGE, 401, 404, 409, 413, 422, pending=True),
)
async def change_storage(request: Request, storage_id: StorageId, parts: Parts, user: User) -> Response:
    """Change name, settings, secrets or capacity, or turn it off and on. What failed there is tried again.

    A new address needs the secrets again: they are not sent where they were not given for.
    """
    raw = await receive_text(request, BODY_BYTES)
    body = _valid(StorageChange, read_json(raw))
    row = await _wanted(parts, storage_id, user)
    command_id = await parts.issuer.command_id(request, user, parts.sealer.fingerprint(raw))
    done: dict[str, Any] = {}
    if body.model_fields_set - {"enabled"}:
        command = _edit(parts, row, body)
        done = await parts.issuer.issue(command, f"{command_id}-edit", _url(storage_id), patience_of(request))
    if body.enabled is not None:
        switch = SwitchStorage(storage_id, user, body.enabled)
        done = await parts.issuer.issue(switch, f"{command_id}-switch", _url(storage_id), patience_of(request))
    return await _shown(parts, await _seen(parts, storage_id, user, done) or row)


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
    row = await _wanted(parts, storage_id, user)
    command_id = await parts.issuer.command_id(request, user, b"purge" if purge else b"")
    await parts.issuer.issue(RemoveStorage(storage_id, user, purge), command_id, "/storage", patience_of(request))

    async def gone() -> bool:
        return await storage.find(parts.pool, storage_id, user) is None

    await parts.projector.until(gone, OWN_WRITES_SECONDS)
    return Json({"storage_id": storage_id, "name": row.name, "deleted": True, "purge": purge})


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
    await _wanted(parts, storage_id, user)
    command_id = await parts.issuer.command_id(request, user, b"")
    command = CheckStorage(storage_id, user)
    done = await parts.issuer.issue(command, command_id, _url(storage_id), patience_of(request))
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


@router.get(
    "/{storage_id}/copies",
    summary="List copies at a provider",
    responses=answers({"copies": [COPY], "total": 1, "next": None}, 401, 404, 422),
)
async def list_copies(
    storage_id: StorageId,
    parts: Parts,
    user: User,
    state: Annotated[str, Query(description=f"Only these: {', '.join(STATES)}", max_length=20)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """How it stands with each content there: made, waiting (with why, if an attempt failed), or failed and why."""
    if state and state not in STATES:
        raise InvalidRequestError(
            f"state: {state!r} is not one of {', '.join(STATES)}",
            problems=[{"field": "state", "value": state, "problem": f"one of {', '.join(STATES)}"}],
        )
    row = await _wanted(parts, storage_id, user)
    rows, total = await storage.copies(parts.pool, storage_id, limit + 1, read_cursor(cursor), state)
    page = rows[:limit]
    following = page[-1].position if len(rows) > limit else None
    now = parts.copying.now(row.storage_id)
    return Json(page_view("copies", [copy_view(each, now.get(each.cid)) for each in page], total, following))


@router.post(
    "/{storage_id}/retry",
    summary="Copy again what failed",
    responses=answers(STORAGE, 400, 401, 404, 409, pending=True),
)
async def retry(
    request: Request,
    storage_id: StorageId,
    parts: Parts,
    user: User,
    cid: Annotated[str, Query(description="Only this content", max_length=128)] = "",
) -> Response:
    """Ask again for all copies that failed there, or for one; and try at once what waits."""
    wanted = parse_cid(cid) if cid else ""
    await _wanted(parts, storage_id, user)
    if wanted and await storage.copy(parts.pool, storage_id, wanted) is None:
        raise ContentNotFoundError(f"{wanted} is not among the copies of this provider", cid=wanted)
    command_id = await parts.issuer.command_id(request, user, wanted.encode())
    command = CopyObject(storage_id, user, wanted)
    await parts.issuer.issue(command, command_id, f"{_url(storage_id)}/copies", patience_of(request))
    return await _shown(parts, await _wanted(parts, storage_id, user))


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
    done = await parts.issuer.issue(command, command_id, _url(storage_id), patience_of(request))
    row = await _seen(parts, storage_id, user, done)
    view = storage_view(row, (await storage.counted(parts.pool, [storage_id]))[storage_id]) if row else done
    return Json(view, 201, {"Location": _url(storage_id)})


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


async def _wanted(parts: Gateway, storage_id: str, user: str) -> StorageRow:
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
    version = int(done.get("version", 0))

    async def check() -> StorageRow | None:
        row = await storage.find(parts.pool, storage_id, user)
        return row if row and row.version >= version else None

    return await parts.projector.until(check, OWN_WRITES_SECONDS)


async def _shown(parts: Gateway, row: StorageRow) -> Response:
    counted = await storage.counted(parts.pool, [row.storage_id])
    view = storage_view(row, counted[row.storage_id])
    return Json(view | {"copying": parts.copying.now(row.storage_id)})


async def _form_fields(request: Request, raw: bytes) -> dict[str, str]:
    """Return the fields of a form; those that were left empty are not there."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    pairs: list[tuple[str, Any]]
    if kind == URLENCODED:
        try:
            pairs = list(parse_qsl(raw.decode(), strict_parsing=bool(raw), max_num_fields=MOST_FIELDS))
        except (ValueError, UnicodeDecodeError):
            raise _not("a form", "body") from None
    elif is_form(request):

        async def replay() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async with Request(request.scope, replay).form(max_files=0, max_fields=MOST_FIELDS) as form:
            pairs = form.multi_items()
    else:
        raise _not(f"{URLENCODED} or multipart/form-data", "Content-Type", kind)
    return {name: value for name, value in pairs if value and not isinstance(value, UploadFile)}


def _not(what: str, field: str, value: str = "") -> InvalidRequestError:
    return InvalidRequestError(
        f"{field} is not {what}", problems=[{"field": field, "value": value[:80], "problem": what}]
    )


def _valid(model: type[Model], given: Any) -> Model:
    """Return a body that keeps the rules. What breaks one is named, never shown: it may be a secret.

    Raises:
        InvalidRequestError: names every field that breaks a rule.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = [
            {"field": ".".join(map(str, each["loc"])) or "body", "value": "", "problem": each["msg"]}
            for each in error.errors(include_url=False, include_input=False)
        ]
        said = "; ".join(f"{each['field']}: {each['problem']}" for each in problems)
        raise InvalidRequestError(said, problems=problems) from None  # the cause holds the values


def _url(storage_id: str) -> str:
    return f"/storage/{storage_id}"


def form_view(kind: StorageKind) -> dict[str, Any]:
    """Return what a form for a kind of provider asks for."""
    return {"type": kind.name, "label": kind.label, "description": kind.description, "fields": kind.fields()}


def storage_view(row: StorageRow, counted: Sequence[Counted]) -> dict[str, Any]:
    """Return a provider. Of secrets it tells which are set, and since when."""
    url = _url(row.storage_id)
    known: dict[str, str] = orjson.loads(row.secrets)
    names = KINDS[row.kind].secrets if row.kind in KINDS else tuple(known)
    by_state = {each.state: each for each in counted}
    usage: dict[str, Any] = {}
    for state in STATES:
        each = by_state.get(state, Counted(state, 0, 0))
        usage[state] = {"objects": each.objects, "size_bytes": each.size_bytes}
    total = sum(usage[state]["objects"] for state in STATES)
    usage["fraction"] = round(usage["made"]["objects"] / total, 4) if total else 1.0
    return {
        "storage_id": row.storage_id,
        "type": row.kind,
        "name": row.name,
        "status": row.status,
        "code": row.code or None,
        "reason": row.reason or None,
        "enabled": row.enabled,
        "settings": orjson.loads(row.settings),
        "secrets": {
            name: {"set": name in known, "set_at": known[name].replace("+00:00", "Z") if name in known else None}
            for name in names
        },
        "capacity_bytes": row.capacity_bytes or None,
        "usage": usage,
        "checked_at": time_view(row.checked_at),
        "created_at": time_view(row.created_at),
        "updated_at": time_view(row.updated_at),
        "links": {"self": url, "copies": f"{url}/copies", "test": f"{url}/test", "retry": f"{url}/retry"},
    }


def copy_view(row: CopyRow, progress: Mapping[str, int] | None) -> dict[str, Any]:
    """Return a copy. ``progress``: bytes done and in all, while it is being made."""
    return {
        "cid": row.cid,
        "state": row.state,
        "location": row.location or None,
        "size_bytes": row.size_bytes if row.state == "made" else None,
        "attempt": row.attempt,
        "code": row.code or None,
        "reason": row.reason or None,
        "progress": progress,
        "requested_at": time_view(row.requested_at),
        "updated_at": time_view(row.updated_at),
        "links": {"content": f"/cache/{row.cid}"},
    }
