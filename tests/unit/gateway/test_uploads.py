"""Multipart bodies: any way they are cut, within limits, all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from starlette.requests import Request

from artdag_common.blobs.local import LocalBlobStore
from artdag_common.cid import cid_of
from artdag_common.errors import ContentTooLargeError, InvalidRequestError
from services.gateway import write_behind
from services.gateway.uploads import Form, receive_form, receive_text

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
BODY = (
    b'--B\r\nContent-Disposition: form-data; name="name"\r\n\r\ncat\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="..\\\\dir/cat.png"\r\n'
    b"Content-Type: text/html\r\n\r\n"
    + PNG
    + b'\r\n--B\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n\r\n--B--\r\n'
)


def request(chunks: Sequence[bytes], kind: str = "multipart/form-data; boundary=B") -> Request:
    """A request whose body comes in these chunks; the connection ends where they do not end it."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> dict[str, object]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", kind.encode())]}
    return Request(scope, receive)


def files(folder: Path) -> list[str]:
    """Names of all files below a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


async def take(tmp_path: Path, chunks: Sequence[bytes], limit: int = 10_000) -> Form:
    """Receive a form."""
    return await receive_form(request(chunks), LocalBlobStore(tmp_path), limit)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
async def test_a_form_may_be_cut_anywhere(tmp_path, size):
    form = await take(tmp_path, [BODY[i : i + size] for i in range(0, len(BODY), size)])
    assert form.fields == {"name": "cat"}
    first, second = form.files
    assert (first.cid, first.size_bytes, first.filename) == (cid_of(PNG), len(PNG), "cat.png")
    assert first.media_type == "image/png"  # what the bytes show, not what the client claims
    assert (second.cid, second.size_bytes, second.filename) == (cid_of(b""), 0, "")
    assert files(tmp_path) == sorted([cid_of(PNG), cid_of(b"")])


async def test_large_files_are_written_as_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr(write_behind, "WRITE_BYTES", 100)
    assert (await take(tmp_path, [BODY[i : i + 64] for i in range(0, len(BODY), 64)])).files[0].cid == cid_of(PNG)


@pytest.mark.parametrize(
    "chunks",
    [
        [BODY[:200]],
        [BODY[:-6]],
        [b"no form at all"],
        [b""],
        [BODY.replace(b"form-data; name", b"attachment; name")],
        [BODY.replace(b' name="file";', b"")],
    ],
)
async def test_what_is_not_a_whole_form_leaves_nothing(tmp_path, chunks):
    with pytest.raises(InvalidRequestError):
        await take(tmp_path, chunks)
    assert files(tmp_path) == []


async def test_a_file_beyond_the_limit_leaves_nothing(tmp_path):
    assert (await take(tmp_path / "fits", [BODY], limit=len(PNG))).files
    with pytest.raises(ContentTooLargeError):
        await take(tmp_path / "not", [BODY], limit=len(PNG) - 1)
    assert files(tmp_path / "not") == []


async def test_a_form_of_endless_parts_or_fields_is_refused(tmp_path):
    part = b'--B\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n'
    with pytest.raises(InvalidRequestError, match="100 parts"):
        await take(tmp_path, [part * 101 + b"--B--\r\n"])
    with pytest.raises(InvalidRequestError, match="65536 bytes"):
        await take(tmp_path, [part.replace(b"y", b"y" * 70_000) + b"--B--\r\n"])


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=B"])
async def test_other_kinds_of_body_are_refused(tmp_path, kind):
    with pytest.raises(InvalidRequestError, match="Content-Type"):
        await receive_form(request([BODY], kind), LocalBlobStore(tmp_path), 100)


async def test_a_text_has_a_limit():
    assert await receive_text(request([b"ab", b"c"]), 3) == b"abc"
    with pytest.raises(ContentTooLargeError):
        await receive_text(request([b"ab", b"cd"]), 3)
