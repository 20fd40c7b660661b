"""The audit trail: every sign-in, refusal, revocation, publication, deletion and erasure; and who has been here.

It has no names: ids are shown by handle when somebody looks, so that whoever was erased is nobody here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import asyncpg

from artdag_common.codec import decode_event
from artdag_common.domain.access import Token, User
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.audit import Audit
from artdag_common.domain.content import Object
from artdag_common.domain.effect import Effect
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.run import Run
from artdag_common.domain.storage import Storage
from artdag_common.domain.webhook import Webhook
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import UNLISTED, arrays, upsert

KINDS = tuple(cls.TOPIC for cls in (Token, User, Audit, Object, Effect, Recipe, Run, Storage, Webhook))
TABLES = ("rm_audit", "rm_users")

SIGN_IN, REFUSAL, REVOCATION, PUBLICATION = "sign-in", "refusal", "revocation", "publication"
CANCELLATION, DELETION, ERASURE, DEAD_LETTER = "cancellation", "deletion", "erasure", "dead-letter"
ENTRY_KINDS = (SIGN_IN, REFUSAL, REVOCATION, PUBLICATION, CANCELLATION, DELETION, ERASURE, DEAD_LETTER)

PLACES = 1024
"""Places that each event has in the trail: more than one hand-over of refusals needs."""

DDL = """
CREATE TABLE IF NOT EXISTS rm_audit (
    place    bigint PRIMARY KEY,
    at       timestamptz NOT NULL,
    kind     text        NOT NULL,
    event    text        NOT NULL,
    code     text        NOT NULL,
    by_id    text        NOT NULL,
    user_id  text        NOT NULL,
    what     text        NOT NULL,
    address  text        NOT NULL,
    count    bigint      NOT NULL,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS rm_audit_user ON rm_audit (user_id, place DESC);
CREATE INDEX IF NOT EXISTS rm_audit_by ON rm_audit (by_id, place DESC);
CREATE INDEX IF NOT EXISTS rm_audit_kind ON rm_audit (kind, place DESC);
CREATE INDEX IF NOT EXISTS rm_audit_at ON rm_audit (at);
CREATE INDEX IF NOT EXISTS rm_audit_tokens ON rm_audit (what) WHERE event = 'TokenAttached';

CREATE TABLE IF NOT EXISTS rm_users (
    user_id      text PRIMARY KEY,
    position     bigint      NOT NULL,
    joined_at    timestamptz NOT NULL,
    signed_in_at timestamptz,
    sign_ins     bigint      NOT NULL,
    revoked_at   timestamptz,
    erased_at    timestamptz
);
CREATE INDEX IF NOT EXISTS rm_users_newest ON rm_users (position DESC);
"""

ENTRY_COLUMNS = {
    "place": "bigint",
    "at": "timestamptz",
    "kind": "text",
    "event": "text",
    "code": "text",
    "by_id": "text",
    "user_id": "text",
    "what": "text",
    "address": "text",
    "count": "bigint",
    "first_at": "timestamptz",
    "last_at": "timestamptz",
}
USER_COLUMNS = {
    "user_id": "text",
    "position": "bigint",
    "joined_at": "timestamptz",
    "signed_in_at": "timestamptz",
    "sign_ins": "bigint",
    "revoked_at": "timestamptz",
    "erased_at": "timestamptz",
}
WRITE_ENTRIES = upsert("rm_audit", ENTRY_COLUMNS, ("place",))
WRITE_USERS = upsert("rm_users", USER_COLUMNS, ("user_id",))


LETTERS_AT_ONCE = 500
LETTERS = f"""SELECT a.place, e.type, e.stream, e.version, e.data FROM rm_audit a
JOIN es_log l ON l.position = a.place / {PLACES} JOIN es_events e ON (e.stream, e.version) = (l.stream, l.version)
WHERE a.kind = '{DEAD_LETTER}' AND ($1::bigint IS NULL OR a.place < $1) ORDER BY a.place DESC LIMIT $2"""

UNSHOWN = f"""SELECT EXISTS (SELECT FROM es_outbox WHERE stream LIKE '{Audit.TOPIC}-%') OR EXISTS (
    SELECT FROM es_log WHERE stream LIKE '{Audit.TOPIC}-%'
    AND position > (SELECT position FROM rm_position WHERE name = 'gateway'))"""


@dataclass(slots=True)
class EntryRow:
    """A row of ``rm_audit``.

    Attributes:
        place: its place in the trail, the only order there is; an id.
        event: name of the stored event that it is made of.
        code: of a refusal, its name; else why it was done, where somebody said so.
        by_id: who did it: a user id, ``l2``, ``gc``; empty: nobody known.
        user_id: whom it concerns; empty: nobody, or nobody known.
        what: the stream that it is about; of a refusal, the route.
        address: of a refusal, the keyed hash of the address that it came from.
        count, first_at, last_at: of a refusal, how many there were from when to when.
    """

    place: int
    at: datetime
    kind: str
    event: str
    code: str
    by_id: str
    user_id: str
    what: str
    address: str
    count: int
    first_at: datetime
    last_at: datetime


@dataclass(slots=True)
class UserRow:
    """A row of ``rm_users``: somebody who has been here, and when last; ``revoked_at``: all tokens were taken last."""

    user_id: str
    position: int
    joined_at: datetime
    signed_in_at: datetime | None = None
    sign_ins: int = 0
    revoked_at: datetime | None = None
    erased_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Told:
    """What an event tells the trail."""

    kind: str
    by: str
    user: str
    code: str = ""
    what: str = ""


Owners = Mapping[str, str]
"""Stream of a token, run, storage provider or webhook → whose it is."""


def _attached(event: Token.Attached, owners: Owners) -> _Told:
    return _Told(SIGN_IN, event.user, event.user, event.kind)


def _joined(event: User.Joined, owners: Owners) -> _Told:
    user = _key(event)
    return _Told(SIGN_IN, user, user)


def _token_revoked(event: Token.Revoked, owners: Owners) -> _Told:
    return _Told(REVOCATION, event.by, owners.get(event.originator_id, ""), event.reason)


def _token_refused(event: Token.Refused, owners: Owners) -> _Told:
    return _Told(REVOCATION, event.by, "", event.reason)


def _tokens_revoked(event: User.TokensRevoked, owners: Owners) -> _Told:
    return _Told(REVOCATION, event.by, _key(event), event.reason)


def _erased(event: User.Erased, owners: Owners) -> _Told:
    return _Told(ERASURE, event.by, _key(event))


def _published(event: Object.Published, owners: Owners) -> _Told:
    return _Told(PUBLICATION, event.owner, event.owner)


def _unpublished(event: Object.Unpublished, owners: Owners) -> _Told:
    return _Told(PUBLICATION, event.by or event.owner, event.owner)


def _disowned(event: Object.Disowned | Recipe.Disowned | Recipe.Deleted | Effect.Disowned, owners: Owners) -> _Told:
    return _Told(DELETION, event.by or event.owner, event.owner)


def _evicted(event: Object.Evicted, owners: Owners) -> _Told:
    return _Told(DELETION, event.by, event.owner or ("" if event.by == GC else event.by), event.reason)


def _cancelled(event: Run.Cancelled, owners: Owners) -> _Told:
    owner = owners.get(event.originator_id, "")
    return _Told(CANCELLATION, event.by, owner)  # the reason is the user's own words, and stays with the run


def _run_deleted(event: Run.Deleted, owners: Owners) -> _Told:
    return _Told(DELETION, event.by, owners.get(event.originator_id, ""))


def _removed(event: Storage.Removed | Webhook.Removed, owners: Owners) -> _Told:
    owner = owners.get(event.originator_id, "")
    return _Told(DELETION, event.by or owner, owner)


def _letter_settled(event: Audit.LetterRetried | Audit.LetterDropped, owners: Owners) -> _Told:
    reason = event.reason if isinstance(event, Audit.LetterDropped) else ""
    return _Told(DEAD_LETTER, event.by, "", reason, event.subject or f"{event.service}/{event.name}")


GC = "gc"
READERS: dict[type[DomainEvent], Callable[[Any, Owners], _Told]] = {
    Token.Attached: _attached,
    Token.Refused: _token_refused,
    Token.Revoked: _token_revoked,
    User.Joined: _joined,
    User.TokensRevoked: _tokens_revoked,
    User.Erased: _erased,
    Object.Published: _published,
    Object.Unpublished: _unpublished,
    Object.Disowned: _disowned,
    Object.Evicted: _evicted,
    Recipe.Disowned: _disowned,
    Recipe.Deleted: _disowned,
    Effect.Disowned: _disowned,
    Run.Cancelled: _cancelled,
    Run.Deleted: _run_deleted,
    Storage.Removed: _removed,
    Webhook.Removed: _removed,
    Audit.LetterRetried: _letter_settled,
    Audit.LetterDropped: _letter_settled,
}
"""Events that tell of one thing each; refusals tell of many."""

OWNED = (Token.Revoked, Run.Cancelled, Run.Deleted, Storage.Removed, Webhook.Removed)
"""Events that do not say themselves whose it was."""


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in, before the other read models do: they tell whose it was before it was gone."""
    told = [fact for fact in facts if type(fact.event) in READERS or isinstance(fact.event, Audit.Refused)]
    if not told:
        return
    owners = await _owners(connection, facts, [fact.key for fact in told if isinstance(fact.event, OWNED)])
    rows = [row for fact in told for row in entries(fact, owners)]
    await connection.execute(WRITE_ENTRIES, *arrays(rows, ENTRY_COLUMNS))
    await _apply_users(connection, told)


def entries(fact: Fact, owners: Owners) -> Iterator[EntryRow]:
    """Yield what an event tells."""
    event = fact.event
    assert event is not None
    at, place = event.timestamp, fact.position * PLACES
    if isinstance(event, Audit.Refused):
        for number, each in enumerate(event.refusals[:PLACES]):
            yield EntryRow(
                place=place + number,
                at=at,
                kind=REFUSAL,
                event=event.type_name,
                code=each.code,
                by_id=each.user,
                user_id=each.user,
                what=each.route,
                address=each.address,
                count=each.count,
                first_at=_moment(each.first_ms),
                last_at=_moment(each.last_ms),
            )
        return
    told = READERS[type(event)](event, owners)
    if told.user != UNLISTED:
        what = told.what or fact.stream
        yield EntryRow(place, at, told.kind, event.type_name, told.code, told.by, told.user, what, "", 1, at, at)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _key(event: DomainEvent) -> str:
    return event.originator_id.partition("-")[2]


async def _owners(connection: Any, facts: Sequence[Fact], keys: Sequence[str]) -> dict[str, str]:
    """Return whose the tokens, runs, providers and webhooks of these keys are, by stream."""
    if not keys:
        return {}
    rows = await connection.fetch(
        """SELECT 'run-' || run_id AS stream, owner FROM rm_runs WHERE run_id = ANY ($1::text[])
        UNION ALL SELECT 'storage-' || storage_id, owner FROM rm_storage WHERE storage_id = ANY ($1::text[])
        UNION ALL SELECT 'webhook-' || webhook_id, owner FROM rm_webhooks WHERE webhook_id = ANY ($1::text[])""",
        list(set(keys)),
    )
    found = await holders(connection, [Token.stream(key) for key in keys])
    found |= {row["stream"]: row["owner"] for row in rows}
    for fact in facts:  # what began in this very batch
        match fact.event:
            case Token.Attached() as event:
                found[fact.stream] = event.user
            case Run.Requested() | Storage.Added() | Webhook.Added() as event:
                found[fact.stream] = event.owner
    return found


async def _apply_users(connection: Any, facts: Sequence[Fact]) -> None:
    mine = [(fact, user) for fact in facts if (user := _user_of(fact))]
    if not mine:
        return
    known = await connection.fetch(
        "SELECT * FROM rm_users WHERE user_id = ANY ($1::text[])", list({user for _, user in mine})
    )
    rows = {row["user_id"]: UserRow(**row) for row in known}
    for fact, user in mine:
        assert fact.event is not None
        at = fact.event.timestamp
        row = rows.setdefault(user, UserRow(user, fact.position, at))
        match fact.event:
            case Token.Attached():
                rows[user] = replace(row, signed_in_at=at, sign_ins=row.sign_ins + 1)
            case User.TokensRevoked():
                rows[user] = replace(row, revoked_at=at)
            case User.Erased():
                rows[user] = replace(row, erased_at=at)
    await connection.execute(WRITE_USERS, *arrays(rows.values(), USER_COLUMNS))


def _user_of(fact: Fact) -> str:
    """Return whom an event of a token or a user is about; empty: it is another."""
    if isinstance(fact.event, Token.Attached):
        return fact.event.user
    return fact.key if fact.kind == User.TOPIC else ""


# --- questions ------------------------------------------------------------------------------------------------------


async def holders(pool: Any, streams: Sequence[str]) -> dict[str, str]:
    """Return whom tokens belong to, or belonged, of those that were ever attached: by stream."""
    if not streams:
        return {}
    rows = await pool.fetch(
        "SELECT what, user_id FROM rm_audit WHERE event = 'TokenAttached' AND what = ANY ($1::text[])", list(streams)
    )
    return {row["what"]: row["user_id"] for row in rows}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are wanted. Empty or None: all of them.

    Attributes:
        concerning: only what this user did, or what concerns them: all that they may see.
        user: only what this user did, or what concerns them, among these.
        since, until: when it was noted; ``until`` is not in it.
        before, after: places; with ``after`` the oldest come first.
    """

    concerning: str = ""
    user: str = ""
    kind: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    after: int | None = None


async def find(pool: asyncpg.Pool, wanted: Wanted, limit: int) -> list[EntryRow]:
    """Return up to ``limit`` entries, newest first; those after a place oldest first."""
    conditions: list[str] = []
    arguments: list[Any] = [limit]

    def only(condition: str, value: Any) -> None:
        arguments.append(value)
        conditions.append(condition.format(f"${len(arguments)}"))

    for user in filter(None, (wanted.concerning, wanted.user)):
        only("(user_id = {0} OR by_id = {0})", user)
    if wanted.kind:
        only("kind = {}", wanted.kind)
    if wanted.since is not None:
        only("at >= {}", wanted.since)
    if wanted.until is not None:
        only("at < {}", wanted.until)
    if wanted.before is not None:
        only("place < {}", wanted.before)
    if wanted.after is not None:
        only("place > {}", wanted.after)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    order = "ASC" if wanted.after is not None else "DESC"
    rows = await pool.fetch(f"SELECT * FROM rm_audit {where} ORDER BY place {order} LIMIT $1", *arguments)
    return [EntryRow(**row) for row in rows]


async def settled_letter(
    pool: asyncpg.Pool, letter_id: int
) -> tuple[Audit.LetterRetried | Audit.LetterDropped | None, bool]:
    """Return what the operator did last with a dead letter of this id, and whether the trail is whole.

    None: it does not tell of such a letter. False: events that may tell of it are still on their way to the trail.
    """
    whole = not await pool.fetchval(UNSHOWN)  # asked first: what arrives meanwhile is found
    before: int | None = None
    while rows := await pool.fetch(LETTERS, before, LETTERS_AT_ONCE):
        for row in rows:
            event = decode_event(row["type"], row["stream"], row["version"], row["data"])
            if isinstance(event, Audit.LetterRetried | Audit.LetterDropped) and event.letter == letter_id:
                return event, whole
        before = rows[-1]["place"]
    return None, whole


async def users(pool: asyncpg.Pool, limit: int, before: int | None) -> tuple[list[UserRow], int]:
    """Return up to ``limit`` people who were here first before position ``before``, newest first; and how many."""
    rows = await pool.fetch(
        "SELECT * FROM rm_users WHERE $2::bigint IS NULL OR position < $2 ORDER BY position DESC LIMIT $1",
        limit,
        before,
    )
    return [UserRow(**row) for row in rows], int(await pool.fetchval("SELECT count(*) FROM rm_users"))


async def user(pool: asyncpg.Pool, user_id: str) -> UserRow | None:
    """Return what is known of one who has been here."""
    row = await pool.fetchrow("SELECT * FROM rm_users WHERE user_id = $1", user_id)
    return UserRow(**row) if row else None
