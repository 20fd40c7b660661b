"""What gives up is kept with its history, goes back and happens once; what should be on the bus and is not is found."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import orjson
import pytest
from nats.js.errors import NotFoundError

from artdag_common.application import Application, decode
from artdag_common.codec import encode_command
from artdag_common.commands import AttachToken, ExecuteStep, ExecuteSteps
from artdag_common.domain.access import Token
from artdag_common.domain.audit import Audit
from artdag_common.errors import LetterNotFoundError
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging import commands as commands_module
from artdag_common.messaging import follower as follower_module
from artdag_common.messaging import relay as relay_module
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import STREAMS, Bus, Outcome
from artdag_common.messaging.commands import CommandConsumer
from artdag_common.messaging.dead_letters import DeadLetters, Letter, shown
from artdag_common.messaging.follower import Follower
from artdag_common.pb.commands_pb2 import LetterQuestion, LetterSettling, StandingQuestion
from services.auth.letters import Letters
from tests.integration.events.appends import eventually, relaying

HASH = "a" * 64


class Owner:
    """The auth service, whose handler has a defect until somebody mends it."""

    def __init__(self, store: PostgresEventStore) -> None:
        self.app = Application(store)
        self.mended = False
        self.tries = 0
        self.handled = 0

    async def attach(self, command: AttachToken, command_id: str) -> Outcome:
        self.tries += 1
        if not self.mended:
            raise RuntimeError(f"defect {self.tries}")
        self.handled += 1
        token = Token.create(Token.Attached, command.token_hash, self.app.clock(), user=command.user)
        outcome = Outcome.of(user=command.user)
        await self.app.append(token, command_id, consumer="auth", outcome=outcome.encode(), inbox=True)
        return outcome


async def letters_of(bus: Bus) -> list[Letter]:
    return await DeadLetters(bus).page("", "", 0, 100)


async def empty(bus: Bus) -> None:
    """Wait until the command stream is empty: everything on it was acknowledged."""

    async def is_empty() -> bool:
        return (await bus.js.stream_info(subjects.COMMANDS)).state.messages == 0

    await eventually(is_empty, "an empty command stream")


async def test_a_poisonous_command_is_given_up_with_its_history_mended_and_handled_once(
    bus: Bus, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands_module, "MAX_DELIVER", 3)
    monkeypatch.setattr(commands_module, "RETRY_DELAY", 0.01)
    owner = Owner(store)
    consumer = CommandConsumer(bus, store, "auth", {AttachToken: owner.attach})
    await consumer.start()
    await bus.send(AttachToken(HASH, "u-ada"), "first", reply_to=bus.nc.new_inbox())
    await empty(bus)
    (letter,) = await letters_of(bus)
    assert (letter.service, letter.name, letter.key) == ("auth", "AttachToken", HASH)
    assert letter.subject == f"cmd.auth.AttachToken.{HASH}"
    assert [each.reason for each in letter.tries] == [f"RuntimeError('defect {n}')" for n in (1, 2, 3)]
    assert letter.tried == 3
    assert letter.reason == letter.tries[-1].reason
    assert letter.since <= letter.tries[0].at <= letter.tries[-1].at <= letter.at
    assert letter.headers == {"Command-Id": "first"}
    assert shown(letter)["json"] == {"token_hash": "(64 characters, not shown)", "user": "u-ada"}

    keeper = Letters(bus, owner.app)
    raw = await keeper.show(LetterQuestion(id=letter.id, raw=True))
    assert raw.accepted
    await bus.send_again(letter.subject, letter.data, "first", f"letter/{letter.id}")  # the defect is still there
    await empty(bus)
    again = (await letters_of(bus))[-1]
    assert again.id > letter.id
    assert again.tried == 3

    owner.mended = True
    for each in (letter, again):
        await bus.send_again(each.subject, each.data, "first", f"letter/{each.id}/mended")
        await empty(bus)
        await keeper.settle(LetterSettling(id=each.id, by="owner"))
    await empty(bus)
    assert owner.handled == 1
    assert await letters_of(bus) == []
    assert [e.type for e in await store.load(f"token-{HASH}")] == ["TokenAttached"]
    with pytest.raises(LetterNotFoundError):
        await keeper.settle(LetterSettling(id=letter.id, by="owner"))
    await consumer.stop()


async def test_who_dies_before_it_acknowledges_makes_one_letter(
    bus: Bus, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands_module, "ACK_WAIT", 1.0)
    acknowledged: list[str] = []
    subject = "cmd.auth.AttachToken.k"
    kept = bus.dead_letter

    async def lost(*arguments: Any) -> None:
        await kept(*arguments)
        acknowledged.append("lost")
        if len(acknowledged) == 1:
            raise TimeoutError("killed")

    monkeypatch.setattr(bus, "dead_letter", lost)
    consumer = CommandConsumer(bus, store, "auth", {})
    await consumer.start()
    await bus.js.publish(subject, b"\xff", headers={"Command-Id": "c"})
    await empty(bus)
    assert len(acknowledged) >= 2  # more, where an acknowledgement takes its time
    assert [letter.subject for letter in await letters_of(bus)] == [subject]
    await consumer.stop()


async def test_what_the_operator_does_is_in_the_audit_trail_whoever_begins_the_hour(
    bus: Bus, store: PostgresEventStore
) -> None:
    keeper = Letters(bus, Application(store))
    for number in range(3):
        await bus.dead_letter(
            "planner", "CancelRun", b"x", f"reason {number}", {"Dead-From": "cmd.planner.CancelRun.r"}
        )
    ids = [letter.id for letter in await letters_of(bus)]
    await keeper.settle(LetterSettling(id=ids[0], by="owner", dropped=True, reason="no longer wanted"))
    await keeper.settle(LetterSettling(id=ids[1], by="owner"))
    rows = [row async for row in _audit(store)]
    assert [type(event) for event in rows] == [Audit.LetterDropped, Audit.LetterRetried]
    assert rows[0].reason == "no longer wanted"
    assert [(event.letter, event.by, event.subject) for event in rows] == [
        (each, "owner", "cmd.planner.CancelRun.r") for each in ids[:2]
    ]
    assert [letter.id for letter in await letters_of(bus)] == ids[2:]


async def _audit(store: PostgresEventStore) -> Any:
    streams = await store._pool.fetch("SELECT DISTINCT stream FROM es_events WHERE stream LIKE 'audit-%' ORDER BY 1")
    for row in streams:
        for recorded in await store.load(row["stream"]):
            yield decode(recorded)


async def test_an_event_that_cannot_be_read_is_listed_once_and_tried_for_ever(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "UNREADABLE_DELAY", 0.02)
    await bus.js.add_stream(next(c for c in STREAMS if c.name == subjects.EVENTS))
    deliveries: list[int] = []
    postpone = follower_module.Unreadable.postpone

    async def counted(self: follower_module.Unreadable, message: Any, error: Exception) -> float:
        deliveries.append(message.metadata.num_delivered)
        return await postpone(self, message, error)

    monkeypatch.setattr(follower_module.Unreadable, "postpone", counted)

    async def handle(_: Any) -> None: ...

    for _ in range(2):  # the second one is the same service, started again
        follower = Follower(bus, "cache", ["evt.run.>"], handle)
        await follower.start()
        if not deliveries:
            await bus.js.publish(
                "evt.run.r1.RunTransmogrified", b"x", headers={"ce-subject": "run-r1", "Es-Version": "1"}
            )
        seen = len(deliveries)

        async def six_more(seen: int = seen) -> bool:
            return len(deliveries) >= seen + 6

        await eventually(six_more, "six more deliveries")
        await follower.stop()
    (letter,) = await letters_of(bus)
    assert (letter.service, letter.name, letter.key) == ("cache", "RunTransmogrified", "r1")
    assert letter.tried >= follower_module.LISTED_AFTER > 1
    assert "RunTransmogrified" in letter.reason
    assert (await bus.js.consumer_info(subjects.EVENTS, "cache")).num_ack_pending == 1


async def test_what_the_queue_does_not_have_is_told_of_and_nothing_else(bus: Bus) -> None:
    missing: list[tuple[str, str]] = []
    bus.on_missing(lambda work_class, work: missing.append((work_class, work.name)))
    one = ExecuteSteps((ExecuteStep("c1", "NOOP", "{}", "s", ()),))
    several = ExecuteSteps(tuple(ExecuteStep(f"c{n}", "NOOP", "{}", "s", ()) for n in (2, 3)))
    for work in (one, several):
        await bus.dispatch("cpu", work)
        await bus.dispatch_again("cpu", work)
    await eventually(lambda: _settled(bus), "the receipts")
    assert missing == []
    await bus.js.purge_stream(subjects.WORK, subject=subjects.work("cpu", "c1"))
    for work in (one, several):
        await bus.dispatch_again("cpu", work)
    await eventually(lambda: _settled(bus), "the receipts")
    assert missing == [("cpu", "c1")]
    await bus.js.delete_stream(subjects.WORK)
    await bus.dispatch_again("cpu", one)  # nobody took it: it is missing still
    await eventually(lambda: _settled(bus), "the receipts")
    assert len(missing) == 1


async def _settled(bus: Bus) -> bool:
    await bus.nc.flush()
    return not bus._repeated


async def test_a_stream_that_is_lost_is_made_again_and_noted(
    database: str, pool: asyncpg.Pool, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "RECHECK", 0.05)
    async with relaying(database, bus):
        for name in (subjects.WORK, subjects.COMMANDS):
            await bus.js.delete_stream(name)

            async def there(name: str = name) -> bool:
                try:
                    await bus.js.stream_info(name)
                except NotFoundError:
                    return False
                return True

            await eventually(there, name)

        async def noted() -> bool:
            return len(await pool.fetch("SELECT FROM planner_repairs WHERE what = 'stream-made-again'")) == 2

        await eventually(noted, "two repairs")
    rows = await pool.fetch("SELECT detail FROM planner_repairs ORDER BY n")
    assert [row["detail"] for row in rows] == [subjects.WORK, subjects.COMMANDS]
    assert await pool.fetchval("SELECT count FROM planner_repaired WHERE what = 'stream-made-again'") == 2


async def test_how_the_streams_stand(bus: Bus, store: PostgresEventStore) -> None:
    await bus.js.add_stream(next(c for c in STREAMS if c.name == subjects.EVENTS))
    for name in ("a", "b"):
        await bus.dispatch("cpu", ExecuteSteps((ExecuteStep(name, "NOOP", "{}", "s", ()),)))
    await bus.dispatch("gpu", ExecuteSteps((ExecuteStep("c", "NOOP", "{}", "s", ()),)))
    await bus.dead_letter("cache", "Webhook", b"", "gave up", {})
    await bus.js.publish("cmd.auth.AttachToken.k", encode_command(AttachToken(HASH, "u")))
    keeper = Letters(bus, Application(store))

    async def stood() -> dict[str, Any]:
        values: dict[str, Any] = orjson.loads((await keeper.standing(StandingQuestion())).values)
        return values if sum(values["depth"].values()) == 3 else {}

    standing = await eventually(stood, "three steps on the queue")
    assert standing["depth"] == {"cpu": 2, "gpu": 1}
    assert standing["letters"] == {"cache": 1}
    assert standing["streams"][subjects.COMMANDS]["messages"] == 1
    assert set(standing["streams"]) == {config.name for config in STREAMS}
    assert standing["consumers"] == []


async def test_a_consumer_that_is_lost_is_made_again_and_told_of(bus: Bus, store: PostgresEventStore) -> None:
    made = asyncio.Queue[str]()
    consumer = CommandConsumer(bus, store, "auth", {})
    consumer.on_made_again(made.put_nowait)
    await consumer.start()

    async def asks() -> bool:
        return bool((await bus.js.consumer_info(subjects.COMMANDS, "auth")).num_waiting)

    await eventually(asks, "a pull")
    await bus.js.delete_consumer(subjects.COMMANDS, "auth")
    async with asyncio.timeout(60):
        assert await made.get() == "CMD/auth"
    assert made.empty()
    await consumer.stop()
