"""The cache service dies before any line of a deletion, a return, a collection: nothing is lost, nothing comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from artdag_common.blobs import local
from artdag_common.cid import cid_of
from artdag_common.commands import DeleteObject, ImportObject
from artdag_common.errors import ContentNotFoundError
from tests.integration.cache.conftest import Cache
from tests.integration.cache.kills import killed_at

FILES = ("cache/deletion.py", "cache/handlers.py", "cache/garbage.py", "blobs/local.py")
MOST = 400


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that a worker thread executes are seen too."""

    async def at_once(work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments)

    monkeypatch.setattr(local.asyncio, "to_thread", at_once)


async def finished(cache: Cache, cid: str) -> None:
    """What was begun is through, as the next round of the garbage collection leaves it: books and bytes agree."""
    await cache.garbage.collect(False, None)
    content = await cache.object(cid)
    book = (await cache.holds.books([cid]))[cid]
    assert content.evicted == (book.gone is not None)
    assert bool(await cache.blobs.present([cid])) is not content.evicted
    assert not content.evicted or await cache.kinds(cid) == []


async def test_a_deletion_that_is_killed(cache: Cache) -> None:
    """Before the commit nothing has happened; after it, the rest is finished by whoever comes next."""
    for line in range(1, MOST):
        data = f"deleted {line}".encode()
        cid = await cache.upload(data)
        command = DeleteObject(cid, "me")
        killed = await killed_at(line, FILES, lambda c=command: cache.deletion.delete(c, f"delete-{c.cid}"))
        if not (await cache.object(cid)).evicted:
            assert await cache.here(data)
            assert await cache.kinds(cid) == ["uploaded user-me"]
        await finished(cache, cid)
        if await cache.app.store.outcome("cache", f"delete-{cid}") is None:  # the command comes again
            await cache.deletion.delete(command, f"delete-{cid}")
        await finished(cache, cid)
        assert not await cache.here(data)
        if not killed:
            break
    else:
        raise AssertionError("it is never through")
    assert line > 30, "the lines are not seen"


async def test_a_deletion_that_is_killed_loses_nothing_that_comes_back(cache: Cache) -> None:
    """Somebody uploads the same bytes before the garbage of the killed deletion is collected."""
    for line in range(1, MOST):
        data = f"back {line}".encode()
        cid = await cache.upload(data)
        killed = await killed_at(line, FILES, lambda c=cid: cache.delete(c))
        await cache.upload(data, owner="other", name="mine")
        await finished(cache, cid)
        assert await cache.here(data)
        assert {"named user-other", "uploaded user-other"} <= {*await cache.kinds(cid)}
        if not killed:
            return
    raise AssertionError("it is never through")


async def test_a_return_that_is_killed(cache: Cache) -> None:
    """The command that enters the bytes comes again, and they are still here."""
    for line in range(1, MOST):
        data = f"returned {line}".encode()
        cid = await cache.upload(data)
        await cache.delete(cid)
        await cache.blobs.put(data)
        command = ImportObject(cid, len(data), "text/plain", "upload", "me", "again")
        killed = await killed_at(line, FILES, lambda c=command: cache.books.import_object(c, f"again-{c.cid}"))
        await cache.garbage.collect(False, None)
        assert await cache.here(data), "bytes on their way in are nobody's garbage"
        if await cache.app.store.outcome("cache", f"again-{cid}") is None:
            await cache.books.import_object(command, f"again-{cid}")
        await finished(cache, cid)
        assert await cache.here(data)
        assert await cache.kinds(cid) == ["named user-me", "uploaded user-me"]
        if not killed:
            return
    raise AssertionError("it is never through")


async def test_a_collection_that_is_killed(cache: Cache) -> None:
    """What is held stays whole; what nobody needs goes, now or the next time."""
    kept = await cache.upload(b"kept")
    for line in range(1, 2 * MOST):
        data = f"intermediate {line}".encode()
        blob = await cache.blobs.put(data)
        await cache.enter(blob.cid, len(data))
        await cache.pool.execute("DELETE FROM content_holds WHERE cid = $1", blob.cid)
        killed = await killed_at(line, FILES, lambda: cache.garbage.collect(False, 0.0))
        assert await cache.here(b"kept")
        await finished(cache, blob.cid)
        await cache.garbage.collect(False, 0.0)
        await finished(cache, blob.cid)
        assert not await cache.here(data)
        if not killed:
            break
    else:
        raise AssertionError("it is never through")
    assert await cache.kinds(kept) == ["uploaded user-me"]


async def test_a_deletion_and_a_return_at_the_same_moment(cache: Cache) -> None:
    """Whoever is first: at the end the books and the disk say the same, and no upload that was taken is lost."""
    for number in range(40):
        data = f"race {number}".encode()
        cid = await cache.upload(data, owner="a")
        results = await asyncio.gather(
            cache.delete(cid, by="a"),
            cache.upload(data, owner="b"),
            cache.delete(cid, by="a"),
            return_exceptions=True,
        )
        assert isinstance(results[1], str | ContentNotFoundError), results[1]
        await finished(cache, cid)
        if isinstance(results[1], str):
            assert await cache.here(data)
            assert "uploaded user-b" in await cache.kinds(cid_of(data))
