"""The client: server-sent events, reconnecting, the server's own words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import count

import httpx
import pytest

from artdag_cli import client as module
from artdag_cli.client import Client, RequestFailedError

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Handler], Client]]:
    """A client whose server is a function; waiting takes no time, and a look at the clock 5 ms, however busy it is."""
    looks = count()
    monkeypatch.setattr("artdag_client._sync.connection.monotonic", lambda: next(looks) / 200)
    monkeypatch.setattr(module, "RECONNECT_SECONDS", 0.0)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    clients: list[Client] = []

    def start(handler: Handler) -> Client:
        transport = httpx.MockTransport(handler)
        monkeypatch.setattr(httpx, "HTTPTransport", lambda **settings: transport)
        clients.append(Client("http://server", "secret"))
        return clients[-1]

    yield start
    for each in clients:
        each.close()


def frames(*events: tuple[int, str]) -> str:
    """A stream of events."""
    return "".join(f'id: {position}\nevent: {kind}\ndata: {{"n": {position}}}\n\n' for position, kind in events)


def test_a_lost_stream_goes_on_where_it_was(serve: Callable[[Handler], Client]) -> None:
    asked: list[str | None] = []
    answers = [
        lambda: httpx.Response(200, text=frames((3, "RunRequested"), (5, "RunPlanned")) + "id: 6\nevent: cut"),
        lambda: httpx.Response(200, text="event: progress\ndata: {}\n\n"),
        lambda: (_ for _ in ()).throw(httpx.ConnectError("refused")),
        lambda: httpx.Response(200, text=frames((6, "StepStarted"), (9, "RunCompleted"), (10, "never read"))),
    ]

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        assert request.headers["Authorization"] == "Bearer secret"
        return answers[len(asked) - 1]()

    events = list(serve(server).events("r"))
    assert [e.position for e in events] == [3, 5, 0, 6, 9]
    assert asked == [None, "5", "5", "5"]


@pytest.mark.parametrize("ending", sorted(module.TERMINAL))
def test_a_stream_ends_with_the_run(serve: Callable[[Handler], Client], ending: str) -> None:
    assert len(list(serve(lambda _: httpx.Response(200, text=frames((1, ending)))).events("r"))) == 1


def test_a_run_that_was_over_has_no_more_events(serve: Callable[[Handler], Client]) -> None:
    answers = iter([httpx.Response(200, text=frames((1, "RunRequested"))), httpx.Response(204)])
    assert len(list(serve(lambda _: next(answers)).events("r"))) == 1


def test_a_stream_that_never_says_anything_is_given_up(serve: Callable[[Handler], Client]) -> None:
    asked = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, text=": ping\n\n")

    with pytest.raises(RequestFailedError, match="run r cannot be followed: the server ends it"):
        list(serve(server).events("r"))
    assert len(asked) == module.LOSSES_AT_MOST + 1


def test_the_servers_own_words_are_the_message(serve: Callable[[Handler], Client]) -> None:
    problems = [
        {"line": 4, "field": "steps[0].type", "problem": "unknown step type 'SEQENCE'"},
        {"problem": "no output"},
        "plain",
    ]
    body = {"title": "Invalid recipe", "detail": "the recipe has 3 problems", "problems": problems}
    client = serve(lambda _: httpx.Response(422, text=json.dumps(body)))
    with pytest.raises(RequestFailedError) as raised:
        client.call("POST", "/recipes/upload")
    assert raised.value.message.splitlines() == [
        "the recipe has 3 problems",
        "  line 4, steps[0].type: unknown step type 'SEQENCE'",
        "  no output",
        "  plain",
    ]
    assert raised.value.values["status"] == 422
    with pytest.raises(RequestFailedError, match="3 problems"):
        list(client.events("r"))


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(502, text="<html>bad gateway"), "502: <html>bad gateway"),
        (httpx.Response(404, text='{"title": "Not found"}'), "Not found"),
    ],
)
def test_other_refusals_are_told_too(
    serve: Callable[[Handler], Client], response: httpx.Response, message: str
) -> None:
    with pytest.raises(RequestFailedError, match=message):
        serve(lambda _: response).call("GET", "/runs")


def test_a_server_that_is_gone_is_named(serve: Callable[[Handler], Client]) -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with pytest.raises(RequestFailedError, match="GET /runs: connection refused"):
        serve(gone).call("GET", "/runs")


def test_a_write_whose_answer_is_lost_is_sent_again_with_its_key(serve: Callable[[Handler], Client]) -> None:
    asked: list[tuple[str, bytes]] = []
    refusal = {"title": "Busy", "detail": "it is being handled"}
    answers = [
        lambda: (_ for _ in ()).throw(httpx.ConnectError("refused")),
        lambda: (_ for _ in ()).throw(httpx.RemoteProtocolError("broke off")),
        lambda: httpx.Response(503, headers={"Retry-After": "0"}, json=refusal),
        lambda: httpx.Response(409, headers={"Retry-After": "0"}, json=refusal),
        lambda: httpx.Response(429, headers={"Retry-After": "0"}, json=refusal),
        lambda: httpx.Response(201, json={"cid": "b"}),
    ]

    def server(request: httpx.Request) -> httpx.Response:
        asked.append((request.headers["Idempotency-Key"], request.read().partition(b"\r\n\r\n")[2][:5]))
        return answers[len(asked) - 1]()

    client = serve(server)
    assert client.call("POST", "/cache/upload", files={"file": ("name", BytesIO(b"whole"), "text/plain")}) == {
        "cid": "b"
    }
    assert len(asked) == len(answers)
    assert len(set(asked)) == 1  # all of the file each time
    assert asked[0][1] == b"whole"
    answers.append(lambda: httpx.Response(200, json={}))
    client.call("POST", "/runs", json={})
    assert asked[-1][0] != asked[0][0]


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(503, headers={"Retry-After": "3600"}, text="{}"),
        httpx.Response(503, text="{}"),
        httpx.Response(409, text='{"title": "Run active"}'),
        httpx.Response(429, headers={"Retry-After": "3600"}, text="{}"),
    ],
)
def test_a_refusal_that_is_the_last_word_is_told_at_once(
    serve: Callable[[Handler], Client], response: httpx.Response
) -> None:
    asked = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Idempotency-Key"))
        return response

    with pytest.raises(RequestFailedError):
        serve(server).call("GET", "/runs")
    assert asked == [None]


def test_an_id_cannot_leave_its_place_in_the_path(serve: Callable[[Handler], Client]) -> None:
    paths = []

    def server(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(200, text="{}")

    serve(server).run("a?b#c d")
    assert paths == [b"/api/run/a%3Fb%23c%20d"]
