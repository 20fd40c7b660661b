"""Storage providers and copies as they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from artdag_common.domain.storage_kinds import KINDS, StorageKind
from services.gateway.api.documentation import CID, TIME
from services.gateway.api.shapes import ByName
from services.gateway.projections.storage import STATES, CopyRow, Counted, StorageRow
from services.gateway.views import time_view

STORAGE_ID = "2b1f6f0e-5d0c-5f43-9c86-0f6a3a6f7a10"

PROGRESS: dict[str, Any] = {"done": 1_500_000, "total": 4_000_000, "status": "pinning"}
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
    "copying": ByName({CID: PROGRESS | {"status": None}}),
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
COPY: dict[str, Any] = {
    "cid": CID,
    "state": "made",
    "location": "s3://my-art/ly/" + CID,
    "size_bytes": 4_000_000,
    "attempt": 0,
    "code": None,
    "reason": None,
    "progress": PROGRESS,
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


def storage_url(storage_id: str) -> str:
    """Return the path of a provider."""
    return f"/storage/{storage_id}"


def form_view(kind: StorageKind) -> dict[str, Any]:
    """Return what a form for a kind of provider asks for."""
    return {"type": kind.name, "label": kind.label, "description": kind.description, "fields": kind.fields()}


def storage_view(row: StorageRow, counted: Sequence[Counted], copying: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provider, with what is being copied now. Of secrets it tells which are set, and since when."""
    url = storage_url(row.storage_id)
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
        "copying": copying,
        "checked_at": time_view(row.checked_at),
        "created_at": time_view(row.created_at),
        "updated_at": time_view(row.updated_at),
        "links": {"self": url, "copies": f"{url}/copies", "test": f"{url}/test", "retry": f"{url}/retry"},
    }


def copy_view(row: CopyRow, progress: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy. ``progress``: bytes done and in all and what the place says, while it is being made."""
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
