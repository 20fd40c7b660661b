"""``artdag doctor`` with a running system, with a broken one, and with none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from artdag_cli import logins
from artdag_cli.backing import free_port
from artdag_cli.surroundings.checks import CHECKS
from artdag_cli.system import System, system
from artdag_common.domain.access import hash_token
from tests.e2e.test_cli import Cli, cli  # noqa: F401  (the fixture)
from tests.integration.events.appends import eventually

LOCAL = [check.__name__ for check in CHECKS]


async def test_of_servers_that_artdag_started_nothing_is_to_be_told(live: System, cli: Cli) -> None:  # noqa: F811
    report = (await cli("doctor", "--state", live.state, "--json")).document
    assert report["checked"][: len(LOCAL) + 1] == [*LOCAL, "system"]
    assert {"services", "versions", "clocks"} <= set(report["checked"])
    of_this_machine = [each for each in report["findings"] if each["check"] in {*LOCAL, "system"} - {"disk"}]
    assert of_this_machine == []


async def test_where_nothing_runs_doctor_looks_at_what_there_is(
    cli: Cli,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("DATABASE_URL", f"postgresql://artdag:not-shown@{place}/artdag")
    monkeypatch.setenv("NATS_URL", f"nats://artdag:not-shown@{place}")
    monkeypatch.setenv("REDIS_URL", f"redis://:not-shown@{place}/5")
    monkeypatch.setenv("IPFS_API", f"/ip4/127.0.0.1/tcp/{place.rpartition(':')[2]}")
    monkeypatch.setenv("ARTDAG_SLOT", "3")
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(0o644)
    outcome = await cli("doctor", "--state", tmp_path)
    assert outcome.code == 5
    for told in (
        "did you mean ARTDAG_SLOTS?",
        f"others may read {tmp_path / 'token'}",
        f"Postgres at {place}/artdag cannot be reached",
        f"NATS at {place} cannot be reached",
        f"Redis at {place} cannot be reached",
        f"the IPFS node cannot be reached at {place}",
        f"no system runs on {tmp_path}",
    ):
        assert told in outcome.out
    assert "not-shown" not in outcome.out + outcome.err
    report = (await cli("doctor", "--state", tmp_path, "--json")).document
    assert not report["well"]
    assert {each["check"] for each in report["findings"] if each["wrong"]} >= {
        *("configuration", "secrets", "postgres", "nats", "redis", "others", "system")
    }


@pytest.fixture(scope="module")
async def stopping(state: Path) -> AsyncIterator[System]:
    """A system whose servers are stopped."""
    async with system(state / "stopping", 0, logs_to_files=True) as it:
        yield it


@pytest.mark.parametrize("server", ["postgres", "nats", "redis"])
async def test_a_server_that_is_stopped_is_told_of_once_until_it_is_there_again(
    stopping: System,
    cli: Cli,  # noqa: F811
    tmp_path: Path,
    server: str,
) -> None:
    """Where the system runs, from where both look; and from elsewhere, where only the gateway does."""
    url = f"http://127.0.0.1:{stopping.port}"
    logins.keep(tmp_path, url, stopping.token)
    here, there = ("--state", stopping.state), ("--state", tmp_path, "--server", url)

    async def told(where: tuple[str | Path, ...]) -> list[str]:
        report = (await cli("doctor", *where, "--json")).document
        assert len(report["checked"]) == len(set(report["checked"]))
        return [each["what"] for each in report["findings"] if each["check"] in (server, "system")]

    async def none() -> bool:
        return [await told(here), await told(there)] == [[], []]

    await eventually(none, f"that {server} answers")
    async with redis.asyncio.Redis.from_url(stopping.environment["REDIS_URL"]) as cache:
        # Without Postgres the gateway knows for half a minute only whom a token signs in.
        known = f"artdag:token:{hash_token(stopping.token)}"
        await cache.persist(known)
        assert await cache.ttl(known) == -1
    child = await stopping.supervisor.remove(server)
    try:
        (what,) = await told(here)
        assert "cannot be reached" in what
        (what,) = await told(there)
        assert "does not answer" in what
    finally:
        await stopping.supervisor.start(child)
    await eventually(none, f"that {server} answers again")
