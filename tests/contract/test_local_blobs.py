"""What the folder promises beyond the port: nothing half, nothing of the dead, nothing for others' eyes."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from artdag_common.blobs import local
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.cid import cid_of
from artdag_common.errors import StorageFullError

WRITER = """
import asyncio, sys
from pathlib import Path
from artdag_common.blobs.local import LocalBlobStore

async def main():
    store = LocalBlobStore(Path(sys.argv[1]))
    store.temporary().mkdir()
    (store.temporary()).write_bytes(b"of a step")
    async with store.writer() as writer:
        await writer.write(b"half of an upl")
        print("writing", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await writer.write(b"oad")
        print((await writer.commit()).cid, flush=True)

asyncio.run(main())
"""


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, in the middle of an upload and of a step."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def content(folder: Path) -> list[str]:
    """Names of all files that are not on their way in."""
    apart = {folder / "incoming", folder / "writers"}
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and not apart & set(p.parents))


def incoming(folder: Path) -> list[Path]:
    """What is on its way in."""
    return sorted((folder / "incoming").iterdir())


async def test_a_killed_process_leaves_nothing(tmp_path: Path, writing: subprocess.Popen[str]) -> None:
    assert len(incoming(tmp_path)) == 3
    assert content(tmp_path) == []
    writing.send_signal(signal.SIGKILL)
    writing.wait()
    store = LocalBlobStore(tmp_path)
    assert incoming(tmp_path) == []
    assert content(tmp_path) == []
    assert len(list((tmp_path / "writers").iterdir())) == 1, "its own"
    assert (await store.put(b"x")).cid == cid_of(b"x")


async def test_what_a_living_process_writes_is_left_alone(tmp_path: Path, writing: subprocess.Popen[str]) -> None:
    before = incoming(tmp_path)
    for _ in range(3):
        LocalBlobStore(tmp_path)
    assert incoming(tmp_path) == before
    output, _ = writing.communicate("\n")
    assert writing.returncode == 0
    assert output.strip() == cid_of(b"half of an upload")
    assert await LocalBlobStore(tmp_path).read(cid_of(b"half of an upload")) == b"half of an upload"


async def test_stores_of_one_process_leave_each_other_alone(tmp_path: Path) -> None:
    first = LocalBlobStore(tmp_path)
    async with first.writer() as writer:
        await writer.write(b"hello")
        LocalBlobStore(tmp_path)
        assert (await writer.commit()).cid == cid_of(b"hello")


async def test_leftovers_without_a_writer_go(tmp_path: Path) -> None:
    LocalBlobStore(tmp_path)
    (tmp_path / "incoming" / "0123.abc").write_bytes(b"")
    (tmp_path / "incoming" / "folder").mkdir()
    (tmp_path / "incoming" / "folder" / "output.mp4").write_bytes(b"")
    LocalBlobStore(tmp_path)
    assert incoming(tmp_path) == []


async def test_a_store_that_is_gone_signs_out(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path)
    assert len(list((tmp_path / "writers").iterdir())) == 1
    del store
    assert list((tmp_path / "writers").iterdir()) == []


@pytest.mark.parametrize("mask", [0o000, 0o022])
async def test_content_is_for_its_owner_and_never_changes(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        store = LocalBlobStore(tmp_path / "a" / "cache")
        path = await store.path((await store.put(b"x", "plans")).cid)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "cache").stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert (tmp_path / "a" / "cache" / "plans" / f"{path.name}.json").samefile(path)


async def test_a_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    LocalBlobStore(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


async def test_bytes_are_durable_before_they_are_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalBlobStore(tmp_path)
    place = tmp_path / cid_of(b"x")[-2:] / cid_of(b"x")
    seen: list[tuple[str, bool]] = []

    def note(descriptor: int) -> None:
        seen.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, place.exists()))

    monkeypatch.setattr(local.os, "fsync", note)
    await store.put(b"x")
    (root, _), (file, file_visible), (shelf, shelf_visible) = seen
    assert (root, file.partition(".")[0], shelf) == (
        tmp_path.name,
        store.temporary().name.partition(".")[0],
        place.parent.name,
    )
    assert (file_visible, shelf_visible) == (False, True)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = LocalBlobStore(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(local.os, "fsync", full)
    with pytest.raises(StorageFullError, match="full"):
        await store.put(b"x")
    async with store.writer() as writer:
        await writer.write(b"x")
        with pytest.raises(StorageFullError):
            await writer.commit()
    assert incoming(tmp_path) == []
    assert content(tmp_path) == []


async def test_other_errors_of_the_disk_are_not_called_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalBlobStore(tmp_path)

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(local.os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        await store.put(b"x")
