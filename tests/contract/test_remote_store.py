"""Every far place keeps the promises of :class:`RemoteStore`, against real servers, and says what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from artdag_cli.backing import free_port, ipfs_server, s3_server
from artdag_common.blobs import s3
from artdag_common.blobs.endpoints import Endpoint, Hosts, parse_endpoint
from artdag_common.blobs.folder import FolderStore
from artdag_common.blobs.ipfs import IpfsStore
from artdag_common.blobs.pinning import PinningStore
from artdag_common.blobs.remote import Progress, RemoteStore
from artdag_common.blobs.s3 import S3Settings, S3Store
from artdag_common.cid import CHUNK, cid_of, cid_of_file, cid_v0
from artdag_common.errors import (
    ArtdagError,
    CidMismatchError,
    ContentNotFoundError,
    ServiceUnavailableError,
    StorageRefusedError,
)
from tests.contract.disks import serving_on_a_disk
from tests.contract.far import TOKEN, PinningService, answering, counting, gated, listening, silence, tampering
from tests.integration.events.servers import serving

Make = Callable[..., RemoteStore]

NAMES = ("folder", "s3", "ipfs", "pinning")
HTTP = NAMES[1:]
SECRET = "secret-key-of-the-tests"
PATIENCE_SECONDS = 0.5
SOON_SECONDS = 120.0
SAME = (b"never sent", b"never sent")


@pytest.fixture(scope="session")
async def s3_address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A real S3 server: its address."""
    async with serving(s3_server, tmp_path_factory.mktemp("s3")) as server:
        yield server.url


@pytest.fixture(scope="session")
async def ipfs_api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A real IPFS node: the multiaddr of its RPC API."""
    async with serving(ipfs_server, tmp_path_factory.mktemp("ipfs")) as server:
        yield server.url


@pytest.fixture(scope="session")
async def service_api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The IPFS node of the pinning service."""
    async with serving(ipfs_server, tmp_path_factory.mktemp("service")) as server:
        yield server.url


@pytest.fixture(scope="session")
async def pinning_url(service_api: str) -> AsyncIterator[str]:
    """A pinning service."""
    service = PinningService(parse_endpoint(service_api).url)
    async with listening(service.answer) as url:
        yield url
    await service.close()


@pytest.fixture
async def make(tmp_path: Path, s3_address: str, ipfs_api: str, pinning_url: str) -> AsyncIterator[Make]:
    """Open a far place by name, at its real server or at ``url``; all are closed at the end."""
    opened: list[RemoteStore] = []

    def open_(name: str, url: str = "", hosts: Hosts | None = None, timeout_seconds: float = 30.0) -> RemoteStore:
        if name == "folder":
            (tmp_path / "disk").mkdir(exist_ok=True)
            store: RemoteStore = FolderStore(tmp_path / "disk" / "art", timeout_seconds=timeout_seconds)
        elif name == "s3":
            settings = S3Settings.from_url(s3_address)
            settings = dataclasses.replace(settings, prefix=f"{tmp_path.name}/", endpoint=url or settings.endpoint)
            store = S3Store(settings, hosts, timeout_seconds=timeout_seconds)
        elif name == "ipfs":
            store = IpfsStore(
                url or ipfs_api,
                token=SECRET,
                hosts=hosts,
                timeout_seconds=timeout_seconds,
                search_seconds=10,  # also what the node may take for what it has
            )
        else:
            node = IpfsStore(ipfs_api)
            opened.append(node)
            store = PinningStore(url or pinning_url, TOKEN, node, hosts=hosts, timeout_seconds=timeout_seconds)
        opened.append(store)
        return store

    yield open_
    for store in opened:
        await store.close()


@pytest.fixture(params=NAMES)
def far(request: pytest.FixtureRequest, make: Make) -> RemoteStore:
    """Each kind of far place."""
    return make(request.param)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[int], tuple[Path, str]]:
    """Make a file of so many bytes; gives it with its CID."""

    def make_file(size: int) -> tuple[Path, str]:
        path = tmp_path / f"file-{size}"
        path.write_bytes(random.Random(f"{tmp_path}{size}").randbytes(size))
        return path, cid_of_file(path)

    return make_file


File = Callable[[int], tuple[Path, str]]


async def read(store: RemoteStore, cid: str) -> bytes:
    """Fetch everything."""
    return b"".join([piece async for piece in store.fetch(cid)])


# --- what all of them do --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, CHUNK + 1, 2 * s3.PART_BYTES + 1])
async def test_what_is_stored_is_found_and_read_and_removed(far: RemoteStore, file: File, size: int) -> None:
    path, cid = file(size)
    where = await far.store(path, cid)
    assert cid in where
    assert await far.present([cid]) == {cid}
    assert await read(far, cid) == path.read_bytes()
    await far.remove(cid)
    assert await far.present([cid]) == set()


async def test_every_call_may_be_made_twice(far: RemoteStore, file: File) -> None:
    path, cid = file(1000)
    assert await far.store(path, cid) == await far.store(path, cid)
    assert await read(far, cid) == await read(far, cid)
    await far.remove(cid)
    await far.remove(cid)
    await far.close()
    assert await far.present([cid]) == set(), "also after it was closed"


async def test_both_forms_of_a_cid_name_the_same(far: RemoteStore, file: File) -> None:
    path, cid = file(1001)
    old = cid_v0(cid)
    await far.store(path, old)
    assert await far.present([cid, old]) == {cid, old}
    assert await read(far, cid) == path.read_bytes()
    await far.remove(cid)
    assert await far.present([old]) == set()


async def test_many_are_looked_for_at_once(far: RemoteStore, tmp_path: Path) -> None:
    stored = {}
    for number in range(3):
        path = tmp_path / f"number-{number}"
        path.write_bytes(f"{tmp_path} {number}".encode())
        stored[cid_of_file(path)] = path
    for cid, path in stored.items():
        await far.store(path, cid)
    others = [cid_of(b"%d" % number) for number in range(60)]
    assert await far.present([*others, *stored]) == set(stored)
    assert await far.present([]) == set()


@pytest.mark.parametrize("name", ["folder", "s3", "ipfs"])
async def test_what_is_not_there_is_not_found(make: Make, name: str) -> None:
    with pytest.raises(ContentNotFoundError, match=cid_of(b"nobody has this")):
        await read(make(name), cid_of(b"nobody has this"))


async def test_a_trial_leaves_nothing_behind(far: RemoteStore) -> None:
    before = (await far.usage()).objects
    await far.check()
    assert (await far.usage()).objects == before


async def test_usage_tells_what_is_there(make: Make, file: File) -> None:
    path, cid = file(2000)
    told = {}
    for name in NAMES:
        store = make(name)
        before = await store.usage()
        await store.store(path, cid)
        told[name] = (before, await store.usage())
    for name in ("folder", "s3"):
        before, after = told[name]
        assert (after.objects, after.used_bytes) == ((before.objects or 0) + 1, (before.used_bytes or 0) + 2000)
    before, after = told["pinning"]
    assert after.objects == (before.objects or 0) + 1
    before, after = told["ipfs"]
    assert (after.used_bytes or 0) > (before.used_bytes or 0)
    for name in ("folder", "ipfs"):
        usage = told[name][1]
        assert usage.capacity_bytes
        assert usage.capacity_bytes > (usage.used_bytes or 0)


async def test_a_pinning_service_fetches_from_our_node(make: Make, file: File, ipfs_api: str, service_api: str) -> None:
    path, cid = file(CHUNK * 3)
    ours, theirs = IpfsStore(ipfs_api), IpfsStore(service_api)
    try:
        await make("pinning").store(path, cid)
        assert await theirs.present([cid]) == {cid}
        assert await ours.present([cid]) == set(), "our node is the way, not the place"
        assert await read(theirs, cid) == path.read_bytes()
    finally:
        await ours.close()
        await theirs.close()


async def test_a_gateway_has_what_our_node_does_not_find(pinning_url: str, ipfs_api: str) -> None:
    cid = cid_of(b"only at the gateway")
    node = IpfsStore(ipfs_api, search_seconds=0.5)

    async def serve(request: web.Request) -> web.Response:
        assert "Authorization" not in request.headers, "the token is the service's business"
        return web.Response(body=b"only at the gateway") if request.path == f"/ipfs/{cid}" else web.Response(status=404)

    async with listening(serve) as url:
        store = PinningStore(pinning_url, TOKEN, node, gateway=f"{url}/ipfs")
        assert await read(store, cid) == b"only at the gateway"
        with pytest.raises(ContentNotFoundError, match="neither our IPFS node nor the gateway"):
            await read(store, cid_of(b"nowhere"))
        await store.close()
    await node.close()


# --- how far they are -----------------------------------------------------------------------------------------------


class Remembered(Progress):
    """Keeps every number of bytes that it was told."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        super().__init__()

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "done_bytes":
            self.seen.append(self.done_bytes)


@pytest.mark.parametrize("size", [0, 3 * 2**20 + 1, 2 * s3.PART_BYTES + 1])
@pytest.mark.parametrize("name", ["folder", "s3", "ipfs"])
@pytest.mark.usefixtures("s3_address", "ipfs_api")
async def test_what_a_place_has_taken_is_told_as_it_takes_it(make: Make, file: File, name: str, size: int) -> None:
    path, cid = file(size)
    store, progress = make(name), Remembered()
    await store.store(path, cid, progress)
    assert progress.seen == sorted(progress.seen)
    assert progress.done_bytes == size
    if size:
        assert len({*progress.seen} - {0, size}) > 1, "on the way, too"
    again = Progress()
    await store.store(path, cid, again)
    assert again == Progress(), "it was there"


HELD_BYTES = 4 * 2**20


@pytest.mark.parametrize(("name", "size"), [("s3", s3.PART_BYTES), ("s3", 3 * s3.PART_BYTES), ("ipfs", s3.PART_BYTES)])
async def test_what_is_not_there_yet_is_not_told(
    make: Make, file: File, s3_address: str, ipfs_api: str, name: str, size: int
) -> None:
    path, cid = file(size)
    real = S3Settings.from_url(s3_address).endpoint if name == "s3" else parse_endpoint(ipfs_api).url
    progress = Progress()
    async with gated(parse_endpoint(real).port, HELD_BYTES) as gate, asyncio.TaskGroup() as group:
        store = make(name, f"http://127.0.0.1:{gate.port}")
        storing = group.create_task(store.store(path, cid, progress))
        await gate.reached.wait()
        assert HELD_BYTES / 2 < progress.done_bytes < size
        gate.opened.set()
        await storing
        await store.close()
    assert progress.done_bytes == size


async def test_a_pinning_service_tells_whether_it_has_begun_and_no_more(file: File, service_api: str) -> None:
    path, cid = file(CHUNK * 2)
    node, progress = IpfsStore(service_api), Progress()
    said = iter(["queued", "pinning", "sleeping", "pinned"])
    told: list[tuple[int, str]] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "GET" and request.path == "/pins":
            return web.json_response({"count": 0, "results": []})
        if request.method == "GET":
            told.append((progress.done_bytes, progress.status))
        return web.json_response({"requestid": "1", "status": next(said), "pin": {"cid": cid}, "delegates": []})

    async with listening(answer) as url:
        store = PinningStore(url, TOKEN, node)
        await store.store(path, cid, progress)
        await store.close()
    await node.close()
    assert told == [(0, "queued"), (0, "pinning"), (0, "")], "what it was each time that it was asked again"


# --- what they say when something is wrong --------------------------------------------------------------------------


@pytest.mark.parametrize("name", HTTP)
async def test_a_server_that_is_away_may_come_back(make: Make, file: File, name: str) -> None:
    path, cid = file(10)
    store = make(name, f"http://127.0.0.1:{free_port()}")
    for call in (store.store(path, cid), store.present([cid]), store.remove(cid), store.usage(), store.check()):
        with pytest.raises(ServiceUnavailableError, match=r"127\.0\.0\.1:[0-9]+ cannot be reached to"):
            await call


@pytest.mark.parametrize("name", HTTP)
async def test_a_server_that_does_not_answer_is_not_waited_for(make: Make, file: File, name: str) -> None:
    path, cid = file(11)
    async with silence() as url:
        store = make(name, url, timeout_seconds=PATIENCE_SECONDS)
        for call in (store.store(path, cid), store.present([cid]), store.remove(cid), store.usage()):
            with pytest.raises(ServiceUnavailableError, match=r"did not answer in time|[Tt]imeout"):
                await call
        await store.close()


NO_SPACE = {
    "s3": (507, "<Error><Code>XMinioStorageFull</Code><Message>Storage backend is full</Message></Error>"),
    "ipfs": (500, '{"Message":"write /data: no space left on device","Code":0,"Type":"error"}'),
    "pinning": (409, '{"error":{"reason":"INSUFFICIENT_FUNDS","details":"Storage quota reached"}}'),
}
PASSING = {
    "s3": (503, "<Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>"),
    "ipfs": (503, "<html>upstream</html>"),
    "pinning": (500, '{"error":{"reason":"INTERNAL_SERVER_ERROR"}}'),
}
NOBODY = {
    "s3": (403, "<Error><Code>SignatureDoesNotMatch</Code><Message>It does not match</Message></Error>"),
    "ipfs": (403, "403 - Forbidden\n"),
    "pinning": (401, '{"error":{"reason":"UNAUTHORIZED","details":"Access token is missing or invalid"}}'),
}


@pytest.mark.parametrize("name", HTTP)
@pytest.mark.parametrize(
    ("answers", "error", "advice"),
    [
        (NO_SPACE, StorageRefusedError, "make room"),
        (PASSING, ServiceUnavailableError, "it answered"),
        (NOBODY, StorageRefusedError, "check the"),
    ],
)
async def test_answers_are_understood(
    make: Make, file: File, name: str, answers: dict[str, tuple[int, str]], error: type[ArtdagError], advice: str
) -> None:
    path, cid = file(12)
    status, text = answers[name]
    async with answering(status, text, "application/xml" if name == "s3" else "application/json") as url:
        with pytest.raises(error, match=advice) as raised:
            await make(name, url).usage()
        assert str(status) in raised.value.message, "what was answered"
        with pytest.raises(error, match=cid if name != "s3" else "S3 bucket artdag"):
            await make(name, url).store(path, cid)


@pytest.mark.parametrize("name", HTTP)
async def test_what_is_no_such_server_is_told(make: Make, name: str) -> None:
    async with answering(200, "<html>Welcome to nginx!</html>", "text/html") as url:
        with pytest.raises(ArtdagError):
            await make(name, url).check()


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"secret_key": SECRET}, "check the secret key"),
        ({"access_key": "nobody"}, "check the access key"),
        ({"bucket": "no-such-bucket"}, "make the bucket"),
        ({"bucket": "Not A Bucket"}, "Bucket"),
    ],
)
async def test_a_bucket_says_who_has_to_do_what(s3_address: str, wrong: dict[str, str], advice: str) -> None:
    store = S3Store(dataclasses.replace(S3Settings.from_url(s3_address), **wrong))
    try:
        with pytest.raises(StorageRefusedError, match=advice) as raised:
            await store.usage()
        assert SECRET not in f"{raised.value.message} {raised.value.values} {store!r}"
    finally:
        await store.close()


async def test_a_pinning_service_refuses_another_token(pinning_url: str, ipfs_api: str) -> None:
    node = IpfsStore(ipfs_api)
    store = PinningStore(pinning_url, SECRET, node)
    try:
        with pytest.raises(StorageRefusedError, match=r"UNAUTHORIZED.*check the access token") as raised:
            await store.check()
        assert SECRET not in raised.value.message, "although the service repeats it"
    finally:
        await store.close()
        await node.close()


def test_secrets_are_not_shown(make: Make) -> None:
    settings = S3Settings("bucket", "key", SECRET)
    shown = [settings, S3Store(settings), IpfsStore("/dns/node/tcp/5001", token=SECRET)]
    shown.append(PinningStore("https://pin.example", SECRET, IpfsStore("http://node:5001")))
    assert SECRET not in " ".join(map(repr, shown))
    for url in (
        f"s3://key:{SECRET}@host/",
        f"s4://key:{SECRET}@host/bucket",
        f"s3://{SECRET}@host/bucket?tls={SECRET}",
    ):
        with pytest.raises(StorageRefusedError) as raised:
            S3Settings.from_url(url)
        assert SECRET not in raised.value.message


# --- bytes that change on their way ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["s3", "ipfs"])
async def test_bytes_that_change_on_the_way_there_are_not_kept(
    make: Make, tmp_path: Path, s3_address: str, ipfs_api: str, name: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(f"{tmp_path} before".encode())
    cid = cid_of_file(path)
    behind = S3Settings.from_url(s3_address).endpoint if name == "s3" else parse_endpoint(ipfs_api).url
    async with tampering(behind, (b"before", b"beyond"), SAME) as url:
        store = make(name, url)
        with pytest.raises(ServiceUnavailableError if name == "s3" else StorageRefusedError):
            await store.store(path, cid)
        await store.close()
    honest = make(name)
    assert await honest.present([cid, cid_of(path.read_bytes().replace(b"before", b"beyond"))]) == set()


@pytest.mark.parametrize("name", ["s3", "ipfs"])
async def test_a_trial_finds_out_that_bytes_change_on_the_way_back(
    make: Make, s3_address: str, ipfs_api: str, name: str
) -> None:
    behind = S3Settings.from_url(s3_address).endpoint if name == "s3" else parse_endpoint(ipfs_api).url
    async with tampering(behind, SAME, SAME) as url:
        await make(name, url).check()
    async with tampering(behind, SAME, (b"tries out this storage", b"tries out that storage")) as url:
        with pytest.raises(StorageRefusedError, match="gives back something else"):
            await make(name, url).check()


# --- full disks and sudden ends -------------------------------------------------------------------------------------

STORE = """
import asyncio, resource, sys
from pathlib import Path
from artdag_common.blobs.folder import FolderStore
from artdag_common.blobs.ipfs import IpfsStore
from artdag_common.blobs.s3 import S3Settings, S3Store
from artdag_common.errors import ArtdagError

kind, place, prefix, path, cid, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))

async def main():
    if kind == "folder":
        store = FolderStore(Path(place))
    elif kind == "ipfs":
        store = IpfsStore(place)
    else:
        import dataclasses
        store = S3Store(dataclasses.replace(S3Settings.from_url(place), prefix=prefix))
    try:
        print(await store.store(Path(path), cid))
    except ArtdagError as error:
        print(error.code, error.message)
    finally:
        await store.close()

asyncio.run(main())
"""


async def storing(
    kind: str, place: str, path: Path, cid: str, prefix: str = "", limit: int = 0
) -> asyncio.subprocess.Process:
    """Start a process that stores a file."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", STORE, kind, place, prefix, str(path), cid, str(limit), stdout=asyncio.subprocess.PIPE
    )


async def test_a_full_folder_keeps_nothing_half(make: Make, file: File, tmp_path: Path) -> None:
    path, cid = file(3 * 2**20)
    store = make("folder")
    process = await storing("folder", str(tmp_path / "disk" / "art"), path, cid, limit=2**20)
    said = (await process.communicate())[0].decode()
    assert said.startswith("storage-refused ")
    assert "files of this size" in said
    assert await store.present([cid]) == set()
    assert [p for p in (tmp_path / "disk" / "art").rglob("*") if p.is_file()] == []
    await store.store(path, cid)
    assert await read(store, cid) == path.read_bytes()


DISK_BYTES = 256 * 2**20


@pytest.mark.parametrize(
    ("name", "size", "free", "error", "said"),
    [
        # SeaweedFS does not say why; that it is tried again is right, too.
        pytest.param("s3", 3 * 2**20, 2**20, ServiceUnavailableError, "InternalError", id="s3"),
        pytest.param("s3", s3.PART_BYTES + 1, 2**20, ServiceUnavailableError, "InternalError", id="s3-in-parts"),
        pytest.param("ipfs", 12 * 2**20, 8 * 2**20, StorageRefusedError, "make room", id="ipfs-before-the-import"),
        pytest.param("ipfs", 12 * 2**20, 16 * 2**20, StorageRefusedError, "make room", id="ipfs-in-the-import"),
    ],
)
async def test_a_server_whose_disk_is_full_keeps_nothing_half_and_goes_on_when_it_has_room(
    tmp_path: Path, file: File, name: str, size: int, free: int, error: type[ArtdagError], said: str
) -> None:
    path, cid = file(size)
    small, small_cid = file(1000)
    make_server, data = (s3_server, "s3/data") if name == "s3" else (ipfs_server, "ipfs")
    async with serving_on_a_disk(make_server, tmp_path / "server", data, DISK_BYTES) as (url, disk):
        store: RemoteStore = S3Store(S3Settings.from_url(url)) if name == "s3" else IpfsStore(url)
        await store.store(small, small_cid)
        disk.fill(free)
        with pytest.raises(error, match=said):
            await store.store(path, cid)
        assert await store.present([cid, small_cid]) == {small_cid}
        assert await read(store, small_cid) == small.read_bytes()
        disk.make_room()
        async with asyncio.timeout(SOON_SECONDS):
            while not await store.present([cid]):
                with contextlib.suppress(ServiceUnavailableError):  # it may take a moment to see that there is room
                    await store.store(path, cid)
        assert await read(store, cid) == path.read_bytes()
        await store.close()


@pytest.mark.parametrize("name", ["s3", "ipfs"])
async def test_a_process_killed_in_the_middle_leaves_no_half_content(
    make: Make, file: File, tmp_path: Path, s3_address: str, ipfs_api: str, name: str
) -> None:
    path, cid = file(s3.PART_BYTES + 7)
    real = S3Settings.from_url(s3_address).endpoint if name == "s3" else parse_endpoint(ipfs_api).url
    port = parse_endpoint(real).port
    killed = asyncio.Event()
    process: asyncio.subprocess.Process | None = None

    def kill() -> None:
        assert process
        process.send_signal(signal.SIGKILL)
        killed.set()

    async with counting(port, path.stat().st_size // 2, kill) as way:
        place = s3_address.replace(f":{port}/", f":{way}/") if name == "s3" else f"http://127.0.0.1:{way}"
        process = await storing(name, place, path, cid, prefix=f"{tmp_path.name}/")
        said = (await process.communicate())[0].decode()
    assert killed.is_set(), said
    assert process.returncode == -signal.SIGKILL
    store = make(name)
    assert await store.present([cid]) == set()
    await store.store(path, cid)
    assert await read(store, cid) == path.read_bytes()


async def test_a_process_killed_in_the_middle_leaves_no_half_file(make: Make, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = random.Random(1).randbytes(3 * 2**20)
    cid = cid_of(data)
    store = make("folder")
    process = await storing("folder", str(tmp_path / "disk" / "art"), pipe, cid)
    with await asyncio.to_thread(pipe.open, "wb", buffering=0) as source:
        await asyncio.to_thread(source.write, data[: 2**20])
        process.kill()
        await process.wait()
    assert await store.present([cid]) == set()
    path = tmp_path / "whole"
    path.write_bytes(data)
    await store.store(path, cid)
    assert await read(store, cid) == data


async def test_uploads_that_broke_off_long_ago_are_given_up(
    make: Make, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cid = file(20)
    store = make("s3")
    assert isinstance(store, S3Store)
    await store._ask("begin", "create_multipart_upload", Key=store._key(cid))

    async def begun() -> list[str]:
        page = await store._ask("list", "list_multipart_uploads", Prefix=store._settings.prefix)
        return [upload["Key"] for upload in page.get("Uploads", [])]

    await store.check()
    assert await begun() == [store._key(cid)], "it may still go on"
    monkeypatch.setattr(s3, "STALE", timedelta(0))
    await store.check()
    assert await begun() == []


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, file: File) -> None:
    path, cid = file(21)
    with pytest.raises(StorageRefusedError, match="'some/folder' is not an absolute path"):
        FolderStore(Path("some/folder"))
    with pytest.raises(StorageRefusedError, match="missing/art: No such file or directory; make the folder above"):
        await FolderStore(tmp_path / "missing" / "art").store(path, cid)
    (tmp_path / "a-file").touch()
    with pytest.raises(StorageRefusedError, match="a-file"):
        await FolderStore(tmp_path / "a-file").check()


async def test_a_download_goes_on_where_it_broke_off(make: Make, file: File, s3_address: str) -> None:
    path, cid = file(5 * 2**20)
    await make("s3").store(path, cid)
    asked: list[str] = []

    async def break_off(request: web.Request) -> web.StreamResponse:
        import httpx

        asked.append(request.headers.get("Range", "all"))
        async with httpx.AsyncClient(trust_env=False) as client:
            behind = S3Settings.from_url(s3_address).endpoint + request.raw_path
            answer = await client.get(behind, headers=dict(request.headers))
        whole = web.StreamResponse(status=answer.status_code, headers={"ETag": answer.headers["ETag"]})
        whole.content_length = len(answer.content)
        await whole.prepare(request)
        first = answer.content[: 2 * 2**20]
        await whole.write(first)
        if len(first) < len(answer.content):
            assert request.transport
            request.transport.close()
        return whole

    async with listening(break_off) as url:
        store = make("s3", url)
        assert await read(store, cid) == path.read_bytes()
        await store.close()
    assert len(asked) == 3
    assert asked[0] == "all"
    assert [text.rstrip("-").partition("=")[2] != "" for text in asked[1:]] == [True, True]


# --- the server's own network ---------------------------------------------------------------------------------------


class Gullible(Hosts):
    """As when a name has a public address when it is looked up, and another one when the connection is made."""

    async def permit(self, endpoint: Endpoint) -> None:
        """Find nothing wrong."""


@pytest.mark.parametrize("name", HTTP)
@pytest.mark.parametrize("hosts", [Hosts.parse(""), Gullible(), Hosts.parse("127.0.0.1:1,10.0.0.0/8,localhost")])
async def test_people_cannot_reach_into_the_servers_network(make: Make, file: File, name: str, hosts: Hosts) -> None:
    path, cid = file(30)
    asked: list[str] = []

    async def note(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    async with listening(note) as url:
        store = make(name, url, hosts)
        for call in (store.check(), store.present([cid]), store.store(path, cid), read(store, cid)):
            if name == "pinning" and call.__name__ == "read":
                call.close()
                continue
            with pytest.raises(StorageRefusedError, match=r"inside the server's own network.*ARTDAG_STORAGE_HOSTS"):
                await call
        await store.close()
    assert asked == []


@pytest.mark.parametrize("name", HTTP)
async def test_what_the_operator_allows_is_reached_but_not_what_it_refers_to(make: Make, name: str) -> None:
    asked: list[str] = []

    async def note(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    async with listening(note) as inner:

        async def refer(request: web.Request) -> web.Response:
            await request.read()
            return web.Response(status=307, headers={"Location": f"{inner}/latest/meta-data"})

        async with listening(refer) as url:
            store = make(name, url, Hosts.parse(f"127.0.0.1:{parse_endpoint(url).port}"))
            with pytest.raises(ArtdagError):
                await store.usage()
            await store.close()
    assert asked == []


@pytest.mark.parametrize("name", ["s3", "ipfs"])
async def test_what_the_operator_allows_works(make: Make, s3_address: str, ipfs_api: str, name: str) -> None:
    real = S3Settings.from_url(s3_address).endpoint if name == "s3" else ipfs_api
    await make(name, hosts=Hosts.parse(f"127.0.0.1:{parse_endpoint(real).port}")).check()


def test_errors_say_whether_to_try_again() -> None:
    assert ServiceUnavailableError.retryable
    assert not StorageRefusedError.retryable
    assert not CidMismatchError.retryable
