"""Stored content: what it is, what people say of it, what uses it, what was found out about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from artdag_common.domain.content import Object
from artdag_common.domain.effect import Effect
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.run import Run
from services.gateway import visibility
from services.gateway.projections import viewers
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import UNLISTED, arrays, insert, upsert
from services.gateway.projections.viewers import Viewers, pairs

KINDS = (Object.TOPIC, Run.TOPIC, Recipe.TOPIC, Effect.TOPIC)
TABLES = (
    "rm_objects",
    "rm_object_owners",
    "rm_object_names",
    "rm_object_descriptions",
    "rm_object_publications",
    "rm_object_uses",
    viewers.TABLE,
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

CREATE TABLE IF NOT EXISTS rm_object_owners (
    cid      text        NOT NULL,
    owner    text        NOT NULL,
    held     boolean     NOT NULL,
    position bigint      NOT NULL,
    since    timestamptz NOT NULL,
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
CREATE INDEX IF NOT EXISTS rm_object_names_newest ON rm_object_names (owner, position DESC) WHERE name <> '';

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
    position       bigint      NOT NULL,
    PRIMARY KEY (cid, owner)
);
CREATE INDEX IF NOT EXISTS rm_object_publications_run ON rm_object_publications (run_id);
CREATE INDEX IF NOT EXISTS rm_object_publications_recipe ON rm_object_publications (recipe_cid);
CREATE INDEX IF NOT EXISTS rm_object_publications_name ON rm_object_publications (name, position DESC);
CREATE INDEX IF NOT EXISTS rm_object_publications_newest ON rm_object_publications (position DESC);

CREATE TABLE IF NOT EXISTS rm_object_uses (
    cid      text        NOT NULL,
    used_by  text        NOT NULL,
    role     text        NOT NULL,
    owner    text        NOT NULL,
    position bigint      NOT NULL,
    since    timestamptz NOT NULL,
    PRIMARY KEY (cid, used_by, role, owner)
);
CREATE INDEX IF NOT EXISTS rm_object_uses_owner ON rm_object_uses (cid, owner, position);
CREATE INDEX IF NOT EXISTS rm_object_uses_used_by ON rm_object_uses (used_by, role);

CREATE TABLE IF NOT EXISTS rm_object_facts (
    cid          text PRIMARY KEY,
    run_id       text NOT NULL,
    status       text NOT NULL,
    document_cid text NOT NULL,
    error        text NOT NULL
);
CREATE INDEX IF NOT EXISTS rm_object_facts_run ON rm_object_facts (run_id);
"""
DDL += viewers.DDL

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
OWNER_COLUMNS = {"cid": "text", "owner": "text", "held": "boolean", "position": "bigint", "since": "timestamptz"}
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
    "position": "bigint",
}
USE_COLUMNS = {
    "cid": "text",
    "used_by": "text",
    "role": "text",
    "owner": "text",
    "position": "bigint",
    "since": "timestamptz",
}
FACTS_COLUMNS = {"cid": "text", "run_id": "text", "status": "text", "document_cid": "text", "error": "text"}
WRITE_OBJECTS = upsert("rm_objects", OBJECT_COLUMNS, ("cid",))
WRITE_OWNERS = upsert("rm_object_owners", OWNER_COLUMNS, ("cid", "owner"))
WRITE_NAMES = upsert("rm_object_names", NAME_COLUMNS, ("cid", "owner"))
WRITE_DESCRIPTIONS = upsert("rm_object_descriptions", DESCRIPTION_COLUMNS, ("cid", "owner"))
WRITE_PUBLICATIONS = upsert("rm_object_publications", PUBLICATION_COLUMNS, ("cid", "owner"))
WRITE_FACTS = upsert("rm_object_facts", FACTS_COLUMNS, ("cid",))
WRITE_USES = f"{insert('rm_object_uses', USE_COLUMNS)} ON CONFLICT DO NOTHING"
END_USES = """DELETE FROM rm_object_uses u USING unnest($1::text[], $2::text[]) e (used_by, owner)
WHERE u.used_by = e.used_by AND (e.owner = '' OR u.owner = e.owner) RETURNING u.owner, u.cid"""
OLD_PUBLICATIONS = """SELECT run_id, recipe_cid FROM rm_object_publications
JOIN unnest($1::text[], $2::text[]) e (cid, owner) USING (cid, owner)"""
END_PUBLICATIONS = """DELETE FROM rm_object_publications p USING unnest($1::text[], $2::text[]) e (cid, owner)
WHERE p.cid = e.cid AND p.owner = e.owner"""
PUBLISH_RUNS = """UPDATE rm_runs r SET published = EXISTS (
    SELECT FROM rm_object_publications p WHERE p.run_id = r.run_id AND p.owner = r.owner)
WHERE r.run_id = ANY ($1::text[])"""
PUBLISH_RECIPES = """UPDATE rm_recipes r SET published = EXISTS (
    SELECT FROM rm_object_publications p WHERE p.recipe_cid = r.cid AND p.owner = r.owner
    UNION ALL SELECT FROM rm_object_publications p WHERE p.cid IN (r.cid, r.source_cid))
WHERE r.cid = ANY ($1::text[]) OR r.source_cid = ANY ($1::text[])"""
PUBLISH_EFFECTS = """UPDATE rm_effects e SET published = EXISTS (
    SELECT FROM rm_object_publications p WHERE p.cid = e.cid)
WHERE e.cid = ANY ($1::text[])"""


@dataclass(slots=True)
class ObjectRow:
    """A row of ``rm_objects``, or what a viewer is told of it: then position, origin and time are the viewer's own.

    Attributes:
        stored_at: for a viewer, since when the viewer has it; None: it is shown with something else only.
        position: when it was stored, or stored again after it was given up.
        version: of the last event of its stream.
        evicted: it was given up; it is on no list.
    """

    cid: str
    size_bytes: int
    media_type: str
    origin: str
    stored_at: datetime | None
    position: int = 0
    version: int = 0
    evicted: bool = False


@dataclass(slots=True)
class OwnerRow:
    """A row of ``rm_object_owners``: who brought the content, when, and whether it is still kept for them."""

    cid: str
    owner: str
    held: bool
    position: int
    since: datetime


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
    position: int


@dataclass(slots=True)
class UseRow:
    """A row of ``rm_object_uses``: what needs or gave content, as what, and for whom.

    Attributes:
        used_by: id of a run; of a recipe or an effect where ``role`` is ``registered``.
    """

    cid: str
    used_by: str
    role: str
    owner: str
    position: int
    since: datetime


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
    """The rows that a batch of events makes or changes, and what it ends.

    Attributes:
        run_owners: of the runs that the batch is about.
        ended: recipes, effects and runs that need nothing for a user any more; user ``""``: for nobody.
    """

    run_owners: dict[str, str]
    objects: dict[str, ObjectRow] = field(default_factory=dict)
    owners: dict[tuple[str, str], OwnerRow] = field(default_factory=dict)
    names: dict[tuple[str, str], NameRow] = field(default_factory=dict)
    descriptions: dict[tuple[str, str], DescriptionRow] = field(default_factory=dict)
    publications: dict[tuple[str, str], PublicationRow] = field(default_factory=dict)
    facts: dict[str, FactsRow] = field(default_factory=dict)
    uses: dict[tuple[str, str, str, str], UseRow] = field(default_factory=dict)
    viewers: Viewers = field(default_factory=Viewers)
    ended: dict[tuple[str, str], None] = field(default_factory=dict)
    unpublished: dict[tuple[str, str], None] = field(default_factory=dict)

    def take(self, fact: Fact) -> None:
        """Take an event in."""
        match fact.event:
            case Object.Event():
                self._take_content(fact)
            case Run.Event():
                self._take_run(fact)
            case Recipe.Registered() | Recipe.Claimed() | Recipe.Restored() as event:
                sources = [event.source_cid] if event.source_cid else []
                self._use(fact, event.owner, "registered", [fact.key, *sources])
            case Effect.Registered() | Effect.Claimed() as event:
                self._use(fact, event.owner, "registered", [fact.key])
            case Recipe.Disowned() | Effect.Disowned() as event:
                self._end(fact.key, event.owner)
            case Recipe.Deleted():
                self._end(fact.key)

    def _take_content(self, fact: Fact) -> None:
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
                    fact.position,
                )
                self.viewers.show(fact, visibility.EVERYBODY, cid, kept=True, own=False)
            case Object.Unpublished() as event:
                self.publications.pop((cid, event.owner), None)
                self.unpublished[cid, event.owner] = None
                self.viewers.lost.add((visibility.EVERYBODY, cid))
            case Object.Claimed() as event:
                self.owners[cid, event.owner] = OwnerRow(cid, event.owner, True, fact.position, event.timestamp)
                self.viewers.show(fact, event.owner, cid, kept=True, own=True, brought=True)
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
            self.viewers.lost.add((owner, cid))
        if named := self.names.get((cid, owner)):
            named.name = ""
        if described := self.descriptions.get((cid, owner)):
            described.description, described.tags = "", "[]"

    def _take_run(self, fact: Fact) -> None:
        run_id = fact.key
        owner = self.run_owners[run_id]
        match fact.event:
            case Run.Requested() as event:
                cids = [cid for binding in event.inputs for cid in binding.cids]
                self._use(fact, owner, "input", cids)
                self._use(fact, owner, "recipe", [event.recipe_cid])
                self._use(fact, owner, "provenance", [event.imported_from, event.imported_events])
                if owner == UNLISTED and event.recipe_name == FACTS:
                    self.facts[cids[0]] = FactsRow(cids[0], run_id)
            case Run.StepsPlanned() as event:
                self._use(fact, owner, "input", [s.output_cid for s in event.steps if s.is_source])
                self._use(fact, owner, "step", [s.output_cid for s in event.steps if not s.is_source])
            case Run.StepsSatisfied() as event:
                self._use(fact, owner, "step", [s.output_cid for s in event.steps])
            case Run.InputsAnalyzed() as event:
                self._use(fact, owner, "analysis", [a.cid for a in event.analyses])
            case Run.Planned() as event:
                self._use(fact, owner, "plan", [event.plan_cid])
            case Run.Completed() as event:
                self._use(fact, owner, "output", [event.output_cid])
                self._use(fact, owner, "provenance", [event.provenance_cid])
                self._settle(run_id, "known", event.output_cid)
            case Run.Failed() as event:
                self._settle(run_id, "unreadable", error=event.reason)
            case Run.Cancelled() as event:
                self._settle(run_id, "unreadable", error=event.reason)
            case Run.Deleted():
                self._end(run_id)

    def _use(self, fact: Fact, owner: str, role: str, cids: Iterable[str]) -> None:
        """Note what the run, recipe or effect of an event needs or gave."""
        assert fact.event
        for cid in filter(None, cids):
            row = UseRow(cid, fact.key, role, owner, fact.position, fact.event.timestamp)
            self.uses.setdefault((cid, fact.key, role, owner), row)
            if owner != UNLISTED:
                self.viewers.show(
                    fact, owner, cid, kept=role in visibility.KEPT_ROLES, own=role in visibility.OWN_ROLES
                )

    def _end(self, used_by: str, owner: str = "") -> None:
        """Note that a run, recipe or effect needs nothing any more, for a user or for anybody."""
        self.ended[used_by, owner] = None
        for key, row in list(self.uses.items()):
            if row.used_by == used_by and owner in ("", row.owner):
                self.viewers.lost.add((row.owner, row.cid))
                del self.uses[key]

    def _settle(self, run_id: str, status: str, document_cid: str = "", error: str = "") -> None:
        for row in self.facts.values():
            if row.run_id == run_id:
                row.status, row.document_cid, row.error = status, document_cid, error


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in. Equal events give equal rows, however they are cut into batches."""
    owners = await connection.fetch(
        "SELECT run_id, owner FROM rm_runs WHERE run_id = ANY ($1::text[])",
        list({fact.key for fact in facts if fact.kind == Run.TOPIC}),
    )
    batch = _Batch({row["run_id"]: row["owner"] for row in owners})
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
        batch.take(fact)
    for statement, rows, columns in (
        (WRITE_OBJECTS, batch.objects.values(), OBJECT_COLUMNS),
        (WRITE_OWNERS, batch.owners.values(), OWNER_COLUMNS),
        (WRITE_NAMES, batch.names.values(), NAME_COLUMNS),
        (WRITE_DESCRIPTIONS, batch.descriptions.values(), DESCRIPTION_COLUMNS),
        (WRITE_FACTS, batch.facts.values(), FACTS_COLUMNS),
    ):
        if rows:
            await connection.execute(statement, *arrays(rows, columns))
    await _write_uses(connection, batch)
    await _write_publications(connection, facts, batch)
    await batch.viewers.write(connection)


async def _write_uses(connection: Any, batch: _Batch) -> None:
    if batch.ended:
        for row in await connection.fetch(END_USES, *pairs(batch.ended)):
            batch.viewers.lost.add((row["owner"], row["cid"]))
    if batch.uses:
        await connection.execute(WRITE_USES, *arrays(batch.uses.values(), USE_COLUMNS))


async def _write_publications(connection: Any, facts: Sequence[Fact], batch: _Batch) -> None:
    """Note what is public, and with it which runs, recipes and effects are."""
    changed = batch.publications.keys() | batch.unpublished.keys()
    runs = {row.run_id for row in batch.publications.values()}
    contents = {cid for cid, _ in changed} | {row.recipe_cid for row in batch.publications.values()}
    if changed:
        for row in await connection.fetch(OLD_PUBLICATIONS, *pairs(changed)):
            runs.add(row["run_id"])
            contents.add(row["recipe_cid"])
    if batch.unpublished:
        await connection.execute(END_PUBLICATIONS, *pairs(batch.unpublished))
    if batch.publications:
        await connection.execute(WRITE_PUBLICATIONS, *arrays(batch.publications.values(), PUBLICATION_COLUMNS))
    if changed:
        await connection.execute(PUBLISH_RUNS, list(runs))
    if recipes := contents | {fact.key for fact in facts if fact.kind == Recipe.TOPIC}:
        await connection.execute(PUBLISH_RECIPES, list(recipes))
    if effects := contents | {fact.key for fact in facts if fact.kind == Effect.TOPIC}:
        await connection.execute(PUBLISH_EFFECTS, list(effects))


async def _load_said(connection: Any, cids: Sequence[str], batch: _Batch) -> None:
    for row in await connection.fetch("SELECT * FROM rm_object_owners WHERE cid = ANY ($1::text[])", cids):
        batch.owners[row["cid"], row["owner"]] = OwnerRow(**row)
    for row in await connection.fetch("SELECT * FROM rm_object_names WHERE cid = ANY ($1::text[])", cids):
        batch.names[row["cid"], row["owner"]] = NameRow(**row)
    for row in await connection.fetch("SELECT * FROM rm_object_descriptions WHERE cid = ANY ($1::text[])", cids):
        batch.descriptions[row["cid"], row["owner"]] = DescriptionRow(**row)


# --- questions ------------------------------------------------------------------------------------------------------

TOLD = """o.cid, o.size_bytes, o.media_type, v.since AS stored_at, o.version, o.evicted,
CASE WHEN v.brought AND v.since > o.stored_at THEN 'upload' ELSE o.origin END AS origin"""
"""What a viewer is told of content. Whoever brings what was here before is told what anybody who brings it is told."""


async def find(pool: asyncpg.Pool, cid: str) -> ObjectRow | None:
    """Return what the books say of content that was not given up; not for people's eyes, see :func:`told`."""
    row = await pool.fetchrow("SELECT * FROM rm_objects WHERE cid = $1 AND NOT evicted", cid)
    return ObjectRow(**row) if row else None


async def told(pool: asyncpg.Pool, viewer: str, cid: str) -> ObjectRow | None:
    """Return what a viewer may be told of content (not given up). Whether the viewer sees it was asked before."""
    row = await pool.fetchrow(
        f"""SELECT {TOLD}, coalesce(v.position, 0) AS position FROM rm_objects o LEFT JOIN LATERAL (
            SELECT * FROM rm_object_viewers v WHERE v.cid = o.cid AND v.viewer IN ($1, $3) ORDER BY v.viewer = $1 DESC
            LIMIT 1
        ) v ON true WHERE o.cid = $2 AND NOT o.evicted""",
        viewer,
        cid,
        visibility.EVERYBODY,
    )
    return ObjectRow(**row) if row else None


async def has(pool: asyncpg.Pool, owner: str, cid: str) -> bool:
    """Return whether the read models show that content is an owner's."""
    return bool(await pool.fetchval("SELECT 1 FROM rm_object_viewers WHERE viewer = $1 AND cid = $2", owner, cid))


async def title_of(pool: asyncpg.Pool, viewer: str, cid: str) -> str | None:
    """Return what a viewer calls content, else a name that it is published under."""
    title: str | None = await pool.fetchval(
        """SELECT name FROM rm_object_names WHERE cid = $1 AND owner = $2 AND name <> ''
        UNION ALL (SELECT name FROM rm_object_publications WHERE cid = $1 ORDER BY published_at, owner) LIMIT 1""",
        cid,
        viewer,
    )
    return title


@dataclass(frozen=True, slots=True)
class Filter:
    """Which content a list shows, of what its viewer sees; None: all.

    Attributes:
        types: media types, or their first halves.
        name: part of a name that the viewer gave, that it is published under, or that a run of the viewer's was to
            give its output, in upper or lower case.
        tag: that the viewer gave.
        owner: the viewer, for the viewer's own; others: what they published.
        kept: leave out what steps made that nobody asked for: intermediates and records.
    """

    types: tuple[str, ...] | None = None
    name: str | None = None
    tag: str | None = None
    origin: str | None = None
    owner: str | None = None
    kept: bool = False


CHOSEN = """NOT o.evicted
AND ($2::text[] IS NULL OR o.media_type = ANY ($2) OR split_part(o.media_type, '/', 1) = ANY ($2))
AND ($3::text IS NULL
    OR EXISTS (
        SELECT FROM rm_object_names n WHERE n.cid = o.cid AND n.owner = $1 AND strpos(lower(n.name), lower($3)) > 0)
    OR EXISTS (SELECT FROM rm_object_publications p WHERE p.cid = o.cid AND strpos(lower(p.name), lower($3)) > 0)
    OR EXISTS (
        SELECT FROM rm_object_uses u JOIN rm_runs r ON r.run_id = u.used_by
        WHERE u.cid = o.cid AND u.owner = $1 AND u.role = 'output' AND strpos(lower(r.output_name), lower($3)) > 0))
AND ($4::text IS NULL OR EXISTS (
    SELECT FROM rm_object_descriptions d WHERE d.cid = o.cid AND d.owner = $1 AND d.tags ? $4))
AND ($6::text IS NULL OR ($6 <> '' AND v.viewer = $6)
    OR EXISTS (SELECT FROM rm_object_publications p WHERE p.cid = o.cid AND p.owner = $6))"""
LISTED = f"SELECT {TOLD}, v.position FROM rm_object_viewers v JOIN rm_objects o USING (cid) WHERE"
"""Begin of a list; what follows says who views."""

OF_ORIGIN = "$5::text IS NULL OR origin = $5"


def _halves(kept: bool) -> tuple[str, str]:
    """Return the conditions on what is the viewer's own, and on what everybody sees beside it."""
    also = " AND v.kept" if kept else ""
    also_own = " AND w.kept" if kept else ""
    return (
        f"v.viewer = $1{also} AND {CHOSEN}",
        f"""v.viewer = '{visibility.EVERYBODY}' AND $1 <> '{visibility.EVERYBODY}'{also} AND NOT EXISTS (
        SELECT FROM rm_object_viewers w WHERE w.cid = v.cid AND w.viewer = $1{also_own}) AND {CHOSEN}""",
    )


async def newest(
    pool: asyncpg.Pool, viewer: str, limit: int, before: int | None, chosen: Filter
) -> tuple[list[ObjectRow], int]:
    """Return up to ``limit`` objects that a viewer sees, and how many those are.

    Args:
        before: only those that came to the viewer, or were published, before this position; newest first.
    """
    wanted = (viewer, chosen.types, chosen.name, chosen.tag, chosen.origin, chosen.owner)
    halves = _halves(chosen.kept)
    pages = " UNION ALL ".join(
        f"""(SELECT * FROM ({LISTED} {half} AND ($8::bigint IS NULL OR v.position < $8)) t WHERE {OF_ORIGIN}
        ORDER BY position DESC LIMIT $7)"""
        for half in halves
    )
    rows = await pool.fetch(f"SELECT * FROM ({pages}) t ORDER BY position DESC LIMIT $7", *wanted, limit, before)
    counts = " + ".join(f"(SELECT count(*) FROM ({LISTED} {half}) t WHERE {OF_ORIGIN})" for half in halves)
    total = await pool.fetchval(f"SELECT {counts}", *wanted)
    return [ObjectRow(**row) for row in rows], int(total)


@dataclass(frozen=True, slots=True)
class Said:
    """What an owner says of content; a name may be empty."""

    owner: str
    name: str
    description: str
    tags: list[str]


async def said_of(pool: asyncpg.Pool, owner: str, cids: Sequence[str]) -> dict[str, Said]:
    """Return what an owner says of content, by CID."""
    rows = await pool.fetch(
        """SELECT cid, coalesce(n.name, '') AS name, coalesce(d.description, '') AS description,
            coalesce(d.tags, '[]') AS tags
        FROM (SELECT * FROM rm_object_names WHERE cid = ANY ($1::text[]) AND owner = $2) n
        FULL JOIN (SELECT * FROM rm_object_descriptions WHERE cid = ANY ($1::text[]) AND owner = $2) d USING (cid)""",
        list(cids),
        owner,
    )
    found: dict[str, Said] = {}
    for row in rows:
        tags = orjson.loads(row["tags"])
        if row["name"] or row["description"] or tags:
            found[row["cid"]] = Said(owner, row["name"], row["description"], tags)
    return found


async def outputs_named(pool: asyncpg.Pool, owner: str, cids: Sequence[str]) -> dict[str, str]:
    """Return what the newest of an owner's runs that gave content, and were to call it something, were to call it.

    By CID. These are no names that content is found by: see :func:`find_named`.
    """
    rows = await pool.fetch(
        """SELECT c.cid, r.output_name FROM unnest($2::text[]) c (cid) CROSS JOIN LATERAL (
            SELECT r.output_name FROM rm_object_uses u JOIN rm_runs r ON r.run_id = u.used_by
            WHERE u.cid = c.cid AND u.owner = $1 AND u.role = 'output' AND r.output_name <> ''
            ORDER BY u.position DESC LIMIT 1) r""",
        owner,
        list(cids),
    )
    return {row["cid"]: row["output_name"] for row in rows}


async def facts_of(pool: asyncpg.Pool, cids: Sequence[str]) -> dict[str, FactsRow]:
    """Return what was found out about content, by CID."""
    rows = await pool.fetch("SELECT * FROM rm_object_facts WHERE cid = ANY ($1::text[])", list(cids))
    return {row["cid"]: FactsRow(**row) for row in rows}


async def runs_of(pool: asyncpg.Pool, viewer: str, cid: str, limit: int = 100) -> list[asyncpg.Record]:
    """Return the runs a viewer sees that need or gave content, newest first, with its roles there."""
    rows: list[asyncpg.Record] = await pool.fetch(
        f"""SELECT t.run_id, t.owner, t.recipe_name, t.recipe_cid, t.status, t.provenance_cid,
            array_agg(u.role ORDER BY u.role) AS roles
        FROM rm_object_uses u JOIN rm_runs t ON t.run_id = u.used_by
        WHERE u.cid = $2 AND {visibility.SEEN} GROUP BY t.run_id ORDER BY t.position DESC LIMIT $3""",
        viewer,
        cid,
        limit,
    )
    return rows


async def recipes_of(pool: asyncpg.Pool, viewer: str, cid: str, limit: int = 100) -> list[asyncpg.Record]:
    """Return the recipes a viewer sees that content is, or is the source of, or is read by in a run; newest first."""
    rows: list[asyncpg.Record] = await pool.fetch(
        f"""SELECT * FROM (
            SELECT DISTINCT ON (t.cid) t.cid, t.name, t.position FROM rm_recipes t WHERE {visibility.SEEN} AND (
                cid = $2 OR source_cid = $2 OR cid IN (
                    SELECT t.recipe_cid FROM rm_object_uses u JOIN rm_runs t ON t.run_id = u.used_by
                    WHERE u.cid = $2 AND u.role = 'input' AND {visibility.SEEN}))
            ORDER BY t.cid, {visibility.OWN_FIRST}, t.position
        ) r ORDER BY position DESC LIMIT $3""",
        viewer,
        cid,
        limit,
    )
    return rows


async def origin_of(pool: asyncpg.Pool, cid: str, owner: str) -> asyncpg.Record | None:
    """Return the owner's newest run that gave content as its output."""
    return await pool.fetchrow(
        """SELECT run_id, recipe_cid, provenance_cid FROM rm_object_uses u JOIN rm_runs r ON r.run_id = u.used_by
        WHERE u.cid = $1 AND u.role = 'output' AND u.owner = $2 AND NOT r.deleted
        ORDER BY r.position DESC LIMIT 1""",
        cid,
        owner,
    )


async def has_name(pool: asyncpg.Pool, cid: str, owner: str, name: str) -> bool:
    """Return whether the owner calls this content so."""
    return bool(
        await pool.fetchval(
            "SELECT 1 FROM rm_object_names WHERE cid = $1 AND owner = $2 AND name = $3", cid, owner, name
        )
    )


async def find_named(pool: asyncpg.Pool, owner: str, name: str) -> str | None:
    """Return the CID that an owner last gave this name to, else what was last published under it."""
    cid: str | None = await pool.fetchval(
        """(SELECT cid FROM rm_object_names WHERE owner = $1 AND name = $2 ORDER BY position DESC LIMIT 1)
        UNION ALL (SELECT cid FROM rm_object_publications WHERE name = $2 ORDER BY position DESC LIMIT 1) LIMIT 1""",
        owner,
        name,
    )
    return cid


async def names(pool: asyncpg.Pool, owner: str) -> list[str]:
    """Return the names an owner gave, and those that content is published under."""
    rows = await pool.fetch(
        """(SELECT DISTINCT name FROM rm_object_names WHERE owner = $1 AND name <> '' ORDER BY name LIMIT 1000)
        UNION (SELECT DISTINCT name FROM rm_object_publications ORDER BY name LIMIT 1000) ORDER BY name""",
        owner,
    )
    return [row["name"] for row in rows]


async def by_name(pool: asyncpg.Pool, owner: str, limit: int = 10_000) -> dict[str, str]:
    """Return what names stand for: name → CID; an owner's own before those that content is published under."""
    rows = await pool.fetch(
        """SELECT DISTINCT ON (name) name, cid FROM (
            (SELECT name, cid, position, true AS own FROM rm_object_names WHERE owner = $1 AND name <> ''
            ORDER BY position DESC LIMIT $2)
            UNION ALL
            (SELECT name, cid, position, false FROM rm_object_publications ORDER BY position DESC LIMIT $2)
        ) n ORDER BY name, own DESC, position DESC""",
        owner,
        limit,
    )
    return {row["name"]: row["cid"] for row in rows}


async def named(pool: asyncpg.Pool, viewer: str, limit: int, before: int | None) -> tuple[list[asyncpg.Record], int]:
    """Return up to ``limit`` names that mean something to a viewer, and how many those are.

    Args:
        before: only those given, or published, before this position; newest first.
    """
    rows = await pool.fetch(
        f"""SELECT s.name, s.owner, s.position AS place, {TOLD} FROM (
            (SELECT cid, owner, name, position, $1 AS viewer FROM rm_object_names
            WHERE owner = $1 AND name <> '' AND ($3::bigint IS NULL OR position < $3) ORDER BY position DESC LIMIT $2)
            UNION ALL (SELECT cid, owner, name, position, $4 FROM rm_object_publications
            WHERE owner <> $1 AND ($3::bigint IS NULL OR position < $3) ORDER BY position DESC LIMIT $2)
        ) s JOIN rm_object_viewers v USING (cid, viewer) JOIN rm_objects o USING (cid)
        WHERE NOT o.evicted ORDER BY s.position DESC LIMIT $2""",
        viewer,
        limit,
        before,
        visibility.EVERYBODY,
    )
    total = await pool.fetchval(
        """SELECT (SELECT count(*) FROM rm_object_names WHERE owner = $1 AND name <> '')
        + (SELECT count(*) FROM rm_object_publications WHERE owner <> $1)""",
        viewer,
    )
    return rows, int(total)
