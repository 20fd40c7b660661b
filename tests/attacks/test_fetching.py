"""Every address that the server asks because somebody named it: none of them leads into its own network."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from artdag_cli.system import System
from artdag_common.blobs.endpoints import Hosts
from artdag_common.blobs.ipfs import IpfsStore
from artdag_common.blobs.pinning import PinningStore
from artdag_common.blobs.remote import RemoteStore
from artdag_common.blobs.s3 import S3Settings, S3Store
from artdag_common.cid import cid_of
from artdag_common.errors import ArtdagError
from artdag_common.federation.l2 import L2
from artdag_common.sealing import Sealer
from services.cache.webhook_calls import HOSTS_SETTING, SECRET, Caller, sealed_for
from tests.attacks.conftest import NOBODY_THERE, Person

PUBLIC = "93.184.216.34"
CONTENT = b"fetched"


class Trap:
    """A server inside the server's own network: whoever reaches it has got in."""

    def __init__(self) -> None:
        self.port = 0
        self.visits: list[bytes] = []
        self.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> Trap:
        first = await asyncio.start_server(self._visited, "127.0.0.1", 0)
        self.port = first.sockets[0].getsockname()[1]
        self._servers = [first]
        with contextlib.suppress(OSError):  # machines without IPv6
            self._servers.append(await asyncio.start_server(self._visited, "::1", self.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
            await server.wait_closed()

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            self.visits.append(await reader.read(65536))
            writer.write(self.reply)
            await writer.drain()
        writer.close()


@pytest.fixture
async def trap() -> AsyncIterator[Trap]:
    async with Trap() as it:
        yield it


INSIDE = (
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost.localdomain",
    "ip6-localhost",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
    "[::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[fe80::1%25eth0]",
    "[fd00::1]",
    "[fc00::1]",
    "[fec0::1]",
    "[ff02::1]",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "public.example@127.0.0.1",
    "127.0.0.1#public.example",
    "127.0.0.1?public.example",
    "127。0。0。1",
    "①②⑦.0.0.1",
)
SCHEMES = ("file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:6379/_x", "dict://127.0.0.1/", "unix:/run/x")
MULTIADDRS = ("/ip4/127.0.0.1/tcp/{port}", "/dns/localhost/tcp/{port}", "/ip6/::1/tcp/{port}", "/unix/run/docker.sock")


def providers(address: str) -> Iterator[dict[str, Any]]:
    """Yield every kind of provider that is at an address."""
    keys = {"access_key_id": "k", "secret_access_key": "s"}
    yield {"type": "s3", "settings": {"endpoint": address, "bucket": "b", **keys}}
    yield {"type": "ipfs", "settings": {"endpoint": address}}
    yield {"type": "pinning", "settings": {"endpoint": address, "token": "t"}}
    yield {"type": "pinning", "settings": {"endpoint": f"https://{PUBLIC}", "gateway": address, "token": "t"}}


async def test_no_storage_may_be_inside_the_servers_own_network(mallory: Person, trap: Trap, shared: System) -> None:
    """Nothing is even tried: an answer, or how long it takes, would tell what is there."""
    addresses = [f"http://{host}:{trap.port}" for host in INSIDE]
    addresses += [each.format(port=trap.port) for each in MULTIADDRS]
    addresses += SCHEMES
    addresses += [shared.environment["L2_SERVER"], f"http://127.0.0.1:{shared.port}"]
    limit = asyncio.Semaphore(6)

    async def add(provider: dict[str, Any]) -> None:
        async with limit:
            answer = await mallory.api.post("/storage/add", json={"name": uuid4().hex, **provider})
        assert answer.status_code == 422, (provider, answer.text)
        assert answer.json()["code"] in ("storage-refused", "invalid-request"), provider

    await asyncio.gather(*(add(each) for address in addresses for each in providers(address)))
    assert not trap.visits
    assert (await mallory.api.get("/storage")).json()["total"] == 0


async def test_no_webhook_may_be_inside_the_servers_own_network(mallory: Person, trap: Trap, shared: System) -> None:
    addresses = [f"https://{host}:{trap.port}/hook" for host in INSIDE]
    addresses += [each.format(port=trap.port) for each in MULTIADDRS]
    addresses += [*SCHEMES, shared.environment["L2_SERVER"], f"http://127.0.0.1:{shared.port}", f"http://{PUBLIC}/"]
    allowed = await mallory.api.post("/webhooks", json={"url": NOBODY_THERE})
    webhook = allowed.headers["location"]
    limit = asyncio.Semaphore(6)

    async def name(address: str, method: str, path: str) -> None:
        async with limit:
            answer = await mallory.api.request(method, path, json={"url": address})
        assert answer.status_code == 422, (address, answer.text)
        assert answer.json()["code"] == "webhook-refused", address

    await asyncio.gather(*(name(each, "POST", "/webhooks") for each in addresses))
    await asyncio.gather(*(name(each, "PATCH", webhook) for each in addresses[::5]))
    assert not trap.visits
    assert [each["url"] for each in (await mallory.api.get("/webhooks")).json()["webhooks"]] == [NOBODY_THERE]
    await mallory.api.delete(webhook)


async def test_the_folders_that_storage_may_have_are_left_by_no_path(mallory: Person, shared: System) -> None:
    for path in ("/etc", "/", "/proc/self", str(shared.state), "/tmp/../etc", "//etc", "/dev/shm", "relative", "~"):
        answer = await mallory.api.post(
            "/storage/add", json={"type": "local", "name": uuid4().hex, "settings": {"path": path}}
        )
        assert answer.status_code == 422, (path, answer.text)


@pytest.fixture
def meaning(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Have one name mean one address after the other, as whoever owns the name can."""

    def mean(*answers: str) -> list[str]:
        asked: list[str] = []
        loop = asyncio.get_running_loop()

        async def answer(host: Any, port: Any, **_: Any) -> list[Any]:
            name = host.decode() if isinstance(host, bytes) else str(host)
            with contextlib.suppress(OSError):
                socket.inet_aton(name)
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (name, port))]
            asked.append(name)
            found = answers[min(len(asked) - 1, len(answers) - 1)]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port))]

        monkeypatch.setattr(loop, "getaddrinfo", answer, raising=False)
        return asked

    return mean


Opener = Callable[[str, Hosts], RemoteStore]


def s3(address: str, hosts: Hosts) -> RemoteStore:
    return S3Store(S3Settings("b", "k", "s", address), hosts, timeout_seconds=2)


def ipfs(address: str, hosts: Hosts) -> RemoteStore:
    return IpfsStore(address, hosts=hosts, timeout_seconds=2)


def pinning(address: str, hosts: Hosts) -> RemoteStore:
    return PinningStore(address, "t", IpfsStore(address, hosts=hosts), closes_node=True, hosts=hosts, timeout_seconds=2)


def gateway(address: str, hosts: Hosts) -> RemoteStore:
    node = IpfsStore(address, hosts=hosts, timeout_seconds=2)
    return PinningStore(address, "t", node, closes_node=True, gateway=address, hosts=hosts, timeout_seconds=2)


async def uses(store: RemoteStore) -> None:
    """Look for content there, and read it; nothing of it works."""
    cid = cid_of(CONTENT)
    done: tuple[Callable[[], Awaitable[Any]], ...] = (lambda: store.present([cid]), lambda: _all(store.fetch(cid)))
    try:
        for each in done:
            with contextlib.suppress(ArtdagError):
                await each()
    finally:
        await store.close()


async def _all(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


@pytest.mark.parametrize("opener", [s3, ipfs, pinning, gateway])
async def test_a_name_that_means_another_address_the_second_time_leads_nowhere(
    opener: Opener, trap: Trap, meaning: Callable[..., list[str]]
) -> None:
    """DNS rebinding: public while it is checked, inside when the connection is made."""
    asked = meaning(PUBLIC, "127.0.0.1")
    store = opener(f"http://rebinding.example:{trap.port}", Hosts.parse(""))
    await uses(store)
    assert len(asked) >= 2, "the name was looked up again for the connection"
    assert not trap.visits


@pytest.mark.parametrize("opener", [s3, ipfs, pinning, gateway])
@pytest.mark.parametrize("status", ["301 Moved", "307 Temporary"])
async def test_no_answer_leads_to_another_server(opener: Opener, status: str, trap: Trap) -> None:
    """A place that may be named answers with one that may not: by redirect, and as a bucket's other region."""
    async with Trap() as first:
        first.reply = (
            f"HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:{trap.port}/inside\r\nContent-Length: 0\r\n"
            f"x-amz-bucket-region: us-west-2\r\nConnection: close\r\n\r\n"
        ).encode()
        store = opener(f"http://127.0.0.1:{first.port}", Hosts.parse(f"127.0.0.1:{first.port}"))
        await uses(store)
        assert first.visits, "the place itself was asked"
    assert not trap.visits


SEALER = Sealer("5a" * 32)
SEALED = SEALER.seal(sealed_for("w"), SECRET, "whsec_" + "c2VjcmV0" * 4)


async def test_a_webhook_that_means_another_address_the_second_time_leads_nowhere(
    trap: Trap, meaning: Callable[..., list[str]]
) -> None:
    """Also where it is public whenever it is checked, and inside when the connection is made."""
    for answers in ((PUBLIC, "127.0.0.1"), (PUBLIC, PUBLIC, "127.0.0.1")):
        asked = meaning(*answers)
        caller = Caller(Hosts.parse("", HOSTS_SETTING), SEALER)
        reply = await caller.call("w", f"https://rebinding.example:{trap.port}/", SEALED, "m", b"{}")
        assert not reply.taken
        assert "inside the server's own network" in reply.reason
        assert len(asked) == len(answers)
    assert not trap.visits


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_no_webhook_leads_to_another_server(status: str, trap: Trap) -> None:
    async with Trap() as first:
        location = f"http://127.0.0.1:{trap.port}/inside"
        first.reply = f"HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        caller = Caller(Hosts.parse(f"127.0.0.1:{first.port}", HOSTS_SETTING), SEALER)
        reply = await caller.call("w", f"http://127.0.0.1:{first.port}/", SEALED, "m", b"{}")
        assert "redirects are not followed" in reply.reason
        assert len(first.visits) == 1
    assert not trap.visits


async def test_the_registry_leads_nowhere_else(trap: Trap) -> None:
    """Neither by redirect, nor by the key of a signature, nor by the inbox that its actor names."""
    async with Trap() as registry:
        registry.reply = (
            f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{trap.port}/\r\nContent-Length: 0\r\n"
            "Connection: close\r\n\r\n"
        ).encode()
        l2 = L2(f"http://127.0.0.1:{registry.port}", "http://localhost:1", "localhost")
        try:
            with pytest.raises(ArtdagError):
                await l2.verify("a.b.c")
            headers = [
                (
                    "signature-input",
                    f'sig=("@method");created={int(time.time())};keyid="http://127.0.0.1:{trap.port}/k"',
                ),
                ("signature", "sig=:YWJj:"),
            ]
            with pytest.raises(ArtdagError):
                await l2.check_signed("POST", "http://localhost:1/auth/revoke", headers, b"{}")
        finally:
            await l2.close()
        assert registry.visits
    assert not trap.visits


async def test_nobody_has_the_server_ask_for_a_key_elsewhere(nobody: httpx.AsyncClient, trap: Trap) -> None:
    for path in ("/auth/revoke", "/auth/revoke-user"):
        signed = {
            "Content-Type": "application/json",
            "Content-Digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
            "Signature-Input": f'sig=("@method" "@target-uri" "content-digest");created={int(time.time())};'
            f'keyid="http://127.0.0.1:{trap.port}/actor#main-key"',
            "Signature": "sig=:YWJj:",
        }
        answer = await nobody.post(path, content=b'{"token_hash": "' + b"0" * 64 + b'"}', headers=signed)
        assert answer.status_code == 401, answer.text
    assert not trap.visits


async def test_an_import_leaves_its_folders_by_no_path(mallory: Person, operator: Person, shared: System) -> None:
    (shared.state / "loot").write_text("loot")
    paths = [
        "/etc/passwd",
        str(shared.state / "token"),
        str(shared.state / "loot"),
        "/proc/self/environ",
        "/dev/zero",
        "/dev/stdin",
        "file:///etc/passwd",
        "http://127.0.0.1/",
    ]
    for person in (mallory, operator):
        for path in paths:
            answer = await person.api.post("/cache/import", params={"path": path})
            assert answer.status_code in (403, 404, 422), (path, answer.text)
            assert "root:" not in answer.text


async def test_content_that_is_not_here_is_asked_for_nowhere_by_a_name_of_its_own(mallory: Person) -> None:
    """A CID names bytes, not a place: no form of it is an address."""
    for text in (
        "http:127.0.0.1",
        "localhost",
        "@127.0.0.1",
        "k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r",
    ):
        for path in (f"/ipfs/{text}", f"/ipfs/{text}/raw", f"/cache/{text}/raw"):
            answer = await mallory.api.get(path)
            assert answer.status_code in (400, 404), (path, answer.status_code)
