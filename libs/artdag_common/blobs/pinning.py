"""Content kept by a pinning service (https://ipfs.github.io/pinning-services-api-spec/).

Such a service takes names, not bytes: it fetches what it is to pin from an IPFS node of ours, and what it keeps is
read through that node, or through a gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import aiohttp

from artdag_common.blobs.endpoints import Hosts, parse_endpoint
from artdag_common.blobs.http import BUSY, HttpPlace, busy
from artdag_common.blobs.ipfs import IpfsStore
from artdag_common.blobs.remote import Progress, Usage
from artdag_common.blobs.trial import try_out
from artdag_common.cid import parse_cid
from artdag_common.errors import (
    ArtdagError,
    ContentNotFoundError,
    InvalidCidError,
    ServiceUnavailableError,
    StorageRefusedError,
)

MOST_CIDS = 10  # in one question, by the specification
MOST_RESULTS = 1000
MOST_ORIGINS = 20
FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 10.0
ANY_STATUS = "queued,pinning,pinned,failed"
UNDER_WAY = ("queued", "pinning")


class PinningStore:
    """A :class:`RemoteStore` at a pinning service.

    Args:
        endpoint: URL to which ``/pins`` is appended.
        token: the access token.
        node: our IPFS node, from which the service fetches.
        closes_node: nobody else uses it.
        gateway: URL to which ``/CID`` is appended (``IPFS_GATEWAY_URL``), to read what the node does not find; empty:
            none.
        hosts: where endpoint and gateway may be; everywhere, unless told otherwise.
        timeout_seconds: for an answer.
        pinning_seconds: for the service to fetch content; what takes longer is asked for again later and goes on.
    """

    def __init__(
        self,
        endpoint: str,
        token: str,
        node: IpfsStore,
        *,
        closes_node: bool = False,
        gateway: str = "",
        hosts: Hosts | None = None,
        timeout_seconds: float = 60.0,
        pinning_seconds: float = 1800.0,
    ) -> None:
        place = parse_endpoint(endpoint)
        self._http = HttpPlace(place, f"pinning service at {place}", token, hosts, timeout_seconds)
        self._gateway: HttpPlace | None = None
        if gateway:
            place = parse_endpoint(gateway)
            self._gateway = HttpPlace(place, f"gateway at {place}", "", hosts, timeout_seconds)
        self._node = node
        self._closes_node = closes_node
        self._pinning = pinning_seconds

    def __repr__(self) -> str:
        return f"PinningStore({self._http.endpoint.url!r})"

    @property
    def name(self) -> str:
        """Which place this is, for people."""
        return self._http.name

    async def check(self) -> None:
        """See :class:`RemoteStore`."""
        await try_out(self, self.name)

    async def present(self, cids: Iterable[str]) -> set[str]:
        """See :class:`RemoteStore`."""
        names = {cid: parse_cid(cid) for cid in cids}
        ordered = sorted(set(names.values()))
        pinned: set[str] = set()
        for start in range(0, len(ordered), MOST_CIDS):
            pinned |= {_cid(pin) for pin in await self._pins(ordered[start : start + MOST_CIDS], "pinned")}
        return {cid for cid, name in names.items() if name in pinned}

    async def fetch(self, cid: str) -> AsyncIterator[bytes]:
        """See :class:`RemoteStore`. The node finds it in its network; what it does not find, the gateway may."""
        begun = False
        try:
            async for piece in self._node.fetch(cid):
                begun = True
                yield piece
            return
        except (ContentNotFoundError, ServiceUnavailableError):
            if begun or self._gateway is None:
                raise
        async for piece in self._from_gateway(self._gateway, cid):
            yield piece

    async def store(self, path: Path, cid: str, progress: Progress | None = None) -> str:
        """See :class:`RemoteStore`. What was asked for before and is still under way is waited for.

        The service tells whether it has begun, and not how many bytes it has.
        """
        name = parse_cid(cid)
        pins = {str(pin.get("status")): pin for pin in await self._pins([name], ANY_STATUS)}
        if "pinned" not in pins:
            await self._node.provide(path, cid)
            waiting = next((pins[status] for status in UNDER_WAY if status in pins), None)
            pin = waiting or await self._request(name)
            await self._node.connect(str(each) for each in pin.get("delegates") or [])
            await self._until_pinned(pin, name, progress or Progress())
        return f"ipfs://{name} at {self._http.endpoint}"

    async def remove(self, cid: str) -> None:
        """See :class:`RemoteStore`."""
        for pin in await self._pins([parse_cid(cid)], ANY_STATUS):
            await self._delete(pin)

    async def usage(self) -> Usage:
        """See :class:`RemoteStore`. The service tells how many pins there are, not how much they hold."""
        said = await self._ask("count its pins", "GET", "/pins", {"status": "pinned", "limit": "1"})
        count = said.get("count")
        return Usage(count if isinstance(count, int) else None, None, None)

    async def close(self) -> None:
        """See :class:`RemoteStore`."""
        await self._http.close()
        if self._gateway:
            await self._gateway.close()
        if self._closes_node:
            await self._node.close()

    # --- requests -----------------------------------------------------------------------------------------------------

    async def _pins(self, names: list[str], status: str) -> list[dict[str, Any]]:
        """Return the pin objects of CIDs."""
        arguments = {"cid": ",".join(names), "status": status, "limit": str(MOST_RESULTS)}
        said = await self._ask(f"look for {', '.join(names)}", "GET", "/pins", arguments)
        return [pin for pin in said.get("results") or [] if _cid(pin) in names]

    async def _request(self, name: str) -> dict[str, Any]:
        origins = (await self._node.addresses())[:MOST_ORIGINS]
        return await self._ask(
            f"pin {name}",
            "POST",
            "/pins",
            body={"cid": name, "name": name, "origins": origins, "meta": {"app": "artdag"}},
        )

    async def _until_pinned(self, pin: dict[str, Any], name: str, progress: Progress) -> None:
        """Wait for the service to have fetched everything."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._pinning
        wait = FIRST_WAIT_SECONDS
        while (status := pin.get("status")) != "pinned":
            if status == "failed":
                why = self._http.shown((pin.get("info") or {}).get("status_details", "it does not say why"))
                with contextlib.suppress(ArtdagError):
                    await self._delete(pin)  # so that the next attempt is a new one
                raise ServiceUnavailableError(f"{self.name} could not pin {name}: {why}")
            progress.status = status if status in UNDER_WAY else ""
            if loop.time() > deadline:
                raise ServiceUnavailableError(
                    f"{self.name} has not pinned {name} after {self._pinning:g} s, it is {self._http.shown(status)};"
                    " it has to reach our IPFS node to fetch it"
                )
            await asyncio.sleep(min(wait, max(0.0, deadline - loop.time()) + 0.01))
            wait = min(wait * 1.5, LONGEST_WAIT_SECONDS)
            pin = await self._ask(f"tell how {name} is", "GET", f"/pins/{pin.get('requestid')}")

    async def _delete(self, pin: dict[str, Any]) -> None:
        try:
            await self._ask(f"unpin {_cid(pin)}", "DELETE", f"/pins/{pin.get('requestid')}")
        except StorageRefusedError as error:
            if error.values.get("status") != 404:
                raise

    async def _ask(
        self,
        doing: str,
        method: str,
        path: str,
        arguments: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        async with self._http.answer(doing, method, path, params=arguments, json=body) as answer:
            async with self._http.waiting(doing):
                said = await answer.read()
            if answer.status >= 300 or answer.status < 200:
                raise self._refused(answer, said, doing)
        value = _object(said)
        if method != "DELETE" and value is None:
            raise StorageRefusedError(
                f"{self.name}: asked to {doing}, it did not answer in JSON; check that the endpoint is that of the"
                " Pinning Service API"
            )
        return value or {}

    async def _from_gateway(self, gateway: HttpPlace, cid: str) -> AsyncIterator[bytes]:
        doing = f"read {cid}"
        async with gateway.answer(doing, "GET", f"/{parse_cid(cid)}") as answer:
            if answer.status in (404, 410, 504):
                raise ContentNotFoundError(f"neither our IPFS node nor the {gateway.name} has {cid}", cid=cid)
            if answer.status != 200:
                raise ServiceUnavailableError(f"{gateway.name}: asked to {doing}, it answered {answer.status}")
            async for piece in gateway.pieces(answer, doing):
                yield piece

    def _refused(self, answer: aiohttp.ClientResponse, said: bytes, doing: str) -> ArtdagError:
        """Return what a refusing answer means."""
        status = answer.status
        error = (_object(said) or {}).get("error")
        if not isinstance(error, dict):
            error = {"reason": said.decode(errors="replace")}
        words = ": ".join(str(error[key]) for key in ("reason", "details") if error.get(key))
        quoted = f"{self.name}: asked to {doing}, it answered {status}: {self._http.shown(words)}"
        if status in BUSY:
            return busy(quoted, answer.headers.get("Retry-After"))
        if status >= 500:
            return ServiceUnavailableError(quoted)
        if status in (401, 403):
            return StorageRefusedError(f"{quoted}; check the access token", status=status)
        advice = "make room there, or raise the plan" if status in (402, 409) else "check the endpoint"
        return StorageRefusedError(f"{quoted}; {advice}", status=status)


def _object(said: bytes) -> dict[str, Any] | None:
    """Return a JSON object, or None where it is none."""
    try:
        value = json.loads(said)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _cid(pin: dict[str, Any]) -> str:
    """Return the CID of a pin object in our form; empty where it is of another kind."""
    try:
        return parse_cid(str((pin.get("pin") or {}).get("cid", "")))
    except InvalidCidError:
        return ""
