"""What people do with a registry: sign in, render, publish, log out; over HTTP, between processes of their own."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis.asyncio

from artdag_cli import backing
from artdag_cli.system import ROOT, system
from artdag_common.errors import BackingServerError
from tests.e2e.conftest import SECOND, Federation
from tests.e2e.people import COOKIE, WAIT_SECONDS, Person, query, until

Make = Callable[[], Awaitable[Person]]
Problem = Callable[..., dict[str, Any]]

ACTIVITY = {"accept": "application/activity+json"}
REVOKED = "token-revoked"


def bearer(base_url: str, token: str) -> httpx.AsyncClient:
    """A program with a token."""
    return httpx.AsyncClient(base_url=base_url, headers={"authorization": f"Bearer {token}"}, timeout=90)


def signed_in(base_url: str, token: str) -> httpx.AsyncClient:
    """A browser with a token in its cookie."""
    return httpx.AsyncClient(base_url=base_url, cookies={COOKIE: token}, timeout=90)


async def told(federation: Federation, person: Person) -> None:
    """Wait until L1 has answered all that the registry had to tell it about somebody."""
    question = """SELECT count(*) FROM calls LEFT JOIN tokens ON body LIKE '%' || hash || '%' AND person = ?1
        WHERE state = 'waiting' AND (hash IS NOT NULL OR body LIKE '%"' || ?1 || '"%')"""

    async def nothing_left() -> bool:
        return bool(federation.registry.rows(question, person.name)[0][0] == 0)

    await until(nothing_left)


# --- the registry itself --------------------------------------------------------------------------------------------


async def test_up_with_l2_starts_a_registry_that_knows_people_and_this_server(state: Path) -> None:
    async with system(state / "with-l2", 0, services=False, extras=("l2",)) as it:
        registry = it.environment["L2_SERVER"]
        assert it.environment["L2_DOMAIN"] == registry.removeprefix("http://")
        assert "ARTDAG_STORAGE_HOSTS" not in it.environment, "nobody is to have storage on the registry"
        (name, password), _ = backing.l2_people(it.state)
        assert (it.state / "l2.people").stat().st_mode & 0o077 == 0
        async with httpx.AsyncClient(base_url=registry, follow_redirects=True, timeout=90) as browser:
            wrong = await browser.post("/login", data={"name": name, "password": f"not {password}"})
            assert wrong.status_code == 401
            page = await browser.post("/login", data={"name": name, "password": password, "next": "/renderers"})
            assert f'value="{it.url}"' in page.text
            answer = await browser.post("/renderers/attach", data={"l1_server": it.url}, follow_redirects=False)
            assert answer.headers["location"].startswith(f"{it.url}/auth?auth_token=")


def test_an_installation_without_the_peer_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artdag_cli.backing.l2.PROGRAM", tmp_path / "tests" / "l2" / "__main__.py")
    with pytest.raises(BackingServerError, match=r"source checkout \(tests/l2\).*L2_SERVER"):
        backing.l2_server(tmp_path)


def test_the_peer_shares_no_code_with_the_product() -> None:
    imported = set()
    for path in (ROOT / "tests" / "l2").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.module
                imported.add(node.module)
    ours = {name for name in imported if name.split(".")[0] in ("artdag_common", "artdag_cli", "services", "tests")}
    assert "tests.l2.inbox" in ours
    assert not {name for name in ours if not name.startswith("tests.l2")}


# --- in, and out ----------------------------------------------------------------------------------------------------


async def test_attach_render_publish_and_unpublish(federation: Federation, people: Make) -> None:
    ada = await people()
    answer = await ada.attach("/media?limit=5")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/media?limit=5"
    assert answer.headers["referrer-policy"] == "no-referrer"
    (line,) = [each for each in answer.headers.get_list("set-cookie") if each.startswith(f"{COOKIE}=")]
    cookie = SimpleCookie(line)[COOKIE]
    assert (cookie["httponly"], cookie["samesite"].lower(), cookie["path"]) == (True, "lax", "/")
    assert not cookie["secure"], "this server is reached without TLS"

    run = await ada.made("Dancing cat")
    cid = run["output_cid"]
    assert cid not in str(await ada.listed())
    await ada.publish(run)

    async def listed() -> dict[str, Any] | None:
        return next((each for each in await ada.listed() if each["cid"] == cid), None)

    shown = await until(listed)
    assert shown["name"] == "Dancing cat"
    assert shown["type"] == "Document"
    assert shown["attributedTo"] == f"{federation.registry.url}/users/{ada.name}"
    # It looked here before it listed anything: this is the record as this server serves it.
    record = (await ada.l1.get(f"/cache/{run['provenance_cid']}/raw")).json()
    assert shown["provenance"] == record
    assert record["output"]["cid"] == cid

    async def delivered() -> dict[str, Any] | None:
        publication = await ada.publication(cid)
        return publication if publication["state"] == "delivered" else None

    publication = await until(delivered)
    assert publication["link"] == shown["id"]
    page = await ada.l2.get(httpx.URL(shown["id"]).path, headers={"accept": "text/html"})
    assert cid in page.text
    assert run["provenance_cid"] in page.text

    async with httpx.AsyncClient(base_url=federation.url, timeout=90) as anybody:
        assert (await anybody.get(f"/cache/{cid}/raw")).status_code == 200
        made_public = await anybody.get(httpx.URL(shown["context"]).path, headers=ACTIVITY)
        assert made_public.json()["id"] == shown["context"]
        assert (await ada.write("DELETE", f"/cache/{cid}/publish")).status_code == 200

        async def gone() -> bool:
            return not await listed()

        await until(gone)
        assert (await anybody.get(httpx.URL(shown["context"]).path, headers=ACTIVITY)).status_code == 410
        assert (await anybody.get(f"/cache/{cid}/raw")).status_code == 404


async def test_a_program_uses_a_bearer_token_until_it_is_revoked(
    federation: Federation, people: Make, problem: Problem
) -> None:
    ada = await people()
    token = await ada.token()
    async with bearer(federation.url, token) as program:
        stored = await program.post("/cache/upload", files={"file": ("a.bin", uuid4().bytes)})
        assert stored.status_code == 201, stored.text
        assert (await program.get(f"/cache/{stored.json()['cid']}/raw")).status_code == 200
        await ada.revoke_newest()
        await told(federation, ada)
        for gateway in federation.gateways:
            async with bearer(gateway, token) as elsewhere:
                problem(await elsewhere.get("/runs"), 401, REVOKED)
    assert federation.registry.rows("SELECT 1 FROM calls WHERE path = '/auth/revoke' AND state = 'told'")


async def test_the_command_line_is_signed_in_by_a_code_that_somebody_confirms(
    federation: Federation, people: Make, tmp_path: Path
) -> None:
    ada = await people()
    command = ("login", federation.url, "--json", "--state", tmp_path)
    login = await artdag(*command)
    assert login.stderr
    shown = json.loads(await login.stderr.readline())
    link = httpx.URL(shown["verification_uri_complete"])
    assert str(link).startswith(f"{federation.url}/auth/device?user_code=")
    page = {"accept": "text/html"}
    # Her browser knows nobody yet: she is sent to the registry first, and comes back to the code.
    first = await ada.l1.get(link.raw_path.decode(), headers=page)
    assert federation.registry.url in first.text
    back = await ada.attach()
    assert back.headers["location"] == link.raw_path.decode()
    asked = await ada.l1.get(back.headers["location"], headers=page)
    assert shown["user_code"] in asked.text
    assert ada.name in asked.text
    fields = {"user_code": shown["user_code"], "decision": "allow"}
    said = await ada.write("POST", "/auth/device/confirm", data=fields)
    assert said.status_code == 200, said.text
    out, err = await login.communicate()
    assert login.returncode == 0, err
    assert json.loads(out)["handle"] == f"@{ada.name}@{federation.registry.url.removeprefix('http://')}"
    # The program is she, until she logs out at the registry.
    (tmp_path / "mine.bin").write_bytes(uuid4().bytes)
    bring = ("cache", "import", tmp_path / "mine.bin", "--server", federation.url, "--state", tmp_path)
    brought = await artdag(*bring)
    out, err = await brought.communicate()
    assert brought.returncode == 0, err
    meta = (await ada.l1.get(f"/cache/{out.decode().split()[0]}/meta")).json()
    assert meta["name"] == "mine"
    await ada.log_out()
    await told(federation, ada)
    refused = await artdag(*bring)
    _, err = await refused.communicate()
    assert refused.returncode == 4, "sign in first"
    assert b"revoked" in err


async def artdag(*arguments: object) -> asyncio.subprocess.Process:
    """Start a command of ``artdag``, as from a terminal."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "artdag_cli", *map(str, arguments), stdout=pipe, stderr=pipe, cwd=ROOT
    )


async def test_a_token_counts_for_no_longer_than_it_says(federation: Federation, people: Make) -> None:
    ada = await people()
    token = await ada.token(seconds=6)
    async with bearer(federation.url, token) as program:
        assert (await program.get("/runs")).status_code == 200

        async def over() -> bool:
            return (await program.get("/runs")).status_code == 401

        await until(over)


async def test_a_token_for_another_l1_is_refused_on_both_sides(
    federation: Federation, people: Make, problem: Problem
) -> None:
    ada = await people()
    other = "https://other-l1.example"
    await ada.l2.post("/renderers", data={"url": other})
    token = await ada.token(other)
    asked = federation.standin.count("/auth/verify")
    async with bearer(federation.url, token) as program:
        problem(await program.get("/runs"), 401, "wrong-scope")
    refused = await ada.l1.get("/auth", params={"auth_token": token})
    assert refused.status_code == 401
    assert not ada.cookie()
    assert federation.standin.count("/auth/verify") == asked, "the registry was asked about another server's token"
    answer = await ada.l2.post(
        "/auth/verify",
        json={"token": token, "l1_server": federation.url},
        headers={"authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 403
    assert answer.json()["valid"] is False


async def test_logging_out_at_the_registry_bites_everywhere_and_ends_streams(
    federation: Federation, ada: Person, problem: Problem, record_property: Callable[[str, object], None]
) -> None:
    program_token = await ada.token()
    executor = federation.l1.supervisor.children["executor"].pid
    os.kill(executor, signal.SIGSTOP)
    try:
        started = await ada.write(
            "POST", "/runs", json={"recipe": "identity", "inputs": [await ada.upload(uuid4().bytes)]}
        )
        run_id = started.json()["run_id"]
        cookies, headers = {COOKIE: ada.cookie()}, {"authorization": f"Bearer {program_token}"}
        first, second = federation.gateways
        async with (
            following(first, run_id, cookies=cookies) as one,
            following(second, run_id, headers=headers) as other,
        ):
            began = time.monotonic()
            await ada.log_out()
            refused = await asyncio.gather(
                until_refused(first, cookies=cookies),
                until_refused(second, cookies=cookies),
                until_refused(second, headers=headers),
            )
            seconds = time.monotonic() - began
            await asyncio.gather(ended(one), ended(other))
            streams = time.monotonic() - began
    finally:
        os.kill(executor, signal.SIGCONT)
    for answer in refused:
        problem(answer, 401, REVOKED)
    record_property("refused_seconds", round(seconds, 3))
    record_property("streams_ended_seconds", round(streams, 3))
    print(f"\nlogged out at L2: refused by both gateways after {seconds:.3f} s, streams ended after {streams:.3f} s")
    assert ada.name not in str((await ada.l2.get("/")).text)
    # What was attached before counts no more; who signs in again comes in.
    await ada.sign_in()
    assert (await ada.attach()).status_code == 303
    assert (await ada.l1.get("/runs")).status_code == 200


@asynccontextmanager
async def following(gateway: str, run_id: str, **arguments: Any) -> AsyncIterator[AsyncIterator[str]]:
    """Follow a run's events; entered when the first has come."""
    async with (
        httpx.AsyncClient(base_url=gateway, timeout=90) as client,
        client.stream("GET", f"/runs/{run_id}/events", **arguments) as stream,
    ):
        assert stream.status_code == 200
        lines = stream.aiter_lines()
        async for line in lines:
            if line.startswith("data:"):
                break
        yield lines


async def ended(lines: AsyncIterator[str]) -> None:
    """Wait until a stream is over."""
    async with asyncio.timeout(WAIT_SECONDS):
        with contextlib.suppress(httpx.RemoteProtocolError):  # it was cut
            async for _ in lines:
                pass


async def until_refused(gateway: str, **arguments: Any) -> httpx.Response:
    """Ask until it is refused; return the refusal."""
    async with httpx.AsyncClient(base_url=gateway, timeout=90, **arguments) as client:

        async def refused() -> httpx.Response | None:
            answer = await client.get("/runs")
            return answer if answer.status_code == 401 else None

        return await until(refused)


async def test_revoke_user_ends_all_tokens_of_that_user_and_of_nobody_else(
    federation: Federation, people: Make, problem: Problem
) -> None:
    ada, giles = await people(), await people()
    await asyncio.gather(ada.attach(), giles.attach())
    token = await ada.token()
    async with bearer(federation.gateways[1], token) as program:
        assert (await program.get("/runs")).status_code == 200
        async with httpx.AsyncClient(timeout=90) as wire:
            url = f"{federation.url}/auth/revoke-user"
            answer = await wire.send(federation.registry.signed(url, {"username": ada.name}))
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"revoked": 2, "username": ada.name}
        problem(await until_refused(federation.gateways[1], headers=dict(program.headers)), 401, REVOKED)
        problem(await until_refused(federation.gateways[0], cookies={COOKIE: ada.cookie()}), 401, REVOKED)
        problem(await program.get("/runs"), 401, REVOKED)
    assert (await giles.l1.get("/runs")).status_code == 200
    assert (await ada.attach()).status_code == 303
    assert (await ada.l1.get("/runs")).status_code == 200


async def test_two_people_who_need_the_same_are_served_once_and_see_nothing_of_each_other(
    federation: Federation, people: Make
) -> None:
    ada, giles = await people(), await people()
    await asyncio.gather(ada.attach(), giles.attach())
    data = uuid4().bytes
    first = await ada.run("identity", [await ada.upload(data, "adas.bin")], "of ada")
    # He has the same bytes, which he does not learn.
    assert (await giles.l1.get(f"/cache/{first['output_cid']}")).status_code == 404
    assert (await giles.l1.get(f"/runs/{first['run_id']}")).status_code == 404
    second = await giles.run("identity", [await giles.upload(data, "giles.bin")], "of giles")
    assert (first["output_cid"], first["status"]) == (second["output_cid"], "completed")
    assert first["run_id"] != second["run_id"]
    assert second["progress"]["cached"] == second["progress"]["total"], "it was computed again"
    for one, other, run in ((ada, giles, second), (giles, ada, first)):
        assert (await one.l1.get(f"/runs/{run['run_id']}")).status_code == 404
        for page in ("/runs", "/media", "/recipes"):
            shown = (await one.l1.get(page)).text
            assert other.name not in shown
            assert run["run_id"] not in shown
            assert f"of {'giles' if other is giles else 'ada'}" not in shown
        meta = (await one.l1.get(f"/cache/{run['output_cid']}/meta")).text
        assert other.name not in meta
        assert run["run_id"] not in meta


# --- what lasts -----------------------------------------------------------------------------------------------------


async def test_sessions_and_revocations_outlive_the_processes_and_redis(
    federation: Federation, people: Make, problem: Problem
) -> None:
    ada, giles = await people(), await people()
    await asyncio.gather(ada.attach(), giles.attach())
    revoked = ada.cookie()
    await ada.log_out()
    await told(federation, ada)

    async def holds(gateway: str) -> None:
        async with signed_in(gateway, revoked) as one, signed_in(gateway, giles.cookie()) as other:
            no, yes = await asyncio.gather(one.get("/runs"), other.get("/runs"))
        problem(no, 401, REVOKED)
        assert yes.status_code == 200

    asked = federation.standin.count("/auth/verify")
    await federation.restart("auth", "gateway", SECOND)  # what they remember is gone
    await asyncio.gather(*map(holds, federation.gateways))
    async with redis.asyncio.Redis.from_url(federation.l1.environment["REDIS_URL"]) as cache:
        await cache.flushall()
    await asyncio.gather(*map(holds, federation.gateways))
    pid = federation.l1.supervisor.children["redis"].pid
    os.kill(pid, signal.SIGSTOP)  # it listens, and does not answer
    try:
        await asyncio.gather(*map(holds, federation.gateways))
        assert federation.standin.count("/auth/verify") == asked, "who was signed in is known without asking"
        unused = await giles.token()
        await giles.revoke_newest()  # before anybody used it
        await giles.log_out()
        await told(federation, giles)
        answers = await asyncio.gather(
            *(
                until_refused(gateway, headers={"authorization": f"Bearer {token}"})
                for gateway in federation.gateways
                for token in (giles.cookie(), unused)
            )
        )
        for answer in answers:
            problem(answer, 401, REVOKED)
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_server_that_is_away_is_told_when_it_is_back(federation: Federation, ada: Person) -> None:
    program = await ada.token()
    gateway = federation.l1.supervisor.children["gateway"]
    before = gateway.pid
    os.kill(before, signal.SIGKILL)

    async def gone() -> bool:
        return gateway.pid != before  # and whoever comes after it does not listen yet

    await until(gone)
    await ada.log_out()
    await told(federation, ada)
    question = """SELECT tries FROM calls JOIN tokens ON body LIKE '%' || hash || '%'
        WHERE person = ? ORDER BY id LIMIT 1"""
    assert federation.registry.rows(question, ada.name)[0]["tries"] > 1, "the server was never away"
    for token in (program, ada.cookie()):
        async with bearer(federation.url, token) as client:
            assert (await client.get("/runs")).status_code == 401


async def test_the_link_is_used_up_with_the_token(federation: Federation, people: Make, problem: Problem) -> None:
    ada = await people()
    link = await ada.link()
    assert list(query(link)) == ["auth_token"]
    assert (await ada.follow(link)).status_code == 303
    await ada.log_out()
    await told(federation, ada)
    ada.l1.cookies.clear()
    again = await ada.follow(link)  # from the browser's history
    assert again.status_code == 401
    assert not ada.cookie()
