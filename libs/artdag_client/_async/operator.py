"""What only the operator of a system may see and do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from artdag_client._async.connection import AsyncConnection
from artdag_client.asking import body, keyed, part, query
from artdag_client.shapes import (
    AuditEntry,
    AuditPage,
    Erased,
    Garbage,
    Letter,
    LetterDetail,
    LetterPage,
    LetterSent,
    Person,
    PersonDetail,
    PersonPage,
    Report,
)


class AsyncOperator:
    """``client.operator``."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def doctor(self) -> Report:
        """Return what is wrong with the system, how to mend it, and what it mended by itself."""
        found: Report = await self._connection.ask("GET", "/api/doctor")
        return found

    async def overview(self) -> dict[str, Any]:
        """Return what goes on now: services, workers, queues, steps, failures, dead letters."""
        found: dict[str, Any] = await self._connection.ask("GET", "/api/ops")
        return found

    async def garbage(self, older_than_days: float | None = None) -> Garbage:
        """Return what nobody needs."""
        found: Garbage = await self._connection.ask("GET", "/cache/gc", params=query(older_than_days=older_than_days))
        return found

    async def collect_garbage(self, older_than_days: float | None = None, key: str | None = None) -> Garbage:
        """Remove what nobody needs; it happens every hour by itself too."""
        found: Garbage = await self._connection.ask(
            "POST", "/cache/gc", json=body(older_than_days=older_than_days), headers=keyed(key)
        )
        return found

    def audit(
        self,
        *,
        kind: str | None = None,
        user: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[AuditEntry]:
        """Yield the audit trail, newest first. Everybody sees what they did and what concerns them.

        Args:
            kind: ``sign-in``, ``refusal``, ``revocation``, ``publication``, ``cancellation``, ``deletion``,
                ``erasure`` or ``dead-letter``.
            user: id, or handle ``@name@domain``.
            since: RFC 3339.
            until: RFC 3339; only what was noted before.
        """
        return self._connection.pages("/api/audit", "entries", limit, kind=kind, user=user, since=since, until=until)

    async def audit_after(self, entry_id: int, wait_seconds: int = 5, limit: int | None = None) -> AuditPage:
        """Return what was noted after an entry, oldest first; waits a while for there to be something."""
        found: AuditPage = await self._connection.ask(
            "GET",
            "/api/audit",
            params=query(after=str(entry_id), limit=limit),
            headers={"Prefer": f"wait={wait_seconds}"},
        )
        return found

    def people(self, *, limit: int | None = None) -> AsyncIterator[Person]:
        """Yield everybody who ever signed in, who came last first."""
        return self._connection.pages("/api/users", "users", limit)

    async def people_page(self, *, cursor: str | None = None, limit: int | None = None) -> PersonPage:
        """Return one page of :meth:`people`."""
        found: PersonPage = await self._connection.ask("GET", "/api/users", params=query(cursor=cursor, limit=limit))
        return found

    async def person(self, user: str) -> PersonDetail:
        """Return who somebody is, what is theirs, and what of it is public. ``user``: id, or handle."""
        found: PersonDetail = await self._connection.ask("GET", f"/api/users/{part(user)}")
        return found

    async def erase(
        self,
        user: str,
        *,
        content: bool = False,
        unpublish: bool = False,
        cursor: str | None = None,
        key: str | None = None,
    ) -> Erased:
        """Erase a person. While ``next`` of the answer is not None, ask again with it as ``cursor``.

        Args:
            content: also delete what is theirs, where nothing else needs it.
            unpublish: before all else, unpublish what they published.
        """
        found: Erased = await self._connection.ask(
            "DELETE",
            f"/api/users/{part(user)}",
            params=query(content=content, unpublish=unpublish, cursor=cursor),
            headers=keyed(key),
        )
        return found

    def letters(self, *, service: str = "", name: str = "", limit: int | None = None) -> AsyncIterator[Letter]:
        """Yield dead letters, oldest first: what gave up after many attempts, or could not be read."""
        return self._connection.pages("/api/dlq", "letters", limit, service=service, name=name)

    async def letters_page(self, *, cursor: str | None = None, limit: int | None = None, **chosen: Any) -> LetterPage:
        """Return one page of :meth:`letters`."""
        found: LetterPage = await self._connection.ask(
            "GET", "/api/dlq", params=query(cursor=cursor, limit=limit, **chosen)
        )
        return found

    async def letter(self, letter_id: int) -> LetterDetail:
        """Return a dead letter with its payload."""
        found: LetterDetail = await self._connection.ask("GET", f"/api/dlq/{letter_id}")
        return found

    async def retry_letter(self, letter_id: int, key: str | None = None) -> LetterSent:
        """Send a dead letter again. What did happen of it does not happen twice."""
        found: LetterSent = await self._connection.ask("POST", f"/api/dlq/{letter_id}/retry", headers=keyed(key))
        return found

    async def drop_letter(self, letter_id: int, reason: str, key: str | None = None) -> None:
        """Let a dead letter go for good; the audit trail keeps the reason."""
        await self._connection.ask("DELETE", f"/api/dlq/{letter_id}", params=query(reason=reason), headers=keyed(key))
