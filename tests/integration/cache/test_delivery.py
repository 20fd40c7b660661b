"""Activities to a registry that is away, slow to decide, or not of our mind; and a sender that dies at any line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from artdag_common.application import decode
from artdag_common.commands import PublishObject, SettleActivity, UnpublishObject
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.content import Object
from artdag_common.errors import ContentInUseError, ContentNotFoundError, NotPublishedError
from artdag_common.federation import l2
from artdag_common.federation.l2 import L2
from services.cache import replication
from services.cache.delivery import NOBODY, Decisions, Deliverer, Identity
from services.cache.delivery_queue import DeliveryQueue
from services.cache.handlers import Books
from tests.integration.cache.conftest import Cache
from tests.integration.cache.kills import killed_at
from tests.integration.federation.registry import DOCUMENTS, KEY, L1, Registry, answer, hang_up, registry

GILES = "https://l2.example/users/giles"
SECONDS = 90.0
FILES = ("cache/delivery.py", "cache/delivery_queue.py")
MOST = 400


@dataclass
class Press:
    """A cache service that publishes, and the registry that it publishes to."""

    cache: Cache
    registry: Registry
    l2: L2
    people: dict[str, str] = field(default_factory=lambda: {"giles": GILES})

    def __post_init__(self) -> None:
        self.queue = DeliveryQueue(self.cache.pool)
        self.deliverer = self.sender()

    def sender(self) -> Deliverer:
        identity = Identity(DOCUMENTS, KEY)
        return Deliverer(self.cache.app, self.queue, self.cache.blobs, self.l2, identity, self.actor)

    async def actor(self, user: str) -> str:
        return self.people.get(user, "")

    @property
    def books(self) -> Books:
        async def told(owner: str) -> bool:
            return owner in self.people

        return Books(self.cache.app, self.cache.blobs, self.cache.holds, 0, told, self.deliverer.wake)

    async def publish(self, cid: str, name: str = "Cat", **more: str) -> None:
        said = {"owner": "giles", "description": "A <cat>", "run_id": "", "recipe_cid": "", "provenance_cid": ""}
        command = PublishObject(cid=cid, name=name, **(said | more))
        await self.books.publish_object(command, f"publish-{uuid4()}")

    async def unpublish(self, cid: str, owner: str = "giles") -> None:
        await self.books.unpublish_object(UnpublishObject(cid, owner), f"unpublish-{uuid4()}")

    async def waiting(self) -> list[Any]:
        """Return the queue."""
        return list(await self.cache.pool.fetch("SELECT * FROM deliveries ORDER BY n"))

    async def due(self) -> None:
        """Whatever waits is due: as time does it."""
        await self.cache.pool.execute("UPDATE deliveries SET due_at = now()")

    async def send_one(self) -> None:
        """Do what a sender does with the next activity, but for what it does when it is stopped in order."""
        sending = await self.queue.claim()
        assert sending
        await self.deliverer._deliver(sending)

    async def events(self, cid: str) -> list[DomainEvent]:
        """Return what is recorded of publishing content."""
        events = [decode(each) for each in await self.cache.app.store.load(Object.stream(cid))]
        kinds = (Object.Published, Object.Unpublished, Object.Delivered, Object.Refused)
        return [event for event in events if isinstance(event, kinds)]

    async def until(self, check: Callable[[], Awaitable[bool]]) -> None:
        """Wait for something that follows by itself."""
        async with asyncio.timeout(SECONDS):
            while not await check():
                await asyncio.sleep(0.02)

    async def empty(self) -> bool:
        return not await self.waiting()


@pytest.fixture
async def press(cache: Cache) -> AsyncIterator[Press]:
    async with registry() as server:
        l2 = L2(server.url, L1, "l2.example")
        press = Press(cache, server, l2)
        yield press
        await press.deliverer.stop()
        await l2.close()


async def test_what_is_published_reaches_the_registry_with_how_it_was_made(press: Press) -> None:
    recipe, record = await press.cache.upload(b"a recipe"), {"recipe": "dog", "inputs": [{"name": "cat", "cid": "x"}]}
    made = await press.cache.upload(json.dumps(record | {"output": {"name": "o", "cid": "y"}, "effects": []}).encode())
    cid = await press.cache.upload(b"a film")
    await press.deliverer.start()
    await press.publish(cid, run_id="r-1", recipe_cid=recipe, provenance_cid=made)
    await press.until(press.empty)
    published, delivered = await press.events(cid)
    assert isinstance(published, Object.Published)
    assert isinstance(delivered, Object.Delivered)
    assert (delivered.activity_id, delivered.attempts) == (published.activity_id, 1)
    assert delivered.url == f"{press.registry.url}/assets/0"
    ((activity_id, activity),) = press.registry.taken.items()
    assert activity_id == f"{L1}/activities/{published.activity_id}"
    assert (activity["type"], activity["actor"]) == ("Create", f"{L1}/actor")
    said = activity["object"]
    assert (said["type"], said["name"], said["content"]) == ("Document", "Cat", "A &lt;cat&gt;")
    assert (said["attributedTo"], said["cid"]) == (GILES, cid)
    assert said["provenance"] == {
        "run_id": "r-1",
        "inputs": [{"name": "cat", "cid": "x"}],
        "output": {"name": "o", "cid": "y"},
        "recipe": "dog",
        "recipe_cid": recipe,
        "provenance_cid": made,
    }


async def test_what_is_not_stored_is_not_published(press: Press) -> None:
    cid = await press.cache.upload(b"a film")
    gone = await press.cache.upload(b"its record")
    await press.cache.delete(gone)
    with pytest.raises(ContentNotFoundError):
        await press.publish(cid, provenance_cid=gone)
    assert await press.events(cid) == []
    assert await press.empty()


async def test_what_belongs_to_a_publication_stays_as_long_as_it(press: Press) -> None:
    async def upload(data: bytes) -> str:
        return await press.cache.upload(data, owner="giles")

    async def delete(cid: str) -> None:
        await press.cache.delete(cid, by="giles")

    recipe, made, cid, other = [await upload(each) for each in (b"recipe", b"{}", b"film", b"another")]
    await press.publish(cid, recipe_cid=recipe, provenance_cid=made)
    await press.publish(other, recipe_cid=recipe)
    for each in (recipe, made, cid):
        with pytest.raises(ContentInUseError, match="it is published"):
            await delete(each)
    await press.unpublish(cid)
    await delete(made)
    await delete(cid)
    with pytest.raises(ContentInUseError):
        await delete(recipe)
    await press.unpublish(other)
    await delete(recipe)
    assert not await press.cache.blobs.present([recipe, made, cid])


async def test_who_is_none_of_the_registrys_publishes_here_only(press: Press) -> None:
    cid = await press.cache.upload()
    await press.publish(cid, owner="owner")
    await press.unpublish(cid, owner="owner")
    assert [type(each).__name__ for each in await press.events(cid)] == ["Published", "Unpublished"]
    assert await press.empty()


async def test_a_registry_that_does_not_decide_is_asked_again(press: Press) -> None:
    press.registry.decisions = [hang_up, answer(500, ""), answer(429, "", {"Retry-After": "600"}), answer(302, "")]
    cid = await press.cache.upload()
    await press.publish(cid)
    waits = []
    for attempt in range(1, 5):
        await press.send_one()
        (row,) = await press.waiting()
        assert (row["attempt"], bool(row["last_error"])) == (attempt, True)
        waits.append((row["told"], await press.queue.next_seconds()))
        await press.due()
    await press.send_one()
    assert await press.empty()
    assert [told for told, _ in waits] == [False, False, True, False]
    assert waits[2][1] > 500, "it said when"
    for attempt, (told, seconds) in enumerate(waits):
        assert told or seconds <= 2**attempt, "twice as long each time, less what chance takes off"
    assert len(press.registry.sent) == 5
    assert all(each == press.registry.sent[0] for each in press.registry.sent), "the same each time"
    delivered = (await press.events(cid))[-1]
    assert isinstance(delivered, Object.Delivered)
    assert delivered.attempts == 5


async def test_a_registry_that_is_known_to_be_down_is_not_an_attempt(
    press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "FIRST_WAIT_SECONDS", 60.0)  # nothing is due again before the end
    monkeypatch.setattr(l2, "DOWN_SECONDS", 60.0)
    cids = [await press.cache.upload(f"film {n}".encode()) for n in range(8)]
    press.registry.decisions = [answer(500, "")] * 100
    for cid in cids:
        await press.publish(cid)
    for _ in cids:
        await press.send_one()
    rows = await press.waiting()
    assert sum(row["attempt"] for row in rows) == len(press.registry.sent) < len(cids)
    assert await press.queue.claim() is None


async def test_a_registry_that_is_back_gets_what_waited_for_it(press: Press) -> None:
    first, second = await press.cache.upload(b"1"), await press.cache.upload(b"2")
    await press.publish(first)
    await press.cache.pool.execute("UPDATE deliveries SET attempt = 9, due_at = now() + interval '1 hour'")
    await press.deliverer.start()
    await press.publish(second)
    await press.until(press.empty)
    assert len(press.registry.taken) == 2


async def test_what_the_registry_refuses_is_not_sent_again(press: Press) -> None:
    cid = await press.cache.upload()
    press.registry.decisions = [answer(422, {"detail": "no such person"})]
    await press.deliverer.start()
    await press.publish(cid)
    await press.until(press.empty)
    refused = (await press.events(cid))[-1]
    assert isinstance(refused, Object.Refused)
    assert refused.reason == "422: no such person"
    assert len(press.registry.sent) == 1


async def test_what_is_said_of_content_comes_in_order(press: Press) -> None:
    """Whatever comes in between, and however many senders there are."""
    cid = await press.cache.upload()
    press.registry.decisions = [answer(503, ""), hang_up]
    await press.publish(cid, "Cat")
    await press.publish(cid, "Tom")
    await press.unpublish(cid)
    await press.publish(cid, "Cat")
    senders = [press.deliverer, press.sender(), press.sender()]
    for sender in senders:
        await sender.start()
    await press.until(press.empty)
    for sender in senders:
        await sender.stop()
    taken = list(press.registry.taken.values())
    assert [each["type"] for each in taken] == ["Create", "Delete", "Create", "Delete", "Create"]
    ids = [each["object"]["id"] for each in taken]
    assert ids[0] == ids[1] != ids[2] == ids[3] != ids[4] != ids[0]
    assert taken[1]["object"]["type"] == "Tombstone"
    kinds = [type(each).__name__ for each in await press.events(cid)]
    assert kinds.count("Delivered") == 5


async def test_who_left_the_registry_is_not_spoken_for(press: Press) -> None:
    cid = await press.cache.upload()
    await press.publish(cid)
    press.people.clear()
    await press.send_one()
    refused = (await press.events(cid))[-1]
    assert isinstance(refused, Object.Refused)
    assert (refused.reason, press.registry.sent) == (NOBODY, [])
    await press.unpublish(cid)


async def test_the_registry_may_decide_later(press: Press) -> None:
    cid = await press.cache.upload()
    press.registry.decisions = [answer(202, "")]
    await press.publish(cid)
    await press.send_one()
    published = (await press.events(cid))[0]
    assert isinstance(published, Object.Published)
    decisions = Decisions(press.cache.app)
    for number, (taken, words) in enumerate([(True, "https://l2.example/1"), (True, ""), (False, "spam")]):
        command = SettleActivity(cid, published.activity_id, taken, words)
        for _ in range(2):  # the command comes again
            await decisions.settle(command, f"inbox-{number}")
    kinds = [type(each).__name__ for each in (await press.events(cid))[1:]]
    assert kinds == ["Delivered", "Delivered", "Refused"]
    with pytest.raises(NotPublishedError):
        await decisions.settle(SettleActivity(cid, "another", True, ""), "inbox-9")


async def test_a_decision_that_comes_while_it_is_sent_again_settles_it(press: Press) -> None:
    cid = await press.cache.upload()
    await press.publish(cid)

    async def decide(request: web.Request) -> web.StreamResponse:
        ((row),) = await press.waiting()
        await Decisions(press.cache.app).settle(SettleActivity(cid, row["activity_id"], True, ""), "inbox-1")
        return await hang_up(request)

    press.registry.decisions = [decide]
    await press.send_one()
    assert await press.empty()
    assert [type(each).__name__ for each in await press.events(cid)] == ["Published", "Delivered"]


async def test_others_may_change_the_content_meanwhile(press: Press) -> None:
    cid = await press.cache.upload()
    await press.publish(cid)

    async def rename(request: web.Request) -> web.StreamResponse:
        await press.cache.enter(cid, 1, "somebody", "their name")
        activity = press.registry.sent[-1]
        return press.registry.take(activity, await request.read())

    press.registry.decisions = [rename]
    await press.send_one()
    assert isinstance((await press.events(cid))[-1], Object.Delivered)


async def test_the_key_that_was_announced_last_counts(press: Press) -> None:
    for pem in ("one", "two", "one"):
        await press.queue.announce_key(pem)
    newest = "SELECT pem FROM actor_keys ORDER BY announced_at DESC LIMIT 1"
    assert await press.cache.pool.fetchval(newest) == "one"


# --- killed ---------------------------------------------------------------------------------------------------------


async def test_a_delivery_that_is_killed(press: Press) -> None:
    """Before any line, the registry's answer among them: it takes the activity once, and that is recorded once."""
    for line in range(1, MOST):
        cid = await press.cache.upload(f"film {line}".encode())
        await press.publish(cid)
        killed = await killed_at(line, FILES, press.send_one)
        while await press.waiting():  # its lease is over, and somebody else comes
            await press.due()
            await press.send_one()
        published, *after = await press.events(cid)
        assert isinstance(published, Object.Published)
        assert [type(each) for each in after] == [Object.Delivered]
        taken = [each for each in press.registry.taken if each.endswith(published.activity_id)]
        assert len(taken) == 1
        if not killed:
            break
    else:
        raise AssertionError("it is never through")
    assert line > 30, "the lines are not seen"
    assert len(press.registry.sent) > line, "none died between the registry's answer and its record"


async def test_publishing_that_is_killed(press: Press) -> None:
    """The event and what is to be sent are stored together, once, however often the command comes."""
    for line in range(1, MOST):
        cid = await press.cache.upload(f"film {line}".encode())
        command = PublishObject(cid, "giles", "Cat", "", "", "", "")
        files = ("cache/handlers.py", "cache/delivery_queue.py")
        killed = await killed_at(line, files, lambda c=command: press.books.publish_object(c, f"publish-{c.cid}"))
        rows, events = await press.waiting(), await press.events(cid)
        assert len(rows) == len(events), "one without the other"
        if await press.cache.app.store.outcome("cache", f"publish-{cid}") is None:
            await press.books.publish_object(command, f"publish-{cid}")
        (event,) = await press.events(cid)
        (row,) = await press.waiting()
        assert isinstance(event, Object.Published)
        assert event.activity_id == row["activity_id"]
        await press.cache.pool.execute("DELETE FROM deliveries")
        if not killed:
            break
    else:
        raise AssertionError("it is never through")
    assert line > 20, "the lines are not seen"
