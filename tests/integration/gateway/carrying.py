"""Files of runs: made where they were rendered, and brought elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from artdag_common.cid import cid_of
from artdag_common.ipld.car import CarFile
from artdag_common.ipld.folders import content, entries
from artdag_common.run_archive import EVENTS, MANIFEST


@dataclass
class Exported:
    """A run's file, by path in its folder; and the run as it was shown where it was rendered."""

    car: bytes
    files: dict[str, bytes]
    run: dict[str, Any]

    @property
    def body(self) -> dict[str, str]:
        """What asks for its import."""
        return {"manifest": cid_of(self.files[MANIFEST]), "events": cid_of(self.files[EVENTS])}


async def good(answer: Awaitable[httpx.Response]) -> Any:
    """Return what was answered, which has to be good."""
    response = await answer
    assert response.status_code in (200, 201), (response.request.url, response.text)
    return response.json()


async def over(client: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """Return a run that is over."""
    async with client.stream("GET", f"/runs/{run_id}/events") as answer:
        async for _ in answer.aiter_bytes():
            pass
    return dict(await good(client.get(f"/runs/{run_id}")))


async def exported(client: httpx.AsyncClient, text: str, folder: Path) -> Exported:
    """Render something new, and export it."""
    given = await good(client.post("/cache/upload", files={"file": uuid4().bytes}))
    begun = await good(client.post("/runs", json={"recipe": text, "inputs": [given["cid"]], "output_name": "it"}))
    run = await over(client, begun["run_id"])
    assert run["status"] == "completed", run
    return await file_of(client, run, folder)


async def file_of(client: httpx.AsyncClient, run: dict[str, Any], folder: Path) -> Exported:
    """Export a run that is completed."""
    answer = await client.get(f"/api/run/{run['run_id']}/export")
    assert answer.status_code == 200
    file = folder / f"{uuid4().hex}.car"
    file.write_bytes(answer.content)
    with CarFile(file) as car:
        found = {each.path: each.cid for each in entries(car.get, car.roots[0]) if each.kind == "file"}
        return Exported(answer.content, {path: b"".join(content(car.get, cid)) for path, cid in found.items()}, run)


async def upload(client: httpx.AsyncClient, files: dict[str, bytes]) -> None:
    for data in files.values():
        await good(client.post("/cache/upload", files={"file": data}))
