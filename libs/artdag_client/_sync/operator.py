# Made of _async/operator.py by artdag_client.make_sync. Change that one.
"""What only the operator of a system may see and do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from artdag_client._sync.connection import Connection
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


class Operator:
    """``client.operator``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def doctor(self) -> Report:
        """Return what is wrong with the system, how to mend it, and what it mended by itself."""
        found: Report = self._connection.ask("GET", "/api/doctor")
        return found

    def overview(self) -> dict[str, Any]:
        """Return what goes on now: services, workers, queues, steps, failures, dead letters."""
        found: dict[str, Any] = self._connection.ask("GET", "/api/ops")
        return found

    def garbage(self, older_than_days: float | None = None) -> Garbage:
        """Return what nobody needs."""
        found: Garbage = self._connection.ask("GET", "/cache/gc", params=query(older_than_days=older_than_days))
        return found

    def collect_garbage(self, older_than_days: float | None = None, key: str | None = None) -> Garbage:
        """Remove what nobody needs; it happens every hour by itself too."""
        found: Garbage = self._connection.ask(
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
    ) -> Iterator[AuditEntry]:
        """Yield the audit trail, newest first. Everybody sees what they did and what concerns them.

        Args:
            kind: ``sign-in``, ``refusal``, ``revocation``, ``publication``, ``cancellation``, ``deletion``,
                ``erasure`` or ``dead-letter``.
            user: id, or handle ``@name@domain``.
            since: RFC 3339.
            until: RFC 3339; only what was noted before.
        """
        return self._connection.pages("/api/audit", "entries", limit, kind=kind, user=user, since=since, until=until)

    def audit_after(self, entry_id: int, wait_seconds: int = 5, limit: int | None = None) -> AuditPage:
        """Return what was noted after an entry, oldest first; waits a while for there to be something."""
        found: AuditPage = self._connection.ask(
            "GET",
            "/api/audit",
            params=query(after=str(entry_id), limit=limit),
            headers={"Prefer": f"wait={wait_seconds}"},
        )
        return found

    def people(self, *, limit: int | None = None) -> Iterator[Person]:
        """Yield everybody who ever signed in, who came last first."""
        return self._connection.pages("/api/users", "users", limit)

    def people_page(self, *, cursor: str | None = None, limit: int | None = None) -> PersonPage:
        """Return one page of :meth:`people`."""
        found: PersonPage = self._connection.ask("GET", "/api/users", params=query(cursor=cursor, limit=limit))
        return found

    def person(self, user: str) -> PersonDetail:
        """Return who somebody is, what is theirs, and what of it is public. ``user``: id, or handle."""
        found: PersonDetail = self._connection.ask("GET", f"/api/users/{part(user)}")
        return found

    def erase(
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
        found: Erased = self._connection.ask(
            "DELETE",
            f"/api/users/{part(user)}",
            params=query(content=content, unpublish=unpublish, cursor=cursor),
            headers=keyed(key),
        )
        return found

    def letters(self, *, service: str = "", name: str = "", limit: int | None = None) -> Iterator[Letter]:
        """Yield dead letters, oldest first: what gave up after many attempts, or could not be read."""
        return self._connection.pages("/api/dlq", "letters", limit, service=service, name=name)

    def letters_page(self, *, cursor: str | None = None, limit: int | None = None, **chosen: Any) -> LetterPage:
        """Return one page of :meth:`letters`."""
        found: LetterPage = self._connection.ask("GET", "/api/dlq", params=query(cursor=cursor, limit=limit, **chosen))
        return found

    def letter(self, letter_id: int) -> LetterDetail:
        """Return a dead letter with its payload."""
        found: LetterDetail = self._connection.ask("GET", f"/api/dlq/{letter_id}")
        return found

    def retry_letter(self, letter_id: int, key: str | None = None) -> LetterSent:
        """Send a dead letter again. What did happen of it does not happen twice."""
        found: LetterSent = self._connection.ask("POST", f"/api/dlq/{letter_id}/retry", headers=keyed(key))
        return found

    def drop_letter(self, letter_id: int, reason: str, key: str | None = None) -> None:
        """Let a dead letter go for good; the audit trail keeps the reason."""
        self._connection.ask("DELETE", f"/api/dlq/{letter_id}", params=query(reason=reason), headers=keyed(key))
