# Made of _async/places.py by artdag_client.make_sync. Change that one.
"""Storage providers and webhooks: places of yours that get copies, and that are told how runs end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from artdag_client._sync.connection import Connection
from artdag_client.asking import body, keyed, part, query
from artdag_client.shapes import (
    Copy,
    CopyPage,
    Delivery,
    NewWebhook,
    Storage,
    StorageDeleted,
    StorageDetail,
    StorageForm,
    StoragePage,
    StorageTest,
    Webhook,
    WebhookDeleted,
    WebhookDetail,
    WebhookTest,
)


class Storages:
    """``client.storage``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, *, limit: int | None = None) -> Iterator[Storage]:
        """Yield your providers, newest first."""
        return self._connection.pages("/storage", "storage", limit)

    def page(self, *, cursor: str | None = None, limit: int | None = None) -> StoragePage:
        """Return one page of :meth:`list`."""
        found: StoragePage = self._connection.ask("GET", "/storage", params=query(cursor=cursor, limit=limit))
        return found

    def form(self, kind: str) -> StorageForm:
        """Return what a kind of provider (``local``, ``s3``, ``ipfs``) has to be told, in order."""
        found: StorageForm = self._connection.ask("GET", f"/storage/type/{part(kind)}")
        return found

    def add(
        self,
        kind: str,
        name: str,
        settings: Mapping[str, Any],
        capacity_bytes: int | None = None,
        key: str | None = None,
    ) -> Storage:
        """Have what is yours copied to a place of your own: all you have already, and all that comes.

        Secrets are among the settings; they are sealed at once and never shown again.
        """
        asked = body(type=kind, name=name, settings=dict(settings), capacity_bytes=capacity_bytes)
        found: Storage = self._connection.ask("POST", "/storage/add", json=asked, headers=keyed(key))
        return found

    def get(self, storage_id: str) -> StorageDetail:
        """Return a provider with what is being copied now."""
        found: StorageDetail = self._connection.ask("GET", f"/storage/{part(storage_id)}")
        return found

    def change(
        self,
        storage_id: str,
        *,
        name: str | None = None,
        settings: Mapping[str, Any] | None = None,
        capacity_bytes: int | None = None,
        enabled: bool | None = None,
        key: str | None = None,
    ) -> Storage:
        """Change a provider, or turn it off and on. What is not given stays; a setting that is None goes back.

        ``capacity_bytes`` 0: no limit.
        """
        given: dict[str, Any] = {
            "name": name,
            "settings": None if settings is None else dict(settings),
            "enabled": enabled,
        }
        asked = {name: value for name, value in given.items() if value is not None}
        if capacity_bytes is not None:
            asked["capacity_bytes"] = capacity_bytes or None
        found: Storage = self._connection.ask("PATCH", f"/storage/{part(storage_id)}", json=asked, headers=keyed(key))
        return found

    def test(self, storage_id: str, key: str | None = None) -> StorageTest:
        """Store something small there, read it back, remove it; say what does not work."""
        found: StorageTest = self._connection.ask("POST", f"/storage/{part(storage_id)}/test", headers=keyed(key))
        return found

    def copies(self, storage_id: str, *, state: str = "", limit: int | None = None) -> Iterator[Copy]:
        """Yield how it stands with each content there; ``state``: only ``made``, ``waiting`` or ``failed``."""
        return self._connection.pages(f"/storage/{part(storage_id)}/copies", "copies", limit, state=state)

    def copies_page(
        self, storage_id: str, *, state: str = "", cursor: str | None = None, limit: int | None = None
    ) -> CopyPage:
        """Return one page of :meth:`copies`."""
        found: CopyPage = self._connection.ask(
            "GET",
            f"/storage/{part(storage_id)}/copies",
            params=query(state=state, cursor=cursor, limit=limit),
        )
        return found

    def retry(self, storage_id: str, cid: str = "", key: str | None = None) -> Storage:
        """Ask again for all copies that failed there, or for one; and try at once what waits."""
        found: Storage = self._connection.ask(
            "POST", f"/storage/{part(storage_id)}/retry", params=query(cid=cid), headers=keyed(key)
        )
        return found

    def delete(self, storage_id: str, purge: bool = False, key: str | None = None) -> StorageDeleted:
        """Forget a provider and its secrets; ``purge``: also remove the copies there."""
        found: StorageDeleted = self._connection.ask(
            "DELETE", f"/storage/{part(storage_id)}", params=query(purge=purge), headers=keyed(key)
        )
        return found


class Webhooks:
    """``client.webhooks``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> Sequence[Webhook]:
        """Return your webhooks, newest first."""
        found: Sequence[Webhook] = (self._connection.ask("GET", "/webhooks"))["webhooks"]
        return found

    def add(
        self, url: str, events: Sequence[str] = (), secret: str | None = None, key: str | None = None
    ) -> NewWebhook:
        """Have an address told how your runs end. The answer has the secret that every message is signed with.

        Args:
            events: of ``run.completed``, ``run.failed``, ``run.cancelled``; none: all of them.
            secret: ``whsec_`` and 24 to 64 bytes in base64; None: one is made.
        """
        asked = body(url=url, events=[*events], secret=secret)
        found: NewWebhook = self._connection.ask("POST", "/webhooks", json=asked, headers=keyed(key))
        return found

    def get(self, webhook_id: str, *, cursor: str | None = None, limit: int | None = None) -> WebhookDetail:
        """Return a webhook with a page of what it was told."""
        found: WebhookDetail = self._connection.ask(
            "GET", f"/webhooks/{part(webhook_id)}", params=query(cursor=cursor, limit=limit)
        )
        return found

    def deliveries(self, webhook_id: str, *, limit: int | None = None) -> Iterator[Delivery]:
        """Yield what a webhook was told, newest first."""
        return self._connection.pages(f"/webhooks/{part(webhook_id)}", "deliveries", limit)

    def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        secret: str | None = None,
        enabled: bool | None = None,
        key: str | None = None,
    ) -> Webhook:
        """Change a webhook, or turn it off and on; what is not given stays."""
        asked = {"url": url, "events": None if events is None else [*events], "secret": secret, "enabled": enabled}
        found: Webhook = self._connection.ask(
            "PATCH",
            f"/webhooks/{part(webhook_id)}",
            json={name: value for name, value in asked.items() if value is not None},
            headers=keyed(key),
        )
        return found

    def test(self, webhook_id: str, key: str | None = None) -> WebhookTest:
        """Send a signed ping, and tell what came back."""
        found: WebhookTest = self._connection.ask("POST", f"/webhooks/{part(webhook_id)}/test", headers=keyed(key))
        return found

    def retry(self, webhook_id: str, delivery_id: str, key: str | None = None) -> Delivery:
        """Send a delivery again, under the same id."""
        found: Delivery = self._connection.ask(
            "POST",
            f"/webhooks/{part(webhook_id)}/deliveries/{part(delivery_id)}/retry",
            headers=keyed(key),
        )
        return found

    def delete(self, webhook_id: str, key: str | None = None) -> WebhookDeleted:
        """Forget a webhook and its secret."""
        found: WebhookDeleted = self._connection.ask("DELETE", f"/webhooks/{part(webhook_id)}", headers=keyed(key))
        return found
