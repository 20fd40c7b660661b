"""Text that is more than text to somebody: put into every path, query, header and body field that the server takes."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from artdag_cli.system import System
from tests.attacks.conftest import CANARY, Answer, Person, Raw
from tests.attacks.documented import Documented
from tests.attacks.operations import LEAVING, Operation, operations

AT_ONCE = 6
UNREAD = b"this is not a request in HTTP"
LONG = 10_000

PLACES = (
    "../../../../../../../../../../etc/passwd",
    "..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
    "..%252f..%252f..%252f..%252fetc%252fpasswd",
    "..%c0%af..%c0%afetc%c0%afpasswd",
    "..%5c..%5c..%5cetc%5cpasswd",
    "....//....//....//etc/passwd",
    "%2fetc%2fpasswd",
    "file:%2f%2f%2fetc%2fpasswd",
    "C:%5cWindows%5cwin.ini",
    "%5c%5chost%5cshare",
    "..",
    ".",
    "%2e%2e",
    "token",
    "..%2ftoken",
    "..%2fsecret.key",
    "cat%00.png",
    "..%00%2f..%00%2f",
)
"""Ways out of a folder, as they stand in an address. Some lead to this server's own secrets."""

WORDS = (
    "%0d%0aSet-Cookie:%20artdag_token=x",
    "%0aX-Injected:%201",
    "*",
    "%3e",
    "a.b.*",
    "cmd.auth.%3e",
    "'%20OR%201=1--",
    "';DROP%20TABLE%20es_events;--",
    "%24%7b7*7%7d%7b%7b7*7%7d%7d",
    "%3cscript%3ealert(1)%3c/script%3e",
    "%25s%25n%25x",
    "%e2%80%ae%e2%81%a6txt",
    "%ef%bc%8e%ef%bc%8e%ef%bc%8f",
    "%f0%9f%90%b6",
    "%ed%a0%80",
    "%ff%fe",
    "-1",
    "0x7f",
    "9" * 40,
    "NaN",
    "1e400",
    "null",
    "true",
    "%20",
    "x" * LONG,
)
"""What is special to a header, a bus, a database, a template, a page, a parser."""

TEXTS = (
    "../../../../../../../../etc/passwd",
    "/etc/passwd",
    "cat\0.png",
    "a\r\nSet-Cookie: artdag_token=x",
    "'; DROP TABLE es_events; --",
    "${7*7}{{7*7}}",
    "<script>alert(1)</script>",
    "\u202e\u2066txt",
    "\uff0e\uff0e\uff0f",
    "\ufffe\uffff",
    "*",
    ">",
    "a.b.>",
    "%s%n",
    "",
    " ",
    "x" * LONG,
    "\U0001f436" * 3000,
)
"""The same for the fields of a body, where nothing is decoded."""

HEADERS = (
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Content-Encoding",
    "Content-Type",
    "Cookie",
    "Expect",
    "Forwarded",
    "Idempotency-Key",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "Last-Event-ID",
    "Origin",
    "Prefer",
    "Range",
    "Referer",
    "Tus-Resumable",
    "Upload-Checksum",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
    "User-Agent",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-HTTP-Method-Override",
    "X-Original-URL",
    "X-Rewrite-URL",
    "traceparent",
)
HEADER_TEXTS = (
    "../../../../etc/passwd",
    "",
    "\x01\x02",
    "é\xff",
    "a\tb",
    "bytes=0-,0-,0-,0-,0-,0-,0-,0-,0-,0-",
    "bytes=99999999999999999999-",
    "bytes=-0",
    '"' * 500,
    "*",
    ">",
    "-1",
    "9" * 40,
    "%00",
    "text/html,<script>",
    "wait=99999999999999999999",
    "gzip",
    "100-continue",
    "x" * 4000,
)
ROUTES = (
    "GET /runs",
    "GET /cache",
    "GET /cache/{cid}",
    "GET /cache/{cid}/raw",
    "GET /runs/{run_id}/events",
    "GET /openapi.json",
    "POST /cache/uploads",
    "PATCH /cache/uploads/{upload_id}",
    "POST /cache/upload",
    "POST /recipes/upload",
    "POST /runs",
    "POST /storage",
)


@pytest.fixture(scope="module")
def canaries(shared: System) -> Iterator[None]:
    """Files beside the folders that the server may read from, and what they hold."""
    places = [Path(os.environ["ARTDAG_IMPORT_DIRS"]).parent, shared.state, Path(shared.environment["CACHE_DIR"])]
    files = [place / f"{CANARY}-{os.getpid()}.txt" for place in places]
    for file in files:
        file.write_text(f"{CANARY} root:x:0:0:")
    yield
    for file in files:
        file.unlink()


def told(answer: Answer, secrets: Iterable[str]) -> list[str]:
    """Return what an answer says that it should not."""
    text = answer.body.decode("utf-8", "replace")
    signs = ("root:x:0:0", f"{CANARY} ", "Traceback (most recent", "asyncpg.", "site-packages", *secrets)
    found = [f"the body holds {sign!r}" for sign in signs if sign in text]
    if "artdag_token=x" in str(answer.headers.get_all("set-cookie")) or "x-injected" in answer.headers:
        found.append("a header was put in")
    return found


async def attacked(
    send: Raw, documented: Documented, token: str, requests: Iterable[tuple[str, Operation, bytes]]
) -> tuple[list[str], Counter[int]]:
    """Send requests, a few at a time; return what is wrong with the answers, and how often each status came."""
    wrong: list[str] = []
    statuses: Counter[int] = Counter()
    waiting = iter(requests)

    async def work() -> None:
        for where, operation, request in waiting:
            answer = await send(request)
            said = f"{operation.label}, {where}"
            if answer is None:
                wrong.append(f"{said}: no answer")
                continue
            statuses[answer.status] += 1
            if UNREAD in answer.body:
                continue
            wrong.extend(f"{said}: {each}" for each in told(answer, (token,)))
            wrong.extend(
                f"{said}: {each}"
                for each in documented.problems_of(
                    operation.method,
                    operation.target().partition("?")[0],
                    answer.status,
                    answer.headers.get("content-type", ""),
                    answer.body,
                )
            )

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return wrong, statuses


def filled(document: dict[str, Any]) -> Iterator[tuple[str, Operation]]:
    """Yield the requests of the document with texts in every place: NUL in all, a third of the others by turns."""
    turn = 0
    for operation in operations(document):
        for place, _ in operation.with_text(""):
            turn += 1
            nul, texts = ("\0", TEXTS) if place.startswith("body") else ("%00", (*PLACES, *WORDS))
            for text in (nul, *texts[turn % 3 :: 3]):
                for where, changed in operation.with_text(text):
                    if where == place:
                        yield f"{where} = {text[:60]!r}", changed


async def test_no_text_in_an_address_or_a_body_is_more_than_text(
    send: Raw,
    documented: Documented,
    document: dict[str, Any],
    someone: Callable[..., Awaitable[Person]],
    canaries: None,
) -> None:
    mallory, leaver = await someone(), await someone()

    def token(operation: Operation) -> str:
        return (leaver if operation.template.startswith(LEAVING) else mallory).token

    requests = (
        (where, operation, operation.bytes(Authorization=f"Bearer {token(operation)}", Prefer="wait=0"))
        for where, operation in filled(document)
    )
    wrong, statuses = await attacked(send, documented, mallory.token, requests)
    assert not wrong, "\n".join(sorted(set(wrong))[:40])
    assert sum(statuses.values()) > 1000
    assert statuses[404] > 100
    assert statuses[422] > 100


async def test_no_text_in_a_header_is_more_than_text(
    send: Raw,
    documented: Documented,
    document: dict[str, Any],
    someone: Callable[..., Awaitable[Person]],
    canaries: None,
) -> None:
    mallory = await someone()

    def requests() -> Iterator[tuple[str, Operation, bytes]]:
        chosen = [replace(each, query={}) for each in operations(document) if each.label in ROUTES]
        for turn, header in enumerate(HEADERS):
            for index, text in enumerate(HEADER_TEXTS):
                operation = chosen[(turn + index) % len(chosen)]
                said = operation.bytes(Authorization=f"Bearer {mallory.token}")
                line = f"\r\n{header}: {text}".encode("latin-1", "replace")
                head, _, body = said.partition(b"\r\n\r\n")
                yield f"{header} = {text[:60]!r}", operation, head + line + b"\r\n\r\n" + body

    wrong, statuses = await attacked(send, documented, mallory.token, requests())
    assert not wrong, "\n".join(sorted(set(wrong))[:40])
    assert statuses[200] > 50, statuses
