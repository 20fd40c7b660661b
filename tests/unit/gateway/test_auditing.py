"""What a gateway counts of its refusals, and what it hands over."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from artdag_common.codec import encode_command
from artdag_common.commands import NoteRefusals
from artdag_common.domain.access import hash_token
from artdag_common.domain.audit import ANY, MOST_AN_HOUR, MOST_TOLD
from artdag_common.errors import ServiceUnavailableError
from artdag_common.messaging.bus import Outcome
from artdag_common.sealing import Sealer
from services.gateway.auditing import (
    CODE,
    GATHER_SECONDS,
    MOST_TOKENS,
    SPARING_SECONDS,
    Audited,
    Auditing,
    Gathered,
)

TOKEN = "a-token-that-nobody-may-ever-read"
ADA = "u-ada"


class Receiver:
    """A bus that keeps what is handed over, and a pool that knows one token and one run."""

    def __init__(self) -> None:
        self.taken: list[tuple[NoteRefusals, str]] = []
        self.fails: list[Exception] = []
        self.room = MOST_AN_HOUR
        self.refuses = False
        self.looked_up: list[str] = []
        self.down = False
        self.hangs = False

    async def request(self, command: NoteRefusals, command_id: str, timeout: float) -> Outcome:
        self.taken.append((command, command_id))
        if self.fails:
            raise self.fails.pop()
        if self.hangs:
            await asyncio.Event().wait()
        return Outcome(False, "invalid-request", "no") if self.refuses else Outcome.of(room=self.room)

    async def fetch(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        if self.down:
            raise asyncpg.CannotConnectNowError("starting up")
        if "TokenAttached" in sql:
            self.looked_up += arguments[0]
            stream = f"token-{hash_token(TOKEN)}"
            return [{"what": stream, "user_id": ADA}] if stream in arguments[0] else []
        if "rm_runs" in sql:
            return [
                {"what": "run_id", "key": "eves", "owners": ["u-eve"]},
                {"what": "run_id", "key": "adas", "owners": [ADA]},
            ]
        return []


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def auditing(receiver: Receiver) -> Auditing:
    return Auditing(receiver, receiver, Sealer("ab" * 32), True, clock=lambda: 1_795_320_000.5)  # type: ignore[arg-type]


@pytest.fixture
def client(auditing: Auditing) -> httpx.AsyncClient:
    """A client of an application whose one route answers with the status, and the code, that it is told to."""
    app = FastAPI()
    app.state.gateway = SimpleNamespace(auditing=auditing)

    @app.api_route("/runs/{run_id}", methods=["GET", "DELETE"])
    async def answer(request: Request, run_id: str, status: int, code: str = "") -> Response:
        if code:
            request.scope[CODE] = code
        return Response(status_code=status)

    app.add_middleware(Audited)
    transport = httpx.ASGITransport(app, client=("203.0.113.7", 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def told(auditing: Auditing, receiver: Receiver) -> list[tuple[str, str, str, int]]:
    await auditing.stop()
    return [(r.code, r.route, r.user, r.count) for command, _ in receiver.taken for r in command.refusals]


async def test_refusals_are_counted_and_answers_are_not(client, auditing, receiver):
    for status in (200, 404, 422, 500, 401, 401, 403, 429):
        await client.get("/runs/x", params={"status": status})
    route = "GET /runs/{run_id}"
    assert await told(auditing, receiver) == [
        ("unauthorized", route, "", 2),
        ("forbidden", route, "", 1),
        ("too-many-requests", route, "", 1),
    ]


async def test_a_refusal_names_its_error_its_route_and_whose_token_it_was(client, auditing, receiver):
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    asked = {"status": 401, "code": "token-revoked"}
    await client.delete("/runs/x", params=asked, headers=bearer)
    await client.delete("/runs/y", params=asked, headers={"Cookie": f"artdag_token={TOKEN}"})
    assert await told(auditing, receiver) == [("token-revoked", "DELETE /runs/{run_id}", ADA, 2)]


@pytest.mark.parametrize(
    ("run", "token", "hidden"),
    [("eves", TOKEN, True), ("eves", "", True), ("adas", TOKEN, False), ("adas", "", True), ("nobodys", TOKEN, False)],
)
async def test_what_is_not_found_counts_where_it_is_there_and_anothers(client, auditing, receiver, run, token, hidden):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for _ in range(3):
        await client.get(f"/runs/{run}", params={"status": 404, "code": "run-not-found"}, headers=headers)
    user = ADA if token else ""
    assert await told(auditing, receiver) == ([("hidden", "GET /runs/{run_id}", user, 3)] if hidden else [])


async def test_nothing_that_a_client_sent_is_handed_over(client, auditing, receiver):
    secrets = ("s3cret-query", "s3cret-header", "s3cret-path", TOKEN, hash_token(TOKEN), "203.0.113")
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Other": "s3cret-header", "User-Agent": "s3cret-header"}
    for status in (401, 403, 404, 429):
        asked = {"status": status, "code": "run-not-found" if status == 404 else "x", "auth_token": "s3cret-query"}
        await client.get("/runs/s3cret-path", params=asked, headers=headers)
    await client.request("S3CRET-METHOD", "/runs/x", params={"status": 401})
    await auditing.stop()
    assert receiver.taken
    for command, command_id in receiver.taken:
        data = encode_command(command) + repr(command).encode() + command_id.encode()
        assert not [secret for secret in secrets if secret.encode() in data]


async def test_what_the_bus_does_not_take_is_handed_over_again_as_the_same_command(client, auditing, receiver):
    await client.get("/runs/x", params={"status": 401})
    receiver.fails = [ServiceUnavailableError("the bus did not take it")]
    with pytest.raises(ServiceUnavailableError):
        await auditing._hand_over()
    await client.get("/runs/x", params={"status": 401})
    await auditing._hand_over()
    first, again = receiver.taken
    assert first == again, "counted twice otherwise, where the first was stored and its receipt lost"
    assert [r.count for r in again[0].refusals] == [1]
    assert (await told(auditing, receiver))[-1][3] == 1, "what came meanwhile follows"


async def test_while_the_database_is_away_refusals_wait(client, auditing, receiver):
    await client.get("/runs/x", params={"status": 401}, headers={"Authorization": f"Bearer {TOKEN}"})
    receiver.down = True
    with pytest.raises(asyncpg.CannotConnectNowError):
        await auditing._hand_over()
    receiver.down = False
    assert await told(auditing, receiver) == [("unauthorized", "GET /runs/{run_id}", ADA, 1)]


async def test_a_gateway_that_stops_hands_over_what_it_has(client, auditing, receiver):
    await auditing.start()
    await client.get("/runs/x", params={"status": 401})
    assert await told(auditing, receiver) == [("unauthorized", "GET /runs/{run_id}", "", 1)]


async def test_a_gateway_that_stops_does_not_wait_for_a_bus_that_is_gone(client, auditing, receiver, monkeypatch):
    monkeypatch.setattr("services.gateway.auditing.LAST_SECONDS", 0.02)
    receiver.hangs = True
    await client.get("/runs/x", params={"status": 401})
    await auditing.stop()
    assert len(receiver.taken) == 1


async def test_what_is_refused_itself_is_not_tried_for_ever(client, auditing, receiver):
    receiver.refuses = True
    await client.get("/runs/x", params={"status": 401})
    await auditing.stop()
    assert len(receiver.taken) == 1


async def test_hand_overs_become_rare_when_the_hour_fills(client, auditing, receiver):
    pauses = []
    for room in (MOST_AN_HOUR, MOST_AN_HOUR // 2, MOST_AN_HOUR // 2 - 1, 0, MOST_AN_HOUR):
        receiver.room = room
        await client.get("/runs/x", params={"status": 401})
        await auditing._hand_over()
        pauses.append(auditing._pause)
    assert pauses == [GATHER_SECONDS, GATHER_SECONDS, SPARING_SECONDS, SPARING_SECONDS, GATHER_SECONDS]


async def test_a_flood_of_invented_tokens_is_one_refusal_and_few_look_ups(client, auditing, receiver):
    for i in range(300):
        await client.get("/runs/x", params={"status": 401}, headers={"Authorization": f"Bearer {i}"})
    assert await told(auditing, receiver) == [("unauthorized", "GET /runs/{run_id}", "", 300)]
    assert len(receiver.looked_up) <= MOST_TOKENS


places = st.integers(0, 400)


@given(st.lists(st.tuples(st.sampled_from(["unauthenticated", "rate-limited"]), places, places, places), max_size=1500))
def test_whatever_comes_the_memory_is_bounded_and_every_refusal_counts(requests):
    gathered = Gathered()
    for i, (code, route, token, address) in enumerate(requests):
        gathered.refused(code, f"GET /{route}", f"{token}", f"{address}", i)
        gathered.not_found(f"GET /{route}", f"{token}", f"{address}", ("run_id", f"{i}"), i)
    refusals = gathered.tally.told()
    assert sum(each.count for each in refusals) == len(requests)
    assert sum(1 for each in refusals if each.route != ANY) <= MOST_TOLD
    assert len(gathered.sought) <= MOST_TOLD
    assert len(gathered._tokens) <= 2 * MOST_TOLD
    by_place = Counter((each.code, each.route, each.address) for each in refusals if each.user)
    assert not by_place or max(by_place.values()) <= MOST_TOKENS
