"""The bus: dispatch that can be repeated, commands that are stored before anyone waits, streams that come back."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg
from nats.js.errors import APIError, NoStreamResponseError
from structlog.testing import capture_logs

from artdag_common.application import new_events
from artdag_common.commands import CancelRun, ExecuteStep, ExecuteSteps
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.step import Step
from artdag_common.errors import ConfigurationError, RunNotFoundError, ServiceUnavailableError
from artdag_common.eventstore.port import Append
from artdag_common.messaging import bus as bus_module
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import STREAMS, Bus, Outcome
from artdag_common.pb.events_pb2 import EventBatch
from tests.integration.events.appends import PATIENCE, an_append, eventually
from tests.integration.events.servers import Server


def a_step(cache_id: str = "abc") -> ExecuteSteps:
    return ExecuteSteps((ExecuteStep(cache_id, "NOOP", "{}", "a.b.noop", ()),))


async def in_stream(bus: Bus, stream: str) -> int:
    return (await bus.js.stream_info(stream)).state.messages


async def holds(bus: Bus, stream: str, count: int) -> None:
    async def enough() -> bool:
        try:
            return await in_stream(bus, stream) >= count
        except nats.errors.Error:
            return False

    await eventually(enough, f"{count} messages in {stream}")


async def test_a_step_dispatched_twice_is_one_message(bus: Bus) -> None:
    for _ in range(3):
        await bus.dispatch("inline", a_step())
    await bus.dispatch("inline", a_step("other"))
    await holds(bus, subjects.WORK, 2)  # the last one is there, so those before it were dealt with
    assert await in_stream(bus, subjects.WORK) == 2


async def test_repeating_for_ever_uses_nothing_up(bus: Bus) -> None:
    """The reconciler repeats what is outstanding every few seconds, for as long as a render takes."""
    async with asyncio.timeout(PATIENCE):
        for _ in range(12_000):
            await bus.dispatch("inline", a_step())
        await bus.dispatch("inline", a_step("other"))
        await holds(bus, subjects.WORK, 2)
    assert await in_stream(bus, subjects.WORK) == 2


async def test_what_can_be_said_again_raises_nothing_while_the_bus_is_down(own_nats: Server, bus: Bus) -> None:
    restarts = own_nats.child.restarts
    own_nats.kill()
    async with asyncio.timeout(PATIENCE):
        while bus.nc.is_connected:
            await asyncio.sleep(0.01)
        await bus.dispatch("inline", a_step())
        await bus.tick("abc", 1, 2)
        await bus.hint_again([])
        await bus.committed([an_append("run-a", 0, "c")])
    await own_nats.back(restarts + 1)
    await holds(bus, subjects.WORK, 0)
    await bus.dispatch("inline", a_step())
    await holds(bus, subjects.WORK, 1)


async def test_a_step_that_was_taken_can_be_dispatched_again(bus: Bus) -> None:
    await bus.dispatch("inline", a_step())
    await holds(bus, subjects.WORK, 1)
    subscription = await bus.js.pull_subscribe("work.inline.*", "taker", stream=subjects.WORK)
    (message,) = await subscription.fetch(1, timeout=PATIENCE)
    await message.ack_sync()
    assert await in_stream(bus, subjects.WORK) == 0
    await bus.dispatch("inline", a_step())
    await holds(bus, subjects.WORK, 1)


async def test_the_work_stream_is_made_again_after_its_loss(own_nats: Server, bus: Bus) -> None:
    """It lives in memory: a restart of the server takes it along, and the reconnection brings it back, empty."""
    await bus.dispatch("inline", a_step())
    await holds(bus, subjects.WORK, 1)
    restarts = own_nats.child.restarts
    own_nats.kill()
    await own_nats.back(restarts + 1)
    await holds(bus, subjects.WORK, 0)
    assert await in_stream(bus, subjects.WORK) == 0
    await bus.dispatch("inline", a_step())
    await holds(bus, subjects.WORK, 1)


async def test_what_follows_a_reconnection_does_not_hang_on_its_neighbour(own_nats: Server, bus: Bus) -> None:
    reached = asyncio.Event()

    async def broken() -> None:
        raise nats.errors.TimeoutError

    async def stuck() -> None:
        await asyncio.Event().wait()

    async def fine() -> None:
        reached.set()

    for callback in (broken, stuck, fine):
        bus.on_reconnect(callback)
    restarts = own_nats.child.restarts
    own_nats.kill()
    await own_nats.back(restarts + 1)
    async with asyncio.timeout(PATIENCE):
        await reached.wait()
    await bus.nc.flush()
    assert bus.nc.is_connected


@pytest.mark.parametrize("config", STREAMS, ids=lambda c: str(c.name))
async def test_streams_are_what_is_declared(bus: Bus, config: object) -> None:
    """Stream settings are rules: the work queue's one message a subject, EVENTS that nobody deletes from."""
    expected = next(c for c in STREAMS if c is config)
    if expected.name == subjects.EVENTS:
        await bus.js.add_stream(expected)
    assert expected.name
    actual = (await bus.js.stream_info(expected.name)).config
    for field, value in expected.as_dict().items():
        if value:
            assert actual.as_dict()[field] == value, field


async def test_events_cannot_be_deleted_or_purged(bus: Bus) -> None:
    await bus.js.add_stream(next(c for c in STREAMS if c.name == subjects.EVENTS))
    await bus.js.publish("evt.run.a.RunReleased", b"")
    with pytest.raises(nats.js.errors.APIError):
        await bus.js.delete_msg(subjects.EVENTS, 1)
    with pytest.raises(nats.js.errors.APIError):
        await bus.js.purge_stream(subjects.EVENTS)


async def answering(bus: Bus, outcome: Outcome) -> None:
    """Answer every command to the planner as its consumer would."""

    async def answer(message: Msg) -> None:
        await bus.answer((message.headers or {}).get("Reply-To", ""), outcome)

    await bus.nc.subscribe("cmd.planner.>", cb=answer)


@pytest.mark.parametrize(
    "outcome",
    [Outcome.of(run_id="r"), Outcome.refused(RunNotFoundError("no run r", run="r"))],
    ids=["accepted", "refused"],
)
async def test_a_request_returns_the_outcome(bus: Bus, outcome: Outcome) -> None:
    await answering(bus, outcome)
    assert await bus.request(CancelRun("r"), "c1") == outcome
    assert await in_stream(bus, subjects.COMMANDS) == 1


async def test_a_request_that_nobody_answers_is_stored_all_the_same(bus: Bus) -> None:
    assert await bus.request(CancelRun("r"), "c1", timeout=0.05) is None
    message = await bus.js.get_msg(subjects.COMMANDS, 1)
    assert message.subject == "cmd.planner.CancelRun.r"
    assert (message.headers or {})["Command-Id"] == "c1"


async def test_a_command_sent_twice_is_stored_once(bus: Bus) -> None:
    command_id = uuid.uuid4().hex
    for _ in range(2):
        await bus.send(CancelRun("r"), command_id)
    assert await in_stream(bus, subjects.COMMANDS) == 1


async def test_a_request_while_the_bus_is_down(own_nats: Server, bus: Bus) -> None:
    """Refused at once with nothing accepted, and nothing sent later behind the caller's back."""
    restarts = own_nats.child.restarts
    own_nats.kill()
    async with asyncio.timeout(PATIENCE):
        while bus.nc.is_connected:
            await asyncio.sleep(0.01)
        with pytest.raises(ServiceUnavailableError):
            await bus.request(CancelRun("r"), "c1")
    await own_nats.back(restarts + 1)
    await holds(bus, subjects.COMMANDS, 0)
    await bus.nc.flush()
    assert await in_stream(bus, subjects.COMMANDS) == 0
    await answering(bus, Outcome.of(run_id="r"))
    assert await bus.request(CancelRun("r"), "c1") == Outcome.of(run_id="r")


async def test_a_server_that_is_in_no_cluster_keeps_no_replicas(own_nats: Server, bus: Bus) -> None:
    for missing in (False, True):
        if missing:
            await bus.js.delete_stream(subjects.COMMANDS)
        with pytest.raises(ConfigurationError, match="ARTDAG_NATS_REPLICAS is 3"):
            await Bus.connect(own_nats.url, "relay", replicas=3)


async def test_a_stream_that_cannot_be_kept_on_more_servers_does_not_hold_up_the_others(bus: Bus) -> None:
    """Each waits for itself before it is tried again. Here it is the server, which is in no cluster."""
    wanting = Bus(bus.nc, replicas=3)
    with capture_logs() as logs:
        for _ in range(2):
            for name in (subjects.COMMANDS, subjects.WORK):
                info = await wanting.replicate(await bus.js.stream_info(name))
                assert info.config.num_replicas == 1
    assert [entry["stream"] for entry in logs] == [subjects.COMMANDS, subjects.WORK]


async def test_who_only_lost_its_connection_leaves_streams_as_a_newer_version_made_them(bus: Bus) -> None:
    config = (await bus.js.stream_info(subjects.COMMANDS)).config
    config.max_msgs = 77
    await bus.js.update_stream(config)
    await bus.js.delete_stream(subjects.WORK)
    await bus._reconnected()
    assert (await bus.js.stream_info(subjects.COMMANDS)).config.max_msgs == 77
    assert (await bus.js.stream_info(subjects.WORK)).config.max_msgs == 100_000, "it was missing"
    await bus.ensure_streams()
    assert (await bus.js.stream_info(subjects.COMMANDS)).config.max_msgs == 100_000


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (NoStreamResponseError(), True),
        (TimeoutError(), True),
        (nats.errors.OutboundBufferLimitError(), True),
        ({"code": 503, "err_code": 10_008, "description": "JetStream system temporarily unavailable"}, True),
        ({"code": 500, "err_code": 10_009, "description": "JetStream cluster can not handle request"}, True),
        ({"code": 409, "err_code": 10_158, "description": "duplicate message id is in process"}, True),
        ({"code": 503, "description": "raft: not leader"}, True),
        ({"code": 503, "err_code": 10_023, "description": "insufficient resources"}, False),
        ({"code": 503, "err_code": 10_077, "description": "maximum messages exceeded"}, False),
        ({"code": 400, "err_code": 10_060, "description": "expected stream does not match"}, False),
        (nats.errors.MaxPayloadError(), False),
    ],
)
def test_what_ends_with_an_election_is_sent_again_and_nothing_else(
    error: Exception | dict[str, Any], passes: bool
) -> None:
    """As a server of a cluster answers a publication, whose error has no number where Raft refuses it."""
    if isinstance(error, dict):
        with pytest.raises(APIError) as raised:
            APIError.from_error(error)
        error = raised.value
    assert bus_module._passes(error) is passes


async def test_a_full_command_stream_refuses(bus: Bus) -> None:
    config = (await bus.js.stream_info(subjects.COMMANDS)).config
    config.max_msgs = 2
    await bus.js.update_stream(config)
    await bus.send(CancelRun("1"), "c1")
    await bus.send(CancelRun("2"), "c2")
    with pytest.raises(ServiceUnavailableError) as raised:
        await bus.send(CancelRun("3"), "c3")
    assert raised.value.values == {"retry_after": 2}
    assert await in_stream(bus, subjects.COMMANDS) == 2


async def test_nats_that_cannot_be_reached_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "CONNECT_SECONDS", 0.3)
    with pytest.raises(ServiceUnavailableError) as raised:
        await Bus.connect("nats://user:secret@127.0.0.1:1", "test")
    assert "127.0.0.1:1" in raised.value.message
    assert "secret" not in raised.value.message


async def test_a_commit_wakes_the_relay_and_hints_at_the_ends_of_steps(bus: Bus) -> None:
    heard: list[tuple[str, bytes]] = []
    woken = asyncio.Event()

    async def hear(message: Msg) -> None:
        heard.append((message.subject, message.data))
        if message.subject == subjects.WAKE_RELAY:
            woken.set()

    for subject in (subjects.WAKE_RELAY, subjects.STEP_HINTS):
        await bus.nc.subscribe(subject, cb=hear)
    await bus.nc.flush()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    step = Step.begin("abc", "x", "NOOP", "l", now)
    step.complete("bafy", 1, "text/plain", 2, now)
    events = new_events([e for e in step.collect_events() if isinstance(e, DomainEvent)], "c")
    await bus.committed([Append(step.id, 0, events, "c"), an_append("run-a", 0, "c")])
    async with asyncio.timeout(PATIENCE):
        await woken.wait()
    hints = [EventBatch.FromString(data) for subject, data in heard if subject == subjects.STEP_HINTS]
    assert [[(e.stream, e.version, e.type, e.data) for e in h.events] for h in hints] == [
        [("step-abc", 2, "StepCompleted", events[1].data)]
    ]
