"""Content on an IPFS node, pinned, by the Kubo RPC API (https://docs.ipfs.tech/reference/kubo/rpc/).

Files are added with the import profile of :mod:`artdag_common.cid`, so that the node names them as we do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp

from artdag_common.blobs.endpoints import Hosts, parse_endpoint, shown
from artdag_common.blobs.http import BUSY, PIECE_BYTES, HttpPlace, busy
from artdag_common.blobs.remote import Progress, Usage
from artdag_common.blobs.trial import try_out
from artdag_common.cid import CHUNK, cid_v0, parse_cid
from artdag_common.errors import (
    ArtdagError,
    ContentNotFoundError,
    InvalidCidError,
    ServiceUnavailableError,
    StorageRefusedError,
)

ASKED_ALONE = 32  # more CIDs than this are looked for in the list of all pins
ASKED_AT_ONCE = 8
SEARCH_SECONDS = 60.0
LEAST_IMPORTED_BYTES_A_SECOND = 4 * 2**20
RAW_PREFIX = "bafk"
NOT_PINNED = "not pinned"
ABSENT = ("not found", "could not find", "no providers", "deadline exceeded", "context canceled", "timeout")
FULL = ("no space left", "storagemax", "maxstorage", "quota")


class IpfsStore:
    """A :class:`RemoteStore` on an IPFS node.

    Args:
        api: the node's RPC API as a multiaddr, ``/dns/localhost/tcp/5001``, or a URL, ``https://host:5001``.
        token: sent as ``Authorization: Bearer …`` (``API.Authorizations`` in Kubo's configuration); empty: none.
        hosts: where the API may be; everywhere, unless told otherwise.
        timeout_seconds: for the next piece of an answer, and for the node to take the next piece.
        search_seconds: how long the node searches the network for content that it does not have.
    """

    def __init__(
        self,
        api: str,
        *,
        token: str = "",
        hosts: Hosts | None = None,
        timeout_seconds: float = 60.0,
        search_seconds: float = SEARCH_SECONDS,
    ) -> None:
        endpoint = parse_endpoint(api)
        self._http = HttpPlace(endpoint, f"IPFS node at {endpoint}", token, hosts, timeout_seconds)
        self._timeout = timeout_seconds
        self._search = search_seconds

    def __repr__(self) -> str:
        return f"IpfsStore({self._http.endpoint.url!r})"

    @property
    def name(self) -> str:
        """Which place this is, for people."""
        return self._http.name

    async def check(self) -> None:
        """See :class:`RemoteStore`."""
        await try_out(self, self.name)

    async def present(self, cids: Iterable[str]) -> set[str]:
        """See :class:`RemoteStore`. Present is what is pinned: the rest goes at the node's next cleaning."""
        asked = set(cids)
        if len(asked) > ASKED_ALONE:
            pinned = await self._pinned()
            return {cid for cid in asked if parse_cid(cid) in pinned}
        turn = asyncio.Semaphore(ASKED_AT_ONCE)

        async def one(cid: str) -> bool:
            async with turn:
                return await self._is_pinned(cid)

        ordered = sorted(asked)
        answers = await asyncio.gather(*(one(cid) for cid in ordered))
        return {cid for cid, found in zip(ordered, answers, strict=True) if found}

    async def fetch(self, cid: str) -> AsyncIterator[bytes]:
        """See :class:`RemoteStore`. What the node lacks it searches for in its network."""
        doing = f"read {cid}"
        arguments = {"arg": parse_cid(cid), "timeout": f"{self._search:g}s"}
        async with self._answer(doing, "cat", arguments, content=cid, seconds=self._search + self._timeout) as answer:
            async for piece in self._http.pieces(answer, doing):
                yield piece

    async def store(self, path: Path, cid: str, progress: Progress | None = None) -> str:
        """See :class:`RemoteStore`."""
        if not await self._is_pinned(cid):
            await self._add(path, cid, progress or Progress(), pin=True)
        return f"ipfs://{parse_cid(cid)}"

    async def provide(self, path: Path, cid: str) -> None:
        """Have the node offer a file to others without keeping it for good."""
        if not await self._is_pinned(cid):
            await self._add(path, cid, Progress(), pin=False)

    async def remove(self, cid: str) -> None:
        """See :class:`RemoteStore`. The pin goes; the node frees the room at its next cleaning."""
        for name in _forms(cid):
            try:
                await self._json(f"unpin {cid}", "pin/rm", {"arg": name, "recursive": "true"})
            except StorageRefusedError as error:
                if not error.values.get("not_pinned"):
                    raise

    async def usage(self) -> Usage:
        """See :class:`RemoteStore`. Of the whole node: it does not tell what is whose."""
        said = await self._json("tell its size", "repo/stat", {"size-only": "true"})
        used, capacity = said.get("RepoSize"), said.get("StorageMax")
        return Usage(None, int(used) if used is not None else None, int(capacity) if capacity else None)

    async def addresses(self) -> list[str]:
        """Return the multiaddrs at which others reach the node, with its peer id."""
        said = await self._json("tell its addresses", "id", {})
        return [str(address) for address in said.get("Addresses") or []]

    async def connect(self, addresses: Iterable[str]) -> None:
        """Have the node connect to others; those that cannot be reached are left out."""
        for address in addresses:
            with contextlib.suppress(ArtdagError):
                await self._json(f"connect to {address}", "swarm/connect", {"arg": address})

    async def close(self) -> None:
        """See :class:`RemoteStore`."""
        await self._http.close()

    # --- requests -----------------------------------------------------------------------------------------------------

    async def _is_pinned(self, cid: str) -> bool:
        for name in _forms(cid):
            try:
                await self._json(f"look for {cid}", "pin/ls", {"arg": name, "type": "recursive"})
            except StorageRefusedError as error:
                if not error.values.get("not_pinned"):
                    raise
            else:
                return True
        return False

    async def _pinned(self) -> set[str]:
        """Return the CIDs of all recursive pins, in our form; those of other kinds of content are left out."""
        found: set[str] = set()
        arguments = {"type": "recursive", "stream": "true", "quiet": "true"}
        async with self._answer("list its pins", "pin/ls", arguments) as answer:
            while True:
                async with self._http.waiting("list its pins"):
                    line = await answer.content.readline()
                if not line:
                    return found
                with contextlib.suppress(InvalidCidError):
                    found.add(parse_cid(str(_object(line).get("Cid", ""))))

    async def _add(self, path: Path, cid: str, progress: Progress, *, pin: bool) -> None:
        """Add a file with the import profile that gives ``cid``: our own, or that of CIDv1."""
        name, stored = parse_cid(cid), ""
        for version in (1,) if name.startswith(RAW_PREFIX) else (0, 1):
            try:
                stored = await self._add_as(path, cid, version, progress, pin=pin)
            except StorageRefusedError:
                if not stored:
                    raise
                break  # it knows one profile only
            if _same(stored, name):
                return
            if pin:
                await self._json(f"unpin {stored}", "pin/rm", {"arg": stored})
        raise StorageRefusedError(
            f"{self.name} names the content {name} otherwise, {shown(stored)}: it does not import as Kubo does"
        )

    async def _add_as(self, path: Path, cid: str, version: int, progress: Progress, *, pin: bool) -> str:
        arguments = {
            "pin": str(pin).lower(),
            "chunker": f"size-{CHUNK}",
            "cid-version": str(version),
            "raw-leaves": str(version == 1).lower(),
            "hash": "sha2-256",
            "progress": "false",
        }
        doing, boundary = f"store {cid}", f"artdag-{secrets.token_hex(16)}"
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        with path.open("rb") as file:
            body = _Upload(file, path.stat().st_size, boundary, progress)
            async with (
                self._answer(doing, "add", arguments, headers=headers, body=body.pieces) as answer,
                self._http.waiting(doing),
            ):
                lines = (await answer.text()).splitlines()
        stored = str(_object(lines[-1].encode()).get("Hash", "")) if lines else ""
        if not stored:  # an error after the answer has begun is told where HTTP clients do not look
            raise ServiceUnavailableError(f"{self.name} broke off when asked to {doing}")
        return stored

    async def _json(self, doing: str, command: str, arguments: dict[str, str]) -> dict[str, Any]:
        async with self._answer(doing, command, arguments) as answer, self._http.waiting(doing):
            return _object(await answer.read())

    @contextlib.asynccontextmanager
    async def _answer(
        self, doing: str, command: str, arguments: dict[str, str], *, content: str = "", **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for something; the answer is there and a good one when the block is entered."""
        async with self._http.answer(doing, "POST", f"/api/v0/{command}", params=arguments, **more) as answer:
            if answer.status != 200:
                async with self._http.waiting(doing):
                    said = await answer.content.read(PIECE_BYTES)
                raise self._refused(answer, said, doing, content)
            yield answer

    def _refused(self, answer: aiohttp.ClientResponse, said: bytes, doing: str, content: str) -> ArtdagError:
        """Return what an answer other than 200 means."""
        status = answer.status
        text = _message(said)
        quoted = f"{self.name}: asked to {doing}, it answered {status}: {self._http.shown(text)}"
        if status in (401, 403):
            return StorageRefusedError(f"{quoted}; check the token, and what the node's API.Authorizations allow")
        if status in BUSY:
            return busy(quoted, answer.headers.get("Retry-After"))
        if status in (502, 504):
            return ServiceUnavailableError(quoted)
        if status != 500:
            return StorageRefusedError(f"{quoted}; check that this is the RPC API of an IPFS node (port 5001)")
        lower = text.lower()
        if content and any(each in lower for each in ABSENT):
            return ContentNotFoundError(f"{self.name} has no content {content} and found none", cid=content)
        if NOT_PINNED in lower:
            return StorageRefusedError(quoted, not_pinned=True)
        if any(each in lower for each in FULL):
            return StorageRefusedError(f"{quoted}; make room there")
        return ServiceUnavailableError(quoted)


class _Upload:
    """A file as the only part of a form."""

    def __init__(self, file: BinaryIO, size_bytes: int, boundary: str, progress: Progress) -> None:
        self._file = file
        self._size = size_bytes
        self._boundary = boundary
        self._progress = progress

    async def pieces(self, extend: Callable[[float], None]) -> AsyncIterator[bytes]:
        """Give the form piece by piece; each taken extends the time, the last by what the node may need to import."""
        yield (
            f"--{self._boundary}\r\n"
            'Content-Disposition: form-data; name="file"; filename="content"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        self._progress.done_bytes = 0
        while piece := await asyncio.to_thread(self._file.read, PIECE_BYTES):
            extend(0)
            yield piece
            self._progress.done_bytes += len(piece)
        extend(self._size / LEAST_IMPORTED_BYTES_A_SECOND)
        yield f"\r\n--{self._boundary}--\r\n".encode()


def _message(said: bytes) -> str:
    """Return the message of an error as Kubo writes it, or the text itself."""
    try:
        return str(json.loads(said)["Message"])
    except (ValueError, KeyError, TypeError):
        return said.decode(errors="replace")


def _object(text: bytes) -> dict[str, Any]:
    """Return a JSON object; empty where it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _forms(cid: str) -> list[str]:
    """Return a CID as version 0 and 1, which a node pins as if they were two things."""
    name = parse_cid(cid)
    return [name] if name.startswith(RAW_PREFIX) else [cid_v0(name), name]


def _same(said: str, cid: str) -> bool:
    """Return whether a node's CID, in whatever form, is ``cid``."""
    try:
        return parse_cid(said) == cid
    except InvalidCidError:
        return False
