"""What only the operator of a system sees."""

from __future__ import annotations

from typing import Any, TypedDict

from artdag_client.shapes.common import Links


class Finding(TypedDict):
    """Something that is wrong, or as somebody wants it, and how to mend it."""

    check: str
    wrong: bool
    what: str
    how: str


class Report(TypedDict):
    """What is wrong with a system, and what it mended by itself."""

    well: bool
    checked: list[str]
    findings: list[Finding]
    repairs: dict[str, Any]


class Garbage(TypedDict):
    """What nobody needs, and why."""

    dry_run: bool
    count: int
    bytes: int
    why: dict[str, Any]
    items: list[dict[str, Any]]
    truncated: bool


class AuditEntry(TypedDict):
    """Something that somebody did, or was refused."""

    id: int
    at: str
    kind: str
    event: str
    code: str | None
    by: dict[str, Any] | None
    user: dict[str, Any] | None
    what: str | None
    address: str | None
    count: int
    first_at: str
    last_at: str


class AuditPage(TypedDict):
    """A page of the audit trail."""

    entries: list[AuditEntry]
    next: str | None


class Person(TypedDict):
    """Somebody who uses the system."""

    user_id: str
    handle: str
    joined_at: str
    signed_in_at: str | None
    sign_ins: int
    revoked_at: str | None
    erased_at: str | None
    links: Links


class PersonPage(TypedDict):
    """A page of people."""

    users: list[Person]
    total: int
    next: str | None


class PersonDetail(Person):
    """Somebody, with what is theirs, and what of it is public."""

    theirs: dict[str, int]
    public: list[dict[str, Any]]


class Erased(TypedDict):
    """What erasing somebody came to; ``next``: there is more to do."""

    user_id: str
    erased: bool
    removed: dict[str, int]
    freed_bytes: int
    kept: list[dict[str, Any]]
    public: list[dict[str, Any]]
    next: str | None


class Letter(TypedDict):
    """A message that gave up."""

    id: int
    service: str
    name: str
    subject: str
    key: str
    reason: str
    at: str
    since: str
    tried: int
    tries: list[dict[str, Any]]
    headers: dict[str, Any]
    retry: dict[str, Any]
    links: Links


class LetterPage(TypedDict):
    """A page of dead letters."""

    letters: list[Letter]
    total: int
    next: str | None


class LetterDetail(Letter):
    """A dead letter with its payload."""

    payload: dict[str, Any]


class LetterSent(TypedDict):
    """A dead letter that went back."""

    id: int
    retried: bool
    subject: str
