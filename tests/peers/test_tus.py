"""Uploads as another client of tus makes them: whole, interrupted, side by side, given up, refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from artdag_cli.backing import free_port, guarded
from artdag_cli.system import ROOT, System, system
from artdag_common.cid import parse_cid

Ask = Callable[..., dict[str, Any]]
Told = AsyncIterator[dict[str, Any]]
Tus = Callable[..., Told]

MEGABYTE = 1 << 20
HERE = "/cache/uploads"
PIECE_BYTES = 64 * 1024
OFTEN = [100] * 600
"""Waits before further tries, in milliseconds."""

PATIENCE_SECONDS = 120
"""After which a peer that goes on and on has failed."""


@pytest.fixture(scope="session")
async def api(live: System) -> AsyncIterator[httpx.AsyncClient]:
    """A client of ours, with the owner's token."""
    headers = {"Authorization": f"Bearer {live.token}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{live.port}", headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
def send(live: System, tus: Tus) -> Tus:
    """Upload with the owner's token, to the running system where no other place is named."""

    def upload(*files: Path, port: int = live.port, **given: Any) -> Told:
        asked = {"endpoint": f"http://127.0.0.1:{port}{HERE}", "token": live.token, "files": list(map(str, files))}
        return tus(**asked | given)

    return upload


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A file of some chunks that nobody has uploaded."""
    return written(tmp_path / "film 1 ä.bin", 6 * MEGABYTE + 5)


def written(path: Path, size: int) -> Path:
    """Write a file of bytes that nobody has uploaded."""
    path.write_bytes(os.urandom(size))
    return path


async def told(events: Told) -> list[dict[str, Any]]:
    """Return all that the peer tells, to its end."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [event async for event in events]


async def until(events: Told, *whats: str) -> Told:
    """Yield what the peer tells, to the end of these things in this order."""
    left = list(whats)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while left:
            event = await anext(events)
            yield event
            if event["what"] == left[0]:
                del left[0]


def sent(events: list[dict[str, Any]]) -> int:
    """Return how many bytes the server took."""
    return sum(event["bytes"] for event in events if event["what"] == "accepted")


async def check(api: httpx.AsyncClient, ask: Ask, path: Path, last: dict[str, Any]) -> None:
    """Make sure that an upload ended as content: the file's bytes, under the name that another IPFS gives them."""
    assert last["what"] == "done", last
    cid = parse_cid(ask(ask="cid", path=path, version=0)["cid"])
    assert last["content"] == f"/cache/{cid}"
    assert (await api.get(f"/cache/{cid}/raw")).content == path.read_bytes()
    state = (await api.get(httpx.URL(last["url"]).path)).json()
    assert (state["status"], state["cid"], state["offset"]) == ("stored", cid, path.stat().st_size)
    assert (state["name"], state["filename"]) == (path.name, path.name)


async def offset_of(api: httpx.AsyncClient, url: str) -> int:
    """Ask how far an upload is."""
    answer = await api.head(httpx.URL(url).path, headers={"Tus-Resumable": "1.0.0"})
    return int(answer.headers["upload-offset"])


@pytest.mark.parametrize("chunk", [MEGABYTE, 3 * MEGABYTE, None])
async def test_a_file_in_chunks_of_any_size(
    api: httpx.AsyncClient, ask: Ask, send: Tus, film: Path, chunk: int | None
) -> None:
    events = await told(send(film, options={"chunkSize": chunk} if chunk else {}))
    size = film.stat().st_size
    accepted = [event["upto"] for event in events if event["what"] == "accepted"]
    assert accepted == [*range(chunk, size, chunk), size] if chunk else [size]
    await check(api, ask, film, events[-1])


@pytest.mark.parametrize("size", [0, 1])
async def test_a_small_file(api: httpx.AsyncClient, ask: Ask, send: Tus, tmp_path: Path, size: int) -> None:
    path = written(tmp_path / "small.bin", size)
    await check(api, ask, path, (await told(send(path)))[-1])


@pytest.mark.parametrize("chunk", [MEGABYTE, 8 * MEGABYTE])
@pytest.mark.parametrize("option", ["uploadDataDuringCreation", "overridePatchMethod"])
async def test_other_ways_to_send(
    api: httpx.AsyncClient, ask: Ask, send: Tus, film: Path, option: str, chunk: int
) -> None:
    events = await told(send(film, options={option: True, "chunkSize": chunk}))
    assert sent(events) == film.stat().st_size
    await check(api, ask, film, events[-1])


async def test_several_files_at_once(api: httpx.AsyncClient, ask: Ask, send: Tus, tmp_path: Path) -> None:
    paths = [written(tmp_path / name, size) for name, size in (("a", 5 * MEGABYTE), ("b", 4 * MEGABYTE + 1), ("c", 7))]
    events = await told(send(*paths, options={"chunkSize": MEGABYTE}))
    for path in paths:
        own = [event for event in events if event["file"] == str(path)]
        assert own[0]["what"] == "url"
        await check(api, ask, path, own[-1])


async def test_one_file_twice_at_once(api: httpx.AsyncClient, ask: Ask, send: Tus, film: Path) -> None:
    """Two uploads of the same bytes: each has its own place until the end, and both become the same content."""
    events = await told(send(film, film, options={"chunkSize": MEGABYTE}))
    done = [event for event in events if event["what"] == "done"]
    assert len({event["url"] for event in done}) == 2
    for each in done:
        await check(api, ask, film, each)


async def test_an_upload_that_was_stopped_goes_on_in_another_process(
    api: httpx.AsyncClient, ask: Ask, send: Tus, film: Path, tmp_path: Path
) -> None:
    kept = str(tmp_path / "urls.json")
    first = await told(send(film, kept=kept, stop=2 * MEGABYTE, options={"chunkSize": MEGABYTE}))
    assert first[0] == {"file": str(film), "what": "previous", "urls": []}
    url = first[-1]["url"]
    assert first[-1]["what"] == "stopped"
    assert await offset_of(api, url) == 2 * MEGABYTE
    second = await told(send(film, kept=kept, options={"chunkSize": MEGABYTE}))
    assert second[0]["urls"] == [url], "it knows of the upload"
    assert sent(second) == film.stat().st_size - 2 * MEGABYTE
    assert second[-1]["url"] == url
    await check(api, ask, film, second[-1])
    third = await told(send(film, at={str(film): url}))
    assert [event["what"] for event in third] == ["url", "done"], "what is complete is not sent again"
    assert (await told(send(film, kept=kept)))[0]["urls"] == [], "what is complete is not kept"


class Wire:
    """What lies between a client and a gateway, and can break: it passes on ``left`` more bytes that the client sends.

    Then ``reached`` is set, and nothing passes until ``left`` is None or the gateway hangs up.
    """

    def __init__(self, gateway: int) -> None:
        self.gateway = gateway
        self.left: int | None = None
        self.reached = asyncio.Event()
        self.mended = asyncio.Event()
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Break all connections."""
        for each in self._writers:
            each.close()

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[Wire]:
        """Let clients connect."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.mended.set()
            self.cut()
            await server.wait_closed()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            up, down = await asyncio.open_connection("127.0.0.1", self.gateway)
            self._writers.add(down)
            sending = asyncio.create_task(self._send(reader, down))
            with contextlib.suppress(OSError):
                while data := await up.read(PIECE_BYTES):
                    writer.write(data)
                    await writer.drain()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            down.close()
        writer.close()

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(PIECE_BYTES if self.left is None else min(self.left, PIECE_BYTES)):
                writer.write(data)
                await writer.drain()
                if self.left is not None:
                    self.left = max(0, self.left - len(data))
                if self.left == 0:
                    self.reached.set()
                    await self.mended.wait()
        writer.close()


async def test_an_upload_whose_connection_broke_goes_on_in_another_process(
    live: System, api: httpx.AsyncClient, ask: Ask, send: Tus, film: Path, tmp_path: Path
) -> None:
    kept = str(tmp_path / "urls.json")
    async with Wire(live.port).laid() as wire:
        wire.left = 2 * MEGABYTE
        first = asyncio.create_task(told(send(film, port=wire.port, kept=kept)))
        await wire.reached.wait()
        wire.cut()
        _, begun, lost = await first
        assert lost["what"] == "lost"
        wire.left = None
        wire.mended.set()
        while await offset_of(api, begun["url"]) < MEGABYTE:
            await asyncio.sleep(0.01)
        second = await told(send(film, port=wire.port, kept=kept, tries=OFTEN))
    assert second[0]["urls"] == [begun["url"]]
    assert sent(second) <= film.stat().st_size - MEGABYTE, "what came before the connection broke is not sent again"
    await check(api, ask, film, second[-1])


async def test_a_client_is_not_kept_out_by_its_own_connection_that_died_silently(
    live: System, api: httpx.AsyncClient, ask: Ask, send: Tus, film: Path
) -> None:
    """As where a phone changes networks: nobody hangs up. The waits are those of the peer's own defaults."""
    async with Wire(live.port).laid() as wire:
        wire.left = 2 * MEGABYTE
        silent = send(film, port=wire.port)
        url = (await anext(silent))["url"]
        await wire.reached.wait()
        while await offset_of(api, url) < MEGABYTE:
            await asyncio.sleep(0.01)
        here = url.replace(f":{wire.port}/", f":{live.port}/")
        events = await told(send(film, at={str(film): here}, tries=[0, 1000, 3000, 5000]))
        await silent.aclose()
    assert sent(events) <= film.stat().st_size - MEGABYTE
    await check(api, ask, film, events[-1])


async def test_a_client_tries_again_by_itself_when_its_connection_breaks(
    live: System, api: httpx.AsyncClient, ask: Ask, send: Tus, film: Path
) -> None:
    async with Wire(live.port).laid() as wire:
        wire.left = 2 * MEGABYTE
        sending = asyncio.create_task(told(send(film, port=wire.port, tries=OFTEN)))
        await wire.reached.wait()
        wire.left = None
        wire.cut()
        wire.mended.set()
        events = await sending
    assert len({event["url"] for event in events if event["what"] == "url"}) == 1
    assert sent(events) <= film.stat().st_size - MEGABYTE
    await check(api, ask, film, events[-1])


@asynccontextmanager
async def gateway(live: System, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A gateway of the running system that can be killed."""
    process = await asyncio.create_subprocess_exec(
        *guarded(),
        sys.executable,
        "-m",
        "services.gateway",
        env=live.environment | {"PORT": str(port), "PATH": "/usr/bin:/bin"},
        cwd=ROOT,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get("/ready")).status_code == 200:
                        break
                assert process.returncode is None
                await asyncio.sleep(0.02)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("chunk", [MEGABYTE, None])
async def test_an_upload_goes_on_when_its_gateway_was_killed_and_started_anew(
    live: System, api: httpx.AsyncClient, ask: Ask, send: Tus, film: Path, chunk: int | None
) -> None:
    port, came = free_port(), 0
    async with Wire(port).laid() as wire:
        wire.left = 3 * MEGABYTE + PIECE_BYTES
        options = {"chunkSize": chunk} if chunk else {}
        events = send(film, port=wire.port, tries=OFTEN, options=options)
        async with gateway(live, port) as killed:
            url = (await anext(events))["url"]
            rest = asyncio.create_task(told(events))
            await wire.reached.wait()
            while came < 2 * MEGABYTE:
                await asyncio.sleep(0.01)
                came = await offset_of(api, url)
            killed.send_signal(signal.SIGKILL)
            await killed.wait()
        wire.left = None
        wire.mended.set()
        async with gateway(live, port):
            later = await rest
    assert {event["url"] for event in later if event["what"] in ("url", "done")} == {url}
    assert sent(later) <= film.stat().st_size - (came if chunk is None else 0), "what the killed gateway had stays"
    await check(api, ask, film, later[-1])


async def test_an_upload_that_is_given_up_is_removed(
    live: System, api: httpx.AsyncClient, send: Tus, film: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "urls.json"
    options = {"chunkSize": MEGABYTE}
    events = await told(send(film, kept=str(kept), stop=MEGABYTE, terminate=True, options=options))
    assert events[-1]["what"] == "stopped"
    where = httpx.URL(events[-1]["url"]).path
    assert (await api.get(where)).json()["code"] == "upload-not-found"
    assert not (Path(live.environment["CACHE_DIR"]) / "uploads" / where.rpartition("/")[2]).exists()
    assert json.loads(kept.read_text()) == {}


async def test_an_upload_that_is_there_no_more_begins_anew(
    api: httpx.AsyncClient, ask: Ask, send: Tus, film: Path, tmp_path: Path
) -> None:
    kept = str(tmp_path / "urls.json")
    options = {"chunkSize": MEGABYTE}
    url = (await told(send(film, kept=kept, stop=MEGABYTE, options=options)))[-1]["url"]
    await api.delete(httpx.URL(url).path, headers={"Tus-Resumable": "1.0.0"})
    events = await told(send(film, kept=kept, options=options))
    assert events[0]["urls"] == [url]
    assert events[-1]["url"] != url
    await check(api, ask, film, events[-1])


async def refused(events: Told, status: int, code: str) -> dict[str, Any]:
    """Make sure that the peer was refused in our words, and did not try again."""
    *before, last = await told(events)
    assert last["what"] == "refused", last
    assert not [event for event in before if event["what"] == "accepted"]
    assert (last["status"], last["type"]) == (status, "application/problem+json")
    body: dict[str, Any] = json.loads(last["body"])
    assert (body["code"], body["status"]) == (code, status)
    assert body["detail"]
    return body


async def test_a_wrong_token_is_refused_in_our_words(send: Tus, film: Path) -> None:
    await refused(send(film, token="wrong", tries=OFTEN), 401, "unauthenticated")


async def test_a_wrong_token_leaves_an_upload_as_it_is(api: httpx.AsyncClient, ask: Ask, send: Tus, film: Path) -> None:
    options = {"chunkSize": MEGABYTE}
    url = (await told(send(film, stop=MEGABYTE, options=options)))[-1]["url"]
    await refused(send(film, at={str(film): url}, token="wrong", options=options), 401, "unauthenticated")
    assert await offset_of(api, url) == MEGABYTE
    events = await told(send(film, at={str(film): url}, options=options))
    assert events[-1]["url"] == url
    await check(api, ask, film, events[-1])


@pytest.mark.parametrize("options", [{"parallelUploads": 2}, {"uploadLengthDeferred": True, "chunkSize": MEGABYTE}])
async def test_what_is_not_spoken_here_is_refused_by_name(send: Tus, film: Path, options: dict[str, Any]) -> None:
    body = await refused(send(film, tries=OFTEN, options=options), 422, "invalid-request")
    assert "upload-" in body["detail"]


async def test_a_name_that_is_too_long_is_refused(send: Tus, film: Path) -> None:
    await refused(send(film, options={"metadata": {"name": "n" * 201}}), 422, "invalid-request")


async def test_what_came_is_not_sent_again_because_the_bus_was_away_at_its_end(
    state: Path, ask: Ask, tus: Tus, film: Path
) -> None:
    """The peer takes an upload for lost where it is refused how far it is, unless it is told that it is locked."""
    async with system(state / "tus", 0, logs_to_files=True) as own, Wire(own.port).laid() as wire:
        wire.left = film.stat().st_size - MEGABYTE
        bus = own.supervisor.children["nats"].pid
        asked = {"endpoint": f"http://127.0.0.1:{wire.port}{HERE}", "token": own.token, "files": [str(film)]}
        events = tus(**asked, tries=OFTEN)
        url = (await anext(events))["url"]
        await wire.reached.wait()
        os.kill(bus, signal.SIGSTOP)
        wire.left = None
        wire.mended.set()
        waits = [event async for event in until(events, "again", "again")]
        os.kill(bus, signal.SIGCONT)
        later = waits + await told(events)
        headers = {"Authorization": f"Bearer {own.token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{own.port}", headers=headers, timeout=60) as api:
            await check(api, ask, film, later[-1])
    assert {event["url"] for event in later if event["what"] in ("url", "done")} == {url}
    assert [event["status"] for event in waits if event["what"] == "again"] == [503, 423]
