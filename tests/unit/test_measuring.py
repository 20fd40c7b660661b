"""Requests as they are counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artdag_common import metrics
from artdag_common.measuring import Measured


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to an application of which everything is counted."""
    metrics.begin("gateway")

    async def hello(request: Request) -> Response:
        return PlainTextResponse("hello")

    async def broken(request: Request) -> Response:
        raise ValueError

    routes = [Route("/hello/{name}", hello, methods=["GET", "POST"]), Route("/broken", broken)]
    transport = httpx.ASGITransport(Measured(Starlette(routes=routes)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
    metrics.end()


def counted() -> dict[tuple[str, ...], float]:
    """Return the requests that were counted, by method, route and status."""
    family: Any = metrics.HTTP_REQUESTS._family
    return {values: child._value.get() for values, child in family._metrics.items()}


async def test_a_request_is_counted_by_its_template(client: httpx.AsyncClient) -> None:
    for name in ("ada", "giles"):
        assert (await client.get(f"/hello/{name}")).text == "hello"
    await client.post("/hello/ada")
    assert counted() == {("GET", "/hello/{name}", "200"): 2, ("POST", "/hello/{name}", "200"): 1}
    seconds: Any = metrics.HTTP_SECONDS.of("GET", "/hello/{name}")
    assert seconds._sum.get() > 0
    sent: Any = metrics.HTTP_SENT.of()
    assert sent._value.get() == 3 * len("hello")


async def test_what_has_no_route_and_no_method_of_ours_is_counted_together(client: httpx.AsyncClient) -> None:
    for place in range(3):
        await client.get(f"/nowhere/{place}")
        await client.request(f"BREW{place}", f"/nowhere/{place}")
    assert counted() == {("GET", "none", "404"): 3, ("other", "none", "404"): 3}


async def test_what_breaks_is_counted_and_goes_on_no_more(client: httpx.AsyncClient) -> None:
    assert (await client.get("/broken")).status_code == 500
    assert counted() == {("GET", "/broken", "500"): 1}
    going_on: Any = metrics.HTTP_GOING_ON.of()
    assert [sample.value for sample in going_on.collect()[0].samples] == [0]


async def asked_by_who_leaves(app: ASGIApp) -> list[Message]:
    """Have a request answered whose client goes in the middle of its body; return what it would have been told."""
    told: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        told.append(message)

    scope = {"type": "http", "method": "POST", "path": "/hello/ada", "headers": [], "query_string": b""}
    await Measured(app)(scope, receive, send)
    return told


async def reads_and_says_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


async def reads_and_breaks(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await PlainTextResponse("broken", 500)(scope, receive, send)


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("app", [reads_and_says_nothing, reads_and_breaks])
async def test_who_goes_before_the_answer_is_no_failure_of_ours(app: ASGIApp) -> None:
    await asked_by_who_leaves(app)
    assert counted() == {("POST", "none", "gone"): 1}
    seconds: Any = metrics.HTTP_SECONDS._family
    assert not seconds._metrics, "there was no answer whose beginning could be timed"


@pytest.mark.usefixtures("client")
async def test_who_goes_during_the_answer_was_answered() -> None:
    async def leaves_late(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    await asked_by_who_leaves(leaves_late)
    assert counted() == {("POST", "none", "200"): 1}


@pytest.mark.usefixtures("client")
async def test_an_answer_that_nobody_began_is_a_failure_of_ours() -> None:
    async def forgets(scope: Scope, receive: Receive, send: Send) -> None: ...

    await asked_by_who_leaves(forgets)
    assert counted() == {("POST", "none", "500"): 1}
