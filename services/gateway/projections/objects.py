"""Stored content: what it is, what people say of it, which runs it takes part in, what was found out about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from artdag_common.domain.content import Object
from artdag_common.domain.run import Run
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import UNLISTED, arrays, upsert

KINDS = (Object.TOPIC, Run.TOPIC)
TABLES = (
    "rm_objects",
    "rm_object_owners",
    "rm_object_names",
    "rm_object_descriptions",
    "rm_object_publications",
    "rm_object_uses",
    "rm_object_facts",
)
FACTS = "facts"
"""Name of the recipe whose runs find out what media holds; only those of the owner ``derived`` count here."""

DDL = """
CREATE TABLE IF NOT EXISTS rm_objects (
    cid        text PRIMARY KEY,
    size_bytes bigint      NOT NULL,
    media_type text        NOT NULL,
    origin     text        NOT NULL,
    stored_at  timestamptz NOT NULL,
    position   bigint      NOT NULL,
    version    bigint      NOT NULL,
    evicted    boolean     NOT NULL
);
CREATE INDEX IF NOT EXISTS rm_objects_newest ON rm_objects (position DESC) WHERE NOT evicted;

CREATE TABLE IF NOT EXISTS rm_object_owners (
    cid   text    NOT NULL,
    owner text    NOT NULL,
    held  boolean NOT NULL,
    PRIMARY KEY (cid, owner)
);

CREATE TABLE IF NOT EXISTS rm_object_names (
    cid      text   NOT NULL,
    owner    text   NOT NULL,
    name     text   NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (cid, owner)
);
CREATE INDEX IF NOT EXISTS rm_object_names_name ON rm_object_names (owner, name, position DESC);

CREATE TABLE IF NOT EXISTS rm_object_descriptions (
    cid         text  NOT NULL,
    owner       text  NOT NULL,
    description text  NOT NULL,
    tags        jsonb NOT NULL,
    PRIMARY KEY (cid, owner)
);
CREATE INDEX IF NOT EXISTS rm_object_descriptions_tags ON rm_object_descriptions USING gin (tags);

CREATE TABLE IF NOT EXISTS rm_object_publications (
    cid            text        NOT NULL,
    owner          text        NOT NULL,
    name           text        NOT NULL,
    description    text        NOT NULL,
    run_id         text        NOT NULL,
    recipe_cid     text        NOT NULL,
    provenance_cid text        NOT NULL,
    published_at   timestamptz NOT NULL,
    PRIMARY KEY (cid, owner)
);

CREATE TABLE IF NOT EXISTS rm_object_uses (
    cid    text NOT NULL,
    run_id text NOT NULL,
    role   text NOT NULL,
    PRIMARY KEY (cid, run_id, role)
);

CREATE TABLE IF NOT EXISTS rm_object_facts (
    cid          text PRIMARY KEY,
    run_id       text NOT NULL,
    status       text NOT NULL,
    document_cid text NOT NULL,
    error        text NOT NULL
);
CREATE INDEX IF NOT EXISTS rm_object_facts_run ON rm_object_facts (run_id);
"""

OBJECT_COLUMNS = {
    "cid": "text",
    "size_bytes": "bigint",
    "media_type": "text",
    "origin": "text",
    "stored_at": "timestamptz",
    "position": "bigint",
    "version": "bigint",
    "evicted": "boolean",
}
OWNER_COLUMNS = {"cid": "text", "owner": "text", "held": "boolean"}
NAME_COLUMNS = {"cid": "text", "owner": "text", "name": "text", "position": "bigint"}
DESCRIPTION_COLUMNS = {"cid": "text", "owner": "text", "description": "text", "tags": "jsonb"}
PUBLICATION_COLUMNS = {
    "cid": "text",
    "owner": "text",
    "name": "text",
    "description": "text",
    "run_id": "text",
    "recipe_cid": "text",
    "provenance_cid": "text",
    "published_at": "timestamptz",
}
FACTS_COLUMNS = {"cid": "text", "run_id": "text", "status": "text", "document_cid": "text", "error": "text"}
WRITE_OBJECTS = upsert("rm_objects", OBJECT_COLUMNS, ("cid",))
WRITE_OWNERS = upsert("rm_object_owners", OWNER_COLUMNS, ("cid", "owner"))
WRITE_NAMES = upsert("rm_object_names", NAME_COLUMNS, ("cid", "owner"))
WRITE_DESCRIPTIONS = upsert("rm_object_descriptions", DESCRIPTION_COLUMNS, ("cid", "owner"))
WRITE_PUBLICATIONS = upsert("rm_object_publications", PUBLICATION_COLUMNS, ("cid", "owner"))
WRITE_FACTS = upsert("rm_object_facts", FACTS_COLUMNS, ("cid",))
WRITE_USES = """INSERT INTO rm_object_uses (cid, run_id, role)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING"""


@dataclass(slots=True)
class ObjectRow:
    """A row of ``rm_objects``.

    Attributes:
        position: when it was stored, or stored again after it was given up.
        version: of the last event of its stream.
        evicted: it was given up; it is on no list.
    """

    cid: str
    size_bytes: int
    media_type: str
    origin: str
    stored_at: datetime
    position: int = 0
    version: int = 0
    evicted: bool = False


@dataclass(slots=True)
class OwnerRow:
    """A row of ``rm_object_owners``: who brought the content, and whether it is still kept for them."""

    cid: str
    owner: str
    held: bool


@dataclass(slots=True)
class NameRow:
    """A row of ``rm_object_names``. Among equal names of an owner the one with the highest position is meant.

    An empty name was taken away.
    """

    cid: str
    owner: str
    name: str
    position: int


@dataclass(slots=True)
class DescriptionRow:
    """A row of ``rm_object_descriptions``; ``tags`` is JSON."""

    cid: str
    owner: str
    description: str
    tags: str


@dataclass(slots=True)
class PublicationRow:
    """A row of ``rm_object_publications``."""

    cid: str
    owner: str
    name: str
    description: str
    run_id: str
    recipe_cid: str
    provenance_cid: str
    published_at: datetime


@dataclass(slots=True)
class FactsRow:
    """A row of ``rm_object_facts``: what the newest run that looked into the content came to.

    Attributes:
        status: pending, known or unreadable.
        document_cid: what PROBE wrote; empty unless known.
        error: why it cannot be read; empty unless unreadable.
    """

    cid: str
    run_id: str
    status: str = "pending"
    document_cid: str = ""
    error: str = ""


@dataclass(slots=True)
class _Batch:
    """The rows that a batch of events makes or changes."""

    objects: dict[str, ObjectRow] = field(default_factory=dict)
    owners: dict[tuple[str, str], OwnerRow] = field(default_factory=dict)
    names: dict[tuple[str, str], NameRow] = field(default_factory=dict)
    descriptions: dict[tuple[str, str], DescriptionRow] = field(default_factory=dict)
    publications: dict[tuple[str, str], PublicationRow] = field(default_factory=dict)
    facts: dict[str, FactsRow] = field(default_factory=dict)
    uses: dict[tuple[str, str, str], None] = field(default_factory=dict)

    def take(self, fact: Fact) -> None:
        """Take an event of content in."""
        cid = fact.key
        match fact.event:
            case Object.Stored() as event:
                self.objects[cid] = ObjectRow(
                    cid, event.size_bytes, event.media_type, event.origin, event.timestamp, fact.position
                )
            case Object.Named() as event:
                self.names[cid, event.owner] = NameRow(cid, event.owner, event.name, fact.position)
            case Object.Described() as event:
                tags = orjson.dumps(event.tags).decode()
                self.descriptions[cid, event.owner] = DescriptionRow(cid, event.owner, event.description, tags)
            case Object.Published() as event:
                self.publications[cid, event.owner] = PublicationRow(
                    cid,
                    event.owner,
                    event.name,
                    event.description,
                    event.run_id,
                    event.recipe_cid,
                    event.provenance_cid,
                    event.timestamp,
                )
            case Object.Claimed() as event:
                self.owners[cid, event.owner] = OwnerRow(cid, event.owner, True)
            case Object.Disowned() as event:
                self._forget(cid, event.owner)
            case Object.Evicted():
                for each, owner in [*self.owners, *self.names, *self.descriptions]:
                    if each == cid:
                        self._forget(cid, owner)
                self.objects[cid].evicted = True
            case Object.Restored() as event:
                self.objects[cid] = ObjectRow(
                    cid, event.size_bytes, event.media_type, event.origin, event.timestamp, fact.position
                )
        self.objects[cid].version = fact.recorded.version

    def _forget(self, cid: str, owner: str) -> None:
        """Take back what an owner said of content."""
        if owned := self.owners.get((cid, owner)):
            owned.held = False
        if named := self.names.get((cid, owner)):
            named.name = ""
        if described := self.descriptions.get((cid, owner)):
            described.description, described.tags = "", "[]"

    def take_run(self, fact: Fact) -> None:
        """Take an event of a run in."""
        run_id = fact.key
        match fact.event:
            case Run.Requested() as event:
                cids = [cid for binding in event.inputs for cid in binding.cids]
                self._use(run_id, "input", cids)
                if event.owner == UNLISTED and event.recipe_name == FACTS:
                    self.facts[cids[0]] = FactsRow(cids[0], run_id)
            case Run.StepsPlanned() as event:
                self._use(run_id, "input", [s.output_cid for s in event.steps if s.is_source])
                self._use(run_id, "step", [s.output_cid for s in event.steps if not s.is_source])
            case Run.StepsSatisfied() as event:
                self._use(run_id, "step", [s.output_cid for s in event.steps])
            case Run.InputsAnalyzed() as event:
                self._use(run_id, "analysis", [a.cid for a in event.analyses])
            case Run.Planned() as event:
                self._use(run_id, "plan", [event.plan_cid])
            case Run.Completed() as event:
                self._use(run_id, "output", [event.output_cid])
                self._use(run_id, "provenance", [event.provenance_cid])
                self._settle(run_id, "known", event.output_cid)
            case Run.Failed() as event:
                self._settle(run_id, "unreadable", error=event.reason)
            case Run.Cancelled() as event:
                self._settle(run_id, "unreadable", error=event.reason)

    def _use(self, run_id: str, role: str, cids: Iterable[str]) -> None:
        self.uses.update(((cid, run_id, role), None) for cid in cids if cid)

    def _settle(self, run_id: str, status: str, document_cid: str = "", error: str = "") -> None:
        for row in self.facts.values():
            if row.run_id == run_id:
                row.status, row.document_cid, row.error = status, document_cid, error


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in. Equal events give equal rows, however they are cut into batches."""
    batch = _Batch()
    contents = {fact.key for fact in facts if fact.kind == Object.TOPIC}
    if contents:
        known = await connection.fetch("SELECT * FROM rm_objects WHERE cid = ANY ($1::text[])", list(contents))
        batch.objects = {row["cid"]: ObjectRow(**row) for row in known}
    if forgotten := [fact.key for fact in facts if isinstance(fact.event, Object.Disowned | Object.Evicted)]:
        await _load_said(connection, forgotten, batch)
    if ended := [fact.key for fact in facts if isinstance(fact.event, Run.Completed | Run.Failed | Run.Cancelled)]:
        known = await connection.fetch("SELECT * FROM rm_object_facts WHERE run_id = ANY ($1::text[])", ended)
        batch.facts = {row["cid"]: FactsRow(**row) for row in known}
    for fact in facts:
        if fact.kind == Object.TOPIC:
            batch.take(fact)
        else:
            batch.take_run(fact)
    for statement, rows, columns in (
        (WRITE_OBJECTS, batch.objects.values(), OBJECT_COLUMNS),
        (WRITE_OWNERS, batch.owners.values(), OWNER_COLUMNS),
        (WRITE_NAMES, batch.names.values(), NAME_COLUMNS),
        (WRITE_DESCRIPTIONS, batch.descriptions.values(), DESCRIPTION_COLUMNS),
        (WRITE_PUBLICATIONS, batch.publications.values(), PUBLICATION_COLUMNS),
        (WRITE_FACTS, batch.facts.values(), FACTS_COLUMNS),
    ):
        if rows:
            await connection.execute(statement, *arrays(rows, columns))
    if batch.uses:
        await connection.execute(WRITE_USES, *map(list, zip(*batch.uses, strict=True)))


async def _load_said(connection: Any, cids: Sequence[str], batch: _Batch) -> None:
    for row in await connection.fetch("SELECT * FROM rm_object_owners WHERE cid = ANY ($1::text[])", cids):
        batch.owners[row["cid"], row["owner"]] = OwnerRow(**row)
    for row in await connection.fetch("SELECT * FROM rm_object_names WHERE cid = ANY ($1::text[])", cids):
        batch.names[row["cid"], row["owner"]] = NameRow(**row)
    for row in await connection.fetch("SELECT * FROM rm_object_descriptions WHERE cid = ANY ($1::text[])", cids):
        batch.descriptions[row["cid"], row["owner"]] = DescriptionRow(**row)


# --- questions ------------------------------------------------------------------------------------------------------


async def find(pool: asyncpg.Pool, cid: str) -> ObjectRow | None:
    """Return what the books say of content that was not given up."""
    row = await pool.fetchrow("SELECT * FROM rm_objects WHERE cid = $1 AND NOT evicted", cid)
    return ObjectRow(**row) if row else None


async def names_of(pool: asyncpg.Pool, cid: str) -> list[dict[str, str]]:
    """Return the names of content, by owner."""
    rows = await pool.fetch("SELECT owner, name FROM rm_object_names WHERE cid = $1 AND name <> '' ORDER BY owner", cid)
    return [dict(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which content a list shows; None: all.

    Attributes:
        types: media types, or their first halves.
        name: part of a name that anybody gave, in upper or lower case.
        owner: who brought, named, described or published it, or has a run that takes it or gave it.
        kept: leave out what steps made that nobody asked for: intermediates, and pictures of content.
    """

    types: tuple[str, ...] | None = None
    name: str | None = None
    tag: str | None = None
    origin: str | None = None
    owner: str | None = None
    kept: bool = False


CHOSEN = """NOT o.evicted
AND ($1::text[] IS NULL OR o.media_type = ANY ($1) OR split_part(o.media_type, '/', 1) = ANY ($1))
AND ($2::text IS NULL OR EXISTS (
    SELECT FROM rm_object_names n WHERE n.cid = o.cid AND strpos(lower(n.name), lower($2)) > 0))
AND ($3::text IS NULL OR EXISTS (SELECT FROM rm_object_descriptions d WHERE d.cid = o.cid AND d.tags ? $3))
AND ($4::text IS NULL OR o.origin = $4)
AND ($5::text IS NULL
    OR EXISTS (SELECT FROM rm_object_owners w WHERE w.cid = o.cid AND w.owner = $5 AND w.held)
    OR EXISTS (SELECT FROM rm_object_names n WHERE n.cid = o.cid AND n.owner = $5 AND n.name <> '')
    OR EXISTS (
        SELECT FROM rm_object_descriptions d
        WHERE d.cid = o.cid AND d.owner = $5 AND (d.description <> '' OR d.tags <> '[]'))
    OR EXISTS (SELECT FROM rm_object_publications p WHERE p.cid = o.cid AND p.owner = $5)
    OR EXISTS (
        SELECT FROM rm_object_uses u JOIN rm_runs r USING (run_id)
        WHERE u.cid = o.cid AND r.owner = $5 AND NOT r.deleted))
AND (NOT $6::boolean OR o.origin <> 'step' OR EXISTS (
    SELECT FROM rm_object_uses u JOIN rm_runs r USING (run_id)
    WHERE u.cid = o.cid AND u.role IN ('input', 'output') AND r.owner <> $7 AND NOT r.deleted))"""


async def newest(pool: asyncpg.Pool, limit: int, before: int | None, chosen: Filter) -> tuple[list[ObjectRow], int]:
    """Return up to ``limit`` objects stored before position ``before``, newest first, and how many there are."""
    wanted = (chosen.types, chosen.name, chosen.tag, chosen.origin, chosen.owner, chosen.kept, UNLISTED)
    rows = await pool.fetch(
        f"""SELECT o.* FROM rm_objects o WHERE ($9::bigint IS NULL OR o.position < $9) AND {CHOSEN}
        ORDER BY o.position DESC LIMIT $8""",
        *wanted,
        limit,
        before,
    )
    total = await pool.fetchval(f"SELECT count(*) FROM rm_objects o WHERE {CHOSEN}", *wanted)
    return [ObjectRow(**row) for row in rows], int(total)


@dataclass(frozen=True, slots=True)
class Said:
    """What an owner says of content; a name may be empty."""

    owner: str
    name: str
    description: str
    tags: list[str]


async def said_of(pool: asyncpg.Pool, cids: Sequence[str]) -> dict[str, list[Said]]:
    """Return what people say of content, by CID: whoever named it first comes first."""
    rows = await pool.fetch(
        """SELECT cid, owner, coalesce(n.name, '') AS name, coalesce(d.description, '') AS description,
            coalesce(d.tags, '[]') AS tags
        FROM (SELECT * FROM rm_object_names WHERE cid = ANY ($1::text[])) n
        FULL JOIN (SELECT * FROM rm_object_descriptions WHERE cid = ANY ($1::text[])) d USING (cid, owner)
        ORDER BY n.position NULLS LAST, owner""",
        list(cids),
    )
    found: dict[str, list[Said]] = {}
    for row in rows:
        tags = orjson.loads(row["tags"])
        if row["name"] or row["description"] or tags:
            found.setdefault(row["cid"], []).append(Said(row["owner"], row["name"], row["description"], tags))
    return found


async def publications_of(pool: asyncpg.Pool, cids: Sequence[str]) -> dict[str, list[PublicationRow]]:
    """Return under what content is public, by CID: the earliest first."""
    rows = await pool.fetch(
        "SELECT * FROM rm_object_publications WHERE cid = ANY ($1::text[]) ORDER BY published_at, owner", list(cids)
    )
    found: dict[str, list[PublicationRow]] = {}
    for row in rows:
        found.setdefault(row["cid"], []).append(PublicationRow(**row))
    return found


async def facts_of(pool: asyncpg.Pool, cids: Sequence[str]) -> dict[str, FactsRow]:
    """Return what was found out about content, by CID."""
    rows = await pool.fetch("SELECT * FROM rm_object_facts WHERE cid = ANY ($1::text[])", list(cids))
    return {row["cid"]: FactsRow(**row) for row in rows}


async def runs_of(pool: asyncpg.Pool, cid: str, limit: int = 100) -> list[asyncpg.Record]:
    """Return the runs that take part in content or that it takes part in, newest first, with its roles there."""
    rows: list[asyncpg.Record] = await pool.fetch(
        """SELECT r.run_id, r.owner, r.recipe_name, r.recipe_cid, r.status, r.provenance_cid,
            array_agg(u.role ORDER BY u.role) AS roles
        FROM rm_object_uses u JOIN rm_runs r USING (run_id)
        WHERE u.cid = $1 AND r.owner <> $2 AND NOT r.deleted
        GROUP BY r.run_id ORDER BY r.position DESC LIMIT $3""",
        cid,
        UNLISTED,
        limit,
    )
    return rows


async def recipes_of(pool: asyncpg.Pool, cid: str, limit: int = 100) -> list[asyncpg.Record]:
    """Return the recipes that content is, or is the source of, or is read by in a run; newest first."""
    rows: list[asyncpg.Record] = await pool.fetch(
        """SELECT cid, name FROM rm_recipes c WHERE owner <> $2 AND NOT deleted AND (
            cid = $1 OR source_cid = $1 OR cid IN (
                SELECT r.recipe_cid FROM rm_object_uses u JOIN rm_runs r USING (run_id)
                WHERE u.cid = $1 AND u.role = 'input' AND NOT r.deleted))
        ORDER BY position DESC LIMIT $3""",
        cid,
        UNLISTED,
        limit,
    )
    return rows


async def origin_of(pool: asyncpg.Pool, cid: str, owner: str) -> asyncpg.Record | None:
    """Return the newest run that gave content as its output, one of the owner's before others'."""
    return await pool.fetchrow(
        """SELECT run_id, recipe_cid, provenance_cid FROM rm_object_uses u JOIN rm_runs r USING (run_id)
        WHERE u.cid = $1 AND u.role = 'output' AND r.owner <> $3 AND NOT r.deleted
        ORDER BY r.owner = $2 DESC, r.position DESC LIMIT 1""",
        cid,
        owner,
        UNLISTED,
    )


async def has_name(pool: asyncpg.Pool, cid: str, owner: str, name: str) -> bool:
    """Return whether the owner calls this content so."""
    return bool(
        await pool.fetchval(
            "SELECT 1 FROM rm_object_names WHERE cid = $1 AND owner = $2 AND name = $3", cid, owner, name
        )
    )


async def find_named(pool: asyncpg.Pool, owner: str, name: str) -> str | None:
    """Return the CID that an owner last gave this name to."""
    cid: str | None = await pool.fetchval(
        "SELECT cid FROM rm_object_names WHERE owner = $1 AND name = $2 ORDER BY position DESC LIMIT 1", owner, name
    )
    return cid


async def names(pool: asyncpg.Pool, owner: str) -> list[str]:
    """Return the names an owner gave."""
    rows = await pool.fetch(
        "SELECT DISTINCT name FROM rm_object_names WHERE owner = $1 AND name <> '' ORDER BY name LIMIT 1000", owner
    )
    return [row["name"] for row in rows]


async def by_name(pool: asyncpg.Pool, owner: str, limit: int = 10_000) -> dict[str, str]:
    """Return what an owner's names stand for: name → CID."""
    rows = await pool.fetch(
        """SELECT DISTINCT ON (name) name, cid FROM rm_object_names WHERE owner = $1 AND name <> ''
        ORDER BY name, position DESC LIMIT $2""",
        owner,
        limit,
    )
    return {row["name"]: row["cid"] for row in rows}


async def named(pool: asyncpg.Pool, limit: int, before: int | None) -> tuple[list[asyncpg.Record], int]:
    """Return up to ``limit`` named objects, named last first, before position ``before``; and how many there are."""
    rows = await pool.fetch(
        """SELECT n.name, n.owner, n.position, n.cid, o.size_bytes, o.media_type, o.origin, o.stored_at
        FROM rm_object_names n JOIN rm_objects o USING (cid)
        WHERE n.name <> '' AND ($2::bigint IS NULL OR n.position < $2) ORDER BY n.position DESC LIMIT $1""",
        limit,
        before,
    )
    return rows, int(await pool.fetchval("SELECT count(*) FROM rm_object_names WHERE name <> ''"))
