"""Under which Host the gateway may be asked, and the one thing that may be asked by address."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from artdag_common.errors import ArtdagError
from services.gateway.access import Addresses, OwnAddressOnly


async def served(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("here")(scope, receive, send)


async def refuse(_: Request, error: ArtdagError) -> Response:
    return PlainTextResponse(error.message, 403)


async def asked(path: str, host: str, address: str = "10.244.0.7", **headers: str) -> int:
    """Return the status of a GET that came in at an address."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    given = {"host": host, **headers}
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "server": (address, 8000),
    }
    await OwnAddressOnly(served, Addresses("https://art.example"), refuse)(scope, receive, send)
    return int(sent[0]["status"])


@pytest.mark.parametrize("host", ["art.example", "localhost:8100", "127.0.0.1"])
async def test_by_our_names_everything_may_be_asked(host: str) -> None:
    assert await asked("/runs", host) == 200


@pytest.mark.parametrize(("host", "address"), [("10.244.0.7:8000", "10.244.0.7"), ("[fd00::7]:8000", "fd00::7")])
async def test_metrics_may_be_asked_for_at_the_address_that_is_connected_to(host: str, address: str) -> None:
    assert await asked("/metrics", host, address) == 200
    assert await asked("/runs", host, address) == 403
    assert await asked("/metrics", host, address, origin="https://other.example") == 403


@pytest.mark.parametrize("host", ["other.example", "10.244.0.8:8000", ""])
async def test_not_by_another_name_or_address(host: str) -> None:
    """A name that leads here is somebody else's page; it could read what it gets."""
    assert await asked("/metrics", host) == 403
