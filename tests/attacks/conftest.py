"""What the attacks share: a server of several people with its registry, those people, and a client without rules."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.client import HTTPMessage, parse_headers
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from artdag_cli.system import System, system
from artdag_common.commands import AttachToken
from artdag_common.messaging.bus import Bus
from tests.attacks.documented import Documented
from tests.e2e.people import person

IMPORTS = Path(tempfile.mkdtemp(prefix="artdag-attacked-"))
CANARY = "canary-5e0c7a1d"
"""Text of files that no answer may hold."""

ELSEWHERE = "https://elsewhere.example"
"""Another server of the same registry."""

DEAF = "127.0.0.9:9"
"""Where webhooks may be, and nobody listens."""

NOBODY_THERE = f"http://{DEAF}/"

ANSWER_SECONDS = 30.0

os.environ.setdefault("ARTDAG_IMPORT_DIRS", str(IMPORTS))
os.environ.setdefault("ARTDAG_STORAGE_DIRS", str(IMPORTS))
atexit.register(shutil.rmtree, IMPORTS, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in. ``elsewhere``: a token of theirs for another server."""

    user: str
    token: str
    api: httpx.AsyncClient
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came over the wire."""

    status: int
    headers: HTTPMessage
    body: bytes


Raw = Callable[..., Awaitable[Answer | None]]


@pytest.fixture(scope="session")
async def shared(state: Path) -> AsyncIterator[System]:
    """A server for several people: it has a registry, and whoever is not signed in sees only what is published."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("READ", "WRITE", "PUBLISH", "SIGN_IN"):
            patch.setenv(f"ARTDAG_RATE_{name}", "1000000")  # these tests ask more than anybody may
        hosts = filter(None, (os.environ.get("ARTDAG_WEBHOOK_HOSTS"), DEAF))
        patch.setenv("ARTDAG_WEBHOOK_HOSTS", ",".join(hosts))
        async with system(state / "attacked", 0, logs_to_files=True, extras=("l2",)) as it:
            yield it


@pytest.fixture(scope="session")
def url(shared: System) -> str:
    """The gateway's address."""
    return f"http://127.0.0.1:{shared.port}"


@pytest.fixture(scope="session")
async def nobody(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    async with httpx.AsyncClient(base_url=url, timeout=ANSWER_SECONDS) as client:
        yield client


@pytest.fixture(scope="session")
async def operator(shared: System, url: str) -> AsyncIterator[Person]:
    """The local owner."""
    headers = {"Authorization": f"Bearer {shared.token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=ANSWER_SECONDS) as client:
        yield Person("owner", shared.token, client)


@pytest.fixture(scope="session")
async def bus(shared: System) -> AsyncIterator[Bus]:
    """A connection to the server's bus, with the operator's account."""
    it = await Bus.connect(shared.environment["NATS_URL"], "test")
    yield it
    await it.close()


@pytest.fixture(scope="session")
async def someone(bus: Bus, url: str) -> AsyncIterator[Callable[..., Awaitable[Person]]]:
    """Sign in another person than before."""
    clients: list[httpx.AsyncClient] = []

    async def sign_in(user: str = "") -> Person:
        who = user or f"u-{uuid4().hex[:26]}"
        token = f"attack-{uuid4().hex}"
        outcome = await bus.request(AttachToken(hashlib.sha256(token.encode()).hexdigest(), who), uuid4().hex, 60)
        assert outcome is not None
        assert outcome.accepted
        headers = {"Authorization": f"Bearer {token}"}
        clients.append(httpx.AsyncClient(base_url=url, headers=headers, timeout=ANSWER_SECONDS))
        async with asyncio.timeout(ANSWER_SECONDS):
            while (await clients[-1].get("/api/usage")).status_code == 401:  # what is shown follows the events
                pass
        return Person(who, token, clients[-1])

    yield sign_in
    for client in clients:
        await client.aclose()


@asynccontextmanager
async def arrived(shared: System, url: str) -> AsyncIterator[Person]:
    """Somebody of the registry, who came here by its link."""
    async with (
        person(shared.url, shared.environment["L2_SERVER"]) as human,
        httpx.AsyncClient(base_url=url, timeout=90) as browser,
    ):
        human.l1 = browser  # the server's name for itself may mean nothing to this machine
        await human.attach()
        token = human.cookie()
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=ANSWER_SECONDS) as client:
            user = (await client.get("/api/usage")).json()["owner"]
            await human.l2.post("/renderers", data={"url": ELSEWHERE})
            yield Person(user, token, client, await human.token(renderer=ELSEWHERE))


@pytest.fixture(scope="session")
async def ada(shared: System, url: str) -> AsyncIterator[Person]:
    """Somebody who has things."""
    async with arrived(shared, url) as it:
        yield it


@pytest.fixture(scope="session")
async def mallory(shared: System, url: str) -> AsyncIterator[Person]:
    """Somebody who wants them."""
    async with arrived(shared, url) as it:
        yield it


@pytest.fixture(scope="session")
async def document(nobody: httpx.AsyncClient) -> dict[str, Any]:
    """The OpenAPI document."""
    return dict((await nobody.get("/openapi.json")).json())


@pytest.fixture(scope="session")
def documented(document: dict[str, Any]) -> Documented:
    """The routes of the document."""
    return Documented(document)


@pytest.fixture(scope="session")
def send(shared: System) -> Raw:
    """Send a request byte by byte as it is given: no client repairs a path or a header on the way."""

    async def raw(request: bytes, *, seconds: float = ANSWER_SECONDS) -> Answer | None:
        reader, writer = await asyncio.open_connection("127.0.0.1", shared.port)
        try:
            async with asyncio.timeout(seconds):
                writer.write(request)
                await writer.drain()
                return await read_answer(reader, head=request.startswith(b"HEAD "))
        except (ConnectionError, asyncio.IncompleteReadError):
            return None  # refused without a word
        finally:
            writer.close()

    return raw


async def read_answer(reader: asyncio.StreamReader, *, head: bool = False) -> Answer | None:
    """Read one answer; None: the connection was ended instead."""
    first = await reader.readline()
    if not first:
        return None
    lines = bytearray()
    while line := await reader.readline():
        lines += line
        if line in (b"\r\n", b"\n"):
            break
    headers = parse_headers(BytesIO(bytes(lines)))
    status = int(first.split()[1])
    body = b""
    if not head and status not in (204, 304):
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(status, headers, body)
