"""Messages to webhooks over HTTP: to allowed addresses only, no redirect followed, bounded in time and in bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp
import structlog

from artdag_common.blobs.endpoints import Endpoint, Hosts, parse_endpoint, shown
from artdag_common.blobs.http import HttpPlace
from artdag_common.domain.webhook import signed_headers
from artdag_common.errors import (
    ConfigurationError,
    ServiceUnavailableError,
    StorageRefusedError,
    WebhookRefusedError,
)
from artdag_common.federation.l2 import retry_after_seconds
from artdag_common.sealing import Sealer

HOSTS_SETTING = "ARTDAG_WEBHOOK_HOSTS"
ANSWER_SECONDS = 15.0
"""For connecting and the head of the answer; its body is read for :data:`BODY_SECONDS`."""
BODY_SECONDS = 2.0
BODY_BYTES = 4096
GONE = 410
SECRET = "secret"  # noqa: S105  (name of the field)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a message.

    Attributes:
        status: HTTP status of the answer; 0: there was none.
        reason: why it was not taken; empty: it was.
        retry_after: when to ask again, seconds; 0: it does not say.
    """

    status: int
    reason: str = ""
    retry_after: float = 0.0

    @property
    def taken(self) -> bool:
        """Whether it was taken."""
        return not self.reason


def sealed_for(webhook_id: str) -> str:
    """Return what a webhook's secret is sealed for."""
    return f"webhook-{webhook_id}"


def read_url(text: str) -> tuple[Endpoint, str]:
    """Return scheme, host and port of a webhook's address, and its path.

    Raises:
        WebhookRefusedError: it is no https:// or http:// URL; or it holds a user name, a password, a query or a
            fragment.
    """
    if text.startswith("/") or not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise WebhookRefusedError("url: begin it with https://, and write what is not ASCII as %XX")
    try:
        endpoint = parse_endpoint(text)
    except StorageRefusedError as error:
        raise WebhookRefusedError(f"url: {error.message}") from error
    return replace(endpoint, path=""), urlsplit(text).path or "/"


class Caller:
    """Sends messages."""

    def __init__(self, hosts: Hosts, sealer: Sealer) -> None:
        """``hosts``: which may be called."""
        self._hosts = hosts
        self._sealer = sealer

    async def permit(self, url: str) -> None:
        """Make sure that people may name an address. It is looked at again at each connection.

        Raises:
            WebhookRefusedError: they may not, or it is none.
        """
        endpoint, _ = read_url(url)
        if endpoint.scheme != "https" and not self._hosts.names(endpoint):
            raise WebhookRefusedError(
                f"url: {endpoint} needs https://; the operator can allow this host without, with {HOSTS_SETTING}"
            )
        try:
            await self._hosts.permit(endpoint)
        except StorageRefusedError as error:
            raise WebhookRefusedError(f"url: {error.message}") from error
        except ServiceUnavailableError as error:
            log.info("address of a webhook is not checked yet", reason=error.message)

    async def call(self, webhook_id: str, url: str, sealed: bytes, message_id: str, body: bytes) -> Reply:
        """Send a message, signed, and return what came of it."""
        try:
            await self.permit(url)  # the operator may have thought better of it
            secret = self._sealer.open(sealed_for(webhook_id), SECRET, sealed)
        except WebhookRefusedError as error:
            return Reply(0, error.message)
        except ConfigurationError:
            return Reply(0, "its secret was sealed with a key that this server has no more; set it again")
        seconds = int(datetime.now(UTC).timestamp())
        return await self._post(url, signed_headers(secret, message_id, seconds, body), body)

    async def _post(self, url: str, signed: Mapping[str, str], body: bytes) -> Reply:
        endpoint, path = read_url(url)
        place = HttpPlace(endpoint, str(endpoint), "", self._hosts, ANSWER_SECONDS)
        headers = {
            **signed,
            "Content-Type": "application/json",
            "User-Agent": "artdag",
            "Accept-Encoding": "identity",
        }
        try:
            async with place.answer(
                "take a message", "POST", path, data=body, headers=headers, auto_decompress=False
            ) as answer:
                return await _read(place, answer)
        except (ServiceUnavailableError, StorageRefusedError) as error:
            return Reply(0, error.message)
        finally:
            await place.close()


async def _read(place: HttpPlace, answer: aiohttp.ClientResponse) -> Reply:
    """Return what an answer says. Its body is only for people, and may be cut off."""
    status = answer.status
    if 200 <= status < 300:
        return Reply(status)
    if 300 <= status < 400:
        return Reply(status, f"it answers {status}, and redirects are not followed: name the address that it leads to")
    text = bytearray()
    with contextlib.suppress(ServiceUnavailableError, TimeoutError):
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in place.pieces(answer, "be read"):
                text += piece
                if len(text) >= BODY_BYTES:
                    break
    said = shown(bytes(text[:BODY_BYTES]).decode("utf-8", "replace"))
    printable = "".join(each if each.isprintable() else "�" for each in said)
    asked = retry_after_seconds(answer.headers.get("Retry-After", ""), datetime.now(UTC))
    return Reply(status, f"it answers {status}: {printable}".rstrip(": "), asked)
