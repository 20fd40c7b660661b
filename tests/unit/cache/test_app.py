"""Content for other nodes: whole, in part, and for nobody who cannot prove that it belongs here."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from artdag_common.blobs.lease import unused
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.blobs.node import Membership
from artdag_common.cid import cid_of
from services.cache.app import address, create_app

DATA = bytes(range(256)) * 2000
KEY = Membership("the key")


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path)


@pytest.fixture
async def client(blobs: LocalBlobStore) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(blobs, Membership("the key")))
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
        yield client


@pytest.fixture
async def cid(blobs: LocalBlobStore) -> str:
    return (await blobs.put(DATA)).cid


def proven(path: str, method: str = "GET", key: Membership = KEY, **more: str) -> dict[str, str]:
    return {"Authorization": key.prove(method, path), **more}


async def test_a_member_gets_content(client: httpx.AsyncClient, cid: str) -> None:
    path = f"/content/{cid}"
    answer = await client.get(path, headers=proven(path))
    assert answer.status_code == 200
    assert answer.content == DATA
    assert answer.headers["etag"] == f'"{cid}"'
    assert answer.headers["content-type"] == "application/octet-stream"


async def test_a_member_asks_for_the_size(client: httpx.AsyncClient, cid: str) -> None:
    path = f"/content/{cid}"
    answer = await client.head(path, headers=proven(path, "HEAD"))
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, str(len(DATA)), b"")


@pytest.mark.parametrize(
    ("wanted", "status", "expected"),
    [
        ("bytes=0-9", 206, DATA[:10]),
        ("bytes=1000-", 206, DATA[1000:]),
        ("bytes=-5", 206, DATA[-5:]),
        (f"bytes={len(DATA)}-", 416, None),
    ],
)
async def test_a_part_of_it(
    client: httpx.AsyncClient, cid: str, wanted: str, status: int, expected: bytes | None
) -> None:
    path = f"/content/{cid}"
    answer = await client.get(path, headers=proven(path, Range=wanted))
    assert answer.status_code == status
    assert expected is None or answer.content == expected


@pytest.mark.parametrize("authorization", ["", "Bearer x", Membership("another key").prove("GET", "/content/x")])
async def test_others_get_nothing(client: httpx.AsyncClient, cid: str, authorization: str) -> None:
    """Not even whether it is there."""
    for name in (cid, cid_of(b"absent"), "x"):
        answer = await client.get(f"/content/{name}", headers={"Authorization": authorization})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Artdag")


async def test_a_proof_for_other_content_does_not_do(client: httpx.AsyncClient, cid: str) -> None:
    other = f"/content/{cid_of(b'other')}"
    assert (await client.get(f"/content/{cid}", headers=proven(other))).status_code == 401


@pytest.mark.parametrize("name", [cid_of(b"absent"), "nonsense", "..%2F..%2Fnode"])
async def test_what_is_not_here(client: httpx.AsyncClient, name: str) -> None:
    path = f"/content/{name}"
    assert (await client.get(path, headers=proven(path))).status_code in (401, 404)


async def test_what_was_sent_is_free_again(client: httpx.AsyncClient, blobs: LocalBlobStore, cid: str) -> None:
    path = f"/content/{cid}"
    await client.get(path, headers=proven(path))
    with unused(await blobs.path(cid)) as free:
        assert free


def test_its_address_is_derived_or_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert address(listener, "127.0.0.1", "") == f"http://127.0.0.1:{port}"
        assert address(listener, "::1", "") == f"http://[::1]:{port}"
        assert address(listener, "0.0.0.0", "") == f"http://{socket.gethostname()}:{port}"
        assert address(listener, "0.0.0.0", "https://node-a:8200") == "https://node-a:8200"
