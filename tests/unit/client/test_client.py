"""Both clients: what they send again, where they go on, what they make of answers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from artdag_client import (
    BusyError,
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
from artdag_client.asking import BLOCK
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
        lambda: httpx.Response(201, json={"run_id": "r"}),
        lambda: httpx.Response(201, json={"run_id": "s"}),
        lambda: httpx.Response(201, json={"run_id": "t"}),
    ]
    client = serve(one_by_one(answers, asked))
    assert (await done(client.runs.start("dog", ["cid"])))["run_id"] == "r"
    assert len({request.headers["Idempotency-Key"] for request in asked}) == 1
    await done(client.runs.start("dog", ["cid"]))
    await done(client.runs.start("dog", ["cid"], key="mine"))
    assert asked[4].headers["Idempotency-Key"] != asked[0].headers["Idempotency-Key"]
    assert asked[5].headers["Idempotency-Key"] == "mine"
    assert {request.headers["Authorization"] for request in asked} == {"Bearer secret"}


async def test_reading_has_no_key_and_is_sent_again(serve: Serve) -> None:
    asked: list[httpx.Request] = []
    client = serve(one_by_one([lost, lambda: httpx.Response(200, json={"status": "running"})], asked))
    assert (await done(client.runs.get("r")))["status"] == "running"
    assert "Idempotency-Key" not in asked[1].headers


@pytest.mark.parametrize(
    ("status", "after"),
    [(503, "3600"), (503, ""), (429, "0")],
)
async def test_a_refusal_that_is_the_last_word_is_told_at_once(serve: Serve, status: int, after: str) -> None:
    asked: list[httpx.Request] = []
    refused = lambda: httpx.Response(status, headers={"Retry-After": after}, json={})  # noqa: E731
    with pytest.raises(BusyError) as raised:
        await done(serve(one_by_one([refused], asked)).runs.get("r"))
    assert raised.value.retry_after == (float(after) if after else None)


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


# --- signing in, and the rest ---------------------------------------------------------------------------------------


async def test_a_token_is_taken_once_it_is_allowed(serve: Serve) -> None:
    codes = {"device_code": "d", "user_code": "WDJB-MJHT", "expires_in": 600, "interval": 0}
    asked: list[httpx.Request] = []
    answers = [
        lambda: httpx.Response(200, json=codes),
        lambda: httpx.Response(200, json={"client": "farm", "state": "allowed"}),
        lambda: httpx.Response(400, json={"error": "authorization_pending"}),
        lost,
        lambda: httpx.Response(200, json={"access_token": "adt_1"}),
    ]
    assert await done(serve(one_by_one(answers, asked)).tokens.create("farm")) == "adt_1"
    assert [request.url.path for request in asked] == [
        "/auth/device",
        "/auth/device/confirm",
        *["/auth/device/token"] * 3,
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
    client = serve(one_by_one([lambda: httpx.Response(201, json={})] * 4, asked))
    await done(client.runs.start("dog", {"media": ("a", "b")}, force=["cut"], parameters={"cut": {"at": 0}}))
    await done(client.runs.rerun("r", parameters={}, force=False))
    await done(client.content.describe("bafy", description="", tags=()))
    await done(client.storage.change("s", enabled=False))
    assert [json.loads(request.content) for request in asked] == [
        {"recipe": "dog", "inputs": {"media": ["a", "b"]}, "force": ["cut"], "parameters": {"cut": {"at": 0}}},
        {},
        {"description": "", "tags": []},
        {"enabled": False},
    ]
