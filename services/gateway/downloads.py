"""Content on its way out: conditional requests and byte ranges (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from artdag_common.errors import ContentNotFoundError, PreconditionFailedError, RangeNotSatisfiableError
from artdag_common.media.types import EXTENSIONS, UNKNOWN
from services.gateway.headers import CONTENT_POLICY, IMMUTABLE

CHUNK_BYTES = 1 << 20
RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)", re.IGNORECASE)
SHOWN = frozenset({*EXTENSIONS.values(), "text/x-python"})
"""Media types that a browser may show in its window: none of them can carry a script that runs."""

UNSAFE = re.compile(r"[\x00-\x1f\x7f\"\\/;]+")


def requested_range(header: str, size: int) -> tuple[int, int] | None:
    """Return first and last byte of a single range; None: send everything, as for a range that makes no sense.

    Raises:
        RangeNotSatisfiableError: the range begins behind the end.
    """
    match = RANGE.fullmatch(header.strip())
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        if int(last) == 0 or not size:
            raise _unsatisfiable(header, size)
        return max(0, size - int(last)), size - 1
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise _unsatisfiable(header, size)
    return int(first), min(int(last), size - 1) if last else size - 1


def _unsatisfiable(header: str, size: int) -> RangeNotSatisfiableError:
    return RangeNotSatisfiableError(f"Range {header!r} is outside the content's {size} bytes", size_bytes=size)


def matches(header: str, etag: str) -> bool:
    """Return whether an ``If-None-Match`` names this entity tag (weak comparison)."""
    return names_tag(header, etag, weak=True)


def names_tag(header: str, etag: str, *, weak: bool = False) -> bool:
    """Return whether a list of entity tags, or ``*``, names this one. ``weak``: those marked as weak count too."""
    tags = [each.strip() for each in header.split(",")]
    return tags == ["*"] or etag in ([each.removeprefix("W/") for each in tags] if weak else tags)


def check_unchanged(headers: Headers, etag: str) -> None:
    """Raise if ``If-Match`` names other states than this one.

    Raises:
        PreconditionFailedError: it does.
    """
    wanted = headers.get("if-match")
    if wanted is not None and not names_tag(wanted, etag):
        raise PreconditionFailedError(f"If-Match is {wanted[:80]}, the ETag is {etag} now", etag=etag)


def disposition(filename: str, media_type: str) -> str:
    """Return a Content-Disposition that no file name can break out of; only what is safe to look at is shown."""
    kind = "inline" if media_type in SHOWN else "attachment"
    printable = "".join(each if each.isprintable() else "_" for each in filename)  # nothing that turns text around
    safe = UNSAFE.sub("_", printable).strip(" .") or "content"
    ascii_name = safe.encode("ascii", "replace").decode().replace("?", "_").replace("%", "_")
    return f"{kind}; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(safe, safe='')}"


class ContentResponse(Response):
    """A stored file, whole or in part; it never changes under its address."""

    def __init__(self, request: Request, path: Path, etag: str, media_type: str, filename: str) -> None:
        """Decide what to send.

        Args:
            etag: without quotation marks.

        Raises:
            ContentNotFoundError: it was removed just now.
            PreconditionFailedError: ``If-Match`` names other content.
            RangeNotSatisfiableError: the range asked for is not there.
        """
        try:
            size = path.stat().st_size
        except FileNotFoundError as error:
            raise _gone(etag) from error
        tag = f'"{etag}"'
        check_unchanged(request.headers, tag)
        headers = {
            "etag": tag,
            "accept-ranges": "bytes",
            "cache-control": IMMUTABLE,
            "content-disposition": disposition(filename, media_type),
            "content-security-policy": CONTENT_POLICY,
        }
        media_type = media_type if media_type in SHOWN else UNKNOWN
        self._path, self._etag = path, etag
        self._first, self._count, status = 0, size, 200
        if "if-none-match" in request.headers and matches(request.headers["if-none-match"], tag):
            status, self._count = 304, 0
        elif request.method == "GET" and (
            part := self._part(request.headers, tag, size)
        ):  # of HEAD, ranges say nothing
            first, last = part
            self._first, self._count, status = first, last - first + 1, 206
            headers["content-range"] = f"bytes {first}-{last}/{size}"
        super().__init__(None, status, headers, media_type)
        if status != 304:
            self.headers["content-length"] = str(self._count)

    def _part(self, headers: Headers, tag: str, size: int) -> tuple[int, int] | None:
        wanted = headers.get("range")
        if wanted is None or headers.get("if-range", tag) != tag:
            return None
        return requested_range(wanted, size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        left = 0 if scope["method"] == "HEAD" else self._count
        if not left:
            await send(start)
        else:
            try:  # before the answer begins: what is removed later is still read to its end
                descriptor = await asyncio.to_thread(os.open, self._path, os.O_RDONLY)
            except FileNotFoundError as error:
                raise _gone(self._etag) from error
            leaving = asyncio.create_task(_left(receive))
            try:
                await send(start)
                async with aclosing(_pieces(descriptor, self._first, left)) as pieces:
                    async for data in pieces:
                        if leaving.done():  # else the file would be read to its end for nobody
                            return
                        await send({"type": "http.response.body", "body": data, "more_body": True})
            finally:
                leaving.cancel()
                os.close(descriptor)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    """Wait until whoever asked has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pieces(descriptor: int, first: int, count: int) -> AsyncGenerator[bytes, None]:
    """Give bytes of a file; while one piece is sent, the next one is read.

    Raises:
        OSError: the file is shorter than it was.
    """
    end = first + count
    places = range(first, end, CHUNK_BYTES)

    def read(place: int) -> asyncio.Future[bytes]:
        return asyncio.ensure_future(asyncio.to_thread(os.pread, descriptor, min(CHUNK_BYTES, end - place), place))

    coming = read(first)
    try:
        for place in places:
            data = await coming
            if len(data) < min(CHUNK_BYTES, end - place):
                raise OSError(f"the file ends at {place + len(data)}, it had {end} bytes and more")
            if place + CHUNK_BYTES < end:
                coming = read(place + CHUNK_BYTES)
            yield data
    finally:  # before the descriptor is closed
        await asyncio.wait([coming])


def _gone(cid: str) -> ContentNotFoundError:
    return ContentNotFoundError(f"{cid} was removed just now", cid=cid)
