"""Uploads that go on after an interruption: tus 1.0, see https://tus.io/protocols/resumable-upload.

The core protocol with the extensions creation, creation-with-upload, expiration, checksum and termination. An upload
that is complete is content like any other; ``Content-Location`` says where.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from artdag_common.errors import (
    ChecksumMismatchError,
    PreconditionFailedError,
    UnsupportedContentTypeError,
    UploadBusyError,
    UploadOffsetError,
)
from artdag_common.media.types import SIGNATURE_BYTES, media_type
from services.gateway.api.documentation import CID, TIME, answers
from services.gateway.booking import book, check_name
from services.gateway.issuing import Pending
from services.gateway.parts import Gateway, Parts, User
from services.gateway.problems import Json
from services.gateway.quota import check_room
from services.gateway.resumable import Facts, Piece, Upload, Uploads
from services.gateway.uploads import Uploaded, refused, too_large
from services.gateway.views import time_view
from services.gateway.write_behind import WriteBehind

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,checksum,termination"
ALGORITHMS = ("sha1", "sha256", "md5")
BODY = "application/offset+octet-stream"
IDLE_SECONDS = 30.0
"""How long a request may send nothing before its upload is free for another."""
GIVE_WAY_SECONDS = 5.0
"""The same where another asks for it: a client whose connection was lost unnoticed is back before this one knows."""
METADATA_CHARACTERS = 4096
FOLDER = "uploads"


class TusRoute(APIRoute):
    """Says the version of the protocol in every answer, refusals included; and "locked" where HEAD has to wait.

    Clients take any other refusal to say how far an upload is for its loss, and begin anew.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the base class."""

        async def tell(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                if scope["method"] == "HEAD" and message["status"] == 503:
                    message["status"] = 423
                headers = MutableHeaders(scope=message)
                headers["Tus-Resumable"] = VERSION
                if scope["method"] == "OPTIONS" or message["status"] == 412:
                    headers["Tus-Version"] = VERSION
            await send(message)

        await super().handle(scope, receive, tell)


router = APIRouter(prefix="/cache/uploads", tags=["uploads (tus)"], route_class=TusRoute)

UploadId = Annotated[str, Path(description="The upload's id, from `Location`", max_length=64)]
STREAM: dict[str, Any] = {
    "requestBody": {
        "content": {BODY: {"schema": {"type": "string", "format": "binary"}, "example": "(bytes)"}},
    }
}
STATE: dict[str, Any] = {
    "upload_id": "5b0c…",
    "offset": 1048576,
    "size_bytes": 5242880,
    "name": "cat",
    "filename": "cat.mp4",
    "status": "open",
    "cid": None,
    "expires_at": TIME,
    "links": {"self": "/cache/uploads/5b0c…", "content": None},
}
_DONE = STATE | {"status": "stored", "cid": CID, "offset": 5242880}


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of a request have to hash to."""

    algorithm: str
    digest: bytes


def _uploads(parts: Gateway) -> Uploads:
    return Uploads(parts.settings.cache_dir / FOLDER)


def _check_version(request: Request) -> None:
    said = request.headers.get("tus-resumable")
    if said != VERSION:
        raise PreconditionFailedError(
            f"Tus-Resumable is {said!r}; this server speaks {VERSION}" if said else f"send Tus-Resumable: {VERSION}",
            tus_version=VERSION,
        )


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise refused(name, text[:40], "a number of bytes, 0 or more")
    return int(text)


def read_metadata(text: str) -> dict[str, str]:
    """Return what ``Upload-Metadata`` says: keys with base64 of their values, divided by commas.

    Raises:
        InvalidRequestError: it is not that.
    """
    found: dict[str, str] = {}
    if len(text) > METADATA_CHARACTERS:
        raise refused("Upload-Metadata", f"{len(text)} characters", f"at most {METADATA_CHARACTERS}")
    for pair in filter(None, (each.strip() for each in text.split(","))):
        key, _, value = pair.partition(" ")
        try:
            found[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise refused("Upload-Metadata", pair[:80], "a key and base64 of UTF-8 text") from error
    return found


def read_checksum(text: str | None) -> Checksum | None:
    """Return what ``Upload-Checksum`` says: the name of an algorithm, and base64 of the digest.

    Raises:
        InvalidRequestError: it is not that, or the algorithm is not known here.
    """
    if text is None:
        return None
    algorithm, _, value = text.partition(" ")
    if algorithm not in ALGORITHMS:
        raise refused("Upload-Checksum", algorithm[:40], f"one of {', '.join(ALGORITHMS)}")
    try:
        return Checksum(algorithm, base64.b64decode(value, validate=True))
    except binascii.Error as error:
        raise refused("Upload-Checksum", value[:80], "base64 of the digest") from error


@router.options("", summary="What of tus this server speaks", status_code=204, responses=answers("", status=204))
@router.options(
    "/{upload_id}",
    summary="The same of one upload",
    status_code=204,
    openapi_extra={"parameters": [{"name": "upload_id", "in": "path", "required": True, "schema": {"type": "string"}}]},
    responses=answers("", status=204),
)
async def get_abilities(parts: Parts) -> Response:
    """`Tus-Version`, `Tus-Extension`, `Tus-Max-Size` (bytes) and `Tus-Checksum-Algorithm`."""
    headers = {
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(parts.settings.max_upload_bytes),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }
    return Response(None, 204, headers)


@router.post(
    "",
    summary="Begin an upload",
    status_code=201,
    openapi_extra=STREAM,
    responses=answers(STATE, 401, 412, 413, 415, 422, 460, 507, status=201),
)
async def begin(request: Request, parts: Parts, user: User) -> Response:
    """`Upload-Length`: bytes in all. `Upload-Metadata`: `filename`, and `name`, what you call the content.

    `Location` of the answer takes the bytes. A body of `application/offset+octet-stream` is taken as the first of them.
    """
    _check_version(request)
    for header in ("upload-defer-length", "upload-concat"):
        if header in request.headers:
            raise refused(header, request.headers[header][:40], f"spoken here: the extensions are {EXTENSIONS}")
    size = _number(request, "upload-length")
    if size > parts.settings.max_upload_bytes:
        raise too_large(parts.settings.max_upload_bytes)
    await check_room(parts, user, size)
    text = request.headers.get("upload-metadata", "")
    metadata = read_metadata(text)
    name = metadata.get("name", "").strip()
    check_name(name)
    checksum = read_checksum(request.headers.get("upload-checksum"))
    filename = metadata.get("filename", "").replace("\\", "/").rpartition("/")[2][:255]
    uploads = _uploads(parts)
    upload = await asyncio.to_thread(uploads.begin, Facts(user, size, name, filename, text))
    if request.headers.get("content-type", "") == BODY:
        upload = await _take(parts, request, uploads, upload, 0, checksum)
    elif size == 0:
        upload = await _complete(parts, request, upload)
    return Json(_state(upload), 201, _headers(upload) | {"Location": f"/cache/uploads/{upload.id}"})


@router.get("/{upload_id}", summary="Get an upload's state", responses=answers(_DONE, 401, 404, 410))
async def get_upload(request: Request, upload_id: UploadId, parts: Parts, user: User) -> Response:
    """How far it is; at the end, the CID."""
    upload = await _settled(parts, request, await _find(parts, upload_id, user))
    return Json(_state(upload), 200, _headers(upload) | {"Cache-Control": "no-store"})


@router.head("/{upload_id}", summary="Ask how far an upload is", responses=answers("", 401, 404, 410, 412, 423))
async def ask(request: Request, upload_id: UploadId, parts: Parts, user: User) -> Response:
    """`Upload-Offset`: where to go on. `Content-Location`: the content, once all is there. 423: ask again later."""
    _check_version(request)
    upload = await _settled(parts, request, await _find(parts, upload_id, user))
    headers = _headers(upload) | {"Upload-Length": str(upload.facts.size_bytes), "Cache-Control": "no-store"}
    if upload.facts.metadata:
        headers["Upload-Metadata"] = upload.facts.metadata
    return Response(None, 200, headers)


@router.patch(
    "/{upload_id}",
    summary="Go on with an upload",
    status_code=204,
    openapi_extra=STREAM,
    responses=answers("", 401, 404, 409, 410, 412, 413, 415, 422, 423, 460, 507, status=204),
)
async def go_on(request: Request, upload_id: UploadId, parts: Parts, user: User) -> Response:
    """The bytes from `Upload-Offset` on, as `application/offset+octet-stream`. What arrives is kept, however it ends.

    With `Upload-Checksum: sha1 <base64>` nothing counts until all of the request is there and hashes to that.
    """
    _check_version(request)
    if request.headers.get("content-type", "") != BODY:
        raise UnsupportedContentTypeError(
            f"Content-Type is {request.headers.get('content-type', '')[:80]!r}; the bytes of an upload come as {BODY}"
        )
    offset = _number(request, "upload-offset")
    checksum = read_checksum(request.headers.get("upload-checksum"))
    upload = await _find(parts, upload_id, user)
    upload = await _take(parts, request, _uploads(parts), upload, offset, checksum)
    return Response(None, 204, _headers(upload))


@router.delete(
    "/{upload_id}",
    summary="Give an upload up",
    status_code=204,
    responses=answers("", 401, 404, 410, 412, 423, status=204),
)
async def give_up(request: Request, upload_id: UploadId, parts: Parts, user: User) -> Response:
    """What came is removed. Content that it became stays."""
    _check_version(request)
    upload = await _find(parts, upload_id, user)
    with upload.locked() as held:
        await asyncio.to_thread(held.remove)
    return Response(None, 204)


@router.post(
    "/{upload_id}",
    summary="Go on, ask or give up, where a client can only POST",
    status_code=204,
    openapi_extra=STREAM,
    responses=answers("", 401, 404, 409, 410, 412, 413, 415, 422, 423, 460, 507, status=204)
    | {200: {"description": "As HEAD"}},
)
async def override(request: Request, upload_id: UploadId, parts: Parts, user: User) -> Response:
    """`X-HTTP-Method-Override` says what is meant: PATCH, HEAD or DELETE."""
    meant = request.headers.get("x-http-method-override", "")
    works = {"PATCH": go_on, "HEAD": ask, "DELETE": give_up}
    if meant.upper() not in works:
        raise refused("X-HTTP-Method-Override", meant[:40], f"one of {', '.join(works)}")
    return await works[meant.upper()](request, upload_id, parts, user)


async def _find(parts: Gateway, upload_id: str, user: str) -> Upload:
    return await asyncio.to_thread(_uploads(parts).find, upload_id, user)


async def _take(
    parts: Gateway, request: Request, uploads: Uploads, found: Upload, offset: int, checksum: Checksum | None
) -> Upload:
    """Add the body to an upload, and make it content where that was all."""
    with found.locked() as upload:
        if offset != upload.offset:
            raise UploadOffsetError(
                f"the upload {upload.id} is at {upload.offset}, not at {offset}", upload=upload.id, offset=upload.offset
            )
        if upload.offset < upload.facts.size_bytes:
            await _receive(parts, request, uploads, upload, checksum)
        if upload.offset == upload.facts.size_bytes:
            upload = await _store(parts, request, upload)
        return upload


async def _receive(
    parts: Gateway, request: Request, uploads: Uploads, upload: Upload, checksum: Checksum | None
) -> None:
    room = upload.facts.size_bytes - upload.offset
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > room:
        raise too_large(upload.facts.size_bytes)
    piece: Piece = await asyncio.to_thread(uploads.piece, upload, checksum is not None)
    digest = hashlib.new(checksum.algorithm, usedforsecurity=False) if checksum else None
    hasher = parts.hashing.take(upload.id, piece.begin)

    async def write(*pieces: bytes | bytearray) -> None:
        works = [asyncio.to_thread(work, *pieces) for work in (piece.write, hasher and hasher.update) if work]
        await asyncio.gather(*works)

    behind = WriteBehind(write)
    came, good = 0, checksum is None
    stream = request.stream()
    try:
        while True:
            chunk = await _next(stream, piece)
            if chunk is None:  # what came so far is kept
                break
            came += len(chunk)
            if came > room:
                raise too_large(upload.facts.size_bytes)
            if digest:
                digest.update(chunk)
            await behind.take(chunk)
        await behind.finish()
        if checksum and digest:
            if digest.digest() != checksum.digest:
                raise ChecksumMismatchError(
                    f"the {checksum.algorithm} of the {came} bytes that arrived is not the one announced;"
                    f" the upload stays at {piece.begin}",
                    offset=piece.begin,
                )
            good = True
    finally:
        await asyncio.shield(_closed(behind, piece, good))
    if hasher and hasher.size == piece.end:
        parts.hashing.keep(upload.id, hasher)


async def _closed(behind: WriteBehind, piece: Piece, good: bool) -> None:
    try:
        await behind.settle()
    finally:
        await asyncio.to_thread(piece.close, good)


async def _next(stream: AsyncIterator[bytes], piece: Piece) -> bytes | None:
    """Return what comes next; None: the request is over, lost, silent, or in the way of another while it is silent."""
    coming = asyncio.ensure_future(anext(stream))
    try:
        for _ in range(round(IDLE_SECONDS / GIVE_WAY_SECONDS)):
            await asyncio.wait({coming}, timeout=GIVE_WAY_SECONDS)
            if coming.done():
                return coming.result()
            if await asyncio.to_thread(piece.wanted):
                break
        return None
    except (StopAsyncIteration, ClientDisconnect):
        return None
    finally:
        if not coming.done():
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


async def _complete(parts: Gateway, request: Request, found: Upload) -> Upload:
    with found.locked() as upload:
        return await _store(parts, request, upload)


async def _settled(parts: Gateway, request: Request, upload: Upload) -> Upload:
    """Return an upload; one that was complete when its gateway was lost is made content now."""
    if upload.offset == upload.facts.size_bytes and not upload.facts.booked:
        try:
            return await _complete(parts, request, upload)
        except UploadBusyError:  # somebody does that at this moment
            pass
    return upload


async def _store(parts: Gateway, request: Request, upload: Upload) -> Upload:
    """Make a complete upload content, under its lock. Every part of it may be done again."""
    if not upload.facts.cid:
        kind = media_type(await asyncio.to_thread(upload.head, SIGNATURE_BYTES))
        hasher = parts.hashing.take(upload.id, upload.facts.size_bytes)
        whole = await asyncio.to_thread(lambda: upload.whole)
        blob = await parts.blobs.adopt(whole, cid=hasher.cid() if hasher else "")
        upload = await asyncio.to_thread(upload.finish, kind, blob.cid)
    if not upload.facts.booked:
        facts = upload.facts
        file = Uploaded("file", facts.filename, facts.cid, facts.size_bytes, facts.media_type)
        with contextlib.suppress(Pending):  # the command is kept
            await book(parts, request, file, "upload", facts.owner, facts.name, f"upload-{upload.id}")
        upload = await asyncio.to_thread(upload.note_booked)
    return upload


def _headers(upload: Upload) -> dict[str, str]:
    headers = {"Upload-Offset": str(upload.offset), "Upload-Expires": formatdate(upload.expires, usegmt=True)}
    if upload.facts.cid:
        headers["Content-Location"] = f"/cache/{upload.facts.cid}"
    return headers


def _state(upload: Upload) -> dict[str, Any]:
    facts = upload.facts
    return {
        "upload_id": upload.id,
        "offset": upload.offset,
        "size_bytes": facts.size_bytes,
        "name": facts.name or None,
        "filename": facts.filename or None,
        "media_type": facts.media_type or None,
        "status": "stored" if facts.cid else "open",
        "cid": facts.cid or None,
        "expires_at": time_view(datetime.fromtimestamp(int(upload.expires), UTC)),
        "links": {
            "self": f"/cache/uploads/{upload.id}",
            "content": f"/cache/{facts.cid}" if facts.cid else None,
        },
    }
