"""Dead letters over HTTP: what gave up is shown without its secrets, goes back where it came from, or goes for good."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from artdag_common.application import Application
from artdag_common.codec import encode_command
from artdag_common.commands import AddStorage, CancelRun, Command, SealedSecret, StartRun
from artdag_common.domain.run import InputBinding
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.dead_letters import COMMAND_ID, FROM, TRIED
from tests.integration.events.appends import eventually

Give = Callable[..., Awaitable[int]]
SAMPLE = re.compile(r'(artdag_[a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\]|\\.)*",?)*)\})? (-?[0-9.e+-]+)')


@pytest.fixture
async def give(api: httpx.AsyncClient, bus: Bus) -> AsyncIterator[Give]:
    """Give up a command as the planner would, and return the letter's id; what is left is dropped at the end."""
    given: list[int] = []

    async def give(command: Command, command_id: str = "", service: str = "", **headers: str) -> int:
        name, service = type(command).__name__, service or command.SERVICE
        told = {FROM: subjects.command(command.SERVICE, name, command.key), TRIED: "10"} | headers
        if command_id:
            told[COMMAND_ID] = command_id
        before = {letter["id"] for letter in await all_of(api, service=service)}
        await bus.dead_letter(service, name, encode_command(command), "RuntimeError('disk on fire')", told)
        (new,) = {letter["id"] for letter in await all_of(api, service=service)} - before
        given.append(new)
        return int(new)

    yield give
    for letter_id in given:
        await api.delete(f"/api/dlq/{letter_id}", params={"reason": "the test is over"})


async def all_of(api: httpx.AsyncClient, **asked: str) -> list[dict[str, Any]]:
    """Return all letters, read page by page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await api.get("/api/dlq", params={"limit": "2", **asked, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["letters"]
        if page["next"] is None:
            assert page["total"] == len(found)
            return found
        assert len(page["letters"]) == 2
        cursor = {"cursor": page["next"]}


async def test_letters_are_listed_in_pages_oldest_first_and_by_service_and_name(
    api: httpx.AsyncClient, give: Give
) -> None:
    ids = [await give(CancelRun(f"r{i}"), f"c{i}") for i in range(3)]
    other = await give(AddStorage("s1", "owner", "local", "d", "{}", ()), "c4")
    listed = [letter["id"] for letter in await all_of(api)]
    assert [each for each in listed if each in (*ids, other)] == [*ids, other]
    assert [each["id"] for each in await all_of(api, name="CancelRun") if each["id"] in (*ids, other)] == ids
    assert other in [each["id"] for each in await all_of(api, service="cache")]
    assert await all_of(api, service="cache", name="CancelRun") == []
    letter = (await api.get(f"/api/dlq/{ids[0]}")).json()
    assert (letter["service"], letter["name"], letter["key"], letter["tried"]) == ("planner", "CancelRun", "r0", 10)
    assert letter["reason"] == "RuntimeError('disk on fire')"
    assert letter["payload"]["json"] == {"run_id": "r0"}
    assert letter["headers"] == {COMMAND_ID: "c0"}
    assert letter["retry"] == {"able": True, "how": None}


async def test_no_secret_is_shown(api: httpx.AsyncClient, give: Give) -> None:
    secret = b"sealed-4c61f0e2"
    letter_id = await give(AddStorage("s2", "owner", "s3", "d", "{}", (SealedSecret("key", secret),)), "c5")
    answer = await api.get(f"/api/dlq/{letter_id}")
    assert answer.json()["payload"]["json"]["secrets"] == [{"field": "key", "sealed": "(15 bytes, not shown)"}]
    assert not any(form in answer.text for form in (secret.decode(), secret.hex()))


async def test_what_is_sent_again_happens_once(
    api: httpx.AsyncClient, give: Give, events: Application, asset: str, make_recipe: Callable[..., Awaitable[Any]]
) -> None:
    recipe = (await make_recipe(2))["recipe_id"]
    run_id, command_id = str(uuid4()), str(uuid4())
    command = StartRun(run_id, recipe, "owner", (InputBinding("media", (asset,)),))
    for _ in range(2):  # the second time it was done already: somebody gave up on what had happened
        letter_id = await give(command, command_id)
        answer = await api.post(f"/api/dlq/{letter_id}/retry")
        assert answer.status_code == 200, answer.text
        assert answer.json()["subject"] == f"cmd.planner.StartRun.{run_id}"
        assert (await api.get(f"/api/dlq/{letter_id}")).status_code == 404
        repeated = await api.post(f"/api/dlq/{letter_id}/retry")  # as one whose answer was lost, without a key
        assert (repeated.status_code, repeated.json()) == (200, answer.json())

        async def completed() -> bool:
            answer = await api.get(f"/runs/{run_id}")
            return answer.status_code == 200 and answer.json()["status"] == "completed"

        await eventually(completed, "a run that ended")
    outcome = await eventually(lambda: events.store.outcome("planner", command_id), "the outcome")
    assert outcome
    types = [recorded.type for recorded in await events.store.load(f"run-{run_id}")]
    assert types.count("RunRequested") == types.count("RunCompleted") == 1
    trail = await audited(api, 2, f"cmd.planner.StartRun.{run_id}")
    assert [(entry["event"], entry["by"]["id"]) for entry in trail] == [("AuditLetterRetried", "owner")] * 2


async def audited(api: httpx.AsyncClient, count: int, what: str) -> list[dict[str, Any]]:
    """Return so many entries of the audit trail about something, waiting for them."""

    async def found() -> list[dict[str, Any]]:
        trail = (await api.get("/api/audit", params={"kind": "dead-letter", "limit": "200"})).json()["entries"]
        mine = [entry for entry in trail if entry["what"] == what]
        return mine if len(mine) >= count else []

    return list(await eventually(found, "the audit trail"))


async def test_what_was_done_with_a_letter_is_answered_again_and_done_once(api: httpx.AsyncClient, give: Give) -> None:
    runs = [uuid4().hex for _ in range(2)]
    sent, dropped = [await give(CancelRun(run_id), uuid4().hex) for run_id in runs]
    retries = await asyncio.gather(*(api.post(f"/api/dlq/{sent}/retry") for _ in range(5)))
    assert {answer.status_code for answer in retries} == {200}
    assert {answer.text for answer in retries} == {(await api.post(f"/api/dlq/{sent}/retry")).text}
    drops = await asyncio.gather(
        *(api.delete(f"/api/dlq/{dropped}", params={"reason": f"reason {n}"}) for n in range(5)),
    )
    assert {answer.status_code for answer in drops} == {204}
    assert (await api.delete(f"/api/dlq/{dropped}", params={"reason": "later"})).status_code == 204

    other = await api.post(f"/api/dlq/{dropped}/retry")
    assert (other.status_code, other.json()["code"]) == (404, "letter-not-found")
    assert f"dead letter {dropped} was dropped (reason " in other.json()["detail"]
    other = await api.delete(f"/api/dlq/{sent}", params={"reason": "x"})
    assert (other.status_code, other.json()["code"]) == (404, "letter-not-found")
    assert f"dead letter {sent} was sent again at " in other.json()["detail"]
    trail = [await audited(api, 1, f"cmd.planner.CancelRun.{run_id}") for run_id in runs]
    assert [[entry["event"] for entry in entries] for entries in trail] == [
        ["AuditLetterRetried"],
        ["AuditLetterDropped"],
    ]
    unknown = dropped + 1_000_000
    for answer in (
        await api.post(f"/api/dlq/{unknown}/retry"),
        await api.delete(f"/api/dlq/{unknown}", params={"reason": "x"}),
    ):
        assert (answer.status_code, answer.json()["detail"]) == (404, f"no dead letter {unknown}")


async def test_what_cannot_be_read_is_shown_as_it_is_and_can_only_be_dropped(api: httpx.AsyncClient, bus: Bus) -> None:
    data, key = b"\xff\xfe" + uuid4().bytes, uuid4().hex
    subject = f"cmd.planner.CancelRun.{key}"
    await bus.js.publish(subject, data, headers={COMMAND_ID: uuid4().hex})

    async def given_up() -> list[dict[str, Any]]:
        # Not all_of: the total is counted after the page was read, and the letter may come in between.
        asked = {"service": "planner", "name": "CancelRun", "limit": "100"}
        letters = (await api.get("/api/dlq", params=asked)).json()["letters"]
        return [letter for letter in letters if letter["key"] == key]

    ((letter),) = await eventually(given_up, "the letter")
    place = letter["links"]["self"]
    shown = (await api.get(place)).json()
    assert shown["payload"] == {"json": None, "hex": data.hex(), "size_bytes": len(data)}
    assert shown["retry"]["able"] is False
    assert "CancelRun cannot be decoded" in shown["reason"]
    refusal = await api.post(f"{place}/retry")
    assert (refusal.status_code, refusal.json()["code"]) == (409, "letter-not-resendable")
    assert (await api.delete(place)).status_code == 422  # no reason
    assert (await api.delete(place, params={"reason": "sent by hand"})).status_code == 204
    assert (await api.get(place)).status_code == 404
    ((entry),) = await audited(api, 1, subject)
    assert (entry["event"], entry["code"]) == ("AuditLetterDropped", "sent by hand")


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        ("work.cpu.abc", "by itself, within 5 s"),
        ("evt.run.r1.RunRequested", "until a version runs that knows it"),
        ("cmd.cache.CancelRun.r1", "no command that a gateway sends"),
        ("cmd.auth.AttachToken.r1", "no command that a gateway sends"),
        ("cmd.planner.CancelRun.a.b", "no command that a gateway sends"),
        ("", "another way"),
    ],
)
async def test_what_is_not_the_gateway_s_to_send_is_refused_with_what_to_do(
    api: httpx.AsyncClient, give: Give, subject: str, told: str
) -> None:
    letter_id = await give(CancelRun("r1"), "c6", **{FROM: subject})
    shown = (await api.get(f"/api/dlq/{letter_id}")).json()
    assert told in shown["retry"]["how"]
    refusal = await api.post(f"/api/dlq/{letter_id}/retry")
    assert refusal.status_code == 409
    assert told in refusal.json()["detail"]
    assert (await api.get(f"/api/dlq/{letter_id}")).status_code == 200


async def test_doctor_and_metrics_tell_of_dead_letters(api: httpx.AsyncClient, give: Give) -> None:
    await give(CancelRun("r2"), "c7")
    count = len(await all_of(api, service="planner"))

    async def found() -> list[dict[str, Any]]:
        report = (await api.get("/api/doctor")).json()
        assert report["well"] is False
        return [each for each in report["findings"] if each["check"] == "dead_letters" and "planner" in each["what"]]

    (finding,) = await eventually(found, "the letter in the report")
    assert finding["what"].startswith(f"{count} dead letter")
    assert "artdag dlq list --service planner" in finding["how"]

    async def shown() -> float | None:
        return (await read_metrics(api)).get(("artdag_dead_letters", 'service="planner"'))

    assert await eventually(shown, "the letters in the metrics") == count


async def read_metrics(client: httpx.AsyncClient) -> dict[tuple[str, str], float]:
    """Return what the metrics say, by name and labels; every line is one that Prometheus reads."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples: dict[tuple[str, str], float] = {}
    kinds: dict[str, str] = {}
    for line in answer.text.removesuffix("\n").split("\n"):
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] in kinds, line
            assert (match[1], match[2] or "") not in samples
            samples[match[1], match[2] or ""] = float(match[3])
    assert kinds["artdag_repairs_total"] == kinds["artdag_step_ends_total"] == "counter"
    return samples


async def test_metrics_count_steps_that_ended_and_requests_without_room(
    api: httpx.AsyncClient, asset: str, make_recipe: Callable[..., Awaitable[Any]]
) -> None:
    async def whole() -> dict[tuple[str, str], float]:
        samples = await read_metrics(api)
        up = [samples.get(("artdag_up", f'part="{part}"')) for part in ("planner", "postgres")]
        there = {
            ("artdag_relay_lag_events", 'to="stream"'),
            ("artdag_consumer_pending", 'stream="EVENTS",consumer="planner"'),
        }
        return samples if up == [1, 1] and there <= samples.keys() else {}

    before = await eventually(whole, "metrics of all parts")
    recipe = (await make_recipe(3))["recipe_id"]
    assert (await api.post("/runs", json={"recipe": recipe, "inputs": [asset]})).status_code in (201, 202)
    ended = ("artdag_step_ends_total", 'end="completed",kind=""')

    async def counted() -> bool:
        return (await read_metrics(api)).get(ended, 0) >= before.get(ended, 0) + 3

    await eventually(counted, "three more steps")


async def test_metrics_are_for_this_machine_and_for_the_operator(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    assert (await stranger.get("/metrics")).status_code == 200
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):  # a proxy on this machine, which nobody told us of
        asked = {header: "203.0.113.7"}
        assert (await stranger.get("/metrics", headers=asked)).status_code == 401
        assert (await api.get("/metrics", headers=asked)).status_code == 200


async def test_only_the_operator_sees_what_gave_up(stranger: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(stranger.get(path) for path in ("/api/dlq", "/api/dlq/1", "/api/doctor")),
        stranger.post("/api/dlq/1/retry"),
        stranger.delete("/api/dlq/1", params={"reason": "x"}),
    )
    assert {answer.status_code for answer in answers} == {401}
