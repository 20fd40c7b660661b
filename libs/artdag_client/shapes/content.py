"""Content, and what is said of it."""

from __future__ import annotations

from typing import Any, TypedDict

from artdag_client.shapes.common import Deleted, Links
from artdag_client.shapes.publications import Publication


class Name(TypedDict):
    """What somebody calls content."""

    owner: str
    name: str


class Description(TypedDict):
    """What somebody says of content."""

    owner: str
    description: str
    tags: list[str]


class Meta(TypedDict):
    """What content is, and what is said of it. ``name``, ``description``, ``tags``: by you."""

    cid: str
    size_bytes: int
    media_type: str
    origin: str
    names: list[Name]
    stored_at: str
    links: Links
    name: str | None
    title: str | None
    description: str
    tags: list[str]
    descriptions: list[Description]
    published: list[Publication]


class ContentPage(TypedDict):
    """A page of content."""

    objects: list[Meta]
    total: int
    next: str | None


class CopyProgress(TypedDict):
    """How far a copy is that is being made, in bytes; ``status``: what a pinning service says: queued, pinning."""

    done: int
    total: int
    status: str | None


class Copied(TypedDict):
    """How it stands with content at a storage provider."""

    storage_id: str
    name: str
    kind: str
    state: str
    location: str | None
    reason: str | None
    progress: CopyProgress | None
    updated_at: str
    links: Links


class Used(TypedDict):
    """Which runs and recipes use content."""

    runs: list[dict[str, Any]]
    recipes: list[dict[str, Any]]


class Content(Meta):
    """All that is known of content; ``facts``: what media holds, with ``status``."""

    facts: dict[str, Any] | None
    preview: dict[str, Any]
    used: Used
    copies: list[Copied]


class Media(Meta):
    """Content that can be seen or heard."""

    kind: str
    facts: dict[str, Any] | None
    preview: dict[str, Any]


class MediaPage(TypedDict):
    """A page of the gallery."""

    media: list[Media]
    total: int
    next: str | None


class Asset(TypedDict):
    """Content by a name that recipes and runs may use."""

    name: str
    owner: str
    cid: str
    size_bytes: int
    media_type: str
    origin: str
    stored_at: str
    links: Links


class AssetPage(TypedDict):
    """A page of names."""

    assets: list[Asset]
    total: int
    next: str | None


class ContentDeleted(Deleted):
    """Which content is gone, and how much room that made."""

    cid: str
    freed_bytes: int


class Amount(TypedDict):
    """So many, of so many bytes."""

    objects: int
    bytes: int


class Usage(TypedDict):
    """What a user's content takes; None: no limit."""

    owner: str
    used_bytes: int
    quota_bytes: int | None
    free_bytes: int | None
    objects: int
    uploads: Amount
    outputs: Amount
