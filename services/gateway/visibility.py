"""Whose is what: the one place that says who sees content, runs, recipes and effects. Everything else asks here.

A user sees what is the user's own, and what is published. Whoever is not signed in (viewer ``""``) sees what is
published only. Nobody else's things exist for anybody: they are on no list, in no count and in no message, and asked
for by their id they are answered as if they were not there.

* **Content** is a user's who brought it, or of whose runs it is an input, a result or a record, or who registered it as
  a recipe or effect. Published content is everybody's to see, and so are the records of a run whose owner published
  what it gave: plan, analyses, provenance, recipe. Not its other inputs.
* A **picture** of content, or what was found out about it, is seen by whoever sees the content.
* A **run** is its owner's, and everybody's to see once its owner published what it gave.
* A **recipe** or an **effect** is seen by all who registered it; by everybody where it is published as content, a
  recipe also where the owner published what a run of it gave.
* Content that **nobody** ever had here, on an IPFS node for instance, is seen by whoever is signed in. What was
  somebody's and is nobody's any more is seen, until it is swept, by the owner of a personal server: it was theirs.

``rm_object_viewers`` holds the first rule as rows, so that a list is read from one index, however much others have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

import asyncpg
import orjson

from artdag_common.domain.retention import OPERATOR, PROVENANCE, UPLOADED
from services.gateway.projections.rows import UNLISTED

if TYPE_CHECKING:
    from services.gateway.projections.runs import RunRow

EVERYBODY = ""
"""Viewer for whom published things are, and who is everybody that is not signed in."""

RECORDS = ("plan", "analysis", "provenance", "recipe")
"""Roles of content in a run that are seen by whoever sees the run."""

OWN_ROLES = ("step", "analysis", "plan", "output", "provenance", "registered")
"""Roles of content in a user's runs, or in what the user registered, that make it the user's own to describe and to
publish. An input, or the recipe of a run, may be somebody else's who published it."""

KEPT_ROLES = ("input", "output")
"""Roles of content in a user's runs in which people look for it."""

DEPTH = 3
"""How often what is made of content may be made of content in turn: a thumbnail of a poster of a film."""

CONTENT = f"""SELECT c.cid FROM unnest($2::text[]) c (cid) WHERE
EXISTS (SELECT FROM rm_object_viewers v WHERE v.cid = c.cid AND v.viewer IN ($1, '{EVERYBODY}'))
OR EXISTS (  -- the read models follow: what came in, or was rendered, just now
    SELECT FROM content_holds h WHERE h.cid = c.cid AND h.kind = '{UPLOADED}' AND h.holder = 'user-' || $1)
OR EXISTS (SELECT FROM content_holds h WHERE h.cid = c.cid AND h.owner = $1 AND $1 <> '')
OR EXISTS (
    SELECT FROM rm_object_uses u JOIN rm_runs r ON r.run_id = u.used_by
    WHERE u.cid = c.cid AND u.role = ANY ($3) AND r.published AND NOT r.deleted)
OR EXISTS (SELECT FROM rm_recipes x WHERE (x.cid = c.cid OR x.source_cid = c.cid) AND x.published AND NOT x.deleted)
OR EXISTS (  -- what this system says of itself in every record of a run
    SELECT FROM content_holds h WHERE h.cid = c.cid AND h.kind = '{PROVENANCE}' AND h.holder = 'system-planner')
OR ($1 <> '' AND NOT EXISTS (SELECT FROM content_books b WHERE b.cid = c.cid)
    AND NOT EXISTS (SELECT FROM content_holds h WHERE h.cid = c.cid)
    AND NOT EXISTS (SELECT FROM rm_objects o WHERE o.cid = c.cid)
    AND NOT EXISTS (SELECT FROM rm_object_uses u WHERE u.cid = c.cid))
OR ($4 AND NOT EXISTS (SELECT FROM rm_object_viewers v WHERE v.cid = c.cid)
    AND NOT EXISTS (SELECT FROM rm_object_uses u WHERE u.cid = c.cid)
    AND NOT EXISTS (SELECT FROM content_holds h WHERE h.cid = c.cid AND (h.kind = '{UPLOADED}' OR h.owner <> '')))"""

OWN = f"""SELECT c.cid FROM unnest($2::text[]) c (cid) WHERE
EXISTS (SELECT FROM rm_object_viewers v WHERE v.cid = c.cid AND v.viewer = $1 AND v.own)
OR EXISTS (SELECT FROM content_holds h WHERE h.cid = c.cid AND h.kind = '{UPLOADED}' AND h.holder = 'user-' || $1)
OR EXISTS (SELECT FROM content_holds h WHERE h.cid = c.cid AND h.owner = $1)
OR ($3 AND NOT EXISTS (SELECT FROM rm_object_viewers v WHERE v.cid = c.cid)
    AND NOT EXISTS (SELECT FROM rm_object_uses u WHERE u.cid = c.cid))"""
"""As CONTENT, with what came in just now; the operator may do anything with what is nobody's."""

MADE_OF = f"""SELECT DISTINCT u.cid, i.cid AS source FROM rm_object_uses u
JOIN rm_object_uses i ON i.used_by = u.used_by AND i.role = 'input'
WHERE u.cid = ANY ($1::text[]) AND u.owner = '{UNLISTED}' AND u.role <> 'input'"""
"""Pictures of content, and what was found out about it, with the content."""


def page(table: str, chosen: str = "true", once: str = "true", arguments: int = 0) -> str:
    """Return the statement for a page of what a viewer sees, newest first.

    Its arguments: the viewer, those of ``chosen`` from $2 on, how many rows, and only those before which position.

    Args:
        table: has ``owner``, ``position``, ``published`` and ``deleted``, with an index for each of the two halves.
        chosen: which rows of ``t`` are wanted; it has so many ``arguments``.
        once: which published rows of ``t`` are not there in another form already.
    """
    limit, before = f"${arguments + 2}", f"${arguments + 3}::bigint"
    selects = [
        f"""(SELECT t.* FROM {table} t WHERE {half} AND {chosen} AND ({before} IS NULL OR t.position < {before})
        ORDER BY t.position DESC LIMIT {limit})"""
        for half in _halves(once)
    ]
    return f"SELECT * FROM ({' UNION ALL '.join(selects)}) t ORDER BY position DESC LIMIT {limit}"


def count(table: str, chosen: str = "true", once: str = "true") -> str:
    """Return the statement for how many rows :func:`page` has in all; it takes the first of the same arguments."""
    selects = [f"(SELECT count(*) FROM {table} t WHERE {half} AND {chosen})" for half in _halves(once)]
    return f"SELECT {' + '.join(selects)}"


def _halves(once: str) -> tuple[str, str]:
    return "NOT t.deleted AND t.owner = $1", f"NOT t.deleted AND t.published AND t.owner <> $1 AND {once}"


SEEN = "NOT t.deleted AND (t.owner = $1 OR t.published)"
"""Condition on a row of a table as in :func:`page`: $1, the viewer, sees it."""

OWN_FIRST = "t.owner = $1 DESC"
"""Order in which names are looked up: one's own before what others published."""


async def seen_content(pool: asyncpg.Pool, viewer: str, cids: Iterable[str], shared: bool) -> set[str]:
    """Return those of ``cids`` that a viewer sees. ``shared``: several people use this server."""
    alone = viewer == OPERATOR and not shared

    async def seen(wanted: Iterable[str]) -> set[str]:
        return {row["cid"] for row in await pool.fetch(CONTENT, viewer, list(wanted), list(RECORDS), alone)}

    return await _with_pictures(pool, set(cids), seen)


async def is_own(pool: asyncpg.Pool, user: str, cid: str) -> bool:
    """Return whether content that a user sees is the user's own, to describe, publish and delete."""

    async def own(wanted: Iterable[str]) -> set[str]:
        return {row["cid"] for row in await pool.fetch(OWN, user, list(wanted), user == OPERATOR)}

    return bool(await _with_pictures(pool, {cid}, own))


async def _with_pictures(
    pool: asyncpg.Pool, wanted: set[str], ask: Callable[[Iterable[str]], Awaitable[set[str]]]
) -> set[str]:
    """Return those of ``wanted`` that ``ask`` has no objection to, or that are made of such content."""
    good = await ask(wanted)
    made_of = {cid: {cid} for cid in wanted - good}
    for _ in range(DEPTH):
        if not made_of:
            break
        sources: defaultdict[str, set[str]] = defaultdict(set)
        for row in await pool.fetch(MADE_OF, list(set().union(*made_of.values()))):
            sources[row["cid"]].add(row["source"])
        made_of = {cid: set().union(*(sources[each] for each in before)) for cid, before in made_of.items()}
        made_of = {cid: found for cid, found in made_of.items() if found}
        if made_of:
            fine = await ask(set().union(*made_of.values()))
            good |= {cid for cid, found in made_of.items() if found & fine}
            made_of = {cid: found for cid, found in made_of.items() if cid not in good}
    return good


async def sees_run(pool: asyncpg.Pool, viewer: str, run: RunRow, shared: bool) -> bool:
    """Return whether a viewer sees a run. One that makes a picture of content is seen with the content."""
    if run.owner == viewer or run.published:
        return True
    if run.owner != UNLISTED:
        return False
    inputs = [cid for binding in orjson.loads(run.inputs) for cid in binding["cids"]]
    return bool(await seen_content(pool, viewer, inputs, shared))
