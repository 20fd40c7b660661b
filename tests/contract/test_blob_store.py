"""What every content store promises (:class:`artdag_common.blobs.port.BlobStore`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from artdag_common.blobs.port import Blob, BlobStore
from artdag_common.cid import CHUNK, cid_of
from artdag_common.errors import ContentNotFoundError, InvalidCidError

HELLO = cid_of(b"hello world")
HELLO_AS_V0 = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"
ABSENT = cid_of(b"nobody stored this")


@pytest.mark.parametrize("data", [b"", b"hello world", bytes(range(256)) * 3000], ids=["empty", "small", "3 chunks"])
async def test_what_is_put_can_be_read_by_its_cid(blobs: BlobStore, data: bytes) -> None:
    blob = await blobs.put(data)
    assert blob == Blob(cid_of(data), len(data))
    assert await blobs.read(blob.cid) == data
    assert (await blobs.path(blob.cid)).read_bytes() == data
    assert await blobs.present([blob.cid, ABSENT]) == {blob.cid}


async def test_content_comes_piece_by_piece(blobs: BlobStore) -> None:
    data = bytes(range(251)) * 5000
    async with blobs.writer() as writer:
        for start in range(0, len(data), 70_001):
            await writer.write(data[start : start + 70_001])
        blob = await writer.commit()
    assert blob == Blob(cid_of(data), len(data))
    assert await blobs.read(blob.cid) == data


async def test_what_is_not_committed_is_not_there(blobs: BlobStore) -> None:
    async with blobs.writer() as writer:
        await writer.write(b"hello ")
        await writer.write(b"world")
        assert await blobs.present([HELLO]) == set()
    assert await blobs.present([HELLO]) == set()
    with pytest.raises(ContentNotFoundError):
        await blobs.read(HELLO)


async def test_an_error_while_writing_leaves_nothing(blobs: BlobStore) -> None:
    async def lose_the_connection() -> None:
        async with blobs.writer() as writer:
            await writer.write(b"hello world")
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await lose_the_connection()
    assert await blobs.present([HELLO]) == set()


async def test_many_write_the_same_content_at_once(open_blobs: Callable[[], BlobStore]) -> None:
    stores = [open_blobs() for _ in range(4)]
    data = b"x" * (2 * CHUNK + 5)

    async def write(store: BlobStore) -> Blob:
        async with store.writer() as writer:
            for start in range(0, len(data), CHUNK):
                await writer.write(data[start : start + CHUNK])
                await asyncio.sleep(0)
            return await writer.commit()

    written = await asyncio.gather(*map(write, stores), *(store.put(data) for store in stores))
    assert set(written) == {Blob(cid_of(data), len(data))}
    assert await stores[0].read(written[0].cid) == data


async def test_content_outlives_the_one_that_stored_it(open_blobs: Callable[[], BlobStore]) -> None:
    await open_blobs().put(b"hello world")
    assert await open_blobs().read(HELLO) == b"hello world"


async def test_putting_twice_changes_nothing(blobs: BlobStore) -> None:
    assert await blobs.put(b"hello world") == await blobs.put(b"hello world")
    assert await blobs.put(b"hello world", "plans") == Blob(HELLO, 11)
    assert await blobs.read(HELLO) == b"hello world"


async def test_a_finished_file_is_taken_in(blobs: BlobStore, tmp_path: Path) -> None:
    file = tmp_path / "output.mp4"
    file.write_bytes(b"hello world")
    assert await blobs.adopt(file) == Blob(HELLO, 11)
    assert not file.exists()
    assert await blobs.read(HELLO) == b"hello world"


async def test_a_file_that_was_hashed_as_it_came_is_taken_in_under_that_name(blobs: BlobStore, tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(b"hello world")
    assert await blobs.adopt(file, cid=HELLO) == Blob(HELLO, 11)
    assert await blobs.read(HELLO) == b"hello world"


async def test_the_other_form_of_a_cid_names_the_same_content(blobs: BlobStore) -> None:
    # `ipfs add` prints the Qm form of exactly these bytes.
    blob = await blobs.put(b"hello world")
    assert await blobs.read(HELLO_AS_V0) == b"hello world"
    assert await blobs.path(HELLO_AS_V0) == await blobs.path(blob.cid)
    assert await blobs.present([HELLO_AS_V0]) == {HELLO_AS_V0}


async def test_absent_content_is_named(blobs: BlobStore) -> None:
    with pytest.raises(ContentNotFoundError, match=ABSENT):
        await blobs.path(ABSENT)
    with pytest.raises(ContentNotFoundError, match=ABSENT):
        await blobs.read(ABSENT)


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "/etc/passwd", "plans", ".", HELLO.upper(), HELLO + "/.."])
async def test_only_cids_name_content(blobs: BlobStore, text: str) -> None:
    await blobs.put(b"hello world", "plans")
    with pytest.raises(InvalidCidError):
        await blobs.path(text)
    assert await blobs.present([text]) == set()


async def test_nothing_is_asked_nothing_is_present(blobs: BlobStore) -> None:
    assert await blobs.present([]) == set()
