"""Uploads: a multipart body is parsed while it comes, files go straight to the content store."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Literal

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from artdag_common.blobs.port import BlobStore, BlobWriter
from artdag_common.errors import ContentTooLargeError, InvalidRequestError
from artdag_common.media.types import SIGNATURE_BYTES, media_type
from services.gateway.write_behind import WriteBehind

MULTIPART = "multipart/form-data"
FIELD_BYTES = 64 * 1024
MAX_PARTS = 100
FORM_OVERHEAD = 1 << 20

Kind = Literal["begin", "name", "value", "header", "body", "data", "end", "over"]


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file that is stored now.

    Attributes:
        field: name of the form field.
        filename: as the client called it, without folders; may be empty.
        media_type: shown by the first bytes, not claimed by the client.
    """

    field: str
    filename: str
    cid: str
    size_bytes: int
    media_type: str


@dataclass(slots=True)
class Form:
    """A form whose files are stored."""

    files: list[Uploaded] = dataclasses.field(default_factory=list)
    fields: dict[str, str] = dataclasses.field(default_factory=dict)


class _File:
    """A file on its way in."""

    def __init__(self, field: str, filename: str, writer: BlobWriter) -> None:
        self.field = field
        self.filename = filename
        self.writer = writer
        self.behind = WriteBehind(writer.write)
        self.head = b""
        self.size_bytes = 0

    async def take(self, data: bytes) -> None:
        if len(self.head) < SIGNATURE_BYTES:
            self.head += data[: SIGNATURE_BYTES - len(self.head)]
        self.size_bytes += len(data)
        await self.behind.take(data)


class _Pieces:
    """What a body consists of, piece by piece, in the order in which it comes."""

    def __init__(self, boundary: bytes) -> None:
        self._found: list[tuple[Kind, bytes]] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": lambda: self._found.append(("begin", b"")),
                "on_header_field": self._note("name"),
                "on_header_value": self._note("value"),
                "on_header_end": lambda: self._found.append(("header", b"")),
                "on_headers_finished": lambda: self._found.append(("body", b"")),
                "on_part_data": self._note("data"),
                "on_part_end": lambda: self._found.append(("end", b"")),
                "on_end": lambda: self._found.append(("over", b"")),
            },
        )

    def of(self, chunk: bytes) -> Iterator[tuple[Kind, bytes]]:
        """Yield the pieces of the next chunk.

        Raises:
            FormParserError: it is not multipart.
        """
        self._found.clear()
        self._parser.write(chunk)
        yield from self._found

    def _note(self, kind: Kind) -> Any:
        def note(data: bytes, start: int, end: int) -> None:
            self._found.append((kind, data[start:end]))

        return note


class _Receiver:
    """Turns pieces into a form."""

    def __init__(self, blobs: BlobStore, limit_bytes: int, stack: AsyncExitStack) -> None:
        self._blobs = blobs
        self._limit = limit_bytes
        self._stack = stack
        self._headers: dict[str, bytes] = {}
        self._name = b""
        self._value = b""
        self._parts = 0
        self._current: _File | str | None = None
        self._texts: dict[str, bytearray] = {}
        self.files: list[_File] = []
        self.over = False

    async def take(self, kind: Kind, data: bytes) -> None:
        """Take the next piece."""
        match kind:
            case "begin":
                self._parts += 1
                self._headers = {}
                if self._parts > MAX_PARTS:
                    raise refused("", "", f"a form of at most {MAX_PARTS} parts")
            case "name":
                self._name += data
            case "value":
                self._value += data
            case "header":
                self._headers[self._name.decode("latin-1").lower()] = self._value
                self._name = self._value = b""
            case "body":
                await self._begin()
            case "data":
                await self._data(data)
            case "end":
                if isinstance(self._current, _File):
                    await self._current.behind.finish()
                self._current = None
            case "over":
                self.over = True

    def texts(self) -> dict[str, str]:
        """Return the form's fields that are not files."""
        return {name: value.decode("utf-8", "replace") for name, value in self._texts.items()}

    async def _begin(self) -> None:
        disposition, options = parse_options_header(self._headers.get("content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if disposition != b"form-data" or not name:
            raise refused("Content-Disposition", disposition.decode("latin-1"), "form-data with a name")
        if b"filename" in options:
            filename = options[b"filename"].decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2]
            writer = await self._stack.enter_async_context(self._blobs.writer())
            self._current = _File(name, filename, writer)
            self._stack.push_async_callback(self._current.behind.settle)  # before the writer is left
            self.files.append(self._current)
        else:
            self._current = name
            self._texts.setdefault(name, bytearray())

    async def _data(self, data: bytes) -> None:
        match self._current:
            case _File() as file:
                await file.take(data)
                if file.size_bytes > self._limit:
                    raise too_large(self._limit)
            case str() as name:
                self._texts[name] += data
                if len(self._texts[name]) > FIELD_BYTES:
                    raise refused(name, f"{len(self._texts[name])} bytes", f"a field of at most {FIELD_BYTES} bytes")


async def receive_form(request: Request, blobs: BlobStore, limit_bytes: int) -> Form:
    """Store the files of a multipart body. Either all are stored or none.

    Raises:
        InvalidRequestError: it is not a whole multipart form.
        ContentTooLargeError: a file has more than ``limit_bytes``.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != MULTIPART.encode() or not boundary:
        raise refused("Content-Type", kind.decode("latin-1"), f"{MULTIPART} with a boundary")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit_bytes + FORM_OVERHEAD:
        raise too_large(limit_bytes)
    async with AsyncExitStack() as stack:
        receiver = _Receiver(blobs, limit_bytes, stack)
        try:
            pieces = _Pieces(boundary)
            async for chunk in request.stream():
                for piece, data in pieces.of(chunk):
                    await receiver.take(piece, data)
        except FormParserError as error:
            raise refused("body", str(error)[:200], "a multipart form") from error
        except ClientDisconnect as error:
            raise refused("body", "", "a whole form; the connection ended in the middle") from error
        if not receiver.over:
            raise refused("body", "", "a whole form; the last boundary is missing")
        form = Form(fields=receiver.texts())
        for file in receiver.files:
            blob = await file.writer.commit()
            kind_of = media_type(file.head)
            form.files.append(Uploaded(file.field, file.filename, blob.cid, blob.size_bytes, kind_of))
        return form


async def receive_text(request: Request, limit_bytes: int) -> bytes:
    """Return a body that is the text itself.

    Raises:
        ContentTooLargeError: it has more than ``limit_bytes``, or says so.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit_bytes:
        raise too_large(limit_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise too_large(limit_bytes)
    return bytes(body)


def is_form(request: Request) -> bool:
    """Return whether the body says that it is a multipart form."""
    return request.headers.get("content-type", "").lower().startswith("multipart/")


def refused(name: str, value: str, rule: str) -> InvalidRequestError:
    """Return the error for an upload that breaks a rule."""
    place = name or "body"
    return InvalidRequestError(
        f"{place}: {value!r} is not {rule}" if value else f"{place} is not {rule}",
        problems=[{"field": place, "value": value, "problem": rule}],
    )


def too_large(limit_bytes: int) -> ContentTooLargeError:
    """Return the error for an upload beyond the limit."""
    return ContentTooLargeError(
        f"the upload has more than {limit_bytes} bytes, the limit here (ARTDAG_MAX_UPLOAD_BYTES); nothing was stored",
        limit_bytes=limit_bytes,
    )
