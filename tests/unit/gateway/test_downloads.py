"""Conditions, ranges and file names of content on its way out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.requests import Request

from artdag_common.errors import PreconditionFailedError, RangeNotSatisfiableError
from services.gateway.downloads import (
    CHUNK_BYTES,
    ContentResponse,
    check_unchanged,
    disposition,
    matches,
    requested_range,
)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 0)),
        ("bytes=2-", (2, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=-30", (0, 9)),
        ("bytes=4-99", (4, 9)),
        (" BYTES = 1 - 2 ", (1, 2)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
        ("bytes=1-2-3", None),
        ("", None),
    ],
)
def test_a_range_of_ten_bytes(header: str, expected: tuple[int, int] | None) -> None:
    assert requested_range(header, 10) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)])
def test_a_range_that_is_not_there(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiableError):
        requested_range(header, size)


def test_reading_compares_tags_weakly_and_writing_strongly() -> None:
    assert matches('W/"a", "b"', '"a"')
    assert matches("*", '"a"')
    assert not matches('"b"', '"a"')
    assert not matches("", '"a"')
    for header in ('"a"', '"b", "a"', "*"):
        check_unchanged(Headers({"if-match": header}), '"a"')
    check_unchanged(Headers(), '"a"')
    for header in ('W/"a"', '"b"', ""):
        with pytest.raises(PreconditionFailedError):
            check_unchanged(Headers({"if-match": header}), '"a"')


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("video/mp4", "inline"),
        ("image/png", "inline"),
        ("application/json", "inline"),
        ("text/html", "attachment"),
        ("image/svg+xml", "attachment"),
        ("application/octet-stream", "attachment"),
    ],
)
def test_only_what_cannot_act_is_shown_in_place(kind: str, how: str) -> None:
    assert disposition("a.bin", kind).startswith(f"{how}; ")


@pytest.mark.parametrize("name", ['a"; filename="b', "a\r\nSet-Cookie: x", "../../etc/passwd", "ü.mp4", "", ". ."])
def test_no_name_breaks_out_of_its_header(name: str) -> None:
    header = disposition(name, "video/mp4")
    header.encode("ascii")
    assert header.count('"') == 2
    assert not set(header) & set("\r\n/\\")


@pytest.mark.parametrize(
    "kind", ["text/html", "image/svg+xml", "application/pdf", "text/javascript", "application/xml"]
)
def test_what_could_act_is_called_bytes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "content"
    path.write_bytes(b"x")
    request = Request({"type": "http", "method": "GET", "headers": []})
    answer = ContentResponse(request, path, "tag", kind, "a.html")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["cache-control"].startswith("private,")


async def test_for_whoever_has_gone_nothing_more_is_read(tmp_path: Path) -> None:
    path = tmp_path / "content"
    with path.open("wb") as file:
        file.truncate(100 * CHUNK_BYTES)
    scope = {"type": "http", "method": "GET", "headers": []}
    leave = asyncio.Event()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await leave.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == 3:
            leave.set()
            await asyncio.sleep(0)  # whoever waits for it learns of it

    await ContentResponse(Request(scope), path, "tag", "video/mp4", "a.mp4")(scope, receive, send)
    assert len(sent) < 10
    assert len(sent[1]["body"]) == CHUNK_BYTES
