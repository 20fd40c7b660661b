"""Who the people are that events know by their ids only. Whoever was erased is ``@deleted`` from then on."""

from __future__ import annotations

from collections.abc import Iterable

import asyncpg

from artdag_common.domain.access import OWNER

DELETED = "@deleted"

LOCAL = frozenset({OWNER, "derived"})
"""Whoever is no person of L2's: the operator, and the system itself, which makes pictures of content."""


class People:
    """Reads the table ``auth_people``, which the auth service writes."""

    def __init__(self, pool: asyncpg.Pool, domain: str = "") -> None:
        """``domain``: ``L2_DOMAIN``, of the operator's handle; empty: localhost."""
        self._pool = pool
        self._domain = domain or "localhost"

    async def handles(self, user_ids: Iterable[str]) -> dict[str, str]:
        """Return for each id the handle, ``@name@domain``; of those that nobody is known by, :data:`DELETED`."""
        wanted = set(user_ids)
        found = dict.fromkeys(wanted, DELETED)
        found |= {user_id: f"@{user_id}@{self._domain}" for user_id in wanted & LOCAL}
        if others := list(wanted - LOCAL):
            rows = await self._pool.fetch(
                "SELECT user_id, name, domain FROM auth_people WHERE user_id = ANY ($1::text[])", others
            )
            found |= {row["user_id"]: f"@{row['name']}@{row['domain']}" for row in rows}
        return found

    async def handle(self, user_id: str) -> str:
        """Return the handle of one user."""
        return (await self.handles([user_id]))[user_id]

    async def actor(self, user_id: str) -> str:
        """Return the URL of the user's actor at L2; empty: there is none, as for the operator."""
        return str(await self._pool.fetchval("SELECT actor FROM auth_people WHERE user_id = $1", user_id) or "")

    async def find(self, handle: str) -> str:
        """Return the id of whoever has this handle, ``@name@domain``; empty: nobody."""
        if handle == f"@{OWNER}@{self._domain}":
            return OWNER
        name, _, domain = handle.removeprefix("@").partition("@")
        found = await self._pool.fetchval(
            "SELECT user_id FROM auth_people WHERE name = $1 AND domain = $2", name, domain
        )
        return str(found or "")
