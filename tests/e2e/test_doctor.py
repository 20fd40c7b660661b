"""``artdag doctor`` with a running system, with a broken one, and with none."""

from __future__ import annotations

from pathlib import Path

import pytest

from artdag_cli.backing import free_port
from artdag_cli.surroundings.checks import CHECKS
from artdag_cli.system import System
from tests.e2e.test_cli import Cli, cli  # noqa: F401  (the fixture)

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
