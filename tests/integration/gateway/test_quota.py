"""Uploads beyond a user's quota: refused before their bytes are stored, or as soon as too many have come."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from artdag_cli.backing import free_port
from artdag_cli.system import System
from artdag_common.cid import cid_of
from artdag_common.config import Settings
from services.gateway.wiring import gateway

ROOM = 200_000
BOUNDARY = "quota"


@pytest.fixture
async def narrow(live: System, api: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another gateway of the same system, where its user has little room left."""
    used = (await api.get("/api/usage")).json()["used_bytes"]
    port = free_port()
    settings = Settings.model_validate(
        live.environment | {"HOST": "127.0.0.1", "PORT": port, "ARTDAG_QUOTA_BYTES": used + ROOM}
    )
    headers = {"Authorization": f"Bearer {live.token}"}
    async with (
        gateway(settings),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client,
    ):
        yield client


async def test_what_says_that_it_is_too_large_is_refused(
    narrow: httpx.AsyncClient, problem: Callable[..., dict[str, Any]]
) -> None:
    data = os.urandom(ROOM + 1)
    found = problem(await narrow.post("/cache/upload", files={"file": data}), 507, "quota-exceeded")
    assert found["used_bytes"] + ROOM == found["quota_bytes"]
    problem(await narrow.get(f"/cache/{cid_of(data)}/raw"), 404, "content-not-found")


async def test_what_turns_out_too_large_is_refused_and_leaves_nothing(
    narrow: httpx.AsyncClient, problem: Callable[..., dict[str, Any]]
) -> None:
    """Nobody knows how long a body will be that comes in chunks."""
    data = os.urandom(ROOM + 1)

    async def body() -> AsyncIterator[bytes]:
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode()
        for start in range(0, len(data), 50_000):
            yield data[start : start + 50_000]
        yield f"\r\n--{BOUNDARY}--\r\n".encode()

    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    problem(await narrow.post("/cache/upload", content=body(), headers=kind), 507, "quota-exceeded")
    problem(await narrow.get(f"/cache/{cid_of(data)}/raw"), 404, "content-not-found")


async def test_a_resumable_upload_is_refused_before_it_begins(
    narrow: httpx.AsyncClient, problem: Callable[..., dict[str, Any]]
) -> None:
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(ROOM + 1)}
    problem(await narrow.post("/cache/uploads", headers=headers), 507, "quota-exceeded")


async def test_what_fits_is_taken(narrow: httpx.AsyncClient) -> None:
    data = os.urandom(1000)
    answer = await narrow.post("/cache/upload", files={"file": data})
    assert (answer.status_code, answer.json()["cid"]) == (201, cid_of(data))
    usage = (await narrow.get("/api/usage")).json()
    assert usage["free_bytes"] == ROOM - len(data)
