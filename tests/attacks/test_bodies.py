"""Bodies that are larger than they say, never end, unpack to more, or cost more to read than to send."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import resource
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from artdag_cli.system import System
from tests.attacks.conftest import Answer, Person, Raw, read_answer
from tests.attacks.operations import LEAVING, operations
from tests.unit.media.counted import write_counted
from tests.unit.media.hostile import gif, png

MEMORY_BYTES = 1536 * 2**20
"""How much a service may hold, at its most, whatever it was sent."""

ENDLESS_BYTES = 64 * 2**20
PIECE = b"[" * 2**16

YAML_BOMBS: dict[str, str] = {
    "aliases": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(12)),
    "itself": "name: &a\n  again: *a\n",
    "merges": "a: &a {x: 1}\n" + "".join(f"b{i}: &b{i} {{<<: [*a, *a], y{i}: 1}}\n" for i in range(1000)),
    "lists": "name: " + "[" * 20_000 + "]" * 20_000,
    "maps": "name: " + "{a: " * 20_000 + "}" * 20_000,
    "indents": "".join(" " * i + "a:\n" for i in range(1500)),
    "anchors": "".join(f"a{i}: &a{i} x\n" for i in range(60_000)),
    "documents": "---\na: 1\n" * 50_000,
    "number": "version: " + "9" * 500_000,
    "scalar": 'name: "' + "x" * 900_000 + '"',
    "keys": "".join(f"k{i}: {i}\n" for i in range(80_000)),
    "tags": "name: !!python/object/apply:os.system ['touch /tmp/owned']\n",
    "binary": "name: !!binary " + "QUFB" * 100_000,
    "escapes": 'name: "' + "\\U0001F436" * 80_000 + '"',
    "steps": "steps:\n" + "".join(f"  - {{id: s{i}, type: NOOP, inputs: [s{i + 1}]}}\n" for i in range(20_000)),
    "circle": "inputs: {m: {type: any}}\nsteps:\n  - {id: a, type: NOOP, inputs: [b]}\n"
    "  - {id: b, type: NOOP, inputs: [a]}\noutput: a\n",
    "nul": "name: a\0b\n",
    "bytes": "\ufeff" * 1000 + "name: x",
}


def mp4_of_frames(whole: bytes, frames: int) -> bytes:
    """Return a film whose tables claim so many frames, all of one duration and one size."""
    data = bytearray(whole)
    for kind, at in ((b"stts", 12), (b"stsz", 12)):
        place = data.find(kind)
        assert place > 0
        struct.pack_into(">I", data, place + at - (4 if kind == b"stts" else 0), frames)
    place = data.find(b"mdhd")
    struct.pack_into(">I", data, place + 20, 0x7FFFFFFF)
    return bytes(data)


def webp(width: int, height: int) -> bytes:
    """Return a WebP whose canvas is said to be so large."""
    canvas = struct.pack("<I", 0x10)[:4] + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + canvas
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def zipped_png() -> bytes:
    """Return a small PNG with 256 MiB of text in it, packed."""
    text = b"Comment\0\0" + zlib.compress(bytes(2**28), 9)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    small = png(16, 16)
    return small[:33] + chunk + small[33:]


@pytest.fixture(autouse=True, scope="module")
def steady(shared: System) -> Iterator[None]:
    """None of it ends a service, or has one hold much memory."""
    before = {name: child.pid for name, child in shared.supervisor.children.items()}
    yield
    assert {name: child.pid for name, child in shared.supervisor.children.items()} == before
    for name in ("gateway", "planner", "cache", "auth", "executor"):
        lines = Path(f"/proc/{before[name]}/status").read_text().splitlines()
        peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
        assert peak < MEMORY_BYTES, f"{name} held {peak >> 20} MiB"


@contextlib.asynccontextmanager
async def connected(shared: System) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", shared.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def poured(shared: System, head: bytes, piece: Callable[[bytes], bytes] = bytes) -> tuple[int, Answer | None]:
    """Send a body that does not end; return how much was taken, and what was answered."""
    sent = 0
    async with connected(shared) as (reader, writer):
        answering = asyncio.create_task(read_answer(reader))
        try:
            writer.write(head)
            while sent < ENDLESS_BYTES and not answering.done():
                writer.write(piece(PIECE))
                sent += len(PIECE)
                await writer.drain()
                await asyncio.sleep(0)
            async with asyncio.timeout(60):
                return sent, await answering
        except (ConnectionError, asyncio.IncompleteReadError):
            return sent, None
        finally:
            answering.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
                await answering


async def test_no_body_without_end_is_read_to_its_end(
    shared: System, document: dict[str, Any], mallory: Person
) -> None:
    """Files may be large; everything else is refused long before 64 MiB have come."""
    files = ("/cache/upload", "/cache/uploads")

    def chunk(data: bytes) -> bytes:
        return f"{len(data):x}\r\n".encode() + data + b"\r\n"

    for operation in operations(document):
        if not operation.media_type or operation.template.startswith(files):
            continue
        head = (
            f"{operation.method} {operation.target()} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {mallory.token}\r\nContent-Type: {operation.media_type}; boundary=x\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        sent, answer = await poured(shared, head.encode(), chunk)
        assert sent < ENDLESS_BYTES, operation.label
        assert answer is None or answer.status in (400, 401, 403, 404, 413, 415, 422), (operation.label, answer)


async def test_what_is_announced_too_large_is_not_waited_for(send: Raw, mallory: Person) -> None:
    for path, kind in (("/runs", "application/json"), ("/recipes/upload", "application/yaml"), ("/auth", "x")):
        answer = await send(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {mallory.token}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: 99999999999\r\n\r\n".encode(),
            seconds=60,
        )
        assert answer is not None
        assert answer.status in (401, 403, 413, 415), (path, answer.status)
    for length in ("-1", "1e3", "0x10", "+5", "5, 6", "99999999999999999999999999"):
        refused = await send(
            f"POST /runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n".encode(), seconds=10
        )
        assert refused is None or refused.status in (400, 401, 413), (length, refused)


async def test_two_lengths_are_no_request(send: Raw) -> None:
    """Who reads one and who reads the other see different requests: smuggling."""
    for lines in (
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: \x0bchunked",
    ):
        request = f"POST /recipes/upload HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        answer = await send(request.encode(), seconds=10)
        assert answer is None or answer.status in (400, 401, 411, 413, 415, 422, 501), (lines, answer.status)


async def test_a_packed_body_is_not_unpacked(ada: Person) -> None:
    bomb = gzip.compress(bytes(2**24), 9)
    for packing in ("gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip"):
        for path, kind in (("/runs", "application/json"), ("/recipes/upload", "application/yaml")):
            headers = {"Content-Encoding": packing, "Content-Type": kind}
            answer = await ada.api.post(path, content=bomb, headers=headers)
            assert answer.status_code == 415, (packing, path, answer.text)


@pytest.mark.parametrize("bomb", YAML_BOMBS)
async def test_no_recipe_is_worth_more_than_its_bytes(ada: Person, bomb: str) -> None:
    before = sum(os.times()[:2])
    answer = await ada.api.post("/recipes/upload", content=YAML_BOMBS[bomb].encode())
    assert answer.status_code in (413, 422), answer.text[:300]
    assert len(answer.content) < 2**20, "the refusal is one of all problems, not a bomb of its own"
    assert sum(os.times()[:2]) - before < 5


async def test_nothing_that_a_recipe_says_is_run(ada: Person) -> None:
    await ada.api.post("/recipes/upload", content=YAML_BOMBS["tags"].encode())
    assert not Path("/tmp/owned").exists()


async def test_deep_json_is_refused(document: dict[str, Any], someone: Callable[..., Awaitable[Person]]) -> None:
    ada, leaver = await someone(), await someone()
    deep = {
        "lists": b"[" * 100_000 + b"]" * 100_000,
        "maps": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "open": b'{"recipe":' + b"[" * 50_000,
        "twice": b'{"recipe": "a", "recipe": "b"}',
        "number": b'{"recipe": ' + b"9" * 100_000 + b"}",
        "huge": b'{"recipe": 1e999999}',
        "nan": b'{"recipe": NaN}',
        "half": b'{"recipe": "\\ud800"}',
        "nul": b'{"recipe": "\\u0000"}',
        "bom": b'\xef\xbb\xbf{"recipe": "a"}',
        "utf16": '{"recipe": "a"}'.encode("utf-16"),
    }
    for operation in operations(document):
        if operation.media_type != "application/json" or operation.method != "POST":
            continue
        for name, body in deep.items():
            person = leaver if operation.template.startswith(LEAVING) else ada
            headers = {"Content-Type": "application/json"}
            answer = await person.api.post(operation.target(), content=body, headers=headers)
            assert answer.status_code in (400, 401, 403, 404, 409, 413, 422), (operation.label, name, answer.text[:300])


async def test_a_form_of_many_parts_or_long_headers_is_refused(ada: Person) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    forms = {
        "parts": part * 20_000,
        "headers": b"--x\r\n" + b"X-A: b\r\n" * 50_000 + b"\r\n1\r\n",
        "header": b"--x\r\nX-A: " + b"b" * 2**20 + b"\r\n\r\n1\r\n",
        "names": b'--x\r\nContent-Disposition: form-data; name="' + b"a" * 2**20 + b'"\r\n\r\n1\r\n',
        "nothing": b"--x\r\n" * 20_000,
        "files": b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n\r\n' * 5_000,
    }
    for name, form in forms.items():
        for path in ("/cache/upload", "/recipes/upload", "/storage"):
            answer = await ada.api.post(
                path, content=form + b"--x--\r\n", headers={"Content-Type": "multipart/form-data; boundary=x"}
            )
            assert answer.status_code in (400, 413, 422), (name, path, answer.status_code)


async def test_pictures_and_films_that_claim_to_be_vast_cost_nothing(ada: Person, tmp_path: Path) -> None:
    film = write_counted(tmp_path / "film.mp4", 8).read_bytes()
    vast = {
        "vast.png": png(100_000, 100_000),
        "packed.png": zipped_png(),
        "vast.gif": gif(65_535, 65_535),
        "vast.webp": webp(16_384, 16_384),
        "frames.mp4": mp4_of_frames(film, 0x7FFFFFFF),
        "cut.mp4": film[: len(film) // 3],
    }
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    cids = {}
    for name, data in vast.items():
        stored = await ada.api.post("/cache/upload", files={"file": (name, data + uuid4().bytes)})
        assert stored.status_code == 201, name
        cids[name] = stored.json()["cid"]

    async def look(name: str) -> None:
        async with asyncio.timeout(60):
            while True:
                answer = await ada.api.get(f"/cache/{cids[name]}/thumbnail")
                if answer.status_code != 202:
                    break
        assert answer.status_code in (200, 404, 422), (name, answer.status_code, answer.text[:300])
        if answer.status_code == 200:
            assert len(answer.content) < 2**20, name

    await asyncio.gather(*map(look, vast))
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - used < MEMORY_BYTES >> 10
