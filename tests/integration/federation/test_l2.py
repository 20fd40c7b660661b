"""The one client for the one registry, against a registry that says and does what it should not."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from artdag_common.errors import L2RefusedError, L2UnavailableError, SignatureError, WrongScopeError
from artdag_common.federation import l2 as module
from artdag_common.federation.documents import encode
from artdag_common.federation.l2 import ASK_AGAIN_SECONDS, DOWN_SECONDS, FAILURES, L2, Answer, Verified, normal_url
from artdag_common.federation.signatures import new_key, private_key
from tests.integration.federation.registry import DOCUMENTS, KEY, L1, Registry, answer, hang_up, registry

BODY = b'{"token_hash": "ab"}'
REVOKE = "/auth/revoke"


class Time:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def client(server: Registry, clock: Time | None = None, domain: str = "people.example") -> AsyncIterator[L2]:
    """The client of a server."""
    it = L2(server.url, L1, domain, clock=clock or Time())
    try:
        yield it
    finally:
        await it.close()


@pytest.fixture
async def server() -> AsyncIterator[Registry]:
    async with registry() as it:
        yield it


@pytest.fixture
async def l2(server: Registry) -> AsyncIterator[L2]:
    async with client(server) as it:
        yield it


# --- whose token is this --------------------------------------------------------------------------------------------


async def test_the_registry_says_whose_token_it_is(server: Registry, l2: L2) -> None:
    asked: list[Any] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append((request.headers["Authorization"], await request.json()))
        said = {"username": "giles", "actor": "https://people.example/users/giles", "l1_server": f"{L1}/"}
        return web.json_response({**said, "expires_at": 1767787200, "valid": True})

    server.verify = handle
    assert await l2.verify("abc") == Verified("giles", "https://people.example/users/giles", f"{L1}/", 1767787200)
    assert asked == [("Bearer abc", {"token": "abc", "l1_server": L1})]


async def test_what_it_does_not_say_follows_from_the_name(server: Registry, l2: L2) -> None:
    server.verify = answer(200, {"username": "gil.es-1"})
    assert await l2.verify("abc") == Verified("gil.es-1", "https://people.example/users/gil.es-1")


@pytest.mark.parametrize(
    ("status", "said"), [(401, None), (403, {"detail": "revoked"}), (200, {"username": "giles", "valid": False})]
)
async def test_the_registry_says_no(server: Registry, l2: L2, status: int, said: Any) -> None:
    server.verify = answer(status, said)
    with pytest.raises(L2RefusedError):
        await l2.verify("abc")
    assert server.asked["/auth/verify"] == 1


async def test_a_token_for_another_server_is_refused(server: Registry, l2: L2) -> None:
    server.verify = answer(200, {"username": "giles", "l1_server": "https://other.example"})
    with pytest.raises(WrongScopeError):
        await l2.verify("abc")


@pytest.mark.parametrize("actor", ["https://evil.example/users/giles", "https://people.example.evil/users/giles"])
async def test_an_actor_of_another_server_is_refused(server: Registry, l2: L2, actor: str) -> None:
    server.verify = answer(200, {"username": "giles", "actor": actor})
    with pytest.raises(L2RefusedError):
        await l2.verify("abc")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (500, "no"),
        (404, {}),
        (302, ""),
        (200, "<html>"),
        (200, "[" * 60_000),
        (200, []),
        (200, {}),
        (200, {"username": ""}),
        (200, {"username": 7}),
        (200, {"username": "gi les"}),
        (200, {"username": "gi@les"}),
        (200, {"username": "../giles"}),
        (200, {"username": "g" * 101}),
        (200, {"username": "giles", "actor": "javascript:alert(1)"}),
        (200, {"username": "giles", "actor": "https://a:b@people.example/giles"}),
        (200, {"username": "giles", "actor": 7}),
        (200, {"username": "giles", "expires_at": "tomorrow"}),
        (200, {"username": "giles", "expires_at": True}),
        (200, {"username": "giles", "padding": "x" * 70_000}),
    ],
)
async def test_nonsense_is_no_answer(server: Registry, l2: L2, status: int, said: Any) -> None:
    server.verify = answer(status, said, {"Location": f"{server.url}/elsewhere"})
    with pytest.raises(L2UnavailableError):
        await l2.verify("abc")
    assert "/elsewhere" not in server.asked, "no redirect is followed"


async def test_a_packed_answer_is_no_answer(server: Registry, l2: L2) -> None:
    """A few bytes could be a gigabyte."""
    server.verify = answer(200, "\x1f\x8b", {"Content-Encoding": "gzip"})
    with pytest.raises(L2UnavailableError):
        await l2.verify("abc")


async def test_an_answer_without_end_is_cut(server: Registry, l2: L2) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):
            while True:
                await response.write(b"x" * 10_000)
        return response

    server.verify = handle
    with pytest.raises(L2UnavailableError):
        await l2.verify("abc")


async def test_a_connection_that_breaks_is_tried_once_more(server: Registry, l2: L2) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        server.verify = None
        return await hang_up(request)

    server.verify = handle
    assert (await l2.verify("abc")).username == "giles"
    assert server.asked["/auth/verify"] == 2


async def test_a_slow_registry_is_not_waited_for(server: Registry, l2: L2, monkeypatch: pytest.MonkeyPatch) -> None:
    over = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    monkeypatch.setattr(module, "TIMES", aiohttp.ClientTimeout(total=2.0, sock_connect=2.0))
    server.verify = handle
    with pytest.raises(L2UnavailableError):
        await l2.verify("abc")
    over.set()
    assert server.asked["/auth/verify"] == 1, "who waits for a page waits once"


async def test_a_registry_that_is_down_is_left_alone_for_a_while(server: Registry) -> None:
    clock = Time()
    async with client(server, clock) as l2:
        server.verify = answer(500, "")
        for _ in range(FAILURES):
            with pytest.raises(L2UnavailableError):
                await l2.verify("abc")
        asked = server.asked["/auth/verify"]
        with pytest.raises(L2UnavailableError) as error:
            await l2.verify("abc")
        assert error.value.values["retry_after"] >= 1
        assert server.asked["/auth/verify"] == asked, "nobody asked it"
        clock.now += 10 * DOWN_SECONDS
        server.verify = None
        await l2.verify("abc")
        await l2.verify("abc")


async def test_nobody_listens(server: Registry) -> None:
    l2 = L2("http://127.0.0.1:1", L1, "")
    with pytest.raises(L2UnavailableError):
        await l2.verify("abc")
    await l2.close()


def test_urls_are_compared_in_one_form() -> None:
    assert normal_url("HTTPS://L1.Example:443/") == "https://l1.example"
    assert normal_url("http://localhost:8100/") == "http://localhost:8100"
    assert normal_url("https://[::1]:8443/a/") == "https://[::1]:8443/a"
    for wrong in ("ftp://l1.example", "https://a@l1.example", "https://l1.example?a", "l1.example", "https://[", ""):
        assert normal_url(wrong) == ""


# --- requests that it signs -----------------------------------------------------------------------------------------


async def test_a_request_of_the_registry_is_taken_once(server: Registry, l2: L2) -> None:
    headers = server.signs(REVOKE, BODY)
    await l2.check_signed("POST", f"{L1}{REVOKE}", headers, BODY)
    with pytest.raises(SignatureError, match="came before"):
        await l2.check_signed("POST", f"{L1}{REVOKE}", headers, BODY)
    await l2.check_signed("POST", f"{L1}{REVOKE}", list(server.signs(REVOKE, BODY).items()), BODY)
    assert server.asked == {"/actor": 1}


async def test_of_many_that_bring_the_same_request_one_is_taken(server: Registry, l2: L2) -> None:
    headers = server.signs(REVOKE, BODY)
    checks = [l2.check_signed("POST", f"{L1}{REVOKE}", headers, BODY) for _ in range(20)]
    results = await asyncio.gather(*checks, return_exceptions=True)
    assert [isinstance(each, SignatureError) for each in results].count(False) == 1


async def test_a_request_for_another_server_is_refused(server: Registry, l2: L2) -> None:
    with pytest.raises(SignatureError):
        await l2.check_signed("POST", f"https://other.example{REVOKE}", server.signs(REVOKE, BODY), BODY)
    assert server.asked == {}


@pytest.mark.parametrize(
    "key_id", ["https://evil.example/actor#main-key", "{url}/users/giles#main-key", "{url}.evil/actor#k"]
)
async def test_keys_of_others_are_not_asked_for(server: Registry, l2: L2, key_id: str) -> None:
    headers = server.signs(REVOKE, BODY)
    headers["Signature-Input"] = headers["Signature-Input"].replace(server.key_id, key_id.format(url=server.url))
    with pytest.raises(SignatureError):
        await l2.check_signed("POST", f"{L1}{REVOKE}", headers, BODY)
    assert server.asked == {}


async def test_clocks_ten_minutes_apart_are_near_enough(server: Registry, l2: L2) -> None:
    now = datetime.now(UTC)
    for minutes in (-10, 10):
        await l2.check_signed(
            "POST", f"{L1}{REVOKE}", server.signs(REVOKE, BODY, now + timedelta(minutes=minutes)), BODY
        )
    with pytest.raises(SignatureError, match="clocks"):
        await l2.check_signed("POST", f"{L1}{REVOKE}", server.signs(REVOKE, BODY, now - timedelta(minutes=16)), BODY)


@pytest.mark.parametrize("renamed", [True, False])
async def test_a_key_that_was_replaced_is_found_but_not_asked_for_all_the_time(server: Registry, renamed: bool) -> None:
    clock = Time()
    async with client(server, clock) as l2:
        await l2.check_signed("POST", f"{L1}{REVOKE}", server.signs(REVOKE, BODY), BODY)
        old, server.key = server.key, private_key(new_key())
        if renamed:
            server.name = "second"
        await l2.check_signed("POST", f"{L1}{REVOKE}", server.signs(REVOKE, BODY), BODY)
        assert server.asked["/actor"] == 2
        server.key, server.name = old, "main-key"
        for _ in range(3):
            with pytest.raises(SignatureError):
                await l2.check_signed("POST", f"{L1}{REVOKE}", server.signs(REVOKE, BODY), BODY)
        assert server.asked["/actor"] == 2
        clock.now += ASK_AGAIN_SECONDS
        await l2.check_signed("POST", f"{L1}{REVOKE}", server.signs(REVOKE, BODY), BODY)
        assert server.asked["/actor"] == 3


@pytest.mark.parametrize(
    "change",
    [
        {"id": "https://evil.example/actor"},
        {"inbox": "https://evil.example/inbox"},
        {"inbox": None},
        {"publicKey": None},
        {"publicKey": [{"id": "x"}]},
        {"publicKey": {"id": "{key}", "owner": "https://evil.example/actor", "publicKeyPem": "{pem}"}},
        {"publicKey": {"id": "{key}", "publicKeyPem": "nothing"}},
    ],
)
async def test_an_actor_that_is_not_the_registry_vouches_for_nothing(
    server: Registry, l2: L2, change: dict[str, Any]
) -> None:
    document = server.document()
    text = json.dumps(change).replace("{key}", server.key_id)
    text = text.replace("{pem}", document["publicKey"]["publicKeyPem"].replace("\n", "\\n"))
    server.actor = answer(200, document | json.loads(text))
    with pytest.raises((SignatureError, L2UnavailableError)):
        await l2.check_signed("POST", f"{L1}{REVOKE}", server.signs(REVOKE, BODY), BODY)


async def test_without_the_key_nothing_is_taken(server: Registry, l2: L2) -> None:
    server.actor = answer(503, "")
    with pytest.raises(L2UnavailableError):
        await l2.check_signed("POST", f"{L1}{REVOKE}", server.signs(REVOKE, BODY), BODY)
    server.actor = None
    await l2.check_signed("POST", f"{L1}{REVOKE}", server.signs(REVOKE, BODY), BODY)


# --- activities -----------------------------------------------------------------------------------------------------

ACTIVITY = encode({"id": f"{L1}/activities/1", "type": "Create", "actor": DOCUMENTS.actor_id})


async def test_an_activity_is_delivered_signed(server: Registry, l2: L2) -> None:
    assert await l2.deliver(ACTIVITY, KEY, DOCUMENTS.key_id) == Answer(True, url=f"{server.url}/assets/0")
    assert list(server.taken) == [f"{L1}/activities/1"]


@pytest.mark.parametrize(
    ("status", "said", "headers", "expected"),
    [
        (202, "", {}, Answer(True)),
        (200, "not JSON", {}, Answer(True)),
        (200, {"url": "https://people.example/a"}, {}, Answer(True, url="https://people.example/a")),
        (200, {"url": "https://evil.example/a", "id": 7}, {}, Answer(True)),
        (200, {"url": "javascript:alert(1)"}, {}, Answer(True)),
        (422, {"detail": "no\u202esuch\nperson"}, {}, Answer(False, "422: no such person")),
        (403, "<b>go away</b>", {}, Answer(False, "403: <b>go away</b>")),
        (410, "", {}, Answer(False, "410")),
    ],
)
async def test_what_the_registry_decides(
    server: Registry, l2: L2, status: int, said: Any, headers: dict[str, str], expected: Answer
) -> None:
    server.decisions = [answer(status, said if said != "" else "", headers)]
    assert await l2.deliver(ACTIVITY, KEY, DOCUMENTS.key_id) == expected


async def test_a_link_in_the_head_counts_too(server: Registry, l2: L2) -> None:
    server.decisions = [answer(201, "", {"Location": f"{server.url}/assets/7"})]
    assert await l2.deliver(ACTIVITY, KEY, DOCUMENTS.key_id) == Answer(True, url=f"{server.url}/assets/7")


@pytest.mark.parametrize(
    ("status", "wait", "expected"),
    [(429, "120", 120), (503, "0", 0), (500, "", 0), (408, "nonsense", 0), (425, "7200", 3600), (302, "", 0)],
)
async def test_what_is_not_decided(server: Registry, l2: L2, status: int, wait: str, expected: int) -> None:
    server.decisions = [answer(status, "", {"Retry-After": wait, "Location": f"{server.url}/other"})]
    with pytest.raises(L2UnavailableError) as error:
        await l2.deliver(ACTIVITY, KEY, DOCUMENTS.key_id)
    assert error.value.values.get("retry_after", 0) == expected
    assert "/other" not in server.asked
