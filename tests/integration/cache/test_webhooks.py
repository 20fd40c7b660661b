"""Webhooks whose receivers take what they are told, refuse it, or are away; and a sender that dies at any line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import web

from artdag_cli.system import System
from artdag_common.application import decode
from artdag_common.blobs.endpoints import Hosts
from artdag_common.commands import (
    AddWebhook,
    EditWebhook,
    PingWebhook,
    RemoveWebhook,
    RepeatNotice,
    SwitchWebhook,
)
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.run import Run
from artdag_common.domain.webhook import Notice, Webhook
from artdag_common.errors import (
    DeliveryNotFoundError,
    InvalidRequestError,
    VersionConflictError,
    WebhookDisabledError,
    WebhookNotFoundError,
    WebhookRefusedError,
)
from artdag_common.eventstore import postgres
from artdag_common.sealing import Sealer
from services.cache import replication, telling, webhook_calls
from services.cache.telling import MOST_GIVEN_UP, Teller
from services.cache.webhook_calls import SECRET, Caller, sealed_for
from services.cache.webhook_queue import MOST_WEBHOOKS, PER_WEBHOOK, WebhookQueue
from services.cache.webhooks import Webhooks
from tests.integration.cache.conftest import Cache
from tests.integration.cache.kills import killed_at
from tests.integration.conftest import new_database
from tests.integration.federation.registry import answer, hang_up
from tests.integration.receiving import KEY, TEXT, Receiver, endless, receiver

SECONDS = 90.0
MOST = 600
SEALING_KEY = "5a" * 32
L1 = "https://l1.example"
FILES = ("cache/telling.py", "cache/webhook_queue.py", "cache/rows.py")
POSITIONS = """WITH new AS (DELETE FROM es_outbox RETURNING tx, n, stream, version)
INSERT INTO es_log (position, stream, version, hash)
SELECT (SELECT coalesce(max(position), 0) FROM es_log) + row_number() OVER (ORDER BY tx, n), stream, version, ''
FROM new"""


@dataclass
class House:
    """A cache service with webhooks, and their receiver."""

    cache: Cache
    there: Receiver
    letters: list[tuple[str, dict[str, Any], str, Mapping[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app = self.cache.app
        self.queue = WebhookQueue(self.cache.pool)
        self.sealer = Sealer(SEALING_KEY)
        self.caller = Caller(Hosts.parse("127.0.0.1", webhook_calls.HOSTS_SETTING), self.sealer)
        self.teller = self.another()
        self.commands = Webhooks(self.app, self.queue, self.caller, self.teller)

    def another(self) -> Teller:
        return Teller(self.app, self.queue, self.caller, self.bury, L1)

    async def bury(self, name: str, data: bytes, reason: str, headers: Mapping[str, str]) -> None:
        self.letters.append((name, json.loads(data), reason, headers))

    async def add(self, owner: str = "ada", events: tuple[str, ...] = (), url: str = "", text: str = TEXT) -> str:
        key = str(uuid4())
        sealed = self.sealer.seal(sealed_for(key), SECRET, text)
        await self.commands.add(AddWebhook(key, owner, url or self.there.url, events, sealed), f"add-{key}")
        return key

    async def switch(self, key: str, enabled: bool) -> None:
        await self.commands.switch(SwitchWebhook(key, "ada", enabled), f"switch-{uuid4()}")

    async def ended(self, owner: str = "ada", how: str = "completed", imported_from: str = "") -> DomainEvent:
        """Let a run end, and return its last event: it has its position, and was not heard of yet."""
        run_id, now = f"r{uuid4().hex}", self.app.clock()
        facts: dict[str, Any] = {"recipe_cid": "bafyr", "recipe_name": "dog", "inputs": (), "output_name": ""}
        run = Run.create(Run.Requested, run_id, now, owner=owner, hold=False, imported_from=imported_from, **facts)
        match how:
            case "completed":
                run.record(Run.Completed, now, output_cid="bafyo", provenance_cid="bafyp", computed=1, cached=0)
            case "failed":
                run.record(Run.Failed, now, step=-1, node="", error="step-timeout", reason="too slow")
            case _:
                run.record(Run.Cancelled, now, reason="enough")
        last = run.pending_events[-1]
        assert isinstance(last, DomainEvent)
        await self.app.append(run, run_id)
        await self.position()
        return last

    async def position(self) -> None:
        """Give events their positions, as the relay does."""
        await self.cache.pool.execute(POSITIONS)

    async def tell(self, *events: DomainEvent) -> None:
        """What the consumer of events does; it may hear them twice."""
        await self.teller.note_ended(events)

    async def rows(self) -> list[Any]:
        return list(await self.cache.pool.fetch("SELECT * FROM webhook_notices ORDER BY notice_id"))

    async def due(self) -> None:
        """Whatever waits is due: as time does it."""
        await self.cache.pool.execute("UPDATE webhook_notices SET due_at = now() - interval '1 hour'")
        await self.cache.pool.execute("UPDATE webhooks SET resume_at = '-infinity'")

    async def late(self) -> None:
        """Whatever waits has waited for a day."""
        await self.cache.pool.execute("UPDATE webhook_notices SET until = now()")
        await self.due()

    async def send_one(self) -> None:
        """Do what a sender does with the next notice, but for what it does when it is stopped in order."""
        telling = await self.queue.claim()
        assert telling
        await self.teller._deliver(telling)

    async def history(self, key: str) -> list[DomainEvent]:
        """Return what is recorded of a notice."""
        return [decode(each) for each in await self.app.store.load(Notice.stream(key))]

    async def kinds(self, key: str) -> list[str]:
        return [type(each).__name__ for each in await self.history(key)]

    async def webhook(self, key: str) -> Webhook:
        found = await self.app.find(Webhook, key)
        assert found
        return found

    async def until(self, check: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(SECONDS):
            while not await check():
                await asyncio.sleep(0.02)

    async def empty(self) -> bool:
        return not await self.rows()


@pytest.fixture(scope="module")
async def pool(backing: System) -> AsyncIterator[asyncpg.Pool]:
    """One database for all that is here: each test makes webhooks and runs of its own."""
    _, url = await new_database(backing.environment["DATABASE_URL"])
    pool = await postgres.connect(url)
    yield pool
    await pool.close()


@pytest.fixture
async def house(cache: Cache) -> AsyncIterator[House]:
    await cache.pool.execute("TRUNCATE webhooks, webhook_notices")
    async with receiver() as there:
        house = House(cache, there)
        yield house
        await house.teller.stop()


# --- what is told, and to whom ----------------------------------------------------------------------------------------


async def test_the_end_of_a_run_is_told_once_and_signed(house: House) -> None:
    await house.teller.start()
    key = await house.add()
    end = await house.ended()
    for _ in range(3):
        await house.tell(end)
    await house.until(house.empty)
    await house.tell(end)
    assert await house.empty()
    (message,) = house.there.came
    run_id = end.originator_id.partition("-")[2]
    assert message.id == Notice.key_of(key, run_id, "run.completed")
    assert (message.said["type"], message.said["data"]["run_id"]) == ("run.completed", run_id)
    assert message.said["data"]["output_url"] == f"{L1}/cache/bafyo/raw"
    requested, delivered = await house.history(message.id)
    assert isinstance(requested, Notice.Requested)
    assert isinstance(delivered, Notice.Delivered)
    assert (delivered.attempts, delivered.status) == (1, 204)


async def test_a_webhook_is_told_of_its_owners_runs_only_and_of_what_it_asked_for(house: House) -> None:
    await house.add(events=("run.failed",))
    await house.add("bob", events=("run.cancelled",))
    ends = [await house.ended(owner, how) for owner in ("ada", "bob") for how in ("completed", "failed", "cancelled")]
    await house.tell(*ends)
    assert len(await house.rows()) == 2
    for _ in range(2):
        await house.send_one()
    told = {message.said["data"]["run_id"]: message.said["type"] for message in house.there.came}
    runs = [end.originator_id.partition("-")[2] for end in ends]
    assert told == {runs[1]: "run.failed", runs[5]: "run.cancelled"}


async def test_nobody_is_told_of_a_run_that_was_over_when_it_came(house: House) -> None:
    await house.add()
    ends = [await house.ended(imported_from="bafym"), await house.ended()]
    await house.tell(*ends)
    await house.send_one()
    assert await house.empty()
    (message,) = house.there.came
    assert message.said["data"]["run_id"] == ends[1].originator_id.partition("-")[2]


async def test_a_webhook_is_told_of_what_ends_while_it_is_on(house: House) -> None:
    """However late the ends are heard of, and in whatever order."""
    ends = [await house.ended()]
    key = await house.add()
    ends.append(await house.ended())
    await house.tell(ends[1])
    await house.switch(key, False)
    await house.position()
    ends.append(await house.ended())
    await house.tell(ends[2])
    await house.switch(key, True)
    ends.append(await house.ended())
    await house.tell(*reversed(ends))
    while await house.queue.next_seconds() is not None or await house.rows():
        await house.send_one()
    told = {message.said["data"]["run_id"] for message in house.there.came}
    assert told == {ends[n].originator_id.partition("-")[2] for n in (1, 3)}


async def test_nobody_has_more_webhooks_than_one_may_however_fast(house: House) -> None:
    made = await asyncio.gather(*(house.add() for _ in range(MOST_WEBHOOKS + 5)), return_exceptions=True)
    refused = [each for each in made if isinstance(each, BaseException)]
    assert len(refused) == 5
    assert all(isinstance(each, InvalidRequestError) and f"{MOST_WEBHOOKS} webhooks" in str(each) for each in refused)
    first = next(each for each in made if isinstance(each, str))
    await house.commands.remove(RemoveWebhook(first, "ada"), f"remove-{uuid4()}")
    await house.add()


async def test_an_id_names_one_webhook(house: House) -> None:
    key = await house.add()
    with pytest.raises(VersionConflictError):
        await house.commands.add(AddWebhook(key, "bob", house.there.url, (), b"x"), f"again-{uuid4()}")


REFUSED = [
    ("http://example.com/", "needs https://; the operator can allow this host without, with ARTDAG_WEBHOOK_HOSTS"),
    ("https://127.0.0.2/", r"inside the server's own network; .* ARTDAG_WEBHOOK_HOSTS"),
    ("https://[::1]/", "inside the server's own network"),
    ("https://user:hunter2@example.com/", "leave out user name"),
    ("https://example.com/?key=hunter2", "leave out user name"),
    ("https://example.com/#x", "leave out user name"),
    ("https://127.1/", "four decimal numbers"),
    ("/dns/example.com/tcp/443", "begin it with https://"),
    ("ftp://example.com/", "begin it with https://"),
    ("https://example.com/ä", "not ASCII"),
    ("https://example.com/a b", "not ASCII"),
]


async def test_an_address_that_may_not_be_named(house: House) -> None:
    key = await house.add()
    for url, rule in REFUSED:
        with pytest.raises(WebhookRefusedError, match=rule) as refused:
            await house.add(url=url)
        assert "hunter2" not in str(refused.value)
        with pytest.raises(WebhookRefusedError, match=rule):
            await house.commands.edit(EditWebhook(key, "ada", url, ()), f"edit-{uuid4()}")


async def test_a_host_that_the_operator_allows_no_more_is_not_called(house: House) -> None:
    await house.add()
    await house.tell(await house.ended())
    house.caller._hosts = Hosts.parse("", webhook_calls.HOSTS_SETTING)
    await house.send_one()
    (row,) = await house.rows()
    assert "needs https://" in row["last_error"]
    assert not house.there.came


# --- receivers that do not take it ------------------------------------------------------------------------------------


async def test_what_is_not_taken_is_sent_again_as_it_was(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "FIRST_WAIT_SECONDS", 60.0)  # longer than any writing here takes
    others = [answer(status) for status in (400, 401, 404, 502)]
    house.there.answers = [hang_up, answer(302, "", {"Location": "http://127.0.0.1:1/"}), *others]
    key = await house.add()
    await house.tell(await house.ended())
    for attempt in range(1, 7):
        await house.send_one()
        (row,) = await house.rows()
        assert (row["attempt"], row["taken"]) == (attempt, False)
        assert row["last_error"]
        waits = await house.queue.next_seconds()
        assert waits is not None
        assert waits <= 60 * 2 ** (attempt - 1), "twice as long each time, less what chance takes off"
        assert await house.queue.claim() is None
        await house.due()
    await house.send_one()
    assert await house.empty()
    assert len(house.there.came) == 7
    assert {(each.id, each.body) for each in house.there.came} == {(house.there.came[0].id, house.there.came[0].body)}
    delivered = (await house.history(house.there.came[0].id))[-1]
    assert isinstance(delivered, Notice.Delivered)
    assert delivered.attempts == 7
    failures = "SELECT failures FROM webhooks WHERE webhook_id = $1"
    assert await house.cache.pool.fetchval(failures, key) == 0


@pytest.mark.parametrize("status", [429, 503])
async def test_a_receiver_says_when_it_wants_to_be_asked_again(house: House, status: int) -> None:
    house.there.answers = [answer(status, "busy", {"Retry-After": "600"})]
    await house.add()
    await house.tell(await house.ended(), await house.ended())
    await house.send_one()
    assert await house.queue.claim() is None, "nor is it told of anything else before"
    seconds = await house.queue.next_seconds()
    assert seconds
    assert 500 < seconds <= 600
    assert [row["last_error"] for row in await house.rows() if row["attempt"]] == [f"it answers {status}: busy"]


async def test_no_answer_is_read_to_an_end_that_it_does_not_have(house: House) -> None:
    house.there.answers = [endless]
    await house.add()
    await house.tell(await house.ended())
    async with asyncio.timeout(SECONDS):
        await house.send_one()
    (row,) = await house.rows()
    assert row["status"] == 500
    assert len(row["last_error"]) < 400


async def test_a_receiver_that_is_slow_to_answer_is_not_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_calls, "ANSWER_SECONDS", 0.2)
    over = asyncio.Event()

    async def never(request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    house.there.answers = [never]
    await house.add()
    await house.tell(await house.ended())
    await house.send_one()
    over.set()
    (row,) = await house.rows()
    assert (row["status"], row["attempt"]) == (0, 1)
    assert "did not answer in time" in row["last_error"]


async def test_one_webhook_does_not_take_all_senders_and_one_that_fails_only_one(house: House) -> None:
    over = asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response(status=204)

    house.there.answers = [wait] * PER_WEBHOOK
    await house.add()
    await house.tell(*[await house.ended() for _ in range(3 * PER_WEBHOOK)])
    claims = [await house.queue.claim() for _ in range(PER_WEBHOOK)]
    assert all(claims)
    assert await house.queue.claim() is None
    for claim in filter(None, claims):
        await house.queue.release(claim)
    await house.teller.start()

    async def all_are_asked() -> bool:
        return house.there.at_once == PER_WEBHOOK

    await house.until(all_are_asked)
    over.set()
    await house.until(house.empty)
    assert house.there.most_at_once == PER_WEBHOOK
    await house.teller.stop()
    await house.tell(await house.ended(), await house.ended())
    await house.cache.pool.execute("UPDATE webhooks SET failures = 1")
    assert await house.queue.claim()
    assert await house.queue.claim() is None


async def test_another_webhook_does_not_wait_for_one_that_fails(house: House) -> None:
    async with receiver() as other:
        await house.add()
        await house.add(url=other.url)
        house.there.answers = [answer(500)] * 100
        await house.tell(await house.ended())
        await house.teller.start()

        async def told() -> bool:
            return bool(other.came)

        await house.until(told)


async def test_a_webhook_that_is_gone_is_told_nothing_more(house: House) -> None:
    key = await house.add()
    house.there.answers = [answer(410, f"we moved; {TEXT}?")]
    await house.tell(await house.ended())
    await house.send_one()
    assert await house.empty()
    assert not (await house.webhook(key)).enabled
    ((name, letter, reason, headers),) = house.letters
    assert (name, letter["webhook_id"], letter["status"]) == (telling.DEAD_LETTER, key, 410)
    assert reason.startswith("it answers 410")
    assert await house.kinds(letter["notice_id"]) == ["Requested", "GaveUp"]
    await house.tell(await house.ended())
    assert await house.empty()
    await house.switch(key, True)
    await house.commands.repeat(RepeatNotice(key, "ada", letter["notice_id"]), f"repeat-{uuid4()}")
    await house.send_one()
    assert await house.kinds(letter["notice_id"]) == ["Requested", "GaveUp", "Repeated", "Delivered"]
    first, second = house.there.came
    assert (first.id, first.body) == (second.id, second.body)
    assert headers["Nats-Msg-Id"].startswith(first.id)


async def test_what_is_not_taken_for_a_day_is_given_up_and_then_the_webhook_is(house: House) -> None:
    key = await house.add()
    house.there.answers = [answer(500, "broken")] * 100
    for number in range(1, MOST_GIVEN_UP + 1):
        await house.tell(await house.ended())
        await house.send_one()
        await house.late()
        await house.send_one()
        assert await house.empty()
        assert len(house.letters) == number
        assert (await house.webhook(key)).enabled == (number < MOST_GIVEN_UP)
    last = decode((await house.app.store.load(Webhook.stream(key)))[-1])
    assert isinstance(last, Webhook.Disabled)
    assert (
        last.reason
        == f"it did not take {MOST_GIVEN_UP} notices in a row, each for a day; the last: it answers 500: broken"
    )
    gave_up = (await house.history(house.there.came[-1].id))[-1]
    assert isinstance(gave_up, Notice.GaveUp)
    assert (gave_up.attempts, gave_up.status, gave_up.reason) == (2, 500, "it answers 500: broken")
    for _, letter, reason, headers in house.letters:
        said = json.dumps([letter, reason, dict(headers)])
        assert TEXT not in said
        assert TEXT.removeprefix("whsec_") not in said


async def test_what_a_webhook_takes_in_between_counts_as_a_beginning(house: House) -> None:
    await house.add()
    for _ in range(2):
        house.there.answers = [answer(500)] * (MOST_GIVEN_UP - 1)
        for _ in range(MOST_GIVEN_UP):
            await house.tell(await house.ended())
            await house.late()
            await house.send_one()
            await house.due()
    assert await house.empty()
    assert len(house.letters) == 2 * (MOST_GIVEN_UP - 1)


async def test_a_dead_letter_that_the_bus_does_not_take_now_is_put_there_later(house: House) -> None:
    await house.add()
    house.there.answers = [answer(410)]
    await house.tell(await house.ended())
    bury = house.teller._bury

    async def away(*_: Any) -> None:
        raise VersionConflictError("the bus is away")

    house.teller._bury = away
    with pytest.raises(VersionConflictError):
        await house.send_one()
    (row,) = await house.rows()
    assert row["over"]
    house.teller._bury = bury
    await house.due()
    await house.send_one()
    assert await house.empty()
    assert len(house.letters) == len(house.there.came) == 1


async def test_a_webhook_that_is_switched_off_gets_what_waited_when_it_is_on_again(house: House) -> None:
    key = await house.add()
    house.there.answers = [answer(500)]
    await house.tell(await house.ended())
    await house.send_one()
    await house.switch(key, False)
    await house.late()
    assert await house.queue.claim() is None
    await house.switch(key, True)
    telling = await house.queue.claim()
    assert telling
    assert not telling.last, "its day begins anew"


# --- commands that come in between ------------------------------------------------------------------------------------


async def test_a_ping_tells_what_came_back(house: House) -> None:
    key = await house.add()
    house.there.answers = [answer(401, "who is that?")]
    ids = [f"ping-{uuid4()}" for _ in range(2)]
    outcome = json.loads((await house.commands.ping(PingWebhook(key, "ada"), ids[0])).values)
    assert (outcome["ok"], outcome["status"], outcome["reason"]) == (False, 401, "it answers 401: who is that?")
    outcome = json.loads((await house.commands.ping(PingWebhook(key, "ada"), ids[1])).values)
    assert (outcome["ok"], outcome["status"], outcome["reason"]) == (True, 204, "")
    assert [(each.id, each.said["type"]) for each in house.there.came] == [(each, "ping") for each in ids]


async def test_a_ping_that_is_taken_has_what_waits_sent(house: House) -> None:
    key = await house.add()
    house.there.answers = [answer(503, "", {"Retry-After": "3000"})]
    await house.tell(await house.ended())
    await house.send_one()
    assert await house.queue.claim() is None
    await house.commands.ping(PingWebhook(key, "ada"), f"ping-{uuid4()}")
    await house.send_one()
    assert await house.empty()


async def test_another_address_gets_what_the_first_did_not_take(house: House) -> None:
    key = await house.add()
    house.there.answers = [hang_up]
    await house.tell(await house.ended())
    await house.send_one()
    async with receiver() as other:
        await house.commands.edit(EditWebhook(key, "ada", other.url, ()), f"edit-{uuid4()}")
        await house.send_one()
        assert [each.id for each in other.came] == [house.there.came[0].id]


async def test_what_was_told_is_told_again_if_its_owner_wants_that(house: House) -> None:
    key = await house.add()
    await house.tell(await house.ended())
    await house.send_one()
    (first,) = house.there.came
    house.there.answers = [answer(500)]
    for number in range(2):  # the second time it waits, since the first was refused
        await house.commands.repeat(RepeatNotice(key, "ada", first.id), f"repeat-{uuid4()}")
        assert await house.queue.next_seconds() is None, number
        await house.send_one()
    assert await house.empty()
    assert len(house.there.came) == 3
    assert {(each.id, each.body) for each in house.there.came} == {(first.id, first.body)}


async def test_only_whose_it_is_changes_a_webhook(house: House) -> None:
    key, other = await house.add(), await house.add("bob")
    await house.tell(await house.ended())
    await house.send_one()
    notice = house.there.came[0].id
    for owner, webhook, wrong in (("bob", key, WebhookNotFoundError), ("bob", other, DeliveryNotFoundError)):
        with pytest.raises(wrong):
            await house.commands.repeat(RepeatNotice(webhook, owner, notice), f"repeat-{uuid4()}")
    with pytest.raises(WebhookNotFoundError):
        await house.commands.remove(RemoveWebhook(key, "bob"), f"remove-{uuid4()}")
    with pytest.raises(WebhookNotFoundError):
        await house.commands.ping(PingWebhook(key, "bob"), f"ping-{uuid4()}")
    await house.switch(key, False)
    with pytest.raises(WebhookDisabledError):
        await house.commands.repeat(RepeatNotice(key, "ada", notice), f"repeat-{uuid4()}")
    assert await house.kinds(notice) == ["Requested", "Delivered"]


async def test_a_webhook_that_is_removed_while_it_is_told(house: House) -> None:
    key = await house.add()

    async def remove(request: web.Request) -> web.StreamResponse:
        await house.commands.remove(RemoveWebhook(key, "ada", "owner"), f"remove-{uuid4()}")
        return web.Response(status=410)

    house.there.answers = [remove]
    ends = [await house.ended(), await house.ended()]
    await house.tell(*ends)
    await house.send_one()
    assert await house.empty()
    assert not house.letters
    for table in ("webhooks", "webhook_notices"):
        assert await house.cache.pool.fetchval(f"SELECT count(*) FROM {table}") == 0
    await house.tell(*ends, await house.ended())
    assert await house.empty()
    assert len(house.there.came) == 1
    with pytest.raises(WebhookNotFoundError):
        await house.commands.switch(SwitchWebhook(key, "ada", True), f"switch-{uuid4()}")


async def test_a_webhook_that_is_removed_while_an_end_is_noted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await house.add()
    end = await house.ended()
    wanted = house.queue.wanted

    async def remove(ends: Any) -> list[tuple[str, str]]:
        found = await wanted(ends)
        await house.commands.remove(RemoveWebhook(key, "ada"), f"remove-{uuid4()}")
        return found

    monkeypatch.setattr(house.queue, "wanted", remove)
    await house.tell(end)
    assert await house.empty()
    notice = Notice.key_of(key, end.originator_id.partition("-")[2], "run.completed")
    assert await house.kinds(notice) == []


async def test_a_secret_that_was_sealed_with_a_lost_key_is_said_to_be(house: House) -> None:
    await house.add()
    await house.tell(await house.ended())
    house.caller._sealer = Sealer("6b" * 32)
    await house.send_one()
    (row,) = await house.rows()
    assert row["last_error"] == "its secret was sealed with a key that this server has no more; set it again"
    assert not house.there.came


async def test_no_event_holds_a_secret(house: House) -> None:
    key = await house.add()
    await house.commands.edit(EditWebhook(key, "ada", house.there.url, (), b"\x01sealed"), f"edit-{uuid4()}")
    data = await house.cache.pool.fetch("SELECT data FROM es_events UNION ALL SELECT outcome FROM es_inbox")
    assert not [each for each in data if b"sealed" in each[0].replace(b"resealed", b"") or KEY in each[0]]
    assert bytes(await house.cache.pool.fetchval("SELECT sealed FROM webhooks")) == b"\x01sealed"


# --- killed -----------------------------------------------------------------------------------------------------------


async def test_noting_that_is_killed(house: House) -> None:
    """The event and its row are stored together, once, however often the end of the run is heard of."""
    key = await house.add()
    for line in range(1, MOST):
        end = await house.ended()
        killed = await killed_at(line, FILES, lambda e=end: house.tell(e))
        notice = Notice.key_of(key, end.originator_id.partition("-")[2], "run.completed")
        assert len(await house.kinds(notice)) == len(await house.rows()), "one without the other"
        await house.tell(end)
        assert await house.kinds(notice) == ["Requested"]
        assert [row["notice_id"] for row in await house.rows()] == [notice]
        await house.cache.pool.execute("DELETE FROM webhook_notices")
        if not killed:
            break
    else:
        raise AssertionError("it is never through")
    assert line > 20, "the lines are not seen"


async def test_a_delivery_that_is_killed(house: House) -> None:
    """Before any line, the receiver's answer among them: told once, or once more under the same id; recorded once."""
    await house.add()
    for line in range(1, MOST):
        end = await house.ended()
        await house.tell(end)
        before = len(house.there.came)
        killed = await killed_at(line, FILES, house.send_one)
        while await house.rows():  # its lease is over, and somebody else comes
            await house.due()
            await house.send_one()
        came = house.there.came[before:]
        assert len({(each.id, each.body) for each in came}) == 1
        assert len(came) in (1, 2)
        assert await house.kinds(came[0].id) == ["Requested", "Delivered"]
        if not killed:
            break
    else:
        raise AssertionError("it is never through")
    assert line > 30, "the lines are not seen"
    assert len(house.there.came) > line, "none died between the receiver's answer and its record"


async def test_giving_up_that_is_killed(house: House) -> None:
    """It is recorded once, and never without a dead letter; the webhook is disabled."""
    key = await house.add()
    for line in range(1, MOST):
        end = await house.ended()
        await house.tell(end)
        house.there.answers, house.letters = [answer(410)] * 3, []
        killed = await killed_at(line, FILES, house.send_one)
        while await house.rows():
            if not (await house.webhook(key)).enabled:  # its owner has it told again, or it would wait for that
                await house.switch(key, True)
            await house.due()
            await house.send_one()
        notice = Notice.key_of(key, end.originator_id.partition("-")[2], "run.completed")
        assert await house.kinds(notice) == ["Requested", "GaveUp"]
        assert {letter["notice_id"] for _, letter, _, _ in house.letters} == {notice}
        assert len({headers["Nats-Msg-Id"] for *_, headers in house.letters}) == 1
        if not (await house.webhook(key)).enabled:
            await house.switch(key, True)
        await house.position()
        if not killed:
            break
    else:
        raise AssertionError("it is never through")
    assert line > 40, "the lines are not seen"
