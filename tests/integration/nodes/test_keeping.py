"""Content gets to the operator's places, and leaves them, whatever dies meanwhile; the disk stays below its limit."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from artdag_common.application import Application
from artdag_common.blobs.layered import LayeredBlobStore
from artdag_common.blobs.lease import lease
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.cid import cid_of
from artdag_common.domain.content import Object
from artdag_common.domain.effect import Effect
from artdag_common.errors import ServiceUnavailableError, StorageRefusedError
from artdag_common.eventstore import holds
from artdag_common.eventstore.holds import Holds
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging.bus import Bus
from services.cache import keeping
from services.cache.keeping import Keeping, drain
from services.cache.limit import Limit
from tests.contract.places import FakePlace, layer
from tests.integration.events.appends import eventually, relaying

AWAY = ServiceUnavailableError("nobody answers")


class Shelf:
    """A node's disk, the books, and a place that gets copies."""

    def __init__(self, bus: Bus, pool: asyncpg.Pool, store: PostgresEventStore, folder: Path) -> None:
        self.bus = bus
        self.pool = pool
        self.app = Application(store)
        self.holds = Holds(pool)
        self.folder = folder
        self.blobs = LayeredBlobStore(LocalBlobStore(folder))
        self.place = FakePlace()

    def keeping(self, place: FakePlace | None) -> Keeping:
        """As a process of the node has it."""
        return Keeping(self.bus, self.pool, self.blobs, layer("place", place) if place else None)

    async def store(self, data: bytes) -> str:
        """Store content and take it into the books."""
        blob = await self.blobs.put(data)
        stamp = (await self.blobs.stamps([blob.cid]))[blob.cid]
        await self.holds.stored({blob.cid: (blob.size_bytes, "upload", stamp)})
        facts = {"size_bytes": blob.size_bytes, "media_type": "text/plain", "origin": "upload"}
        await self.append(Object.create(Object.Stored, blob.cid, self.app.clock(), **facts))
        return blob.cid

    async def give_up(self, cid: str) -> None:
        """Delete content from the books, as another node's cache service does: not from this disk."""
        content = await self.app.find(Object, cid)
        assert content
        content.evict("o", "deleted", self.app.clock())
        stamp = (await self.blobs.stamps([cid])).get(cid, 0)
        await self.app.append(content, f"evict {cid}", also=holds.evict(cid, [], stamp))
        await self.sequenced()

    async def append(self, aggregate: Object | Effect) -> None:
        assert await self.app.append(aggregate, f"test {aggregate.id}") == "appended"
        await self.sequenced()

    async def sequenced(self) -> None:
        """Wait until every event has a position."""

        async def done() -> bool:
            counts = await self.pool.fetchrow(
                "SELECT (SELECT count(*) FROM es_events) = (SELECT count(*) FROM es_log) AS done"
            )
            return bool(counts["done"])

        await eventually(done, "all events sequenced")


async def all_of_it(it: Keeping) -> None:
    """Do what there is to do."""
    while await it.go_on():
        pass


@pytest.fixture
async def shelf(
    bus: Bus, pool: asyncpg.Pool, store: PostgresEventStore, database: str, tmp_path: Path
) -> AsyncIterator[Shelf]:
    async with relaying(database, bus):
        yield Shelf(bus, pool, store, tmp_path)


# --- copies ---------------------------------------------------------------------------------------------------------


async def test_what_is_stored_is_copied(shelf: Shelf) -> None:
    one, two = await shelf.store(b"one"), await shelf.store(b"two")
    await all_of_it(shelf.keeping(shelf.place))
    assert shelf.place.contents == {one: b"one", two: b"two"}


async def test_it_is_copied_by_itself(shelf: Shelf) -> None:
    it = shelf.keeping(shelf.place)
    await it.start()
    try:
        cid = await shelf.store(b"one")

        async def copied() -> bool:
            return cid in shelf.place.contents

        await eventually(copied, "the copy")
    finally:
        await it.stop()


async def test_what_was_done_is_not_asked_for_again(shelf: Shelf) -> None:
    await shelf.store(b"one")
    await all_of_it(shelf.keeping(shelf.place))
    shelf.place.asked.clear()
    two = await shelf.store(b"two")
    await all_of_it(shelf.keeping(shelf.place))
    assert shelf.place.asked == [two]


@pytest.mark.parametrize("error", [AWAY, StorageRefusedError("no such bucket")])
async def test_nothing_is_passed_over_while_the_place_is_away(shelf: Shelf, error: Exception) -> None:
    cid = await shelf.store(b"one")
    shelf.place.error = error  # type: ignore[assignment]
    for _ in range(2):
        with pytest.raises(type(error)):
            await all_of_it(shelf.keeping(shelf.place))
    shelf.place.error = None
    await all_of_it(shelf.keeping(shelf.place))
    assert shelf.place.contents == {cid: b"one"}


async def test_it_goes_on_by_itself_when_the_place_is_back(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "DELAYS", (0.01,))
    cid = await shelf.store(b"one")
    shelf.place.error = AWAY
    it = shelf.keeping(shelf.place)
    await it.start()
    try:

        async def refused() -> bool:
            return len(shelf.place.asked) > 3

        await eventually(refused, "refused a few times")
        shelf.place.error = None

        async def copied() -> bool:
            return cid in shelf.place.contents

        await eventually(copied, "the copy")
    finally:
        await it.stop()


async def test_broken_off_in_the_middle_it_is_done_again(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    cids = [await shelf.store(bytes([i])) for i in range(10)]
    store, left = shelf.place.store, [5]

    async def die_in_the_middle(path: Path, cid: str) -> str:
        left[0] -= 1
        if left[0] < 0:
            raise asyncio.CancelledError
        return await store(path, cid)

    with monkeypatch.context() as patch:
        patch.setattr(shelf.place, "store", die_in_the_middle)
        with pytest.raises(asyncio.CancelledError):
            await all_of_it(shelf.keeping(shelf.place))
    assert 0 < len(shelf.place.contents) < 10
    await all_of_it(shelf.keeping(shelf.place))
    assert shelf.place.contents.keys() == set(cids)


async def test_a_node_copies_what_lies_on_it(shelf: Shelf) -> None:
    cid = await shelf.store(b"elsewhere")
    (shelf.folder / cid[-2:] / cid).unlink()
    await all_of_it(shelf.keeping(shelf.place))
    assert shelf.place.contents == {}


async def test_a_new_place_gets_what_was_stored_before(shelf: Shelf) -> None:
    cid = await shelf.store(b"one")
    await all_of_it(shelf.keeping(shelf.place))
    new = FakePlace()
    await all_of_it(Keeping(shelf.bus, shelf.pool, shelf.blobs, layer("a new place", new)))
    assert new.contents == {cid: b"one"}


async def test_another_database_begins_anew(shelf: Shelf) -> None:
    await shelf.store(b"one")
    it = shelf.keeping(shelf.place)
    await all_of_it(it)
    it._note(1000)
    shelf.place.contents.clear()
    await all_of_it(shelf.keeping(shelf.place))
    assert shelf.place.contents == {cid_of(b"one"): b"one"}


# --- a node that ends ------------------------------------------------------------------------------------------------


async def test_a_node_that_ends_leaves_nothing_behind_that_only_it_has(shelf: Shelf) -> None:
    """Not even what the log does not name yet; but nothing that was given up."""
    booked, deleted = await shelf.store(b"booked"), await shelf.store(b"deleted")
    arriving = (await shelf.blobs.put(b"arriving")).cid
    await shelf.give_up(deleted)
    it = shelf.keeping(shelf.place)
    await it.start()
    await drain([shelf.keeping(None), it], 60)
    assert shelf.place.contents == {booked: b"booked", arriving: b"arriving"}


async def test_a_node_that_ends_waits_for_a_place_that_is_away(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "DELAYS", (0.01, 0.01))
    cid = await shelf.store(b"one")
    shelf.place.error = AWAY
    ending = asyncio.create_task(drain([shelf.keeping(shelf.place)], 60))

    async def tried_twice() -> bool:
        return shelf.place.asked.count(cid) > 1

    await eventually(tried_twice, "another attempt")
    shelf.place.error = None
    await ending
    assert shelf.place.contents == {cid: b"one"}


async def test_a_node_that_ends_does_not_wait_for_ever(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "DELAYS", (0.01, 0.01))
    await shelf.store(b"one")
    shelf.place.error = AWAY
    with capture_logs() as said:
        await drain([shelf.keeping(shelf.place)], 0.2)
    assert "content that only this node has may be left" in [each["event"] for each in said]


async def test_a_node_that_comes_back_leaves_it_for_then(shelf: Shelf) -> None:
    await shelf.blobs.put(b"arriving")
    await drain([shelf.keeping(shelf.place)], 0)
    assert not shelf.place.asked


# --- deletion -------------------------------------------------------------------------------------------------------


async def test_what_is_given_up_leaves_the_place_and_every_disk(shelf: Shelf) -> None:
    one, two = await shelf.store(b"one"), await shelf.store(b"two")
    await all_of_it(shelf.keeping(shelf.place))
    await shelf.give_up(one)
    await all_of_it(shelf.keeping(shelf.place))
    await all_of_it(shelf.keeping(None))
    assert shelf.place.contents.keys() == {two}
    assert await shelf.blobs.present([one, two]) == {two}


async def test_what_is_given_up_on_its_way_does_not_stay(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    cid = await shelf.store(b"one")
    store = shelf.place.store

    async def meanwhile(path: Path, cid: str) -> str:
        await shelf.give_up(cid)
        return await store(path, cid)

    monkeypatch.setattr(shelf.place, "store", meanwhile)
    await shelf.keeping(shelf.place).go_on()
    assert cid not in shelf.place.contents


async def test_what_was_stored_again_stays(shelf: Shelf) -> None:
    cid = await shelf.store(b"one")
    await shelf.give_up(cid)
    await shelf.blobs.put(b"one")
    await all_of_it(shelf.keeping(None))
    assert await shelf.blobs.present([cid]) == {cid}


# --- effects --------------------------------------------------------------------------------------------------------


async def test_every_node_has_the_effects(shelf: Shelf) -> None:
    elsewhere = FakePlace(b"an effect")
    shelf.blobs = LayeredBlobStore(shelf.blobs.local, [layer("elsewhere", elsewhere)])
    cid = cid_of(b"an effect")
    facts = {"effect_version": "1", "author": "", "description": "", "kind": "frame", "owner": "o"}
    await shelf.append(Effect.create(Effect.Registered, cid, shelf.app.clock(), name="e", **facts))
    await all_of_it(shelf.keeping(None))
    assert await shelf.blobs.local.present([cid]) == {cid}


# --- the limit ------------------------------------------------------------------------------------------------------


SIZE = 1000
NOW = time.time()


async def filled(shelf: Shelf, count: int) -> list[str]:
    """Store content, the first one used longest ago, and return it."""
    cids = []
    for number in range(count):
        blob = await shelf.blobs.put(bytes([number]) * SIZE)
        path = await shelf.blobs.path(blob.cid)
        os.utime(path, ns=(int((NOW - 10_000 + number) * 1e9), path.stat().st_mtime_ns))
        cids.append(blob.cid)
    return cids


def limit(shelf: Shelf, limit_bytes: int, *places: FakePlace) -> Limit:
    return Limit(
        shelf.blobs.local, [layer(f"place {i}", place) for i, place in enumerate(places)], shelf.pool, limit_bytes
    )


async def test_what_was_not_used_for_longest_goes_first(shelf: Shelf) -> None:
    cids = await filled(shelf, 10)
    everything = FakePlace(*(bytes([number]) * SIZE for number in range(10)))
    assert await limit(shelf, 5 * SIZE, everything).make_room() == 6 * SIZE, "a little more than it has to"
    assert await shelf.blobs.present(cids) == set(cids[6:])


async def test_below_the_limit_everything_stays(shelf: Shelf) -> None:
    cids = await filled(shelf, 5)
    everything = FakePlace(*(bytes([number]) * SIZE for number in range(5)))
    assert await limit(shelf, 5 * SIZE, everything).make_room() == 0
    assert await shelf.blobs.present(cids) == set(cids)
    assert everything.asked == []


async def test_the_only_copy_stays(shelf: Shelf) -> None:
    cids = await filled(shelf, 6)
    first, second, away = FakePlace(bytes([1]) * SIZE), FakePlace(bytes([4]) * SIZE), FakePlace()
    away.error = AWAY
    assert await limit(shelf, SIZE, first, away, second).make_room() == 2 * SIZE
    assert await shelf.blobs.present(cids) == set(cids) - {cids[1], cids[4]}


async def test_what_was_used_a_moment_ago_stays(shelf: Shelf) -> None:
    cids = await filled(shelf, 4)
    everything = FakePlace(*(bytes([number]) * SIZE for number in range(4)))
    os.utime(await shelf.blobs.path(cids[0]))
    await limit(shelf, SIZE, everything).make_room()
    assert await shelf.blobs.present(cids) == {cids[0]}


async def test_what_is_being_read_stays(shelf: Shelf) -> None:
    cids = await filled(shelf, 4)
    everything = FakePlace(*(bytes([number]) * SIZE for number in range(4)))
    held = lease(shelf.folder / cids[0][-2:] / cids[0])
    assert held is not None
    it = limit(shelf, SIZE, everything)
    await it.make_room()
    assert await shelf.blobs.present(cids) == {cids[0]}
    os.close(held)
    await shelf.blobs.put(b"x")
    await it.make_room()
    assert await shelf.blobs.present(cids) == set()


async def test_effects_stay(shelf: Shelf) -> None:
    cids = await filled(shelf, 3)
    everything = FakePlace(*(bytes([number]) * SIZE for number in range(3)))
    await shelf.holds.keep(f"effect-{cids[0]}", [holds.Need(cids[0], "effect")])
    await limit(shelf, SIZE, everything).make_room()
    assert await shelf.blobs.present(cids) == {cids[0]}


async def test_what_people_see_of_it_goes_too(shelf: Shelf) -> None:
    """A second name for a file would keep its bytes on the disk."""
    blob = await shelf.blobs.put(b"p" * SIZE, "plans")
    path = await shelf.blobs.path(blob.cid)
    os.utime(path, ns=(0, path.stat().st_mtime_ns))
    await limit(shelf, 1, FakePlace(b"p" * SIZE)).make_room()
    assert list((shelf.folder / "plans").iterdir()) == []
