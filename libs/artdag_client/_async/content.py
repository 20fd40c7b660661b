"""Content: bytes by their CID, in and out, and what is said of them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncIterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import httpx

from artdag_client._async.connection import AsyncConnection
from artdag_client.asking import (
    BLOCK,
    STREAM,
    TUS,
    Progress,
    Rest,
    body,
    keyed,
    nothing,
    part,
    query,
    tus_metadata,
)
from artdag_client.cids import Verifier, canonical
from artdag_client.clocks import async_pause, monotonic
from artdag_client.errors import (
    ConflictError,
    NoAnswerError,
    RefusedError,
    WaitedTooLongError,
    WrongContentError,
)
from artdag_client.repeating import UPLOAD_BUSY, wait_after
from artdag_client.saving import saving
from artdag_client.shapes import (
    Asset,
    Content,
    ContentDeleted,
    ContentPage,
    Media,
    MediaPage,
    Meta,
    Published,
    Standing,
    Usage,
)

AT_ONCE = 4 * BLOCK
"""What is sent together with the request that begins an upload."""

PARTIAL = 206


class AsyncContents:
    """``client.content``."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def upload(self, path: str | Path, name: str = "", progress: Progress = nothing) -> str:
        """Upload a file and return its CID. Where the connection breaks, it goes on from where it was (tus 1.0).

        Args:
            name: what you call it; empty: the file's name without its ending.
            progress: is told bytes sent and in all.

        Raises:
            OSError: it cannot be read, or is a pipe or a device, whose end nobody knows.
        """
        path = Path(path)
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "is no ordinary file; save what comes from it as one", str(path))
            return await self._upload(file, found.st_size, path.name, name or path.stem, progress)

    async def upload_bytes(self, data: bytes, name: str = "", filename: str = "") -> str:
        """Upload bytes and return their CID; see :meth:`upload`."""
        return await self._upload(BytesIO(data), len(data), filename or name, name, nothing)

    async def _upload(self, file: IO[bytes], size: int, filename: str, name: str, progress: Progress) -> str:
        headers = {**TUS, "Upload-Length": str(size), "Upload-Metadata": tus_metadata(filename, name)}
        if size <= AT_ONCE:
            begun = await self._connection.ask(
                "POST", "/cache/uploads", headers={**headers, **STREAM}, content=file.read()
            )
        else:
            begun = await self._connection.ask("POST", "/cache/uploads", headers=headers)
        place = f"/cache/uploads/{part(begun['upload_id'])}"
        await self._go_on(file, int(begun["offset"]), size, place, progress)
        progress(size, size)
        return str(begun["cid"] or await self._stored(place, filename))

    async def _stored(self, place: str, filename: str) -> str:
        """Return the CID of an upload that is sent; where a connection was lost at its end, it is stored just now."""
        until = monotonic() + self._connection.patience.pending_seconds
        while True:
            state = await self._connection.ask("GET", place, headers=TUS)
            if state["cid"]:
                return str(state["cid"])
            if monotonic() > until:
                raise WaitedTooLongError(f"{filename} is sent, and the server does not say that it is stored: {place}")
            await async_pause(self._connection.patience.again_seconds)

    async def _go_on(self, file: IO[bytes], offset: int, size: int, place: str, progress: Progress) -> None:
        """Send what is left of a file, over lost connections."""
        losses, lost = 0, False
        while offset < size:
            try:
                if lost:
                    said = await self._connection.once("HEAD", place, headers=TUS)
                else:
                    headers = {**TUS, **STREAM, "Upload-Offset": str(offset), "Content-Length": str(size - offset)}
                    rest = Rest(file, offset, size, progress)
                    said = await self._connection.once("PATCH", place, headers=headers, content=_blocks(rest))
            except (NoAnswerError, RefusedError) as error:
                losses, lost = losses + 1, True
                wait = _wait_after(error, self._connection.patience.again_seconds)
                if losses > self._connection.patience.losses or wait is None:
                    raise
                await async_pause(wait)
                continue
            lost = False
            here = int(said.headers["Upload-Offset"])
            losses = 0 if here > offset else losses
            offset = here

    async def download(
        self,
        cid: str,
        target: str | Path,
        progress: Progress = nothing,
        *,
        replace: bool = False,
        verify: bool = True,
    ) -> Path:
        """Save content to a file, which is there only once all of it came and hashes to its CID.

        Where the connection breaks, it goes on from where it was.

        Args:
            target: the file; of a folder, a file in it that is called by the CID.
            progress: is told bytes done and in all.
            replace: write over a file that is there.
            verify: see that the bytes hash to the CID; not of content that other software cut into blocks its own way.

        Raises:
            WrongContentError: they do not.
            FileInTheWayError: there is such a file, or something else that is never written over: a device.
        """
        path = Path(target)
        path = path / cid if path.is_dir() else path
        with saving(path, replace) as file:
            await self._receive(cid, file, progress, verify)
        return path

    async def read(self, cid: str) -> bytes:
        """Return content, all of it; see :meth:`download`."""
        file = BytesIO()
        await self._receive(cid, file, nothing, True)
        return file.getvalue()

    async def _receive(self, cid: str, file: IO[bytes], progress: Progress, verify: bool) -> None:
        path, losses, done, total = f"/cache/{part(cid)}/raw", 0, 0, -1
        patience, verifier = self._connection.patience, Verifier(cid)
        plainly = {"Accept": "*/*", "Accept-Encoding": "identity"}  # as it is: its length is known, and it goes on
        while done != total:
            rest = {"Range": f"bytes={done}-", "If-Range": f'"{canonical(cid)}"'} if done else {}
            try:
                async with self._connection.stream(path, plainly | rest) as response:
                    if response.status_code != PARTIAL:
                        file.seek(0)
                        file.truncate()
                        verifier, done = Verifier(cid), 0
                    length = response.headers.get("Content-Length")
                    total = -1 if length is None else done + int(length)
                    async for block in response.aiter_bytes():
                        file.write(block)
                        if verify:
                            verifier.update(block)
                        done += len(block)
                        losses = 0
                        progress(done, max(total, 0))
                    total = done if length is None else total
            except (httpx.TransportError, RefusedError) as error:
                losses += 1
                wait = _wait_after(error, patience.again_seconds)
                if losses > patience.losses or wait is None:
                    if isinstance(error, RefusedError):
                        raise
                    raise NoAnswerError(f"GET {path}: {str(error) or type(error).__name__}") from error
                await async_pause(wait)
        if verify and not verifier.is_so():
            raise WrongContentError(f"the {done} bytes that came for {cid} hash to something else")

    async def picture(
        self, cid: str, kind: str = "thumbnail", width: int | None = None, timeout: float | None = None
    ) -> bytes:
        """Return a picture of content: its ``thumbnail``, ``poster``, ``waveform`` or ``spectrogram``; or its ``mp4``.

        Waits until it is made. Width: 160, 320, 640 or 1280 pixels.

        Raises:
            WaitedTooLongError: it is not after ``timeout`` seconds.
        """
        until = None if timeout is None else monotonic() + timeout
        while True:
            response = await self._connection.send("GET", f"/cache/{part(cid)}/{kind}", params=query(width=width))
            if response.status_code != 202:
                return response.content
            if until is not None and monotonic() > until:
                raise WaitedTooLongError(f"the {kind} of {cid} is not made in time; it goes on")
            await async_pause(float(response.headers.get("Retry-After") or self._connection.patience.again_seconds))

    def list(
        self,
        *,
        type: str | None = None,  # noqa: A002  (the name of the parameter)
        name: str | None = None,
        tag: str | None = None,
        origin: str | None = None,
        owner: str | None = None,
        kept: bool = False,
        limit: int | None = None,
    ) -> AsyncIterator[Meta]:
        """Yield content, newest first: yours and what is published.

        Args:
            type: media type, or its first half.
            name: a part of one.
            origin: ``upload``, ``import``, ``step`` …
            owner: ``me``: only yours.
            kept: only what came in, and what runs gave in the end.
            limit: at most so many; None: all.
        """
        return self._connection.pages(
            "/cache", "objects", limit, type=type, name=name, tag=tag, origin=origin, owner=owner, kept=kept
        )

    async def page(self, *, cursor: str | None = None, limit: int | None = None, **chosen: Any) -> ContentPage:
        """Return one page of :meth:`list`, whose parameters it takes too."""
        found: ContentPage = await self._connection.ask(
            "GET", "/cache", params=query(cursor=cursor, limit=limit, **chosen)
        )
        return found

    def media(
        self,
        *,
        kind: str | None = None,
        name: str | None = None,
        tag: str | None = None,
        owner: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Media]:
        """Yield what can be seen or heard, newest first; ``kind``: ``image``, ``video`` or ``audio``."""
        return self._connection.pages("/media", "media", limit, kind=kind, name=name, tag=tag, owner=owner)

    async def media_page(self, *, cursor: str | None = None, limit: int | None = None, **chosen: Any) -> MediaPage:
        """Return one page of :meth:`media`."""
        found: MediaPage = await self._connection.ask(
            "GET", "/media", params=query(cursor=cursor, limit=limit, **chosen)
        )
        return found

    def assets(self, *, limit: int | None = None) -> AsyncIterator[Asset]:
        """Yield content by the names that recipes and runs may use instead of CIDs."""
        return self._connection.pages("/assets", "assets", limit)

    async def get(self, cid: str) -> Content:
        """Return all that is known of content: what it is and is called, what it holds, who uses it, where it is."""
        found: Content = await self._connection.ask("GET", f"/cache/{part(cid)}")
        return found

    async def meta(self, cid: str) -> Meta:
        """Return what is said of content."""
        found: Meta = await self._connection.ask("GET", f"/cache/{part(cid)}/meta")
        return found

    async def describe(
        self,
        cid: str,
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        key: str | None = None,
    ) -> Meta:
        """Say something of content; what is not given stays. An empty text, or no tags, takes away."""
        given = {"name": name, "description": description, "tags": None if tags is None else [*tags]}
        found: Meta = await self._connection.ask(
            "PATCH",
            f"/cache/{part(cid)}/meta",
            json={name: value for name, value in given.items() if value is not None},
            headers=keyed(key),
        )
        return found

    async def import_path(self, path: str, name: str = "", key: str | None = None) -> dict[str, Any]:
        """Store a file or folder that the server itself can see, below what its operator allowed.

        Return ``{"files": […]}`` for a folder, else what is said of the file: ``cid``, ``name``, ``size_bytes`` …
        """
        found: dict[str, Any] = await self._connection.ask(
            "POST", "/cache/import", params=query(path=path, name=name), headers=keyed(key)
        )
        return found

    async def delete(self, cid: str, key: str | None = None) -> ContentDeleted:
        """Delete content. Refused (:class:`ConflictError`) while it is published, or something of yours needs it."""
        found: ContentDeleted = await self._connection.ask("DELETE", f"/cache/{part(cid)}", headers=keyed(key))
        return found

    async def publish(
        self, cid: str, name: str | None = None, description: str | None = None, key: str | None = None
    ) -> Published:
        """Make content public in your name. The same again changes nothing; what is published cannot be deleted."""
        found: Published = await self._connection.ask(
            "POST",
            f"/cache/{part(cid)}/publish",
            json=body(name=name, description=description),
            headers=keyed(key),
        )
        return found

    async def publication(self, cid: str) -> Standing:
        """Return under what content is public in your name, and what the registry made of it."""
        found: Standing = await self._connection.ask("GET", f"/cache/{part(cid)}/publish")
        return found

    async def unpublish(self, cid: str, key: str | None = None) -> Standing:
        """Make content public no longer in your name."""
        found: Standing = await self._connection.ask("DELETE", f"/cache/{part(cid)}/publish", headers=keyed(key))
        return found

    async def usage(self) -> Usage:
        """Return what your content takes, and how much may come."""
        found: Usage = await self._connection.ask("GET", "/api/usage")
        return found

    async def ipfs_url(self, cid: str) -> str:
        """Return where the content is found by its IPFS name: at a public gateway, or at this server."""
        response = await self._connection.once("GET", f"/ipfs/{part(cid)}")
        return str(response.headers["Location"])


async def _blocks(rest: Rest) -> AsyncIterator[bytes]:
    while block := rest.next():
        yield block


def _wait_after(error: Exception, usual_seconds: float) -> float | None:
    """Return after how many seconds a transfer may go on after this; None: it may not."""
    if not isinstance(error, RefusedError):
        return usual_seconds
    if isinstance(error, ConflictError) or error.status == UPLOAD_BUSY:
        return error.retry_after or usual_seconds
    return wait_after(error, usual_seconds)
