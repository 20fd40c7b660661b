"""``artdag up`` and its settings: what is wrong is said before anything starts, and secrets may be in files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artdag_cli.system import System, system
from artdag_common.errors import ConfigurationError

SERVERS = ("DATABASE_URL", "NATS_URL", "REDIS_URL")


async def test_what_is_wrong_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTDAG_SLOTS", "0")
    monkeypatch.setenv("ARTDAG_LOG_LEVL", "info")
    monkeypatch.setenv("ARTDAG_CONTENT_URL", "http://node-a:8200")
    monkeypatch.setenv("CACHE_DIR", str(tmp_path / "token" / "cache"))  # where there is a file by then
    with pytest.raises(ConfigurationError) as refused:
        async with system(tmp_path, 0):
            pytest.fail("it started")
    assert len(refused.value.message.splitlines()) == 5
    for told in (
        "4 settings are wrong:",
        "ARTDAG_SLOTS='0': has to be at least 1",
        "ARTDAG_LOG_LEVL: nobody reads a setting of this name; did you mean ARTDAG_LOG_LEVEL?",
        "ARTDAG_CONTENT_URL='http://node-a:8200': no content is served",
        f"CACHE_DIR={str(tmp_path / 'token' / 'cache')!r}: {tmp_path / 'token'} is no folder",
    ):
        assert told in refused.value.message
    assert not {"postgres", "nats", "redis"} & {each.name for each in tmp_path.iterdir()}


async def test_addresses_of_servers_may_be_in_files(
    backing: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SERVERS:
        monkeypatch.setenv(name, "")  # and is what it was before, afterwards
        (tmp_path / name).write_text(f"{backing.environment[name]}\n")
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    async with system(tmp_path / "state", 0, services=False) as it:
        assert sorted(it.adopted) == sorted(SERVERS)
        assert {name: it.environment[name] for name in SERVERS} == {name: backing.environment[name] for name in SERVERS}
        inherited = {**os.environ, **it.environment_of("planner")}
        assert not [name for name in inherited if name.endswith("_URL_FILE")], "both would be set"
