"""Commands from the stream to their handler: answered, never handled twice, never delivered for ever."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nats.aio.msg import Msg

from artdag_common.application import Application
from artdag_common.codec import encode_command
from artdag_common.commands import AttachToken, CancelRun, Command
from artdag_common.domain.access import Token
from artdag_common.errors import RunNotFoundError, StorageFullError, VersionConflictError
from artdag_common.eventstore.port import EventStore
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging import commands as commands_module
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus, Outcome
from artdag_common.messaging.commands import CommandConsumer, CommandHandler
from tests.integration.events.appends import PATIENCE, eventually

PLANNER = "planner"


class Planner:
    """A service whose handler does what the test says."""

    def __init__(self, *results: Outcome | Exception) -> None:
        self.results = list(results)
        self.calls: defaultdict[str, int] = defaultdict(int)

    async def handle(self, command: CancelRun, command_id: str) -> Outcome:
        self.calls[command_id] += 1
        result = self.results[min(self.calls[command_id], len(self.results)) - 1]
        if isinstance(result, Exception):
            raise result
        return result


@asynccontextmanager
async def consuming(
    bus: Bus, store: EventStore, handlers: dict[type[Command], CommandHandler], service: str = PLANNER
) -> AsyncIterator[None]:
    consumer = CommandConsumer(bus, store, service, handlers)
    await consumer.start()
    try:
        yield
    finally:
        await consumer.stop()


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_module, "MAX_DELIVER", 3)
    monkeypatch.setattr(commands_module, "RETRY_DELAY", 0.01)


async def settled(bus: Bus) -> None:
    """Wait until the command stream is empty: everything on it was acknowledged."""

    async def empty() -> bool:
        return (await bus.js.stream_info(subjects.COMMANDS)).state.messages == 0

    await eventually(empty, "an empty command stream")


async def dead_letters(bus: Bus) -> list[tuple[str, str, bytes]]:
    """Return ``(subject, reason, data)`` of each."""
    state = (await bus.js.stream_info(subjects.DEAD_LETTERS)).state
    letters = [
        await bus.js.get_msg(subjects.DEAD_LETTERS, n) for n in range(max(1, state.first_seq), state.last_seq + 1)
    ]
    return [(str(m.subject), (m.headers or {})["Reason"], m.data or b"") for m in letters]


async def test_an_accepted_command(bus: Bus, store: PostgresEventStore) -> None:
    planner = Planner(Outcome.of(run_id="r"))
    async with consuming(bus, store, {CancelRun: planner.handle}):
        assert await bus.request(CancelRun("r"), "c1") == Outcome.of(run_id="r")
        await settled(bus)
    assert planner.calls == {"c1": 1}


async def test_a_refusal_is_a_reply_and_never_comes_again(bus: Bus, store: PostgresEventStore) -> None:
    planner = Planner(RunNotFoundError("no run r", run="r"))
    async with consuming(bus, store, {CancelRun: planner.handle}):
        outcome = await bus.request(CancelRun("r"), "c1")
        assert outcome == Outcome(False, "run-not-found", "no run r", b'{"run":"r"}')
        await settled(bus)
    assert planner.calls == {"c1": 1}
    assert await dead_letters(bus) == []


async def test_what_was_refused_stays_refused(bus: Bus, store: PostgresEventStore) -> None:
    """The asker was told so: delivered again, the command must not succeed behind its back."""
    planner = Planner(RunNotFoundError("no run r", run="r"), Outcome.of(run_id="r"))
    async with consuming(bus, store, {CancelRun: planner.handle}):
        first = await bus.request(CancelRun("r"), "c1")
        assert first == await bus.request(CancelRun("r"), "c1")
        await settled(bus)
    assert planner.calls == {"c1": 1}


@pytest.mark.parametrize("error", [StorageFullError("disk full"), KeyError("a bug"), VersionConflictError("changed")])
async def test_what_may_succeed_later_is_tried_later(bus: Bus, store: PostgresEventStore, error: Exception) -> None:
    planner = Planner(error, error, Outcome.of(run_id="r"))
    async with consuming(bus, store, {CancelRun: planner.handle}):
        assert await bus.request(CancelRun("r"), "c1") == Outcome.of(run_id="r")
        await settled(bus)
    assert planner.calls == {"c1": 3}
    assert await dead_letters(bus) == []


async def test_what_fails_time_and_again_goes_to_the_dead_letters(bus: Bus, store: PostgresEventStore) -> None:
    planner = Planner(StorageFullError("disk full"))
    async with consuming(bus, store, {CancelRun: planner.handle}):
        await bus.send(CancelRun("r", "why"), "c1")
        await settled(bus)
        ((subject, reason, data),) = await dead_letters(bus)
    assert planner.calls == {"c1": 3}
    assert (subject, reason) == ("dlq.planner.CancelRun", "disk full")
    assert data == encode_command(CancelRun("r", "why")), "it can be sent again as it is"


@pytest.mark.parametrize(
    ("name", "data", "headers"),
    [
        ("CancelRun", b"\xff\xff\xff", {"Command-Id": "c1"}),
        ("BurnEverything", b"", {"Command-Id": "c1"}),
        ("AttachToken", encode_command(AttachToken("h", "u")), {"Command-Id": "c1"}),
        ("CancelRun", encode_command(CancelRun("r")), {}),
    ],
    ids=["not its bytes", "no such command", "nobody handles it here", "without an id"],
)
async def test_what_cannot_be_read_goes_to_the_dead_letters_at_once(
    bus: Bus, store: PostgresEventStore, name: str, data: bytes, headers: dict[str, str]
) -> None:
    planner = Planner(Outcome.of())
    async with consuming(bus, store, {CancelRun: planner.handle}):
        await bus.js.publish(subjects.command(PLANNER, name, "r"), data, headers=headers)
        await settled(bus)
        assert [(subject, found) for subject, _, found in await dead_letters(bus)] == [(f"dlq.planner.{name}", data)]
    assert planner.calls == {}


class Tokens:
    """A real handler: load, decide, append with the inbox row."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.calls = 0

    async def attach(self, command: AttachToken, command_id: str) -> Outcome:
        self.calls += 1
        token = Token.create(Token.Attached, command.token_hash, self.app.clock(), user=command.user)
        outcome = Outcome.of(user=command.user)
        result = await self.app.append(token, command_id, consumer="auth", outcome=outcome.encode(), inbox=True)
        if result == "conflict":
            raise RunNotFoundError("attached by another command")
        return outcome


async def test_a_command_repeated_after_its_commit_is_answered_from_the_inbox(
    bus: Bus, store: PostgresEventStore
) -> None:
    """The asker lost the answer and asks again, at another address: same outcome, nothing stored twice."""
    tokens = Tokens(Application(store))
    async with consuming(bus, store, {AttachToken: tokens.attach}, "auth"):
        first = await bus.request(AttachToken("h", "u"), "c1")
        assert first == Outcome.of(user="u")
        assert await bus.request(AttachToken("h", "u"), "c1") == first
        await settled(bus)
    assert tokens.calls == 1
    assert len(await store.load("token-h")) == 1


async def test_a_handler_that_dies_between_commit_and_acknowledgement(
    bus: Bus, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its command comes again after the wait, finds the inbox row, is answered and acknowledged."""
    monkeypatch.setattr(commands_module, "ACK_WAIT", 2.0)
    tokens = Tokens(Application(store))
    died = asyncio.Event()
    acknowledge = Msg.ack

    async def die_once(message: Msg) -> None:
        if not died.is_set():
            died.set()
            return
        await acknowledge(message)

    monkeypatch.setattr(Msg, "ack", die_once)
    async with consuming(bus, store, {AttachToken: tokens.attach}, "auth"):
        await bus.send(AttachToken("h", "u"), "c1")
        await settled(bus)
    assert died.is_set()
    assert tokens.calls == 1
    assert len(await store.load("token-h")) == 1


async def test_two_replicas_share_the_commands(bus: Bus, store: PostgresEventStore) -> None:
    tokens = [Tokens(Application(store)), Tokens(Application(store))]
    async with (
        consuming(bus, store, {AttachToken: tokens[0].attach}, "auth"),
        consuming(bus, store, {AttachToken: tokens[1].attach}, "auth"),
    ):
        asking = (bus.request(AttachToken(f"h{i}", "u"), f"c{i}", timeout=PATIENCE) for i in range(300))
        outcomes = await asyncio.gather(*asking)
        await settled(bus)
    assert outcomes == [Outcome.of(user="u")] * 300
    assert sum(t.calls for t in tokens) == 300
    assert min(t.calls for t in tokens) > 0
