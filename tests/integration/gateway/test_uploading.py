"""Uploads that go on: the tus protocol, interruptions, clients in each other's way, gateways that are lost."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from artdag_cli.backing import free_port, guarded
from artdag_cli.system import ROOT, System
from artdag_common.cid import cid_of
from artdag_common.errors import UploadBusyError
from services.gateway.resumable import FACTS, LIFE_SECONDS, UNVERIFIED, Uploads

TUS = {"Tus-Resumable": "1.0.0"}
STREAM = {"Content-Type": "application/offset+octet-stream"}
HERE = "/cache/uploads"


def encoded(**said: str) -> str:
    """Return ``Upload-Metadata``."""
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items())


def checksum(algorithm: str, data: bytes) -> dict[str, str]:
    """Return the header that announces what bytes hash to."""
    digest = base64.b64encode(hashlib.new(algorithm, data).digest()).decode()
    return {"Upload-Checksum": f"{algorithm} {digest}"}


async def begun(api: httpx.AsyncClient, size: int, **headers: str) -> str:
    """Begin an upload and return its address."""
    answer = await api.post(HERE, headers=TUS | {"Upload-Length": str(size)} | headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["tus-resumable"] == "1.0.0"
    return str(answer.headers["location"])


async def send(api: httpx.AsyncClient, where: str, offset: int, data: bytes, **headers: str) -> httpx.Response:
    """Send bytes."""
    return await api.patch(where, content=data, headers=TUS | STREAM | {"Upload-Offset": str(offset)} | headers)


async def offset_of(api: httpx.AsyncClient, where: str) -> int:
    """Ask how far an upload is."""
    answer = await api.head(where, headers=TUS)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return int(answer.headers["upload-offset"])


def folder_of(live: System, where: str) -> Path:
    """Return where an upload's files are."""
    return Path(live.environment["CACHE_DIR"]) / "uploads" / where.rpartition("/")[2]


async def test_what_is_spoken(stranger, live):
    for path in (HERE, f"{HERE}/{uuid4().hex}"):
        answer = await stranger.options(path)
        assert answer.status_code == 204
        assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
        extensions = {"creation", "creation-with-upload", "expiration", "checksum", "termination"}
        assert set(answer.headers["tus-extension"].split(",")) == extensions
        assert "sha1" in answer.headers["tus-checksum-algorithm"].split(",")
        assert int(answer.headers["tus-max-size"]) > 2**30


async def test_an_upload_in_pieces_becomes_content(api):
    data = uuid4().bytes * 200_000
    said = encoded(name="in pieces", filename="a/b.bin")
    where = await begun(api, len(data), **{"Upload-Metadata": said})
    assert await offset_of(api, where) == 0
    third = len(data) // 3
    first = await send(api, where, 0, data[:third])
    assert (first.status_code, first.headers["upload-offset"]) == (204, str(third))
    left = parsedate_to_datetime(first.headers["upload-expires"]).timestamp() - time.time()
    assert LIFE_SECONDS - 60 < left <= LIFE_SECONDS + 1
    asked = await api.head(where, headers=TUS)
    assert asked.headers["upload-length"] == str(len(data))
    assert asked.headers["upload-metadata"] == said
    assert "content-location" not in asked.headers
    last = await send(api, where, third, data[third:])
    assert (last.status_code, last.headers["upload-offset"]) == (204, str(len(data)))
    assert last.headers["content-location"] == f"/cache/{cid_of(data)}"
    state = (await api.get(where)).json()
    assert (state["status"], state["cid"], state["filename"]) == ("stored", cid_of(data), "b.bin")
    meta = (await api.get(f"/cache/{cid_of(data)}/meta")).json()
    assert (meta["name"], meta["origin"], meta["size_bytes"]) == ("in pieces", "upload", len(data))
    assert (await api.get(f"/cache/{cid_of(data)}/raw")).content == data
    assert await offset_of(api, where) == len(data), "it still tells what became of it"
    removed = await api.delete(where, headers=TUS)
    assert removed.status_code == 204
    assert (await api.get(f"/cache/{cid_of(data)}/meta")).status_code == 200, "content stays"


async def test_the_first_bytes_may_come_at_once(api):
    data = uuid4().bytes * 10
    headers = TUS | STREAM | {"Upload-Length": str(len(data))}
    part = await api.post(HERE, headers=headers, content=data[:50])
    assert (part.status_code, part.headers["upload-offset"]) == (201, "50")
    assert (await send(api, part.headers["location"], 50, data[50:])).status_code == 204
    data = uuid4().bytes * 10
    whole = await api.post(HERE, headers=headers | checksum("sha256", data), content=data)
    assert whole.headers["content-location"] == f"/cache/{cid_of(data)}"
    assert whole.json()["cid"] == cid_of(data)


async def test_nothing_is_content_too(api):
    answer = await api.post(HERE, headers=TUS | {"Upload-Length": "0"})
    assert answer.headers["content-location"] == f"/cache/{cid_of(b'')}"


async def test_a_wrong_offset_changes_nothing(api, problem):
    data = uuid4().bytes * 4
    where = await begun(api, len(data))
    await send(api, where, 0, data[:20])
    for offset in (0, 19, 21, 64):
        said = problem(await send(api, where, offset, data[20:]), 409, "upload-offset")
        assert said["offset"] == 20
    assert await offset_of(api, where) == 20
    assert (await send(api, where, 20, data[20:])).headers["content-location"] == f"/cache/{cid_of(data)}"
    problem(await send(api, where, 0, data), 409, "upload-offset")


async def test_damaged_bytes_do_not_count(api, problem):
    data = os.urandom(64)
    where = await begun(api, len(data))
    answer = await send(api, where, 0, data[:32], **checksum("sha1", b"other"))
    problem(answer, 460, "checksum-mismatch")
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert await offset_of(api, where) == 0
    for algorithm, part in (("sha1", data[:20]), ("sha256", data[20:40]), ("md5", data[40:])):
        offset = data.index(part)
        assert (await send(api, where, offset, part, **checksum(algorithm, part))).status_code == 204
    assert (await api.head(where, headers=TUS)).headers["content-location"] == f"/cache/{cid_of(data)}"
    other = await begun(api, 5)
    for header in ("crc32 AAAA", "sha1 %%%", "sha1"):
        said = await send(api, other, 0, b"12345", **{"Upload-Checksum": header})
        assert said.status_code in (422, 460), header
    assert await offset_of(api, other) == 0


async def cut_off(live: System, where: str, announced: int, data: bytes, **headers: str) -> None:
    """Send part of what was announced, then lose the connection."""
    _, writer = await asyncio.open_connection("127.0.0.1", live.port)
    said = TUS | STREAM | {"Upload-Offset": "0", "Content-Length": str(announced)} | headers
    lines = [f"PATCH {where} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {live.token}"]
    writer.write("\r\n".join([*lines, *(f"{k}: {v}" for k, v in said.items()), "", ""]).encode() + data)
    await writer.drain()
    if not headers:
        while folder_of(live, where).joinpath("data").stat().st_size < len(data) - 2**20:
            await asyncio.sleep(0.01)
    else:
        while not folder_of(live, where).joinpath(UNVERIFIED).exists():
            await asyncio.sleep(0.01)
    writer.close()
    await writer.wait_closed()


async def unlocked(api: httpx.AsyncClient, live: System, where: str) -> int:
    """Wait until nobody writes to an upload, and return how far it is."""
    uploads = Uploads(Path(live.environment["CACHE_DIR"]) / "uploads")
    upload = uploads.find(where.rpartition("/")[2], "owner")
    while True:
        try:
            with upload.locked():
                return await offset_of(api, where)
        except UploadBusyError:
            await asyncio.sleep(0.01)


async def test_what_came_before_the_connection_was_lost_is_kept(api, live):
    data = uuid4().bytes * 300_000
    where = await begun(api, len(data))
    await cut_off(live, where, len(data), data[: 3 * 2**20])
    offset = await unlocked(api, live, where)
    assert offset == 3 * 2**20
    last = await send(api, where, offset, data[offset:])
    assert last.headers["content-location"] == f"/cache/{cid_of(data)}"


async def test_what_could_not_be_checked_before_the_connection_was_lost_is_not_kept(api, live):
    data = uuid4().bytes * 300_000
    where = await begun(api, len(data))
    await cut_off(live, where, len(data), data[: 3 * 2**20], **checksum("sha1", data))
    assert await unlocked(api, live, where) == 0
    assert (await send(api, where, 0, data, **checksum("sha1", data))).status_code == 204


async def test_one_of_two_clients_waits(api, live, problem):
    data = uuid4().bytes * 4
    where = await begun(api, len(data))
    go_on = asyncio.Event()
    there = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield data[:10]
        there.set()
        await go_on.wait()
        yield data[10:]

    headers = TUS | STREAM | {"Upload-Offset": "0"}
    first = asyncio.create_task(api.patch(where, content=slowly(), headers=headers))
    await there.wait()
    lock = folder_of(live, where) / "lock"
    while not lock.exists():
        await asyncio.sleep(0.01)
    second = await send(api, where, 0, data)
    problem(second, 423, "upload-busy")
    problem(await api.delete(where, headers=TUS), 423, "upload-busy")
    go_on.set()
    assert (await first).headers["content-location"] == f"/cache/{cid_of(data)}"


async def test_an_abandoned_upload_is_removed(api, live, problem):
    where, other = await begun(api, 10), await begun(api, 10)
    for each in (where, other):
        await send(api, each, 0, b"12345")
        long_ago = time.time() - LIFE_SECONDS - 1
        os.utime(folder_of(live, each) / FACTS, (long_ago, long_ago))
    problem(await send(api, where, 5, b"67890"), 410, "upload-expired")
    problem(await send(api, where, 5, b"67890"), 404, "upload-not-found")
    await begun(api, 10)
    assert not folder_of(live, where).exists()
    assert not folder_of(live, other).exists(), "whoever begins another makes room"


async def test_an_upload_is_given_up(api, live, problem):
    where = await begun(api, 10)
    await send(api, where, 0, b"12345")
    answer = await api.delete(where, headers=TUS)
    assert (answer.status_code, answer.headers["tus-resumable"]) == (204, "1.0.0")
    assert not folder_of(live, where).exists()
    problem(await api.get(where), 404, "upload-not-found")
    gone = await api.head(where, headers=TUS)
    assert gone.status_code == 404


async def test_a_client_that_can_only_post(api):
    where = await begun(api, 5)
    headers = TUS | STREAM | {"Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert (await api.post(where, content=b"12", headers=headers)).headers["upload-offset"] == "2"
    asked = await api.post(where, headers=TUS | {"X-HTTP-Method-Override": "HEAD"})
    assert asked.headers["upload-offset"] == "2"
    assert (await api.post(where, headers=TUS | {"X-HTTP-Method-Override": "DELETE"})).status_code == 204
    assert (await api.post(where, headers=TUS)).status_code == 422


async def test_requests_that_break_a_rule_are_refused(api, stranger, problem):
    length = {"Upload-Length": "10"}
    without = await api.post(HERE, headers=length)
    problem(without, 412, "precondition-failed")
    assert without.headers["tus-version"] == "1.0.0"
    problem(await api.post(HERE, headers=length | {"Tus-Resumable": "0.2.2"}), 412, "precondition-failed")
    problem(await stranger.post(HERE, headers=TUS | length), 401, "unauthenticated")
    for headers in (
        {},
        {"Upload-Length": "-1"},
        {"Upload-Length": "ten"},
        {"Upload-Defer-Length": "1"},
        length | {"Upload-Concat": "partial"},
        length | {"Upload-Metadata": "name %%%"},
        length | {"Upload-Metadata": encoded(name="a\nb")},
        length | {"Upload-Metadata": encoded(name="x" * 201)},
        length | {"Upload-Metadata": "x" * 5000},
    ):
        problem(await api.post(HERE, headers=TUS | headers), 422, "invalid-request")
    problem(await api.post(HERE, headers=TUS | {"Upload-Length": str(2**50)}), 413, "content-too-large")
    where = await begun(api, 10)
    plain = await api.patch(where, content=b"x", headers=TUS | {"Upload-Offset": "0", "Content-Type": "text/plain"})
    problem(plain, 415, "unsupported-content-type")
    problem(await api.patch(where, content=b"x", headers=TUS | STREAM), 422, "invalid-request")
    problem(await api.patch(where, content=b"x", headers=STREAM | {"Upload-Offset": "0"}), 412, "precondition-failed")
    problem(await send(api, where, 0, b"x" * 11), 413, "content-too-large")

    async def unannounced() -> AsyncIterator[bytes]:
        yield b"x" * 11

    more = await api.patch(where, content=unannounced(), headers=TUS | STREAM | {"Upload-Offset": "0"})
    problem(more, 413, "content-too-large")
    assert await offset_of(api, where) == 0
    problem(await stranger.patch(where, content=b"x", headers=TUS | STREAM), 401, "unauthenticated")
    for path in ("x", "%2e%2e", "..%2F..%2Fetc", "%00", uuid4().hex):
        assert (await api.head(f"{HERE}/{path}", headers=TUS)).status_code in (400, 404, 405, 422), path


async def test_another_owner_s_upload_is_not_there(api, live, problem):
    where = await begun(api, 10)
    facts = folder_of(live, where) / FACTS
    facts.write_text(facts.read_text().replace('"owner":"owner"', '"owner":"other"'))
    problem(await api.get(where), 404, "upload-not-found")
    problem(await send(api, where, 0, b"x"), 404, "upload-not-found")


@asynccontextmanager
async def gateway(live: System) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.subprocess.Process]]:
    """Another gateway of the same folder, that can be killed."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *guarded(),
        sys.executable,
        "-m",
        "services.gateway",
        env=live.environment | {"PORT": str(port), "PATH": "/usr/bin:/bin"},
        cwd=ROOT,
        stderr=asyncio.subprocess.DEVNULL,
    )
    headers = {"Authorization": f"Bearer {live.token}"}
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            while True:
                try:
                    if (await client.get("/ready")).status_code == 200:
                        break
                except httpx.TransportError:
                    assert process.returncode is None
                await asyncio.sleep(0.02)
            yield client, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_another_gateway_goes_on_where_a_killed_one_was(api, live):
    data = uuid4().bytes * 300_000
    there = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield data[: 2 * 2**20]
        there.set()
        await asyncio.Event().wait()

    async with gateway(live) as (other, process):
        where = await begun(other, len(data))
        headers = TUS | STREAM | {"Upload-Offset": "0"}
        writing = asyncio.create_task(other.patch(where, content=endless(), headers=headers))
        await there.wait()
        while await offset_of(api, where) < 2**20:
            await asyncio.sleep(0.01)
        assert (await send(api, where, await offset_of(api, where), b"x")).status_code == 423, "locks hold across them"
        process.send_signal(signal.SIGKILL)
        await process.wait()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    offset = await offset_of(api, where)
    assert 2**20 <= offset <= 2 * 2**20
    last = await send(api, where, offset, data[offset:])
    assert last.headers["content-location"] == f"/cache/{cid_of(data)}"


@pytest.mark.parametrize("lost_after", ["all came", "it was stored", "it was noted"])
async def test_a_complete_upload_whose_gateway_was_lost_becomes_content_when_somebody_asks(api, live, lost_after):
    data = uuid4().bytes * 1000
    where = await begun(api, len(data))
    await send(api, where, 0, data[:100])
    uploads = Uploads(Path(live.environment["CACHE_DIR"]) / "uploads")
    upload = uploads.find(where.rpartition("/")[2], "owner")
    piece = uploads.piece(upload, verified=False)
    piece.write(data[100:])
    piece.close(good=True)
    if lost_after != "all came":
        whole = upload.whole
        place = Path(live.environment["CACHE_DIR"]) / cid_of(data)[-2:] / cid_of(data)
        place.parent.mkdir(exist_ok=True)
        whole.replace(place)
    if lost_after == "it was noted":
        upload.finish("application/octet-stream", cid_of(data))
    asked = await api.head(where, headers=TUS)
    assert asked.headers["content-location"] == f"/cache/{cid_of(data)}"
    assert (await api.get(f"/cache/{cid_of(data)}/meta")).json()["origin"] == "upload"
