"""Commands against a server that is a function: what they send, print, keep and exit with."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from artdag_cli import client as client_module
from artdag_cli import logins, system, up
from artdag_cli.__main__ import main
from artdag_cli.exits import AWAY, INTERRUPTED, NO_FILE, NOT_SO, REFUSED, SIGN_IN, WRONG_ARGUMENTS, failure
from artdag_cli.supervisor import Supervisor
from artdag_client import cid_of
from tests.answering import Answers, answering

URL = "https://l1.example"
RUN = "7d0f4a52-9a3b-5d6e-8c1f-2b3a4c5d6e7f"
Handler = Callable[[httpx.Request], httpx.Response]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str


class Terminal:
    """Runs ``artdag`` against a server that is a function, signed in there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.asked: list[httpx.Request] = []
        self._patch = monkeypatch
        self._output = capfd

    def __call__(self, *arguments: str | Path, server: Handler | None = None, here: bool = False) -> Outcome:
        """Run a command. ``here``: it is given no --server."""
        self.asked.clear()

        def answer(request: httpx.Request) -> httpx.Response:
            self.asked.append(request)
            assert server, f"{request.method} {request.url} was not to be asked"
            return server(request)

        self._patch.setattr(httpx, "HTTPTransport", lambda **settings: httpx.MockTransport(answer))
        place = ["--state", str(self.folder), *([] if here else ["--server", URL])]
        self._patch.setattr(sys, "argv", ["artdag", *map(str, arguments), *place])
        self._output.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        said = self._output.readouterr()
        return Outcome(int(code or 0), said.out, said.err)


@pytest.fixture
def artdag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Terminal:
    """A terminal."""
    monkeypatch.setattr(client_module, "RECONNECT_SECONDS", 0.0)
    monkeypatch.setattr(client_module, "PATIENCE_SECONDS", 0.02)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("ARTDAG_SERVER", raising=False)
    monkeypatch.chdir(tmp_path)
    state = tmp_path / "state"
    logins.keep(state, URL, "secret")
    return Terminal(state, monkeypatch, capfd)


def refused(status: int, **problem: Any) -> Handler:
    """Return a server that refuses."""
    return lambda request: httpx.Response(status, json={"detail": "no", "code": "c", **problem})


def gone(request: httpx.Request) -> httpx.Response:
    """A server that is not there."""
    raise httpx.ConnectError("connection refused")


# --- exit codes and what is said ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "code", "told"),
    [
        (refused(404, hint="Look at the list."), REFUSED, ["artdag: no", "  Look at the list."]),
        (refused(422, hint="Not this.", problems=[{"problem": "a"}]), REFUSED, ["artdag: no", "  a"]),
        (refused(401, hint="Not this."), SIGN_IN, ["artdag: no", "  sign in again: artdag login URL"]),
        (refused(403, detail="no \x1b[2Jdice"), REFUSED, ["artdag: no ?[2Jdice"]),
        (gone, AWAY, [f"artdag: GET /api/run/{RUN}: connection refused"]),
        (lambda _: httpx.Response(200, text="<html>"), AWAY, None),
    ],
    ids=["hint", "problems", "token", "escapes", "away", "another"],
)
@pytest.mark.parametrize("command", ["show", "watch"])
def test_a_refusal_is_told_with_what_to_do(
    artdag: Terminal, server: Handler, code: int, told: list[str] | None, command: str
) -> None:
    arguments = ["run", "show", RUN] if command == "show" else ["watch", RUN]
    outcome = artdag(*arguments, server=server)
    assert outcome.code == code
    assert outcome.out == ""
    assert outcome.err.splitlines() == (told or outcome.err.splitlines())


def test_a_proxy_of_a_kind_that_is_not_spoken_is_told(artdag: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy:1080")
    outcome = artdag("runs")
    assert (outcome.code, outcome.out) == (WRONG_ARGUMENTS, "")
    assert "HTTPS_PROXY names a proxy of the kind socks5" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("dlq", "list"),
        ("dlq", "show", "7"),
        ("dlq", "retry", "7"),
        ("dlq", "drop", "7", "--reason", "x"),
        ("user", "list"),
        ("user", "show", "@a@b"),
        ("user", "erase", "@a@b", "--yes"),
        ("audit",),
        ("doctor",),
        ("top", "--json"),
    ],
    ids=" ".join,
)
def test_an_operator_is_one_at_any_server(artdag: Terminal, arguments: tuple[str, ...]) -> None:
    outcome = artdag(*arguments, server=refused(403))
    assert outcome.code in (REFUSED, NOT_SO)
    assert {request.url.host for request in artdag.asked} == {"l1.example"}
    assert {request.headers["Authorization"] for request in artdag.asked} == {"Bearer secret"}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "full"), (os.strerror(errno.ENOSPC), NO_FILE)),
        (OSError(errno.EACCES, "no", "/film"), ("/film: no", NO_FILE)),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), None),
        (ZeroDivisionError(), None),
    ],
)
def test_what_people_can_mend_is_a_sentence_and_a_defect_is_none(
    error: Exception, told: tuple[str, int] | None
) -> None:
    assert failure(error) == told


# --- content --------------------------------------------------------------------------------------------------------


def content(data: bytes, name: str = "cat") -> Handler:
    """Return a server with one content."""

    def server(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/raw"):
            return httpx.Response(200, content=data)
        return httpx.Response(200, json={"title": name, "media_type": "video/mp4"})

    return server


def test_content_goes_to_standard_output_whole_or_not_at_all(artdag: Terminal) -> None:
    data = b"meow\n" * 1000
    assert artdag("download", cid_of([data]), "-o", "-", server=content(data)).out == data.decode()
    wrong = artdag("download", cid_of([data]), "-o", "-", server=content(b"woof"))
    assert (wrong.code, wrong.out) == (NOT_SO, "")
    assert "hash to something else" in wrong.err
    both = artdag("download", cid_of([data]), "-o", "-", "--json")
    assert (both.code, both.out) == (WRONG_ARGUMENTS, "")


class Sink(io.RawIOBase):
    """Takes bytes, and remembers how many."""

    size = 0

    def writable(self) -> bool:
        """Return that it is."""
        return True

    def write(self, data: Any) -> int:
        """Take bytes."""
        self.size += len(data)
        return len(data)


def test_content_is_not_held_in_memory(artdag: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    piece, count = b"x" * 2**18, 96

    class Pieces(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return iter([piece] * count)

    cid = cid_of([piece] * count)
    length = {"Content-Length": str(len(piece) * count)}
    sink = Sink()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(sink)))
    tracemalloc.start()
    try:
        served = lambda request: httpx.Response(200, headers=length, stream=Pieces())  # noqa: E731
        assert artdag("cache", "get", cid, "-o", "-", server=served).code == 0
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sink.size == len(piece) * count
    assert most < sink.size / 2


def test_bytes_that_are_not_what_their_cid_says_are_not_kept(artdag: Terminal, tmp_path: Path) -> None:
    outcome = artdag("download", cid_of([b"wanted"]), "-o", "cat.mp4", server=content(b"other"))
    assert outcome.code == NOT_SO
    assert sorted(each.name for each in tmp_path.iterdir()) == ["state"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("watch", RUN, "-o", "nowhere/film.mp4"),
        ("run", "dog", "cid", "-o", "nowhere/film.mp4"),
        ("watch", RUN, "-o", "pipe"),
    ],
    ids=["watch", "run", "pipe"],
)
def test_where_nothing_can_be_saved_nothing_is_begun(artdag: Terminal, arguments: tuple[str, ...]) -> None:
    os.mkfifo("pipe")
    outcome = artdag(*arguments)
    assert outcome.code == NO_FILE
    assert "there is no such folder" in outcome.err or "is no file" in outcome.err
    assert artdag.asked == []


def test_an_export_that_breaks_off_leaves_nothing(artdag: Terminal, tmp_path: Path) -> None:
    broken = artdag("run", "export", RUN, "run.car", server=lambda request: httpx.Response(200, content=b"no CAR"))
    assert broken.code == NOT_SO
    (tmp_path / "run.car").write_text("mine")
    assert artdag("run", "export", RUN, "run.car").code == NO_FILE
    assert (tmp_path / "run.car").read_text() == "mine"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["run.car", "state"]


# --- runs -----------------------------------------------------------------------------------------------------------


def test_a_recipe_that_is_no_text_is_told(artdag: Terminal, tmp_path: Path) -> None:
    (tmp_path / "film.yaml").write_bytes("name: Käse".encode("latin-1"))
    outcome = artdag("run", "film.yaml")
    assert outcome.code == WRONG_ARGUMENTS
    assert "no text in UTF-8" in outcome.err


def test_what_is_only_planned_is_not_followed(artdag: Terminal) -> None:
    for more in ("--watch", "-w", "-ofilm.mp4"):
        assert artdag("run", "dog", "cid", "--plan", more).code == WRONG_ARGUMENTS


@pytest.mark.parametrize(
    ("given", "sent"), [("NaN", "NaN"), ("-Infinity", "-Infinity"), ("1e999", "1e999"), ("0.5", 0.5), ("[1]", [1])]
)
def test_a_parameter_that_json_has_no_word_for_is_text(artdag: Terminal, given: str, sent: object) -> None:
    started = lambda request: httpx.Response(201, json={"run_id": RUN})  # noqa: E731
    assert artdag("run", "dog", "cid", "--set", f"dog.amount={given}", server=started).code == 0
    assert json.loads(artdag.asked[0].content)["parameters"] == {"dog": {"amount": sent}}


def test_a_run_that_is_rendered_later_is_printed_whole(artdag: Terminal) -> None:
    begun = {"run_id": RUN, "status": "requested"}
    outcome = artdag("render", "dog", "cid", "--json", server=lambda request: httpx.Response(201, json=begun))
    assert json.loads(outcome.out) == begun
    assert artdag("render", "dog", "cid", server=lambda request: httpx.Response(201, json=begun)).out == f"{RUN}\n"


LOG = 'event: log\ndata: {"attempt": 1, "text": "one\\n\\u001b[2Jtwo\\n"}\n\n'
END = 'event: end\ndata: {"status": "failed", "note": ""}\n\n'


def test_a_log_is_followed_in_lines_and_in_objects(artdag: Terminal) -> None:
    def server(request: httpx.Request) -> httpx.Response:
        if "event-stream" in request.headers["Accept"]:
            return httpx.Response(200, text=LOG + END)
        if request.headers["Accept"] == "application/json":
            return httpx.Response(200, json={"text": "one\n\x1b[2Jtwo\n"})
        return httpx.Response(200, text="one\n\x1b[2Jtwo\n\tthree\n")

    followed = artdag("log", RUN, "1", "--follow", server=server)
    assert (followed.code, followed.out) == (NOT_SO, "one\n?[2Jtwo\n")
    objects = artdag("log", RUN, "1", "--follow", "--json", server=server)
    assert objects.code == NOT_SO
    assert [json.loads(line) for line in objects.out.splitlines()] == [
        {"event": "log", "attempt": 1, "text": "one\n\x1b[2Jtwo\n"},
        {"event": "end", "status": "failed", "note": ""},
    ]
    assert artdag("log", RUN, "1", server=server).out == "one\n?[2Jtwo\n    three\n"
    assert json.loads(artdag("log", RUN, "1", "--json", server=server).out) == {"text": "one\n\x1b[2Jtwo\n"}


# --- the operator ---------------------------------------------------------------------------------------------------


def test_letters_are_named_before_anybody_is_asked(artdag: Terminal) -> None:
    assert artdag("dlq", "retry").code == WRONG_ARGUMENTS
    assert artdag("dlq", "drop", "7", "--all", "--reason", "x").code == WRONG_ARGUMENTS


def test_who_does_not_answer_is_asked_for_one_letter_only(artdag: Terminal) -> None:
    outcome = artdag("dlq", "retry", "1", "2", "3", server=gone)
    assert outcome.code == AWAY
    assert {request.url.path for request in artdag.asked} == {"/api/dlq/1/retry"}
    outcome = artdag("dlq", "retry", "1", "2", server=refused(409))
    assert outcome.code == NOT_SO
    assert outcome.err.splitlines() == ["1: no", "2: no"]


PERSON = {"user_id": "u", "handle": "@a@b", "joined_at": "2026", "signed_in_at": None, "erased_at": None}
ERASED = {"removed": {"runs": 2}, "freed_bytes": 5, "kept": [], "public": []}


def test_a_person_is_erased_by_one_command_however_long_it_takes(artdag: Terminal) -> None:
    answers = [
        httpx.Response(200, json=PERSON),
        httpx.Response(202, json={"status": "pending", "command_id": "c"}),
        httpx.Response(200, json=ERASED | {"next": "runs:1"}),
        httpx.Response(200, json=ERASED | {"next": None}),
    ]
    outcome = artdag("user", "erase", "@a@b", "--content", "--yes", "--json", server=lambda _: answers.pop(0))
    assert outcome.code == 0
    assert json.loads(outcome.out)["removed"] == {"runs": 4}
    first, again, following = (request.headers["Idempotency-Key"] for request in artdag.asked[1:])
    assert first == again != following
    assert [dict(request.url.params) for request in artdag.asked[1:]] == [
        {"content": "true"},
        {"content": "true"},
        {"content": "true", "cursor": "runs:1"},
    ]


def test_a_question_is_no_result(artdag: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        outcome = artdag("user", "erase", "@a@b", "--json", server=lambda _: httpx.Response(200, json=PERSON))
    assert (outcome.code, outcome.out) == (NOT_SO, "")
    assert "It cannot be undone" in outcome.err
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    erased = [httpx.Response(200, json=PERSON), httpx.Response(200, json=ERASED | {"next": None})]
    assert artdag("user", "erase", "@a@b", "--json", server=lambda _: erased.pop(0)).code == 0


def test_lists_have_their_name_and_their_number(artdag: Terminal) -> None:
    people = artdag(
        "user", "list", "--json", server=lambda _: httpx.Response(200, json={"users": [PERSON], "next": None})
    )
    assert json.loads(people.out) == {"users": [PERSON], "total": 1}
    hook = {"webhook_id": "w1", "url": "https://host", "events": ["run.failed"], "enabled": True, "reason": None}
    listed = artdag("webhook", "list", "--json", server=lambda _: httpx.Response(200, json={"webhooks": [hook]}))
    assert json.loads(listed.out) == {"webhooks": [hook], "total": 1}

    def server(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/webhooks":
            return httpx.Response(200, json={"webhooks": [hook]})
        assert request.url.path == "/webhooks/w1", "by the beginning of its id"
        return httpx.Response(200, json={"deliveries": [], "total": 0, "next": None})

    assert json.loads(artdag("webhook", "deliveries", "w", "--json", server=server).out) == {
        "deliveries": [],
        "total": 0,
    }


def test_following_the_audit_trail_ends_as_all_that_is_interrupted(artdag: Terminal) -> None:
    def server(request: httpx.Request) -> httpx.Response:
        if "after" in request.url.params:
            raise KeyboardInterrupt
        return httpx.Response(200, json={"entries": [], "next": None})

    assert artdag("audit", "--follow", server=server).code == INTERRUPTED


def test_a_place_may_have_its_limit_taken_away(artdag: Terminal) -> None:
    def server(request: httpx.Request) -> httpx.Response:
        listed = {"storage": [], "next": None}
        return httpx.Response(
            200, json=listed if request.method == "GET" else {"storage_id": "s", "name": "disk", "status": "ready"}
        )

    assert artdag("storage", "change", "s", "--capacity", "0", server=server).out == "s  disk\n"
    assert json.loads(artdag.asked[-1].content) == {"capacity_bytes": None}


# --- signing out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "kept"),
    [(200, 0, False), (401, 0, False), (403, REFUSED, False), (None, AWAY, True)],
    ids=["done", "counts no more", "refused", "away"],
)
def test_a_token_is_forgotten_once_the_server_knows(
    artdag: Terminal, monkeypatch: pytest.MonkeyPatch, answer: int | None, code: int, kept: bool
) -> None:
    def server(request: httpx.Request) -> httpx.Response:
        if answer is None:
            raise httpx.ConnectError("")
        return httpx.Response(answer, json={"detail": "no"})

    real = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **more: real(transport=httpx.MockTransport(server), **more))
    outcome = artdag("logout", URL, here=True)
    assert outcome.code == code
    assert any((artdag.folder / logins.FOLDER).iterdir()) == kept
    if answer is None:
        assert outcome.err.strip().endswith("ConnectError"), "an error without words has a name"


# --- the system on this machine -------------------------------------------------------------------------------------


class Unready(Answers):
    """A gateway that cannot work yet."""

    def do_GET(self) -> None:  # noqa: N802  (a name of the base class)
        """Answer /ready."""
        body = json.dumps({"ready": False, "parts": {"nats": True, "planner": False}}).encode()
        self.send_response(503)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def unready() -> Iterator[str]:
    """Its address."""
    with answering(Unready) as place:
        yield f"http://{place}"


def test_status_names_what_is_not_ready_and_asks_no_proxy(
    artdag: Terminal, monkeypatch: pytest.MonkeyPatch, unready: str
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    facts = {"local_url": unready, "url": unready, "processes": {}, "adopted": []}
    monkeypatch.setattr(up, "running", lambda folder: facts)
    shown = artdag("status", here=True)
    assert shown.code == NOT_SO
    assert "not ready: planner" in shown.out
    assert json.loads(artdag("status", "--json", here=True).out)["parts"] == {"nats": True, "planner": False}
    monkeypatch.setattr(up, "running", lambda folder: facts | {"local_url": "http://127.0.0.1:9"})
    assert "not ready: gateway" in artdag("status", here=True).out


async def test_a_system_that_starts_asks_no_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Ready(Answers):
        def do_GET(self) -> None:  # noqa: N802  (a name of the base class)
            """Answer /ready."""
            self.send_response(200)
            self.end_headers()

    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(system, "READY_SECONDS", 25.0)
    with answering(Ready) as place:
        it = system.System(tmp_path, "", "", {}, Supervisor(), int(place.rpartition(":")[2]))
        async with asyncio.timeout(30):
            await system.wait_until_ready(it)


def test_empty_settings_are_as_if_they_were_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CACHE_DIR", "")
    monkeypatch.setenv("L1_PUBLIC_URL", "")
    monkeypatch.setenv("ARTDAG_ACTOR_KEY", "key")
    it = system.System(tmp_path, "http://localhost:8123", "token", {}, Supervisor(), 8123)
    given = system._given(it, "127.0.0.1")
    assert (given["CACHE_DIR"], given["L1_PUBLIC_URL"]) == (str(tmp_path / "cache"), "http://localhost:8123")
