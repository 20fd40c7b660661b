"""Both clients: what they send again, where they go on, what they make of answers."""

from __future__ import annotations

import errno
import json
import os
import random
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from artdag_client import (
    AddressError,
    AsyncClient,
    BusyError,
    Client,
    FileInTheWayError,
    NoAnswerError,
    NotFoundError,
    Patience,
    RefusedError,
    RunFailedError,
    StillPendingError,
    WaitedTooLongError,
    WrongContentError,
    cid_of,
)
from artdag_client._async import connection as asynchronous
from artdag_client._sync import connection as waiting
from artdag_client.asking import BLOCK, proxy_of
from artdag_client.saving import saving
from tests.unit.client.conftest import Serve, done, listed

BUSY = {"Retry-After": "0"}
STORED = {"upload_id": "u", "offset": 0, "cid": "bafy…"}
Answer = Callable[[], httpx.Response]


def lost() -> httpx.Response:
    """A connection that breaks."""
    raise httpx.ReadError("broke off")


def one_by_one(answers: list[Answer], asked: list[httpx.Request]) -> Callable[[httpx.Request], httpx.Response]:
    """Return a server that answers so, one after the other, and notes what it is asked."""

    def server(request: httpx.Request) -> httpx.Response:
        request.read()
        asked.append(request)
        return answers[len(asked) - 1]()

    return server


# --- requests -------------------------------------------------------------------------------------------------------


async def test_a_write_is_sent_again_with_its_key(serve: Serve) -> None:
    asked: list[httpx.Request] = []
    answers = [
        lost,
        lambda: httpx.Response(503, headers=BUSY, json={}),
        lambda: httpx.Response(409, headers=BUSY, json={}),
        lambda: httpx.Response(429, headers=BUSY, json={}),
        lambda: httpx.Response(201, json={"run_id": "r"}),
        lambda: httpx.Response(201, json={"run_id": "s"}),
        lambda: httpx.Response(201, json={"run_id": "t"}),
    ]
    client = serve(one_by_one(answers, asked))
    assert (await done(client.runs.start("dog", ["cid"])))["run_id"] == "r"
    assert len({request.headers["Idempotency-Key"] for request in asked}) == 1
    await done(client.runs.start("dog", ["cid"]))
    await done(client.runs.start("dog", ["cid"], key="mine"))
    assert asked[5].headers["Idempotency-Key"] != asked[0].headers["Idempotency-Key"]
    assert asked[6].headers["Idempotency-Key"] == "mine"
    assert {request.headers["Authorization"] for request in asked} == {"Bearer secret"}


async def test_reading_has_no_key_and_is_sent_again(serve: Serve) -> None:
    asked: list[httpx.Request] = []
    client = serve(one_by_one([lost, lambda: httpx.Response(200, json={"status": "running"})], asked))
    assert (await done(client.runs.get("r")))["status"] == "running"
    assert "Idempotency-Key" not in asked[1].headers


@pytest.mark.parametrize(
    ("status", "after"),
    [(503, "3600"), (503, ""), (429, "3600"), (429, "")],
)
async def test_a_refusal_that_is_the_last_word_is_told_at_once(serve: Serve, status: int, after: str) -> None:
    asked: list[httpx.Request] = []
    refused = lambda: httpx.Response(status, headers={"Retry-After": after}, json={})  # noqa: E731
    with pytest.raises(BusyError) as raised:
        await done(serve(one_by_one([refused], asked)).runs.get("r"))
    assert raised.value.retry_after == (float(after) if after else None)


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_proxy_without_a_server_behind_it_is_asked_again(serve: Serve, status: int) -> None:
    asked: list[httpx.Request] = []
    answers = [
        lambda: httpx.Response(status, html="<h1>no upstream</h1>"),
        lambda: httpx.Response(201, json={"run_id": "r"}),
    ]
    assert (await done(serve(one_by_one(answers, asked)).runs.start("dog", ["cid"])))["run_id"] == "r"
    assert len({request.headers["Idempotency-Key"] for request in asked}) == 1
    asked.clear()
    own = [lambda: httpx.Response(502, json={"detail": "the bytes are wrong", "code": "cid-mismatch"})]
    with pytest.raises(RefusedError, match="the bytes are wrong"):
        await done(serve(one_by_one(own, asked)).runs.get("r"))
    assert len(asked) == 1, "what the server itself says is the last word"


async def test_a_server_that_is_gone_is_named(serve: Serve) -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with pytest.raises(NoAnswerError, match="GET /api/run/r: connection refused"):
        await done(serve(gone).runs.get("r"))


async def test_what_is_no_art_dag_server_is_told(serve: Serve) -> None:
    with pytest.raises(NoAnswerError, match="does not answer as an Art DAG server does"):
        await done(serve(lambda request: httpx.Response(200, text="<html>")).runs.get("r"))


async def test_an_id_cannot_leave_its_place_in_the_path(serve: Serve) -> None:
    paths = []

    def server(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(200, json={})

    await done(serve(server).runs.get("../a?b#c d"))
    assert paths == [b"/api/run/..%2Fa%3Fb%23c%20d"]


async def test_a_redirect_is_not_followed(serve: Serve) -> None:
    asked: list[httpx.Request] = []
    server = one_by_one([lambda: httpx.Response(307, headers={"Location": "https://elsewhere/x"})], asked)
    assert await done(serve(server).content.ipfs_url("bafy")) == "https://elsewhere/x"
    assert len(asked) == 1, "the token is for this server only"


async def test_an_address_that_leads_elsewhere_is_told_with_where(serve: Serve) -> None:
    elsewhere = lambda request: httpx.Response(308, headers={"Location": "https://server/runs"})  # noqa: E731
    told = "http://server sends on to https://server/runs; give the address"
    with pytest.raises(NoAnswerError, match=told):
        await done(serve(elsewhere).runs.start("dog"))
    with pytest.raises(NoAnswerError, match=told):
        await listed(serve(elsewhere).runs.follow("r"))


@pytest.mark.parametrize(
    "url", ["localhost:8100", "l1.example.org", "ftp://server", "http://", "http://u:p@server", "http://server:port"]
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_address_is_refused_at_once(kind: type, url: str) -> None:
    with pytest.raises(AddressError) as raised:
        kind(url)
    assert isinstance(raised.value, ValueError)


def test_a_server_elsewhere_is_reached_by_the_proxy_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_of("https://l1.example.org") is None
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    taken: list[str | None] = []
    monkeypatch.setattr(httpx, "HTTPTransport", lambda **settings: taken.append(settings["proxy"]))
    for url in (
        "https://l1.example.org",
        "http://l1.example.org",
        "https://l1.inside.example",
        "http://localhost:8100",
        "http://127.0.0.1:8100",
        "http://[::1]:8100",
    ):
        Client(url)
    assert taken == ["http://proxy.example:3128"] * 2 + [None] * 4
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:secret@proxy.example:1080")
    with pytest.raises(AddressError, match="HTTPS_PROXY names a proxy of the kind socks5") as raised:
        Client("https://l1.example.org")
    assert "secret" not in str(raised.value)


async def test_a_write_that_is_kept_for_later_is_asked_for_with_its_key(serve: Serve) -> None:
    pending = {"status": "pending", "command_id": "c", "links": {"command": "/api/commands/c"}}
    asked: list[httpx.Request] = []
    answers = [lambda: httpx.Response(202, json=pending)] * 2 + [lambda: httpx.Response(200, json={"run_id": "r"})]
    client = serve(one_by_one(answers, asked))
    assert await done(client.runs.cancel("r")) == {"run_id": "r"}
    assert len({request.headers["Idempotency-Key"] for request in asked}) == 1
    with pytest.raises(StillPendingError) as raised:
        await done(serve(lambda request: httpx.Response(202, json=pending)).runs.cancel("r"))
    assert raised.value.command_id == "c"
    assert raised.value.links == pending["links"]


async def test_a_list_goes_over_all_pages_and_no_further_than_wanted(serve: Serve) -> None:
    asked: list[httpx.Request] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        start = int(request.url.params.get("cursor", "0"))
        page = list(range(start, min(start + int(request.url.params.get("limit", "50")), 230)))
        following = str(page[-1] + 1) if page and page[-1] + 1 < 230 else None
        return httpx.Response(200, json={"runs": page, "total": 230, "next": following})

    client = serve(server)
    assert await listed(client.runs.list(status="failed")) == list(range(230))
    assert {request.url.params["status"] for request in asked} == {"failed"}
    assert [request.url.params["limit"] for request in asked] == ["100"] * 3, "as few pages as can be"
    assert "owner" not in asked[0].url.params
    asked.clear()
    assert await listed(client.runs.list(limit=120)) == list(range(120))
    assert [request.url.params["limit"] for request in asked] == ["100", "20"]
    assert await listed(client.runs.list(limit=0)) == []
    assert (await done(client.runs.page(cursor="200", limit=10)))["next"] == "210"


# --- events ---------------------------------------------------------------------------------------------------------


def frames(*events: tuple[int, str]) -> str:
    """A stream of events."""
    return "".join(f'id: {position}\nevent: {kind}\ndata: {{"n": {position}}}\n\n' for position, kind in events)


async def test_a_lost_stream_goes_on_where_it_was(serve: Serve) -> None:
    asked: list[httpx.Request] = []
    answers = [
        lambda: httpx.Response(200, text=frames((3, "RunRequested"), (5, "RunPlanned")) + "id: 6\nevent: cut"),
        lambda: httpx.Response(200, text="event: progress\ndata: {}\n\n"),
        lost,
        lambda: httpx.Response(200, text=frames((6, "StepStarted"), (9, "RunCompleted"), (10, "never read"))),
    ]
    events = await listed(serve(one_by_one(answers, asked)).runs.follow("r"))
    assert [event.position for event in events] == [3, 5, 0, 6, 9]
    assert [request.headers.get("Last-Event-ID") for request in asked] == [None, "5", "5", "5"]


async def test_a_stream_can_begin_after_what_is_known(serve: Serve) -> None:
    asked: list[httpx.Request] = []
    client = serve(one_by_one([lambda: httpx.Response(204)], asked))
    assert await listed(client.runs.follow("r", after=7)) == []
    assert asked[0].headers["Last-Event-ID"] == "7"


async def test_a_stream_that_says_nothing_is_given_up(serve: Serve) -> None:
    asked: list[httpx.Request] = []
    answers = [lambda: httpx.Response(200, text=": ping\n\n")] * 9
    with pytest.raises(NoAnswerError, match="run r cannot be followed: the server ends it"):
        await listed(serve(one_by_one(answers, asked)).runs.follow("r"))
    assert len(asked) == 4


@pytest.mark.parametrize(
    "away",
    [
        lambda: httpx.Response(503, html="<h1>no upstream</h1>"),
        lambda: httpx.Response(503, headers=BUSY, json={"detail": "Postgres does not answer"}),
        lambda: httpx.Response(429, headers=BUSY, json={"detail": "too many requests"}),
    ],
)
async def test_a_stream_outlives_a_gateway_that_is_replaced(serve: Serve, away: Answer) -> None:
    asked: list[httpx.Request] = []
    answers = [
        lambda: httpx.Response(200, text=frames((3, "RunRequested"))),
        away,
        away,
        lambda: httpx.Response(200, text=frames((9, "RunCompleted"))),
    ]
    events = await listed(serve(one_by_one(answers, asked)).runs.follow("r"))
    assert [event.position for event in events] == [3, 9]
    assert [request.headers.get("Last-Event-ID") for request in asked] == [None, "3", "3", "3"]


async def test_a_stream_is_not_followed_for_ever_where_nobody_is(serve: Serve) -> None:
    asked: list[httpx.Request] = []
    answers = [lambda: httpx.Response(503, html="<h1>no upstream</h1>")] * 9
    with pytest.raises(NoAnswerError, match="cannot be followed: 503"):
        await listed(serve(one_by_one(answers, asked)).runs.follow("r"))
    assert len(asked) == 4
    asked.clear()
    with pytest.raises(BusyError):
        await listed(serve(one_by_one([lambda: httpx.Response(503, json={})], asked)).runs.follow("r"))


async def test_a_connection_that_is_cut_now_and_then_is_no_loss(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count(step=3)  # seconds between two lines
    for connection in (asynchronous, waiting):
        monkeypatch.setattr(connection, "monotonic", lambda: float(next(ticks)))
    asked: list[httpx.Request] = []
    pings = [lambda: httpx.Response(200, text=": ping\n\n")] * 9
    answers = [*pings, lambda: httpx.Response(200, text=frames((9, "RunCompleted")))]
    events = await listed(serve(one_by_one(answers, asked)).runs.follow("r"))
    assert [event.position for event in events] == [9], "a step of hours, behind what cuts connections every minute"


async def test_a_run_that_is_not_there_is_refused(serve: Serve) -> None:
    problem = {"detail": "no run r", "code": "run-not-found"}
    with pytest.raises(NotFoundError, match="no run r"):
        await listed(serve(lambda request: httpx.Response(404, json=problem)).runs.follow("r"))


async def test_waiting_ends_in_time(serve: Serve) -> None:
    client = serve(lambda request: httpx.Response(200, text=": ping\n\n"), patience=Patience(losses=10**9))
    with pytest.raises(WaitedTooLongError, match="run r is not over in time"):
        await done(client.runs.wait("r", timeout=0.05))


@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_a_result_is_that_of_a_run_that_completed(serve: Serve, status: str) -> None:
    run = {"run_id": "r", "status": status, "error": {"node": None, "reason": "no sound"}}

    def server(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return httpx.Response(200, text=frames((1, "RunCompleted" if status == "completed" else "RunFailed")))
        return httpx.Response(200, json=run)

    client = serve(server)
    assert await done(client.runs.wait("r")) == run
    if status == "completed":
        assert await done(client.runs.result("r")) == run
    else:
        with pytest.raises(RunFailedError, match="run r failed: no sound") as raised:
            await done(client.runs.result("r"))
        assert raised.value.run == run


# --- content --------------------------------------------------------------------------------------------------------


class Tus:
    """Takes uploads; breaks off where it is told to, having kept what came."""

    def __init__(self, size: int, *breaks: int) -> None:
        self.size = size
        self.data = b""
        self.breaks = list(breaks)
        self.requests: list[str] = []
        self.metadata = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        self.requests.append(request.method)
        assert request.headers["Tus-Resumable"] == "1.0.0"
        if request.method == "POST":
            assert request.headers["Upload-Length"] == str(self.size)
            self.metadata = request.headers["Upload-Metadata"]
            self.data += request.read()
            return httpx.Response(201, json=self.state())
        if request.method == "PATCH":
            assert request.headers["Upload-Offset"] == str(len(self.data))
            assert request.headers["Content-Length"] == str(self.size - len(self.data))
            came = request.read()
            if self.breaks:
                self.data += came[: self.breaks.pop(0)]
                raise httpx.WriteError("broke off")
            self.data += came
        headers = {"Upload-Offset": str(len(self.data))}
        return httpx.Response(200, json=self.state(), headers=headers)

    def state(self) -> dict[str, Any]:
        """Return an upload's state."""
        whole = len(self.data) == self.size
        return {"upload_id": "u", "offset": len(self.data), "cid": cid_of([self.data]) if whole else None}


async def test_what_is_small_goes_in_one_request(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "cat.bin"
    file.write_bytes(b"meow")
    tus = Tus(4)
    assert await done(serve(tus).upload(file)) == cid_of([b"meow"])
    assert tus.requests == ["POST"]
    assert tus.metadata == "filename Y2F0LmJpbg==,name Y2F0"
    assert await done(serve(Tus(0)).content.upload_bytes(b"")) == cid_of([])


async def test_an_upload_goes_on_where_the_connection_broke(serve: Serve, tmp_path: Path) -> None:
    data = random.Random(3).randbytes(9 * BLOCK + 5)
    file = tmp_path / "cat.bin"
    file.write_bytes(data)
    tus, told = Tus(len(data), 2 * BLOCK + 1, 0, 3), []
    assert await done(serve(tus).upload(file, "cat", lambda sent, total: told.append((sent, total)))) == cid_of([data])
    assert tus.data == data
    assert tus.requests == ["POST", "PATCH", "HEAD", "PATCH", "HEAD", "PATCH", "HEAD", "PATCH", "GET"]
    assert told[-1] == (len(data), len(data))
    assert {total for _, total in told} == {len(data)}


async def test_an_upload_outlives_a_proxy_without_a_server(serve: Serve, tmp_path: Path) -> None:
    data = random.Random(5).randbytes(5 * BLOCK)
    file = tmp_path / "cat.bin"
    file.write_bytes(data)
    tus, away = Tus(len(data)), [502, 503, 504]

    def server(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH" and away:
            request.read()
            return httpx.Response(away.pop(0), html="<h1>no upstream</h1>")
        return tus(request)

    assert await done(serve(server).upload(file)) == cid_of([data])
    assert away == []


async def test_an_upload_is_over_once_it_is_stored(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "cat.bin"
    file.write_bytes(bytes(5 * BLOCK))

    class Storing(Tus):
        looks = 2

        def state(self) -> dict[str, Any]:
            self.looks -= len(self.data) == self.size
            return super().state() | ({"cid": None} if self.looks >= 0 else {})

    assert await done(serve(Storing(5 * BLOCK, 5 * BLOCK)).upload(file)) == cid_of([bytes(5 * BLOCK)])
    Storing.looks = 10**9
    with pytest.raises(WaitedTooLongError, match="is sent, and the server"):
        await done(serve(Storing(5 * BLOCK, 5 * BLOCK)).upload(file))


async def test_what_has_no_end_that_is_known_is_not_uploaded(serve: Serve, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    try:
        with pytest.raises(OSError, match="no ordinary file") as raised:
            await done(serve(Tus(0)).upload(pipe))
    finally:
        os.close(writer)
    assert raised.value.filename == str(pipe)


async def test_an_upload_that_gets_nowhere_is_given_up(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "cat.bin"
    file.write_bytes(bytes(5 * BLOCK))
    with pytest.raises(NoAnswerError):
        await done(serve(Tus(5 * BLOCK, *[0] * 50)).upload(file))


async def test_an_upload_that_is_refused_is_not_tried_again(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "cat.bin"
    file.write_bytes(bytes(5 * BLOCK))
    tus = Tus(5 * BLOCK)

    def server(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            request.read()
            tus.requests.append("PATCH")
            return httpx.Response(507, json={"detail": "the disk is full", "code": "storage-full"})
        return tus(request)

    with pytest.raises(RefusedError, match="the disk is full"):
        await done(serve(server).upload(file))
    assert tus.requests == ["POST", "PATCH"]


def raw(data: bytes, breaks: list[int]) -> Callable[[httpx.Request], httpx.Response]:
    """Return a server of content, in ranges; it breaks off where it is told to."""

    def server(request: httpx.Request) -> httpx.Response:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        assert start == 0 or request.headers["If-Range"] == f'"{cid_of([data])}"'
        rest = data[start:]

        async def asynchronous() -> Any:
            for piece in pieces():
                yield piece

        def pieces() -> Any:
            end = breaks.pop(0) if breaks else None
            yield rest[:end]
            if end is not None:
                raise httpx.ReadError("broke off")

        class Both(httpx.AsyncByteStream, httpx.SyncByteStream):
            def __iter__(self) -> Any:
                return pieces()

            def __aiter__(self) -> Any:
                return asynchronous()

        return httpx.Response(206 if start else 200, headers={"Content-Length": str(len(rest))}, stream=Both())

    return server


async def test_a_download_goes_on_where_it_broke_and_is_checked(serve: Serve, tmp_path: Path) -> None:
    data = random.Random(4).randbytes(1000)
    told: list[tuple[int, int]] = []
    client = serve(raw(data, [300, 0, 400]))
    path = await done(client.download(cid_of([data]), tmp_path / "cat", lambda *facts: told.append(facts)))
    assert path.read_bytes() == data
    assert told[-1] == (1000, 1000)
    assert [each.name for each in tmp_path.iterdir()] == ["cat"]
    assert await done(serve(raw(data, [7])).content.read(cid_of([data]))) == data
    named = await done(serve(raw(data, [])).download(cid_of([data]), tmp_path))
    assert named == tmp_path / cid_of([data])


async def test_content_is_taken_as_it_is_and_without_its_length(serve: Serve) -> None:
    data = random.Random(6).randbytes(1000)
    asked: list[httpx.Request] = []

    def pieces() -> Any:
        yield data[:300]
        yield data[300:]

    class Both(httpx.AsyncByteStream, httpx.SyncByteStream):
        def __iter__(self) -> Any:
            return pieces()

        async def __aiter__(self) -> Any:
            for piece in pieces():
                yield piece

    answers = [lambda: httpx.Response(503, html="<h1>no upstream</h1>"), lambda: httpx.Response(200, stream=Both())]
    assert await done(serve(one_by_one(answers, asked)).content.read(cid_of([data]))) == data
    assert {request.headers["Accept-Encoding"] for request in asked} == {"identity"}, "else it could not go on"


async def test_what_is_refused_while_it_comes_is_told(serve: Serve, tmp_path: Path) -> None:
    gone = lambda request: httpx.Response(404, json={"detail": "no content"})  # noqa: E731
    with pytest.raises(NotFoundError, match="no content"):
        await done(serve(gone).download(cid_of([b"data"]), tmp_path / "cat"))
    assert list(tmp_path.iterdir()) == []


async def test_where_nothing_can_be_saved_nothing_is_begun(serve: Serve, tmp_path: Path) -> None:
    asked: list[httpx.Request] = []
    client = serve(one_by_one([], asked))
    cid = cid_of([b"data"])
    with pytest.raises(FileNotFoundError) as raised:
        await done(client.download(cid, tmp_path / "nowhere" / "cat"))
    assert raised.value.filename == str(tmp_path / "nowhere")
    device = tmp_path / "device"
    os.mkfifo(device)
    for save in (tmp_path / "nowhere" / "cat", device):
        with pytest.raises(OSError, match=r"no such folder|is no file"):
            await done(client.render("dog", "cid", save=save))
    with pytest.raises(FileInTheWayError, match="is no file"):
        await done(client.download(cid, device, replace=True))
    with pytest.raises(FileInTheWayError, match="is no file"):
        await done(client.runs.export("r", tmp_path, replace=True))
    assert asked == []
    assert device.is_fifo()


def _half(target: Path, stop: BaseException) -> None:
    with saving(target, replace=True) as file:
        file.write(b"half")
        raise stop


def test_what_is_interrupted_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "cat"
    target.write_text("mine")
    for stop in (KeyboardInterrupt(), OSError(errno.ENOSPC, "full"), ValueError("a defect")):
        with pytest.raises(type(stop)) as raised:
            _half(target, stop)
        if isinstance(stop, OSError):
            assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(target)), "whose disk it is"
        assert [each.name for each in tmp_path.iterdir()] == ["cat"]
        assert target.read_text() == "mine"


async def test_a_name_may_be_as_long_as_names_can_be(serve: Serve, tmp_path: Path) -> None:
    name = "猫" * 85  # 255 bytes
    await done(serve(raw(b"data", [])).download(cid_of([b"data"]), tmp_path / name))
    assert [each.name for each in tmp_path.iterdir()] == [name]


async def test_wrong_bytes_leave_nothing(serve: Serve, tmp_path: Path) -> None:
    client = serve(raw(b"other", []))
    with pytest.raises(WrongContentError):
        await done(client.download(cid_of([b"wanted"]), tmp_path / "cat"))
    assert list(tmp_path.iterdir()) == []
    path = await done(client.content.download(cid_of([b"wanted"]), tmp_path / "cat", verify=False))
    assert path.read_bytes() == b"other"


async def test_a_file_is_written_over_on_demand_only(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "cat").write_text("mine")
    client = serve(raw(b"new", []))
    with pytest.raises(FileInTheWayError):
        await done(client.download(cid_of([b"new"]), tmp_path / "cat"))
    assert (tmp_path / "cat").read_text() == "mine"
    await done(client.download(cid_of([b"new"]), tmp_path / "cat", replace=True))
    assert (tmp_path / "cat").read_text() == "new"


async def test_a_download_that_gets_nowhere_is_given_up(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(NoAnswerError, match="broke off"):
        await done(serve(raw(b"data", [0] * 50)).download(cid_of([b"data"]), tmp_path / "cat"))
    assert list(tmp_path.iterdir()) == []


async def test_a_picture_is_waited_for(serve: Serve) -> None:
    asked: list[httpx.Request] = []
    answers = [
        lambda: httpx.Response(202, headers={"Retry-After": "0"}, json={"status": "running", "links": {}}),
        lambda: httpx.Response(200, content=b"jpeg"),
    ]
    client = serve(one_by_one(answers, asked))
    assert await done(client.content.picture("bafy", "poster", 320)) == b"jpeg"
    assert str(asked[1].url) == "http://server/cache/bafy/poster?width=320"


async def test_a_picture_is_not_waited_for_beyond_the_time(serve: Serve) -> None:
    making = lambda request: httpx.Response(202, headers={"Retry-After": "0"}, json={"status": "running"})  # noqa: E731
    with pytest.raises(WaitedTooLongError, match="the poster of bafy is not made in time"):
        await done(serve(making).content.picture("bafy", "poster", timeout=0.02))


# --- signing in, and the rest ---------------------------------------------------------------------------------------


async def test_a_token_is_taken_once_it_is_allowed(serve: Serve) -> None:
    codes = {"device_code": "d", "user_code": "WDJB-MJHT", "expires_in": 600, "interval": 0}
    asked: list[httpx.Request] = []
    answers = [
        lambda: httpx.Response(200, json=codes),
        lambda: httpx.Response(200, json={"client": "farm", "state": "allowed"}),
        lambda: httpx.Response(400, json={"error": "authorization_pending"}),
        lost,
        lambda: httpx.Response(503, json={"detail": "Postgres does not answer"}),
        lambda: httpx.Response(502, html="<h1>no upstream</h1>"),
        lambda: httpx.Response(200, json={"access_token": "adt_1"}),
    ]
    assert await done(serve(one_by_one(answers, asked)).tokens.create("farm")) == "adt_1"
    assert [request.url.path for request in asked] == [
        "/auth/device",
        "/auth/device/confirm",
        *["/auth/device/token"] * 5,
    ]
    assert json.loads(asked[1].content) == {"user_code": "WDJB-MJHT", "decision": "allow"}


async def test_a_token_that_is_denied_or_late_is_none(serve: Serve) -> None:
    codes = {"device_code": "d", "user_code": "WDJB-MJHT", "expires_in": 600, "interval": 0}
    client = serve(lambda request: httpx.Response(400, json={"error": "access_denied", "error_description": "no"}))
    with pytest.raises(RefusedError):
        await done(client.tokens.take(codes))
    with pytest.raises(WaitedTooLongError):
        await done(client.tokens.take(codes | {"expires_in": 0}))


async def test_a_system_that_is_not_ready_says_so(serve: Serve) -> None:
    parts = {"ready": False, "parts": {"planner": False}}
    assert await done(serve(lambda request: httpx.Response(503, json=parts)).ready()) == parts
    with pytest.raises(BusyError):
        await done(serve(lambda request: httpx.Response(503, json={"detail": "away"})).ready())


async def test_what_says_nothing_is_not_sent(serve: Serve) -> None:
    asked: list[httpx.Request] = []
    client = serve(one_by_one([lambda: httpx.Response(201, json={})] * 5, asked))
    await done(client.runs.start("dog", {"media": ("a", "b")}, force=["cut"], parameters={"cut": {"at": 0}}))
    await done(client.runs.rerun("r", parameters={}, force=False))
    await done(client.content.describe("bafy", description="", tags=()))
    await done(client.storage.change("s", enabled=False))
    await done(client.storage.change("s", settings={}, capacity_bytes=0))
    assert [json.loads(request.content) for request in asked] == [
        {"recipe": "dog", "inputs": {"media": ["a", "b"]}, "force": ["cut"], "parameters": {"cut": {"at": 0}}},
        {},
        {"description": "", "tags": []},
        {"enabled": False},
        {"settings": {}, "capacity_bytes": None},
    ]


async def test_nothing_is_an_amount_too(serve: Serve) -> None:
    asked: list[httpx.Request] = []
    client = serve(one_by_one([lambda: httpx.Response(200, json={})] * 2, asked))
    await done(client.operator.garbage(0))
    await done(client.operator.collect_garbage(0))
    assert dict(asked[0].url.params) == {"older_than_days": "0"}
    assert json.loads(asked[1].content) == {"older_than_days": 0}


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_run_that_could_not_be_planned_is_told(serve: Serve, status: str) -> None:
    run = {"run_id": "r", "status": status, "error": {"node": None, "reason": "no sound"}}

    def server(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return httpx.Response(200, text=frames((1, "RunFailed")))
        return httpx.Response(200, json=run | {"steps": []} if request.url.path.endswith("/plan") else run)

    with pytest.raises(RunFailedError, match=f"run r {status}: no sound"):
        await done(serve(server).runs.plan("dog", ["cid"]))
