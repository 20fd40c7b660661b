"""Requests as they are written: queries, bodies, addresses."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, TypedDict
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

from artdag_client.errors import AddressError
from artdag_client.shapes import Priority

BLOCK = 1 << 18
TUS = {"Tus-Resumable": "1.0.0"}
STREAM = {"Content-Type": "application/offset+octet-stream"}

Progress = Callable[[int, int], object]
"""Is told bytes done and in all; 0 in all: unknown."""

Text = str | bytes | Path
"""A text, or the file that it is in."""


class Wishes(TypedDict, total=False):
    """What a run may be asked for besides recipe and inputs.

    ``deadline``: when it has to be over, RFC 3339 with its zone; ``timeout``: the same, in seconds from now.
    ``wait_timeout``, ``step_timeout``: seconds that a step may wait for an executor, and run.
    """

    priority: Priority
    deadline: str
    timeout: float
    wait_timeout: float
    step_timeout: float


LOOPBACK = ("localhost", "127.0.0.1", "::1")


def address(url: str) -> str:
    """Return a server's address, without a slash at its end.

    Raises:
        AddressError: it is none.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise AddressError(f"{url!r} is no address of a server: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AddressError(f"{url!r} is no address of a server, such as https://l1.example.org")
    if parts.username is not None or parts.query or parts.fragment:
        raise AddressError(f"{parts.scheme}://{parts.hostname}: the address of a server has neither user, ? nor #")
    return url.rstrip("/")


def proxy_of(url: str) -> str | None:
    """Return the proxy by which a server is reached, as ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` say.

    Raises:
        AddressError: it is none that speaks HTTP.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    found = getproxies().get(parts.scheme)
    if not found or host in LOOPBACK or proxy_bypass(host):
        return None
    kind, separator, _ = found.partition("://")
    if separator and kind not in ("http", "https"):
        raise AddressError(f"{parts.scheme.upper()}_PROXY names a proxy of the kind {kind}; it has to be http or https")
    return found if separator else f"http://{found}"


def nothing(done: int, total: int) -> None:
    """Take progress in, and tell nobody."""


def part(text: str) -> str:
    """Return an id or a name as a part of a path."""
    return quote(str(text), safe="")


def query(**parameters: Any) -> dict[str, str]:
    """Return those parameters that say something."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in parameters.items()
        if _says_something(value)
    }


def body(**members: Any) -> dict[str, Any]:
    """Return those members that say something."""
    return {name: value for name, value in members.items() if _says_something(value)}


def _says_something(value: Any) -> bool:
    """Return whether a value is to be sent: neither None nor False nor an empty text; 0 is."""
    return value is not None and value is not False and value != ""


def plain(inputs: Any) -> Any:
    """Return inputs as JSON has them: lists and objects of texts."""
    if isinstance(inputs, Mapping):
        return {name: plain(value) for name, value in inputs.items()}
    return inputs if isinstance(inputs, str) else [plain(each) for each in inputs]


def text_of(text: Text) -> bytes:
    """Return a text as bytes; of a path, what is in the file."""
    if isinstance(text, Path):
        return text.read_bytes()
    return text.encode() if isinstance(text, str) else text


def keyed(key: str | None, headers: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return headers with the key that names a write; None: a new one is made for it."""
    return {**(headers or {}), **({"Idempotency-Key": key} if key else {})}


def tus_metadata(filename: str, name: str) -> str:
    """Return ``Upload-Metadata`` of an upload."""
    facts = {"filename": filename, "name": name}
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in facts.items() if value)


class Rest:
    """What is left of a file, block by block."""

    def __init__(self, file: IO[bytes], offset: int, size: int, progress: Progress) -> None:
        file.seek(offset)
        self._file, self._left, self._size, self._progress = file, size - offset, size, progress

    def next(self) -> bytes:
        """Return the next block; empty: that was all."""
        block = self._file.read(min(BLOCK, self._left))
        self._left -= len(block)
        if block:
            self._progress(self._size - self._left, self._size)
        return block
