"""Content on its way out: conditional requests and byte ranges (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from artdag_common.errors import RangeNotSatisfiableError

CHUNK_BYTES = 1 << 20
RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)", re.IGNORECASE)
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
    return header.strip() == "*" or etag in [each.strip().removeprefix("W/") for each in header.split(",")]


def disposition(filename: str) -> str:
    """Return a Content-Disposition that no file name can break out of."""
    safe = UNSAFE.sub("_", filename).strip(" .") or "content"
    ascii_name = safe.encode("ascii", "replace").decode().replace("?", "_").replace("%", "_")
    return f"inline; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(safe, safe='')}"


class ContentResponse(Response):
    """A stored file, whole or in part; it never changes under its address."""

    def __init__(self, request: Request, path: Path, etag: str, media_type: str, filename: str) -> None:
        """Decide what to send.

        Args:
            etag: without quotation marks.

        Raises:
            RangeNotSatisfiableError: the range asked for is not there.
        """
        size = path.stat().st_size
        tag = f'"{etag}"'
        headers = {
            "etag": tag,
            "accept-ranges": "bytes",
            "cache-control": "public, max-age=31536000, immutable",
            "content-disposition": disposition(filename),
            "x-content-type-options": "nosniff",
            # Content is anybody's: whatever it claims to be, it may not act in this server's name.
            "content-security-policy": "sandbox; default-src 'none'",
            "cross-origin-resource-policy": "same-origin",
        }
        self._path = path
        self._first, self._count, status = 0, size, 200
        if matches(request.headers.get("if-none-match", ""), tag):
            status, self._count = 304, 0
        elif part := self._part(request.headers, tag, size):
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
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        left = 0 if scope["method"] == "HEAD" else self._count
        if left:
            descriptor = await asyncio.to_thread(os.open, self._path, os.O_RDONLY)
            try:
                place = self._first
                while left:
                    data = await asyncio.to_thread(os.pread, descriptor, min(left, CHUNK_BYTES), place)
                    if not data:
                        raise OSError(f"{self._path.name} is shorter than it was")
                    place += len(data)
                    left -= len(data)
                    await send({"type": "http.response.body", "body": data, "more_body": True})
            finally:
                os.close(descriptor)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
