"""What makes retries safe: the same message leads to the same event ids, at the version that the decision knew."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest

from artdag_common.application import Application, aggregate_class, event_id, new_events, rebuild
from artdag_common.domain.access import Token
from artdag_common.domain.aggregate import AGGREGATES, DomainEvent
from artdag_common.errors import VersionConflictError
from artdag_common.eventstore.port import Append, AppendResult, Call, Recorded

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Kept:
    """An event store that keeps what it is asked to store, and answers as the test says."""

    def __init__(self, *results: AppendResult) -> None:
        self.results = list(results)
        self.appends: list[Append] = []

    async def append(self, append: Append) -> AppendResult:
        self.appends.append(append)
        return self.results.pop(0) if self.results else "appended"

    async def load(self, stream: str, upto: int | None = None) -> list[Recorded]:
        return [
            Recorded(stream, a.expected + i, e.event_id, e.type, e.data, 0, NOW)
            for a in self.appends
            if a.stream == stream
            for i, e in enumerate(a.events, 1)
        ]

    async def latest(self, streams: Sequence[str]) -> dict[str, Recorded]:
        return {}

    async def since(self, streams: Sequence[str], position: int) -> AsyncIterator[Recorded]:
        for recorded in await self.load(streams[0]):
            yield recorded

    async def outcome(self, consumer: str, msg_id: str) -> bytes | None:
        return None

    async def keep_outcome(self, consumer: str, msg_id: str, outcome: bytes) -> None:
        raise AssertionError("an application keeps outcomes with its appends")


def a_token() -> Token:
    return Token.create(Token.Attached, "hash", NOW, user="u")


def test_ids_are_the_same_for_ever() -> None:
    """Written down: should they change, a retry across an upgrade would store its events twice."""
    assert event_id("cause", 0) == UUID("6bec0071-6db2-51dd-b190-317bbab8889e")
    assert event_id("cause", 0) != event_id("cause", 1) != event_id("other", 1)


def test_events_of_one_decision_have_ids_of_their_own() -> None:
    token = a_token()
    token.revoke(NOW)
    events = [e for e in token.collect_events() if isinstance(e, DomainEvent)]
    stored = new_events(events, "cause")
    assert [e.event_id for e in stored] == [event_id("cause", 0), event_id("cause", 1)]
    assert [e.type for e in stored] == ["TokenAttached", "TokenRevoked"]


async def test_a_retry_makes_the_same_append() -> None:
    store = Kept()
    for _ in range(2):
        await Application(store).append(a_token(), "message")
    first, second = store.appends
    assert first == second


async def test_one_message_that_changes_two_aggregates_gives_them_different_ids() -> None:
    store = Kept()
    await Application(store).append(a_token(), "message")
    await Application(store).append(Token.create(Token.Attached, "other", NOW, user="u"), "message")
    one, two = store.appends
    assert one.events[0].event_id != two.events[0].event_id


async def test_the_expected_version_is_the_one_that_was_loaded() -> None:
    store = Kept()
    app = Application(store)
    await app.append(a_token(), "attach")
    token = await app.find(Token, "hash")
    assert token
    token.revoke(NOW)
    await app.append(token, "revoke")
    assert [(a.expected, len(a.events)) for a in store.appends] == [(0, 1), (1, 1)]
    again = await app.find(Token, "hash")
    assert again
    assert (again.version, again.revoked) == (2, True)


async def test_the_inbox_is_asked_for_explicitly() -> None:
    store = Kept()
    also = Call("now")
    await Application(store).append(a_token(), "m", consumer="auth", outcome=b"o", also=also, inbox=True)
    await Application(store).append(a_token(), "m", consumer="auth")
    assert [(a.consumer, a.msg_id, a.outcome, a.also) for a in store.appends] == [
        ("auth", "m", b"o", also),
        ("auth", "", b"", None),
    ]


async def test_save_says_that_somebody_was_faster() -> None:
    with pytest.raises(VersionConflictError):
        await Application(Kept("conflict")).save(a_token(), "m")


async def test_save_of_nothing_stores_nothing() -> None:
    store = Kept()
    token = a_token()
    token.collect_events()
    await Application(store).save(token, "m")
    assert store.appends == []


def test_no_events_are_no_aggregate() -> None:
    assert rebuild([]) is None


@pytest.mark.parametrize("kind", sorted(AGGREGATES))
def test_a_stream_names_its_aggregate(kind: str) -> None:
    cls = AGGREGATES[kind]
    assert aggregate_class(cls.stream("a-b")) is cls
