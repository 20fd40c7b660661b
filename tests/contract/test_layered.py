"""Content in layers: what is not here comes from the first place that has it, checked, once, or not at all."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from artdag_common.blobs import layered, local
from artdag_common.blobs.layered import LayeredBlobStore
from artdag_common.blobs.lease import lease, unused
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.cid import CHUNK, cid_of
from artdag_common.errors import (
    CidMismatchError,
    ContentNotFoundError,
    ServiceUnavailableError,
    StorageFullError,
    StorageRefusedError,
)
from tests.contract.places import FakePlace, layer

DATA = bytes(range(256)) * 1100  # more than one chunk, not a whole number of them
CID = cid_of(DATA)
OTHER = bytes(reversed(DATA))
AWAY = ServiceUnavailableError("nobody answers")


class Clock:
    """Time that passes when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def near() -> FakePlace:
    """The layer asked first."""
    return FakePlace()


@pytest.fixture
def far() -> FakePlace:
    """The layer asked last."""
    return FakePlace()


Open = Callable[[], LayeredBlobStore]


@pytest.fixture
def open_store(tmp_path: Path, near: FakePlace, far: FakePlace, clock: Clock) -> Open:
    """Open the same store again, as another process of the node does."""
    return lambda: LayeredBlobStore(
        LocalBlobStore(tmp_path / "cache"), [layer("near", near), layer("far", far)], clock=clock
    )


@pytest.fixture
def store(open_store: Open) -> LayeredBlobStore:
    return open_store()


def left_over(folder: Path) -> list[str]:
    """What is in the content folder besides content: beginnings of files, locks."""
    return [path.name for below in ("incoming", "fetching") for path in (folder / below).iterdir()]


# --- reading --------------------------------------------------------------------------------------------------------


async def test_what_is_missing_here_is_fetched_and_stays(store: LayeredBlobStore, near: FakePlace) -> None:
    near.contents[CID] = DATA
    assert await store.read(CID) == DATA
    assert await store.local.present([CID]) == {CID}
    near.error = AWAY
    assert (await store.path(CID)).read_bytes() == DATA
    assert near.fetched == [CID]
    assert left_over(store.folder) == []


async def test_the_first_layer_that_has_it_is_read(store: LayeredBlobStore, near: FakePlace, far: FakePlace) -> None:
    far.contents[CID] = DATA
    await store.path(CID)
    assert (near.fetched, far.fetched) == ([], [CID])


async def test_what_is_here_is_not_asked_for(store: LayeredBlobStore, near: FakePlace, far: FakePlace) -> None:
    await store.put(DATA)
    assert await store.present([CID]) == {CID}
    await store.path(CID)
    assert near.asked == far.asked == []


async def test_nobody_has_it(store: LayeredBlobStore) -> None:
    with pytest.raises(ContentNotFoundError, match=CID):
        await store.path(CID)


async def test_nobody_who_answers_has_it(store: LayeredBlobStore, near: FakePlace) -> None:
    near.error = AWAY
    with pytest.raises(ServiceUnavailableError, match="near cannot be asked"):
        await store.path(CID)


@pytest.mark.parametrize("error", [AWAY, StorageRefusedError("wrong key")])
async def test_a_layer_that_does_not_answer_harms_nothing(
    store: LayeredBlobStore, near: FakePlace, far: FakePlace, clock: Clock, error: Exception
) -> None:
    near.error = error  # type: ignore[assignment]
    far.contents = {CID: DATA, cid_of(OTHER): OTHER}
    assert await store.present([CID]) == {CID}
    assert await store.read(CID) == DATA
    assert near.asked == [CID], "it is not asked again at once"
    clock.now += layered.AWAY_SECONDS
    near.error = None
    await store.path(cid_of(OTHER))
    assert near.asked == [CID, cid_of(OTHER)]


async def test_a_copy_keeps_the_stamp_of_where_it_comes_from(store: LayeredBlobStore, near: FakePlace) -> None:
    """Content that was given up does not come back by being read from somebody who has not heard of it."""
    near.contents[CID] = DATA
    assert await store.stamps([CID]) == {CID: 0}
    path = await store.path(CID)
    assert await store.stamps([CID]) == {CID: 0}
    assert path.stat().st_mtime_ns == local.UNKNOWN_STAMP
    await store.put(DATA)
    assert (await store.stamps([CID]))[CID] > local.UNKNOWN_STAMP


async def test_a_copy_does_not_replace_what_was_stored_meanwhile(
    store: LayeredBlobStore, open_store: Open, near: FakePlace
) -> None:
    near.contents[CID] = DATA
    near.gate = asyncio.Event()
    fetching = asyncio.create_task(store.path(CID))
    await near.begun.wait()
    await open_store().put(DATA)
    stamp = (await store.stamps([CID]))[CID]
    near.gate.set()
    await fetching
    assert await store.stamps([CID]) == {CID: stamp}
    assert left_over(store.folder) == []


# --- what is there --------------------------------------------------------------------------------------------------


async def test_all_layers_say_what_is_there(store: LayeredBlobStore, near: FakePlace, far: FakePlace) -> None:
    data = [b"here", b"near", b"far", b"nowhere"]
    here, by, off, nowhere = map(cid_of, data)
    await store.put(b"here")
    near.contents[by] = b"near"
    far.contents |= {by: b"near", off: b"far"}
    assert await store.present([here, by, off, nowhere]) == {here, by, off}
    assert set(near.asked) == {by, off, nowhere}, "not what is here"
    assert set(far.asked) == {off, nowhere}, "only what is missing still"


async def test_a_yes_is_remembered_for_a_while_and_a_no_is_not(
    store: LayeredBlobStore, near: FakePlace, clock: Clock
) -> None:
    assert await store.present([CID]) == set()
    near.contents[CID] = DATA
    assert await store.present([CID]) == {CID}
    near.contents.clear()
    assert await store.present([CID]) == {CID}
    clock.now += layered.SEEN_SECONDS
    assert await store.present([CID]) == set()


# --- wrong bytes ----------------------------------------------------------------------------------------------------


async def test_wrong_bytes_are_never_served(store: LayeredBlobStore, near: FakePlace, far: FakePlace) -> None:
    near.lie(CID, OTHER)
    far.contents[CID] = DATA
    with capture_logs() as logs:
        assert await store.read(CID) == DATA
    assert [(e["log_level"], e["source"]) for e in logs if "wrong" in e["event"]] == [("error", "near")]
    assert await store.local.present([cid_of(OTHER)]) == set(), "nor kept"
    (store.folder / CID[-2:] / CID).unlink()
    await store.path(CID)
    assert near.fetched == [CID], "that source is left out"
    assert far.fetched == [CID, CID]


@pytest.mark.parametrize("lie", [OTHER, DATA[:-1], DATA + b"x", b""], ids=["other", "short", "long", "empty"])
async def test_nobody_has_the_right_bytes(store: LayeredBlobStore, near: FakePlace, lie: bytes) -> None:
    near.lie(CID, lie)
    for _ in range(2):
        with pytest.raises(CidMismatchError, match="near"):
            await store.path(CID)
    assert near.fetched == [CID]
    assert await store.local.present([CID, cid_of(lie)]) == set()
    assert left_over(store.folder) == []


# --- failures in the middle -----------------------------------------------------------------------------------------


async def test_a_source_that_dies_in_the_middle_is_followed_by_the_next(
    store: LayeredBlobStore, near: FakePlace, far: FakePlace
) -> None:
    near.contents[CID] = far.contents[CID] = DATA
    near.breaks_after = 100
    assert await store.read(CID) == DATA
    assert (near.fetched, far.fetched) == ([CID], [CID])


async def test_the_only_source_dies_in_the_middle(store: LayeredBlobStore, near: FakePlace) -> None:
    near.contents[CID] = DATA
    near.breaks_after = 100
    with pytest.raises(ServiceUnavailableError):
        await store.path(CID)
    assert await store.local.present([CID]) == set()
    assert left_over(store.folder) == []
    near.breaks_after = None
    assert await store.read(CID) == DATA


async def test_a_source_that_stalls_is_given_up(
    store: LayeredBlobStore, near: FakePlace, far: FakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layered, "STALL_SECONDS", 0.01)
    near.contents[CID] = far.contents[CID] = DATA
    near.gate = asyncio.Event()
    assert await store.read(CID) == DATA
    assert far.fetched == [CID]


async def test_a_full_disk_is_named_and_leaves_nothing(
    store: LayeredBlobStore, near: FakePlace, far: FakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    near.contents[CID] = far.contents[CID] = DATA

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(local.os, "fsync", full)
        with pytest.raises(StorageFullError):
            await store.path(CID)
    assert far.fetched == [], "another source makes no room"
    assert left_over(store.folder) == []
    assert await store.local.present([CID]) == set()
    assert await store.read(CID) == DATA


# --- once -----------------------------------------------------------------------------------------------------------


async def test_many_waiters_are_one_download(store: LayeredBlobStore, near: FakePlace) -> None:
    near.contents[CID] = DATA
    near.gate = asyncio.Event()
    waiting = [asyncio.create_task(store.read(CID)) for _ in range(50)]
    await near.begun.wait()
    near.gate.set()
    assert set(await asyncio.gather(*waiting)) == {DATA}
    assert near.fetched == [CID]


async def test_processes_of_a_node_are_one_download(open_store: Open, near: FakePlace) -> None:
    near.contents[CID] = DATA
    near.gate = asyncio.Event()
    stores = [open_store() for _ in range(4)]
    waiting = [asyncio.create_task(store.read(CID)) for store in stores]
    await near.begun.wait()
    near.gate.set()
    assert await asyncio.gather(*waiting) == [DATA] * 4
    assert near.fetched == [CID]
    assert left_over(stores[0].folder) == []


async def test_who_waits_no_more_breaks_nothing_off_for_others(store: LayeredBlobStore, near: FakePlace) -> None:
    near.contents[CID] = DATA
    near.gate = asyncio.Event()
    first, second = (asyncio.create_task(store.path(CID)) for _ in range(2))
    await near.begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    near.gate.set()
    assert (await second).read_bytes() == DATA
    assert near.fetched == [CID]


async def test_nobody_waits_any_more(store: LayeredBlobStore, near: FakePlace) -> None:
    near.contents[CID] = DATA
    near.gate = asyncio.Event()
    waiting = [asyncio.create_task(store.path(CID)) for _ in range(2)]
    await near.begun.wait()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert left_over(store.folder) == []
    near.gate.set()
    assert await store.read(CID) == DATA, "and it can be had again"


async def test_only_so_many_at_once(store: LayeredBlobStore, near: FakePlace) -> None:
    many = [bytes([i]) * (2 * CHUNK) for i in range(2 * layered.AT_ONCE)]
    near.contents = {cid_of(data): data for data in many}
    near.gate = asyncio.Event()
    waiting = [asyncio.create_task(store.path(cid)) for cid in near.contents]
    await near.begun.wait()
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(near.fetched) <= layered.AT_ONCE
    near.gate.set()
    assert len(await asyncio.gather(*waiting)) == len(many)


FETCHER = """
import asyncio, sys
from pathlib import Path
from artdag_common.blobs.layered import LayeredBlobStore
from artdag_common.blobs.local import LocalBlobStore
from tests.contract.places import FakePlace, layer
from tests.contract.test_layered import CID, DATA

async def main():
    place = FakePlace(DATA)
    place.gate = asyncio.Event()
    store = LayeredBlobStore(LocalBlobStore(Path(sys.argv[1])), [layer("place", place)])
    fetching = asyncio.create_task(store.path(CID))
    await place.begun.wait()
    print("in the middle", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    place.gate.set()
    await fetching

asyncio.run(main())
"""


@pytest.fixture
def fetching(store: LayeredBlobStore) -> Iterator[subprocess.Popen[str]]:
    """Another process of the node, in the middle of fetching."""
    command = [sys.executable, "-c", FETCHER, str(store.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "in the middle\n"
        yield process
        process.kill()


async def test_another_process_fetches_it_already(
    store: LayeredBlobStore, near: FakePlace, fetching: subprocess.Popen[str]
) -> None:
    near.contents[CID] = DATA
    waiting = asyncio.create_task(store.read(CID))
    for _ in range(3):
        await asyncio.sleep(layered.LOCK_SECONDS)
    assert not waiting.done()
    await asyncio.to_thread(fetching.communicate, "\n")
    assert fetching.returncode == 0
    assert await waiting == DATA
    assert near.fetched == []


async def test_another_process_is_killed_while_it_fetches(
    store: LayeredBlobStore, near: FakePlace, fetching: subprocess.Popen[str]
) -> None:
    near.contents[CID] = DATA
    waiting = asyncio.create_task(store.read(CID))
    await asyncio.sleep(layered.LOCK_SECONDS)
    fetching.send_signal(signal.SIGKILL)
    assert await waiting == DATA
    assert near.fetched == [CID]
    fetching.wait()
    LocalBlobStore(store.folder)  # whoever comes next
    assert left_over(store.folder) == []


# --- leases ---------------------------------------------------------------------------------------------------------


async def test_what_is_held_is_in_use(store: LayeredBlobStore, near: FakePlace) -> None:
    near.contents[CID] = DATA
    async with store.held([CID, CID]) as (path, again):
        assert path == again
        with unused(path) as free:
            assert not free
    with unused(path) as free:
        assert free


async def test_what_is_held_is_fetched_at_once(store: LayeredBlobStore, near: FakePlace) -> None:
    near.contents = {CID: DATA, cid_of(OTHER): OTHER}
    near.gate = asyncio.Event()

    async def read() -> list[bytes]:
        async with store.held([CID, cid_of(OTHER)]) as paths:
            return [path.read_bytes() for path in paths]

    reading = asyncio.create_task(read())
    async with asyncio.timeout(10):
        while len(near.fetched) < 2:
            await asyncio.sleep(0.001)
    near.gate.set()
    assert await reading == [DATA, OTHER]


async def test_what_goes_while_it_is_taken_is_fetched_again(
    store: LayeredBlobStore, near: FakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    near.contents[CID] = DATA
    left = [True]

    def lose_once(path: Path) -> int | None:
        if left.pop() if left else False:
            path.unlink()
        return lease(path)

    monkeypatch.setattr(layered, "lease", lose_once)
    async with store.held([CID]) as (path,):
        assert path.read_bytes() == DATA
    assert near.fetched == [CID, CID]


async def test_a_use_is_noted(store: LayeredBlobStore) -> None:
    path = await store.path((await store.put(DATA)).cid)
    stamp = path.stat().st_mtime_ns
    os.utime(path, ns=(0, stamp))
    await store.path(CID)
    assert path.stat().st_atime > 0
    assert path.stat().st_mtime_ns == stamp


# --- the primary layer ----------------------------------------------------------------------------------------------


@pytest.fixture
def secured(tmp_path: Path, near: FakePlace) -> LayeredBlobStore:
    """A store whose content is in a far place before anybody sees it."""
    first = layer("first", near)
    return LayeredBlobStore(LocalBlobStore(tmp_path / "cache"), [first], first)


async def put(store: LayeredBlobStore, folder: Path) -> None:
    await store.put(DATA)


async def adopt(store: LayeredBlobStore, folder: Path) -> None:
    (folder / "output").write_bytes(DATA)
    await store.adopt(folder / "output")


async def write(store: LayeredBlobStore, folder: Path) -> None:
    async with store.writer() as writer:
        await writer.write(DATA)
        await writer.commit()


WAYS = pytest.mark.parametrize("way", [put, adopt, write])


@WAYS
async def test_content_is_there_first(
    secured: LayeredBlobStore, near: FakePlace, tmp_path: Path, way: Callable
) -> None:
    await way(secured, tmp_path)
    assert near.contents == {CID: DATA}
    assert await secured.local.present([CID]) == {CID}


@WAYS
@pytest.mark.parametrize("error", [AWAY, StorageRefusedError("no room")])
async def test_what_it_does_not_take_is_not_stored(
    secured: LayeredBlobStore, near: FakePlace, tmp_path: Path, way: Callable, error: Exception
) -> None:
    near.error = error  # type: ignore[assignment]
    with pytest.raises(ServiceUnavailableError):
        await way(secured, tmp_path)
    assert await secured.local.present([CID]) == set()
    near.error = None
    await way(secured, tmp_path)
    assert near.contents == {CID: DATA}


async def test_what_was_here_before_is_secured_too(secured: LayeredBlobStore, near: FakePlace) -> None:
    await secured.local.put(DATA)
    await secured.put(DATA)
    assert near.contents == {CID: DATA}


async def test_what_is_there_cannot_be_told_while_it_is_away(secured: LayeredBlobStore, near: FakePlace) -> None:
    await secured.put(b"here")
    near.error = AWAY
    assert await secured.present([cid_of(b"here")]) == {cid_of(b"here")}
    with pytest.raises(ServiceUnavailableError):
        await secured.present([CID])
