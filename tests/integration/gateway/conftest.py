"""What the gateway's tests share: clients of the running system, small recipes, a way to hold a run."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from artdag_cli.system import System
from tests.conftest import bus, events  # noqa: F401  (of the running system, before those of tests/integration)

Event = dict[str, Any]

IMPORTS = Path(tempfile.mkdtemp(prefix="artdag-imports-"))
"""The one folder that the running system may import from, and in which its users may have local storage."""

WEBHOOK_HOST = "127.0.0.77"
"""The one host in the server's own network that its users may have webhooks on."""

os.environ["ARTDAG_IMPORT_DIRS"] = os.environ["ARTDAG_STORAGE_DIRS"] = str(IMPORTS)
os.environ["ARTDAG_WEBHOOK_HOSTS"] = WEBHOOK_HOST
atexit.register(shutil.rmtree, IMPORTS, ignore_errors=True)


@pytest.fixture(scope="session")
def url(live: System) -> str:
    """The gateway's address."""
    return f"http://127.0.0.1:{live.port}"


@pytest.fixture(scope="session")
async def api(live: System, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the owner's token."""
    headers = {"Authorization": f"Bearer {live.token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
async def stranger(live: System, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture
def imports() -> Path:
    """A new folder that the running system may import from."""
    return Path(tempfile.mkdtemp(dir=IMPORTS))


@pytest.fixture
def held(live: System) -> Iterator[Callable[[], None]]:
    """While a test runs, executors do nothing; calling the fixture lets them go on."""
    pid = live.supervisor.children["executor"].pid
    os.kill(pid, signal.SIGSTOP)

    def release() -> None:
        os.kill(pid, signal.SIGCONT)

    yield release
    release()


@pytest.fixture
async def asset(api: httpx.AsyncClient) -> str:
    """Stored content that no other test has."""
    answer = await api.post("/cache/upload", files={"file": ("a.bin", b"\0" + uuid4().bytes)})
    assert answer.status_code == 201
    return str(answer.json()["cid"])


def chain(name: str, steps: int) -> str:
    """A recipe of no-op steps, one after the other, that nobody computed before."""
    salt = uuid4().hex
    lines = [f"name: {name}", "inputs:", "  media: {type: any, description: anything}", "steps:"]
    before = "media"
    for i in range(steps):
        lines.append(f"  - {{id: s{i}, type: NOOP, inputs: [{before}], config: {{salt: {salt}-{i}}}}}")
        before = f"s{i}"
    return "\n".join([*lines, f"output: {before}", ""])


@pytest.fixture
def make_recipe(api: httpx.AsyncClient) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Upload a recipe of so many steps and return the answer."""

    async def make(steps: int = 2, name: str = "") -> dict[str, Any]:
        text = chain(name or f"chain-{uuid4().hex[:8]}", steps)
        answer = await api.post("/recipes/upload", content=text, headers={"Content-Type": "application/yaml"})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    return make


@pytest.fixture
def chain_text() -> Callable[[str, int], str]:
    """The text of such a recipe."""
    return chain


@pytest.fixture(scope="session")
def follow(url: str) -> Callable[..., AsyncIterator[Event]]:
    """Yield the events of a run's live stream: ``id`` (or None), ``event``, ``data``."""

    async def stream(run_id: str, **arguments: Any) -> AsyncIterator[Event]:
        async with (
            httpx.AsyncClient(base_url=url, timeout=60) as client,
            client.stream("GET", f"/runs/{run_id}/events", **arguments) as answer,
        ):
            assert answer.status_code == 200, answer.status_code
            assert answer.headers["content-type"].startswith("text/event-stream")
            fields: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    continue
                if "data" in fields:
                    number = int(fields["id"]) if "id" in fields else None
                    yield {"id": number, "event": fields["event"], "data": json.loads(fields["data"])}
                fields = {}

    return stream


@pytest.fixture
def finish(api: httpx.AsyncClient, follow: Callable[..., AsyncIterator[Event]]) -> Callable[..., Awaitable[Any]]:
    """Wait for the end of a run and return it."""

    async def wait(run_id: str) -> dict[str, Any]:
        async for _ in follow(run_id):
            pass
        return dict((await api.get(f"/runs/{run_id}")).json())

    return wait


@pytest.fixture
def scheduled(follow: Callable[..., AsyncIterator[Event]]) -> Callable[[str], Awaitable[str]]:
    """Wait until a run's first step was handed out, and return the step's cache id."""

    async def wait(run_id: str) -> str:
        async with contextlib.aclosing(follow(run_id)) as stream:
            async for event in stream:
                if event["event"] == "RunStepsScheduled":
                    return str(event["data"]["data"]["steps"][0]["cache_id"])
        raise AssertionError("the run ended without a step")

    return wait


@pytest.fixture
def problem() -> Callable[..., dict[str, Any]]:
    """Check that an answer is a problem response of this status and code, and return it."""

    def check(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        body = dict(answer.json())
        assert body["type"] == f"urn:artdag:problem:{code}"
        assert (body["code"], body["status"]) == (code, status)
        assert body["instance"] == answer.request.url.path
        assert body["title"]
        assert body["detail"]
        return body

    return check
