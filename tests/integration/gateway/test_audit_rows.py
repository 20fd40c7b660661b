"""The rows of the audit trail: whose it was is known however events are cut into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from artdag_common.application import Application, decode
from artdag_common.domain.access import Token, User
from artdag_common.domain.aggregate import Aggregate, DomainEvent
from artdag_common.domain.audit import Audit, Refusal
from artdag_common.domain.content import Object, Publication
from artdag_common.domain.effect import Effect
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.run import Run
from artdag_common.domain.storage import Storage
from artdag_common.eventstore.port import Recorded
from artdag_common.messaging.dead_letters import Letter
from services.gateway.projections import audit, projector, runs, storage
from services.gateway.projections.audit import Wanted
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import UNLISTED

NOW = datetime(2026, 11, 22, 4, tzinfo=UTC)
TABLES = ("rm_audit", "rm_users", "rm_runs", "rm_run_steps", "rm_storage", "rm_copies")


def moments() -> Iterator[datetime]:
    now = NOW
    while True:
        yield now
        now += timedelta(seconds=1)


def run(key: str, owner: str, now: datetime) -> Run:
    return Run.create(
        Run.Requested, key, now, recipe_cid="r", recipe_name="r", owner=owner, inputs=(), output_name="", hold=False
    )


def all_that_happens() -> list[Fact]:
    """Something of every kind, to two people and to nobody, in an order in which beginnings and ends lie apart."""
    clock = moments()
    token = Token.create(Token.Attached, "a" * 64, next(clock), user="u-ada", kind="l2")
    ada, eve = User.join("u-ada", next(clock)), User.join("u-eve", next(clock))
    own, pictures = run("r1", "u-ada", next(clock)), run("r2", UNLISTED, next(clock))
    place = Storage.create(
        Storage.Added,
        "s1",
        next(clock),
        owner="u-eve",
        kind="local",
        name="d",
        settings="{}",
        secrets=(),
        capacity_bytes=0,
    )
    content = Object.create(Object.Stored, "bafyc", next(clock), size_bytes=1, media_type="", origin="upload")
    recipe = Recipe.create(
        Recipe.Registered,
        "bafyr",
        next(clock),
        name="r",
        recipe_version="",
        description="",
        owner="u-ada",
        source_cid="y",
    )
    effect = Effect.create(
        Effect.Registered,
        "bafye",
        next(clock),
        name="e",
        effect_version="",
        author="",
        description="",
        kind="frame",
        owner="u-eve",
    )
    told = Refusal("token-revoked", "GET /runs", "u-ada", "ab", 3, 1_795_320_000_000, 1_795_320_001_000)
    trail = Audit.begin("2026-11-22T04", [told, Refusal("foreign-origin", "", "", "cd", 1, 1, 1)], next(clock))
    unknown = Token.create(Token.Refused, "b" * 64, next(clock), by="l2", reason="")
    for each in (own, pictures):
        each.cancel("in my own words", next(clock), "" if each is pictures else "u-ada")
        each.delete(next(clock), "u-ada")
    content.publish("u-ada", Publication("n", ""), ("a1", "a2"), False, next(clock))
    content.unpublish("u-ada", "a3", next(clock), "owner")
    content.disown("u-ada", next(clock), "owner")
    content.evict("gc", "unused", next(clock))
    recipe.delete("u-ada", next(clock))
    effect.disown("u-eve", next(clock))
    place.remove(False, next(clock), "owner")
    token.revoke(next(clock), "u-ada", "")
    trail.note([told], next(clock))
    eve.revoke_tokens(next(clock), "l2", "signed out at L2")
    ada.erase(next(clock), "owner")
    made: list[Aggregate] = [token, ada, eve, own, pictures, place, content, recipe, effect, trail, unknown]
    events = [event for each in made for event in each.collect_events() if isinstance(event, DomainEvent)]
    events.sort(key=lambda event: event.timestamp)
    return [fact(event, position) for position, event in enumerate(events, 1)]


def fact(event: DomainEvent, position: int) -> Fact:
    stream, version = event.originator_id, event.originator_version
    kind, _, key = stream.partition("-")
    return Fact(Recorded(stream, version, UUID(int=position), event.type_name, b"", position, NOW), event, kind, key)


async def apply(pool: asyncpg.Pool, batches: Sequence[Sequence[Fact]]) -> list[list[dict[str, Any]]]:
    """Make the rows anew from batches of events, as the projector does, and return them."""
    await pool.execute(f"TRUNCATE {', '.join(TABLES)}")
    for batch in batches:
        async with pool.acquire() as connection, connection.transaction():
            for projection in (audit, runs, storage):
                if mine := projector.concerning(projection, batch):
                    await projection.apply(connection, mine)
    return [[dict(row) for row in await pool.fetch(f"SELECT * FROM {table} ORDER BY 1")] for table in TABLES[:2]]


@pytest.fixture
async def rows(pool: asyncpg.Pool) -> asyncpg.Pool:
    """A database with read models."""
    await projector.prepare(pool)
    return pool


async def test_equal_events_give_equal_rows_however_they_are_cut(rows):
    facts = all_that_happens()
    together = await apply(rows, [facts])
    assert len(together[0]) > 15
    for size in (1, 2, 3, 7):
        assert await apply(rows, [facts[i : i + size] for i in range(0, len(facts), size)]) == together


async def test_what_was_done_with_a_letter_is_known_from_any_page_of_the_trail(rows, store, monkeypatch):
    """The last of it, since the stream of letters may be lost, and count anew."""
    monkeypatch.setattr(audit, "LETTERS_AT_ONCE", 2)
    app, clock = Application(store), moments()
    for number in (1, 2, 3, 4, 5, 1, 6):
        now = next(clock)
        hour = f"2026-11-22T{number:02}"
        letter = Letter(number, "planner", "CancelRun", f"s{number}", "", now, now, 1, (), {}, b"")
        dropped = "gone" if number % 2 else None
        made = Audit.settle_letter(await app.find(Audit, hour), hour, letter, "owner", dropped, now)
        position = int(await rows.fetchval("SELECT count(*) + 1 FROM es_log"))
        await app.append(made, f"letter/{position}")
        assert await audit.settled_letter(rows, 9) == (None, False), "it is on its way to the log"
        await rows.execute("DELETE FROM es_outbox")
        event = decode((await store.latest([made.id]))[made.id])
        await rows.execute("INSERT INTO es_log VALUES ($1, $2, $3, '')", position, made.id, event.originator_version)
        assert await audit.settled_letter(rows, 9) == (None, False), "it is on its way to the trail"
        async with rows.acquire() as connection:
            await audit.apply(connection, [fact(event, position)])
        await rows.execute("UPDATE rm_position SET position = $1", position)
    for number in range(1, 7):
        found, whole = await audit.settled_letter(rows, number)
        assert (found.letter, found.subject, whole) == (number, f"s{number}", True)
        assert isinstance(found, Audit.LetterDropped if number % 2 else Audit.LetterRetried)
    assert (await audit.settled_letter(rows, 1))[0].originator_version == 2
    assert await audit.settled_letter(rows, 7) == (None, True)


async def test_the_trail_is_first_since_others_forget_whose_it_was():
    assert projector.PROJECTIONS[0] is audit


async def test_every_entry_says_who_did_it_and_whom_it_concerns(rows):
    await apply(rows, [all_that_happens()])
    entries = [
        (row.kind, row.event, row.by_id, row.user_id, row.code, row.count)
        for row in reversed(await audit.find(rows, Wanted(), 100))
    ]
    assert entries == [
        ("sign-in", "TokenAttached", "u-ada", "u-ada", "l2", 1),
        ("sign-in", "UserJoined", "u-ada", "u-ada", "", 1),
        ("sign-in", "UserJoined", "u-eve", "u-eve", "", 1),
        ("refusal", "AuditRefused", "u-ada", "u-ada", "token-revoked", 3),
        ("refusal", "AuditRefused", "", "", "foreign-origin", 1),
        ("revocation", "TokenRefused", "l2", "", "", 1),
        ("cancellation", "RunCancelled", "u-ada", "u-ada", "", 1),
        ("deletion", "RunDeleted", "u-ada", "u-ada", "", 1),
        ("publication", "ObjectPublished", "u-ada", "u-ada", "", 1),
        ("publication", "ObjectUnpublished", "owner", "u-ada", "", 1),
        ("deletion", "ObjectDisowned", "owner", "u-ada", "", 1),
        ("deletion", "ObjectEvicted", "gc", "", "unused", 1),
        ("deletion", "RecipeDeleted", "u-ada", "u-ada", "", 1),
        ("deletion", "EffectDisowned", "u-eve", "u-eve", "", 1),
        ("deletion", "StorageRemoved", "owner", "u-eve", "", 1),
        ("revocation", "TokenRevoked", "u-ada", "u-ada", "", 1),
        ("refusal", "AuditRefused", "u-ada", "u-ada", "token-revoked", 3),
        ("revocation", "UserTokensRevoked", "l2", "u-eve", "signed out at L2", 1),
        ("revocation", "UserTokensRevoked", "owner", "u-ada", "erased", 1),
        ("erasure", "UserErased", "owner", "u-ada", "", 1),
    ]


async def test_who_has_been_here_and_when_last(rows):
    await apply(rows, [all_that_happens()])
    people, total = await audit.users(rows, 10, None)
    assert total == 2
    eve, ada = people
    assert (ada.user_id, ada.sign_ins, ada.signed_in_at) == ("u-ada", 1, NOW)
    assert ada.revoked_at
    assert ada.erased_at
    assert (eve.user_id, eve.sign_ins, eve.erased_at) == ("u-eve", 0, None)
    assert eve.revoked_at
    assert await audit.user(rows, "u-nobody") is None


async def test_what_concerns_one_is_what_they_did_and_what_was_done_to_them(rows):
    await apply(rows, [all_that_happens()])
    mine = await audit.find(rows, Wanted(concerning="u-eve"), 100)
    assert {row.event for row in mine} == {"UserJoined", "EffectDisowned", "StorageRemoved", "UserTokensRevoked"}
    both = await audit.find(rows, Wanted(concerning="u-eve", user="owner"), 100)
    assert [row.event for row in both] == ["StorageRemoved"]
