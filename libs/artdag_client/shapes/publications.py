"""What is public, in whose name, and what the registry made of it."""

from __future__ import annotations

from typing import Any, TypedDict


class Activity(TypedDict):
    """What was told to the registry, and what became of it."""

    id: str
    state: str
    attempts: int
    last_error: str | None
    next_attempt_at: str | None
    link: str | None


class Publication(TypedDict):
    """Under what content is public in somebody's name."""

    owner: str
    name: str
    description: str
    published_at: str
    run_id: str | None
    recipe_cid: str | None
    provenance_cid: str | None
    object: str | None
    activity: Activity


class Published(TypedDict):
    """What was published."""

    cid: str
    published: Publication


class Standing(TypedDict):
    """How a publication stands: none, local, pending, delivered, refused, unpublished."""

    cid: str
    state: str
    published: Publication | None
    activities: list[dict[str, Any]]
