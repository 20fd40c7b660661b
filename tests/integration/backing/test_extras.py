"""The S3 store and the IPFS node that ``up --with s3,ipfs`` starts."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from artdag_cli import backing as servers
from artdag_cli.system import BACKING, EXTRAS, STORES, System, system
from artdag_common.blobs.endpoints import Hosts, parse_endpoint
from artdag_common.blobs.ipfs import IpfsStore
from artdag_common.blobs.remote import RemoteStore
from artdag_common.blobs.s3 import S3Settings, S3Store
from artdag_common.cid import cid_of
from artdag_common.errors import BackingServerError

KEPT = b"kept over a restart"


@pytest.fixture(scope="session")
async def extra(state: Path) -> AsyncIterator[System]:
    """A system with both."""
    async with system(state / "extra", 0, services=False, extras=("s3", "ipfs")) as it:
        yield it


def stores(it: System) -> list[RemoteStore]:
    """Open both as people would whom the operator has not allowed more than ``up`` does."""
    hosts = Hosts.parse(it.environment["ARTDAG_STORAGE_HOSTS"])
    bucket = S3Settings.from_url(it.environment["ARTDAG_S3_URL"])
    return [S3Store(bucket, hosts), IpfsStore(it.environment["IPFS_API"], hosts=hosts)]


async def test_both_keep_content_over_restarts(state: Path, tmp_path: Path) -> None:
    path, cid = tmp_path / "kept", cid_of(KEPT)
    path.write_bytes(KEPT)
    folder = state / "lasting-extra"
    async with system(folder, 0, services=False, extras=("s3", "ipfs")) as it:
        first = dict(it.environment)
        for store in stores(it):
            await store.check()
            await store.store(path, cid)
            await store.close()
        pids = [child.pid for child in it.supervisor.children.values()]
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    async with system(folder, 0, services=False, extras=("s3", "ipfs")) as it:
        assert {EXTRAS[name][0]: it.environment[EXTRAS[name][0]] for name in STORES} == {
            EXTRAS[name][0]: first[EXTRAS[name][0]] for name in STORES
        }
        for store in stores(it):
            assert await store.present([cid]) == {cid}
            assert b"".join([piece async for piece in store.fetch(cid)]) == KEPT
            await store.close()


def listening(it: System, name: str) -> set[tuple[str, int]]:
    """Addresses and ports on which the processes of a server listen, from the kernel's table."""
    child = it.supervisor.children[name]
    sockets = set()
    for path in Path(f"/proc/{child.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed in this moment
            sockets.add(os.readlink(path))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{child.pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


@pytest.mark.parametrize("name", ["s3", "ipfs"])
def test_all_that_listens_does_so_on_loopback(extra: System, name: str) -> None:
    loopback = socket.inet_aton("127.0.0.1")[::-1].hex().upper()
    found = listening(extra, name)
    assert found
    assert {address for address, _ in found} == {loopback}


def test_their_secrets_are_for_the_owner_only(extra: System) -> None:
    secrets = {name: (extra.state / name).read_text() for name in ("s3.key", "s3.password", "s3.internal")}
    for name in (*secrets, "s3/identities.json", "s3/security.toml", "ipfs/repo/config"):
        assert stat.S_IMODE((extra.state / name).stat().st_mode) == 0o600, name
    for name in ("s3", "ipfs"):
        assert stat.S_IMODE((extra.state / name).stat().st_mode) == 0o700, name
        child = extra.supervisor.children[name]
        command = Path(f"/proc/{child.pid}/cmdline").read_text()
        assert not [secret for text in secrets.values() for secret in text.split() if secret in command]


async def test_the_parts_of_the_store_let_nobody_else_in(extra: System) -> None:
    port = int((extra.state / "s3-filer.port").read_text())
    url = f"http://127.0.0.1:{port}/buckets/artdag/intruder"
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        assert (await client.get(url)).status_code == 401
        assert (await client.put(url, content=b"x")).status_code == 401
        s3 = S3Settings.from_url(extra.environment["ARTDAG_S3_URL"]).endpoint
        assert (await client.get(f"{s3}/artdag/")).status_code == 403


async def test_web_pages_cannot_use_the_node(extra: System) -> None:
    url = f"{parse_endpoint(extra.environment['IPFS_API']).url}/api/v0/id"
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        assert (await client.post(url)).status_code == 200
        assert (await client.post(url, headers={"Origin": "https://evil.example"})).status_code == 403
        assert (await client.post(url, headers={"Host": "rebound.example"})).status_code == 403
        assert (await client.get(url)).status_code == 405


async def test_the_node_knows_nobody(extra: System) -> None:
    node = parse_endpoint(extra.environment["IPFS_API"]).url
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        addresses = (await client.post(f"{node}/api/v0/id")).json()["Addresses"]
        peers = (await client.post(f"{node}/api/v0/swarm/peers")).json()["Peers"]
    assert addresses
    assert all(address.startswith("/ip4/127.0.0.1/") for address in addresses)
    assert peers == []


async def test_a_store_and_a_node_that_run_elsewhere_are_used(
    extra: System, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in (*BACKING, "ARTDAG_S3_URL", "IPFS_API"):
        monkeypatch.setenv(variable, extra.environment[variable])
    async with system(state / "adopting-extra", 0, services=False, extras=("s3", "ipfs")) as it:
        assert sorted(it.adopted) == sorted((*BACKING, "ARTDAG_S3_URL", "IPFS_API"))
        assert it.supervisor.children == {}
        assert it.environment["IPFS_API"] == extra.environment["IPFS_API"]
        assert "ARTDAG_STORAGE_HOSTS" not in it.environment, "who runs servers elsewhere says who may name them"


async def test_nobody_gets_them_who_did_not_ask(backing: System) -> None:
    assert set(backing.supervisor.children) == {"nats", "postgres", "redis"}
    assert not {"IPFS_API", "ARTDAG_S3_URL"} & backing.environment.keys()


@pytest.mark.parametrize("make", [servers.s3_server, servers.ipfs_server])
def test_what_is_not_installed_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object
) -> None:
    monkeypatch.setattr("artdag_cli.backing.launch.importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("artdag_cli.backing.launch.shutil.which", lambda _: None)
    monkeypatch.setattr("artdag_cli.backing.launch.sys.executable", str(tmp_path / "python"))
    with pytest.raises(BackingServerError, match=r"\./artdag up --with .* requirements-with\.lock"):
        make(tmp_path)  # type: ignore[operator]


def test_the_address_of_the_store_is_what_the_setting_takes(extra: System) -> None:
    parts = urlsplit(extra.environment["ARTDAG_S3_URL"])
    settings = S3Settings.from_url(extra.environment["ARTDAG_S3_URL"])
    assert (settings.bucket, settings.endpoint) == ("artdag", f"http://127.0.0.1:{parts.port}")
