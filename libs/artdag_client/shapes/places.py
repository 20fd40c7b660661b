"""Storage providers and webhooks."""

from __future__ import annotations

from typing import Any, TypedDict

from artdag_client.shapes.common import Deleted, Links
from artdag_client.shapes.content import CopyProgress


class StorageUsage(TypedDict):
    """Copies at a provider by how they stand."""

    made: dict[str, int]
    waiting: dict[str, int]
    failed: dict[str, int]
    fraction: float


class Storage(TypedDict):
    """A place of yours that gets copies; ``status``: ready, refused, away, or not known yet.

    ``copying``: what is being copied now, by CID.
    """

    storage_id: str
    type: str
    name: str
    status: str
    code: str | None
    reason: str | None
    enabled: bool
    settings: dict[str, Any]
    secrets: dict[str, Any]
    capacity_bytes: int | None
    usage: StorageUsage
    copying: dict[str, CopyProgress]
    checked_at: str | None
    created_at: str
    updated_at: str
    links: Links


class StoragePage(TypedDict):
    """A page of providers."""

    storage: list[Storage]
    total: int
    next: str | None


class StorageDetail(Storage):
    """A provider by itself."""


class StorageTest(TypedDict):
    """Whether a place works, and if not, why."""

    storage_id: str
    ok: bool
    status: str | None
    code: str | None
    reason: str | None


class StorageDeleted(Deleted):
    """Which provider is forgotten."""

    storage_id: str
    name: str
    purge: bool


class StorageForm(TypedDict):
    """What a kind of provider has to be told."""

    type: str
    label: str
    description: str
    fields: list[dict[str, Any]]


class Copy(TypedDict):
    """A copy at a provider: made, waiting or failed."""

    cid: str
    state: str
    location: str | None
    size_bytes: int | None
    attempt: int
    code: str | None
    reason: str | None
    progress: CopyProgress | None
    requested_at: str
    updated_at: str
    links: Links


class CopyPage(TypedDict):
    """A page of copies."""

    copies: list[Copy]
    total: int
    next: str | None


class Webhook(TypedDict):
    """An address that is told how your runs end; ``reason``: why the server disabled it."""

    webhook_id: str
    url: str
    events: list[str]
    enabled: bool
    reason: str | None
    secret_set_at: str
    created_at: str
    updated_at: str
    links: Links


class NewWebhook(Webhook):
    """A webhook with its secret, which is shown this once."""

    secret: str


class Delivery(TypedDict):
    """What a webhook was told, and what came of it."""

    delivery_id: str
    event: str
    run_id: str
    state: str
    attempts: int
    status: int | None
    reason: str | None
    next_attempt_at: str | None
    requested_at: str
    updated_at: str
    links: Links


class WebhookDetail(Webhook):
    """A webhook, with a page of what it was told."""

    deliveries: list[Delivery]
    total: int
    next: str | None


class WebhookDeleted(Deleted):
    """Which webhook is forgotten."""

    webhook_id: str


class WebhookTest(TypedDict):
    """What a ping came to; ``status`` 0: nothing came back."""

    webhook_id: str
    ok: bool
    status: int
    reason: str | None
    duration_ms: int
