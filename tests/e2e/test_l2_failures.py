"""What becomes of people and of what they publish while the registry is down, slow, wrong or lied about."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from artdag_cli.system import System
from tests.e2e import standin
from tests.e2e.conftest import SECOND, Federation
from tests.e2e.people import Person, until
from tests.e2e.standin import Fault

Make = Callable[[], Awaitable[Person]]

SPOILT: list[tuple[Fault, bool]] = [
    (standin.broken, False),
    (standin.page, True),
    (standin.huge, False),
    (standin.redirect, False),
    (standin.picture, True),
    (standin.half, True),
    (standin.cut, True),
    (standin.lost, True),
]
"""Faults that show at once, and whether the registry is asked all the same. Those after which the registry counts as
not having answered at all alternate with others, so that nobody stops asking."""
SLOW: list[tuple[Fault, bool]] = [(standin.hang, False), (standin.drip, True)]
MINUTES = 60.0


def unavailable(answer: httpx.Response) -> None:
    """Check that somebody was told that the registry is down, and was not signed in."""
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-type"].startswith("text/html")
    assert "Traceback" not in answer.text


async def test_whoever_comes_while_the_registry_answers_nonsense_is_told_and_comes_in_later(
    federation: Federation, people: Make
) -> None:
    ada = await people()
    stand = federation.standin
    for fault, asks in SPOILT:
        link = await ada.link()
        async with stand.doing("/auth/verify", fault, asks) as rule:
            unavailable(await ada.follow(link))
            assert rule.met.is_set()
        assert not ada.cookie()
        assert (await ada.follow(link)).status_code == 303, f"the link is of no use after {fault.__name__}"
        assert (await ada.l1.get("/runs")).status_code == 200
        ada.l1.cookies.clear()
    link = await ada.link()
    async with stand.closed():
        unavailable(await ada.follow(link))
    assert (await ada.follow(link)).status_code == 303
    assert not stand.strayed, "a redirect was followed"


async def test_whoever_has_a_session_does_not_notice_that_the_registry_is_down(
    federation: Federation, ada: Person
) -> None:
    async with federation.standin.closed():
        run = await ada.made()
        assert run["status"] == "completed"


async def test_each_publication_is_listed_once_whatever_becomes_of_its_delivery(
    federation: Federation, ada: Person
) -> None:
    """Each activity meets another fault at its first delivery; half of the faults lose what the registry said."""
    stand, registry = federation.standin, federation.registry
    runs = [await ada.made(f"work {number}") for number in range(len(SPOILT))]
    async with contextlib.AsyncExitStack() as stack:
        rules = [await stack.enter_async_context(stand.doing("/inbox", fault, asks, times=1)) for fault, asks in SPOILT]
        for run in runs:
            await ada.publish(run)

        await delivered(ada, runs)
        assert all(rule.met.is_set() for rule in rules)
    listed = [each["cid"] for each in await ada.listed()]
    assert sorted(listed) == sorted(run["output_cid"] for run in runs)
    times = [
        row["times"]
        for row in registry.rows(
            "SELECT times FROM activities JOIN assets ON activity = activities.id WHERE person = ?", ada.name
        )
    ]
    assert len(times) == len(runs)
    assert max(times) > 1, "no answer was lost: nothing was delivered twice"
    assert not stand.strayed


async def test_a_registry_that_is_slow_at_every_step_keeps_nobody_for_ever_and_its_key_is_had_in_the_end(
    federation: Federation, people: Make, ada: Person
) -> None:
    """Hanging, and dripping byte by byte: at sign-in, at the fetch of its key, at the delivery. All at once."""
    stand = federation.standin
    known, *runs = [await ada.made() for _ in range(1 + len(SLOW))]
    await ada.publish(known)  # who delivers knows the inbox from now on: only gateways ask for the actor
    await delivered(ada, [known])
    comers = [await people() for _ in SLOW]
    links = [await each.link() for each in comers]
    await federation.restart("gateway", SECOND)  # which have seen nothing signed yet
    async with contextlib.AsyncExitStack() as stack:
        rules = [
            await stack.enter_async_context(stand.doing(path, fault, asks, times=1))
            for path in ("/auth/verify", "/inbox", "/actor")
            for fault, asks in SLOW
        ]
        for run in runs:
            await ada.publish(run)
        *refused, one, two = await asyncio.gather(
            *(each.follow(link) for each, link in zip(comers, links, strict=True)),
            *(revoke(federation, gateway, comers[0]) for gateway in federation.gateways),
        )
        assert all(rule.met.is_set() for rule in rules)
    for answer in refused:
        unavailable(answer)
    assert (one.status_code, two.status_code) == (503, 503)
    await delivered(ada, runs)
    assert sorted(each["cid"] for each in await ada.listed()) == sorted(run["output_cid"] for run in (known, *runs))
    for each, link in zip(comers, links, strict=True):
        assert (await each.follow(link)).status_code == 303
    await key_is_had_in_the_end(federation, comers[0])


async def key_is_had_in_the_end(federation: Federation, person: Person) -> None:
    """No gateway knows the registry's key: whatever becomes of asking for it, nobody is revoked unproved."""
    for fault, asks in SPOILT:
        async with federation.standin.doing("/actor", fault, asks) as rule:
            answer = await revoke(federation, federation.url, person)
            assert rule.met.is_set(), f"{fault.__name__} was never met: the key was known"
            assert answer.status_code == 503, f"{fault.__name__}: {answer.text}"
        assert (await person.l1.get("/runs")).status_code == 200, "revoked by who knows whom"
    async with federation.standin.closed():
        assert (await revoke(federation, federation.url, person)).status_code == 503
    answer = await revoke(federation, federation.url, person)
    assert answer.json() == {"revoked": 1, "username": person.name}
    assert (await person.l1.get("/runs")).status_code == 401
    assert not federation.standin.strayed


async def revoke(federation: Federation, gateway: str, person: Person) -> httpx.Response:
    """Tell one of the gateways behind L1's address, as the registry, that all tokens of a person are revoked."""
    signed = federation.registry.signed(f"{federation.url}/auth/revoke-user", {"username": person.name})
    async with httpx.AsyncClient(timeout=90) as wire:
        return await wire.send(at(gateway, signed))


def at(gateway: str, signed: httpx.Request) -> httpx.Request:
    """Return a request to L1's address as one of the gateways behind it gets it."""
    headers = httpx.Headers(signed.headers)
    headers["host"] = signed.url.netloc.decode()
    return httpx.Request(
        signed.method, signed.url.copy_with(port=httpx.URL(gateway).port), headers=headers, content=signed.content
    )


async def delivered(person: Person, runs: list[dict[str, Any]]) -> None:
    """Wait until the registry has taken all of these."""

    async def all_taken() -> bool:
        states = [(await person.publication(run["output_cid"]))["state"] for run in runs]
        return set(states) == {"delivered"}

    await until(all_taken)


async def test_what_is_published_while_the_registry_is_down_is_delivered_once_when_it_is_back(
    federation: Federation, ada: Person
) -> None:
    run = await ada.made()
    cid = run["output_cid"]
    await federation.registry.stop()
    try:
        await ada.publish(run)

        async def tried() -> dict[str, Any] | None:
            publication = await ada.publication(cid)
            return publication if publication["attempts"] else None

        publication = await until(tried)
        assert publication["state"] == "pending"
        assert publication["last_error"]
        assert publication["next_attempt_at"]
    finally:
        await federation.registry.start()

    await delivered(ada, [run])
    (row,) = federation.registry.rows("SELECT * FROM assets WHERE person = ?", ada.name)
    (activity,) = federation.registry.rows("SELECT * FROM activities WHERE id = ?", row["activity"])
    assert (activity["times"], activity["type"]) == (1, "Create")


async def test_what_the_registry_refuses_is_said_and_not_sent_again(federation: Federation, ada: Person) -> None:
    run = await ada.made()

    async def no(_: standin.StandIn, __: standin.Request, ___: bytes, writer: standin.Writer) -> None:
        writer.write(standin.http("403 Forbidden", b'{"error": "not in this house"}', "Content-Type: application/json"))
        await writer.drain()

    async with federation.standin.doing("/inbox", no):
        await ada.publish(run)

        async def refused() -> dict[str, Any] | None:
            publication = await ada.publication(run["output_cid"])
            return publication if publication["state"] == "refused" else None

        assert "not in this house" in (await until(refused))["last_error"]
    assert not await ada.listed()


async def test_a_replayed_revocation_counts_once(
    federation: Federation, people: Make, problem: Callable[..., dict[str, Any]]
) -> None:
    ada = await people()
    await ada.attach()
    signed = federation.registry.signed(f"{federation.url}/auth/revoke-user", {"username": ada.name})
    async with httpx.AsyncClient(timeout=90) as wire:
        first = await wire.send(signed)
        assert first.json() == {"revoked": 1, "username": ada.name}
        assert (await ada.attach()).status_code == 303  # she is back, and somebody has recorded the request
        for gateway in federation.gateways:
            problem(await wire.send(at(gateway, signed)), 401, "signature")
    assert (await ada.l1.get("/runs")).status_code == 200


@pytest.mark.parametrize(
    "forged",
    ["another body", "another address", "another method", "another server's key", "no signature", "twice"],
)
async def test_a_forged_revocation_is_refused(federation: Federation, ada: Person, forged: str) -> None:
    url, body = f"{federation.url}/auth/revoke-user", {"username": "somebody"}
    key_id = f"http://127.0.0.1:{federation.standin.elsewhere}/actor#main-key" if "server" in forged else ""
    signed = federation.registry.signed(url, body, key_id=key_id)
    headers = httpx.Headers(signed.headers)
    method, content = "POST", json.dumps({"username": ada.name}).encode()
    if forged == "another address":
        signed = federation.registry.signed(f"{federation.url}/auth/revoke", {"username": ada.name})
        headers, content = httpx.Headers(signed.headers), signed.content
    elif forged == "another method":
        method = "PUT"
    elif forged == "no signature":
        del headers["signature"]
    elif forged == "twice":
        headers = httpx.Headers([*headers.multi_items(), ("signature", headers["signature"])])
    elif forged == "another server's key":
        content = signed.content
    headers["content-length"] = str(len(content))
    async with httpx.AsyncClient(timeout=90) as wire:
        answer = await wire.send(httpx.Request(method, url, headers=headers, content=content))
    assert answer.status_code in ((405,) if forged == "another method" else (401,)), answer.text
    assert (await ada.l1.get("/runs")).status_code == 200
    assert not federation.standin.strayed, "a key was fetched from a server that is not the registry"


async def test_a_replayed_delivery_brings_nothing_back(federation: Federation, ada: Person) -> None:
    run = await ada.made()
    cid = run["output_cid"]
    before = len(federation.standin.seen)
    await ada.publish(run)

    async def listed() -> bool:
        return bool(await ada.listed())

    async def gone() -> bool:
        return not await listed()

    await until(listed)
    *_, delivery = [each for each in federation.standin.seen[before:] if each.path == "/inbox"]  # that was taken
    assert (await ada.write("DELETE", f"/cache/{cid}/publish")).status_code == 200
    await until(gone)
    headers = {name: value for name, value in delivery.headers.items() if name not in ("connection", "host")}
    async with httpx.AsyncClient(base_url=federation.registry.url, timeout=90) as wire:
        again = await wire.post("/inbox", headers=headers, content=delivery.body)
        assert again.status_code == 200  # taken, as it was before
        other = delivery.body.replace(ada.name.encode(), b"somebody-else")
        assert other != delivery.body
        headers["content-length"] = str(len(other))
        assert (await wire.post("/inbox", headers=headers, content=other)).status_code == 401
    assert await gone()


async def test_clocks_may_be_ten_minutes_apart(federation: Federation, people: Make) -> None:
    registry = federation.registry

    async def told() -> bool:
        return not registry.rows("SELECT 1 FROM calls WHERE state = 'waiting'")

    try:
        for minutes in (10, -10):
            await registry.stop()
            await registry.start(minutes * MINUTES)
            ada = await people()
            assert (await ada.attach()).status_code == 303
            await ada.publish(await ada.made())

            async def listed(ada: Person = ada) -> bool:
                return bool(await ada.listed())

            await until(listed)
            await ada.log_out()
            await until(told)
            calls = registry.rows("SELECT * FROM calls ORDER BY id DESC LIMIT 2")
            assert {call["state"] for call in calls} == {"told"}, [call["answer"] for call in calls]
            assert (await ada.l1.get("/runs")).status_code == 401
    finally:
        await registry.stop()
        await registry.start()


@pytest.mark.parametrize("minutes", [20, -20])
async def test_clocks_that_are_farther_apart_are_named(federation: Federation, ada: Person, minutes: int) -> None:
    url = f"{federation.url}/auth/revoke-user"
    async with httpx.AsyncClient(timeout=90) as wire:
        answer = await wire.send(
            federation.registry.signed(url, {"username": ada.name}, at=time.time() + minutes * MINUTES)
        )
    assert answer.status_code == 401
    assert "15 minutes" in answer.json()["detail"]
    assert (await ada.l1.get("/runs")).status_code == 200


def secrets_in_logs(it: System, secrets: list[str]) -> list[str]:
    """Return which of these texts the logs hold."""
    logs = "".join(path.read_text(errors="replace") for path in (it.state / "logs").glob("*.log"))
    assert logs
    return [secret for secret in secrets if secret in logs]


async def test_no_token_is_ever_logged(federation: Federation, people: Make) -> None:
    ada = await people()
    link = await ada.link()
    async with federation.standin.doing("/auth/verify", standin.broken):
        unavailable(await ada.follow(link))
    await ada.follow(link)
    token = await ada.token()
    async with httpx.AsyncClient(
        base_url=federation.url, headers={"authorization": f"Bearer {token}"}, timeout=90
    ) as program:
        await program.get("/runs")
    await ada.log_out()
    token_of_link = dict(httpx.QueryParams(link.query))["auth_token"]
    assert not secrets_in_logs(federation.l1, [token, token_of_link])
