"""Storage providers end to end: a folder, a real S3 store and a real IPFS node, through the gateway."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import nats
import pytest

from artdag_cli.system import System, system
from artdag_common.application import decode
from artdag_common.blobs.endpoints import parse_endpoint
from artdag_common.blobs.ipfs import IpfsStore
from artdag_common.blobs.s3 import S3Settings, S3Store
from artdag_common.cid import cid_of
from artdag_common.commands import AttachToken
from artdag_common.domain.storage import Storage
from artdag_common.eventstore import postgres
from artdag_common.messaging.bus import Bus
from services.gateway.projections import projector
from tests.contract.far import TOKEN, PinningService, gated, listening

PATIENCE_SECONDS = 120.0
Person = Callable[[], Awaitable[httpx.AsyncClient]]


class Door:
    """A TCP proxy in front of a server, so that the server can be away for one test alone."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.hangs_up = False

    async def open(self) -> None:
        """Let connections through, at the same port each time."""
        self.hangs_up = False
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections, and break those that there are."""
        self.hangs_up = True
        if self._server:
            self._server.close()
            for writer in list(self._open):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def hang_up(self) -> None:
        """Take connections and break them at once."""
        self.hangs_up = True
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.hangs_up:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._behind)
        self._open |= {writer, back}
        try:
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        finally:
            self._open -= {writer, back}
            writer.close()
            back.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except (OSError, RuntimeError):
        writer.transport.abort()


@pytest.fixture(scope="module")
def allowed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which users may have local storage."""
    return tmp_path_factory.mktemp("disk")


@pytest.fixture(scope="module")
async def own(state: Path, allowed: Path) -> AsyncIterator[System]:
    """A system with an S3 store and an IPFS node, where users may name places on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTDAG_STORAGE_DIRS", str(allowed))
        patch.setenv("ARTDAG_STORAGE_HOSTS", "127.0.0.1")
        async with system(state / "storage", 0, logs_to_files=True, extras=("s3", "ipfs")) as it:
            yield it


@pytest.fixture(scope="module")
def bucket(own: System) -> S3Settings:
    """The S3 store's bucket."""
    return S3Settings.from_url(own.environment["ARTDAG_S3_URL"])


@pytest.fixture(scope="module")
async def bus(own: System) -> AsyncIterator[Bus]:
    it = await Bus.connect(own.environment["NATS_URL"], "test")
    yield it
    await it.close()


@pytest.fixture
async def person(own: System, bus: Bus) -> AsyncIterator[Person]:
    """Make a user who has nothing yet, and a client of theirs."""
    clients = []

    async def make() -> httpx.AsyncClient:
        token = uuid4().hex
        command = AttachToken(hashlib.sha256(token.encode()).hexdigest(), f"user-{uuid4().hex[:8]}")
        outcome = await bus.request(command, uuid4().hex, 60)
        assert outcome is not None
        assert outcome.accepted
        headers = {"Authorization": f"Bearer {token}"}
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{own.port}", headers=headers, timeout=90)
        clients.append(client)

        async def known() -> bool:
            return (await client.get("/storage")).status_code == 200

        await until(known)
        return client

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def api(person: Person) -> httpx.AsyncClient:
    """A client of a user who has nothing yet."""
    return await person()


@pytest.fixture
async def door(bucket: S3Settings) -> AsyncIterator[Door]:
    """A door to the S3 store."""
    it = Door(int(bucket.endpoint.rpartition(":")[2]))
    await it.open()
    yield it
    await it.close()


async def until(check: Callable[[], Awaitable[Any]]) -> Any:
    """Return the first answer of ``check`` that is true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := await check()):
            await asyncio.sleep(0.05)
    return found


async def upload(api: httpx.AsyncClient, data: bytes | None = None, name: str = "") -> str:
    data = uuid4().bytes if data is None else data
    answer = await api.post("/cache/upload", files={"file": ("a.bin", data)}, data={"name": name} if name else {})
    assert answer.status_code == 201, answer.text
    assert answer.json()["cid"] == cid_of(data)
    return str(answer.json()["cid"])


async def add(api: httpx.AsyncClient, kind: str, settings: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = await api.post("/storage/add", json={"type": kind, "name": f"my {kind}", "settings": settings, **more})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == answer.json()["links"]["self"]
    return dict(answer.json())


async def add_s3(api: httpx.AsyncClient, place: S3Settings, port: int = 0, **settings: str) -> dict[str, Any]:
    given = {
        "endpoint": f"http://127.0.0.1:{port}" if port else place.endpoint,
        "bucket": place.bucket,
        "prefix": f"test-{uuid4().hex[:8]}/",
        "access_key_id": place.access_key,
        "secret_access_key": place.secret_key,
    }
    return await add(api, "s3", given | settings)


async def copies(api: httpx.AsyncClient, storage: dict[str, Any], state: str = "") -> dict[str, dict[str, Any]]:
    answer = await api.get(f"/storage/{storage['storage_id']}/copies", params={"limit": 200, "state": state})
    assert answer.status_code == 200, answer.text
    return {each["cid"]: each for each in answer.json()["copies"]}


async def in_state(api: httpx.AsyncClient, storage: dict[str, Any], state: str, *cids: str) -> dict[str, Any]:
    """Wait until these contents are in this state there; return the last one's copy."""

    async def check() -> dict[str, dict[str, Any]] | None:
        found = await copies(api, storage, state)
        return found if set(cids) <= set(found) else None

    try:
        found = await until(check)
    except TimeoutError:
        raise AssertionError(await copies(api, storage)) from None
    return dict(found[cids[-1]])


async def look(api: httpx.AsyncClient, storage: dict[str, Any]) -> dict[str, Any]:
    answer = await api.get(f"/storage/{storage['storage_id']}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def try_out(api: httpx.AsyncClient, storage: dict[str, Any]) -> dict[str, Any]:
    answer = await api.post(f"/storage/{storage['storage_id']}/test")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@asynccontextmanager
async def store_of(bucket: S3Settings, storage: dict[str, Any]) -> AsyncIterator[S3Store]:
    """The bucket as an adapter sees it that knows nothing of the system."""
    prefix = storage["settings"]["prefix"]
    it = S3Store(
        S3Settings(bucket.bucket, bucket.access_key, bucket.secret_key, bucket.endpoint, bucket.region, prefix)
    )
    yield it
    await it.close()


# --- what a user does -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["local", "s3", "ipfs", "pinning"])
async def test_a_form_tells_what_a_kind_needs(api, kind):
    form = (await api.get(f"/storage/type/{kind}")).json()
    assert form["type"] == kind
    assert [each["name"] for each in form["fields"] if each["required"]]
    assert {each["name"] for each in form["fields"] if each["secret"]} <= {"secret_access_key", "token"}


async def test_an_unknown_kind_names_the_nearest(api, problem):
    assert "'s3'" in problem(await api.get("/storage/type/s4"), 422, "invalid-request")["detail"]
    refused = await api.post("/storage/add", json={"type": "locale", "name": "x"})
    assert "'local'" in problem(refused, 422, "invalid-request")["detail"]


async def test_what_a_user_has_and_what_comes_is_copied_to_a_folder(api, allowed):
    data = [uuid4().bytes, b"", os.urandom(600_000)]
    before = [await upload(api, data[0], "named"), await upload(api, data[1]), await upload(api, data[2])]
    storage = await add(api, "local", {"path": str(allowed)})
    assert (storage["status"], storage["enabled"], storage["secrets"]) == ("ready", True, {})
    await in_state(api, storage, "made", *before)
    after = await upload(api)
    made = await in_state(api, storage, "made", after)
    path = Path(made["location"].removeprefix("file://"))
    assert path.is_relative_to(allowed)
    assert cid_of(path.read_bytes()) == after
    usage = (await look(api, storage))["usage"]
    assert usage["made"] == {"objects": 4, "size_bytes": 16 + 0 + 600_000 + 16}
    assert usage["fraction"] == 1.0
    assert (await try_out(api, storage))["ok"] is True
    assert (await look(api, storage))["checked_at"]
    listed = (await api.get("/storage")).json()
    assert ([each["storage_id"] for each in listed["storage"]], listed["total"]) == ([storage["storage_id"]], 1)


async def test_copies_are_listed_page_by_page(api, allowed, problem):
    cids = [await upload(api) for _ in range(5)]
    storage = await add(api, "local", {"path": str(allowed)})
    await in_state(api, storage, "made", *cids)
    found, cursor = [], {}
    while cursor is not None:
        page = (await api.get(f"{storage['links']['copies']}?limit=2", params=cursor)).json()
        assert page["total"] == 5
        found += [each["cid"] for each in page["copies"]]
        cursor = {"cursor": page["next"], "limit": 2} if page["next"] else None
    assert sorted(found) == sorted(cids)
    assert (await api.get(f"{storage['links']['copies']}?state=failed")).json()["copies"] == []
    problem(await api.get(f"{storage['links']['copies']}?state=lost"), 422, "invalid-request")


async def test_a_form_adds_a_provider_too(api, allowed, problem):
    form = {"type": "local", "name": "disk", "path": str(allowed), "capacity_bytes": ""}
    added = await api.post("/storage", data=form)
    assert added.status_code == 201, added.text
    assert (added.json()["type"], added.json()["capacity_bytes"]) == ("local", None)
    twice = problem(await api.post("/storage", data=form), 422, "invalid-request")
    assert added.json()["storage_id"] in twice["detail"]
    parts = {"type": (None, "local"), "name": (None, "x"), "path": (None, "/etc")}
    assert "ARTDAG_STORAGE_DIRS" in problem(await api.post("/storage", files=parts), 422, "storage-refused")["detail"]
    problem(await api.post("/storage", content=b"x", headers={"Content-Type": "text/plain"}), 422, "invalid-request")


async def test_the_output_of_a_run_is_copied(api, allowed):
    storage = await add(api, "local", {"path": str(allowed)})
    cid = await upload(api)
    text = (
        "name: r\ninputs:\n  media: {type: any}\nsteps:\n"
        f"  - {{id: s, type: NOOP, inputs: [media], config: {{salt: {uuid4().hex}}}}}\noutput: s\n"
    )
    started = await api.post("/api/run-recipe", json={"recipe": text, "inputs": {"media": cid}})
    assert started.status_code == 201, started.text

    async def finished() -> Any:
        run = (await api.get(f"/runs/{started.json()['run_id']}")).json()
        assert run["status"] not in ("failed", "cancelled"), run
        return run if run["status"] == "completed" else None

    run = await until(finished)
    await in_state(api, storage, "made", run["output_cid"], run["provenance_cid"])


async def test_content_goes_to_s3_and_comes_back_the_same(api, bucket):
    data = os.urandom(300_000)
    cid = await upload(api, data)
    storage = await add_s3(api, bucket)
    assert storage["secrets"]["secret_access_key"]["set"] is True
    made = await in_state(api, storage, "made", cid)
    assert (made["size_bytes"], made["location"].startswith("s3://")) == (300_000, True)
    async with store_of(bucket, storage) as there:
        assert b"".join([piece async for piece in there.fetch(cid)]) == data
    assert await try_out(api, storage) == {
        "storage_id": storage["storage_id"],
        "ok": True,
        "status": "ready",
        "code": None,
        "reason": None,
    }


async def test_content_goes_to_a_pinning_service(api, own):
    node = own.environment["IPFS_API"]
    cid = await upload(api, os.urandom(300_000))
    service = PinningService(parse_endpoint(node).url)
    async with listening(service.answer) as url:
        storage = await add(api, "pinning", {"endpoint": url, "token": TOKEN})
        made = await in_state(api, storage, "made", cid)
        assert (await try_out(api, storage))["ok"] is True
    await service.close()
    assert made["size_bytes"] == 300_000
    there = IpfsStore(node)
    try:
        assert await there.present([cid]) == {cid}  # pinned: we only add it
    finally:
        await there.close()


async def test_how_far_a_copy_is_is_shown_while_it_is_made(api, bucket):
    size = 16 * 2**20
    async with gated(parse_endpoint(bucket.endpoint).port, size // 4) as gate:
        storage = await add_s3(api, bucket, gate.port)
        cid = await upload(api, os.urandom(size))
        await gate.reached.wait()

        async def told() -> Any:
            progress = (await copies(api, storage)).get(cid, {}).get("progress")
            return progress if progress and progress["done"] else None

        progress = await until(told)
        assert 0 < progress["done"] < size
        assert (progress["total"], progress["status"]) == (size, None)
        (listed,) = (await api.get("/storage")).json()["storage"]
        for view in (listed, await look(api, storage)):
            assert {each: found["total"] for each, found in view["copying"].items()} == {cid: size}
        (copy,) = (await api.get(f"/cache/{cid}")).json()["copies"]
        assert (copy["state"], copy["progress"]["total"]) == ("waiting", size)
        gate.opened.set()
        made = await in_state(api, storage, "made", cid)
    assert (made["size_bytes"], made["progress"]) == (size, None)
    assert (await look(api, storage))["copying"] == {}


async def test_what_a_pinning_service_says_is_shown_and_no_more(api, own):
    node = own.environment["IPFS_API"]
    cid = await upload(api, os.urandom(300_000))
    service = PinningService(parse_endpoint(node).url)
    service.fetches.clear()
    async with listening(service.answer) as url:
        storage = await add(api, "pinning", {"endpoint": url, "token": TOKEN})

        async def told() -> Any:
            progress = (await copies(api, storage)).get(cid, {}).get("progress")
            return progress if progress and progress["status"] == "pinning" else None

        assert await until(told) == {"done": 0, "total": 300_000, "status": "pinning"}
        service.fetches.set()
        assert (await in_state(api, storage, "made", cid))["progress"] is None
    await service.close()


async def test_content_goes_to_an_ipfs_node(api, own):
    node = own.environment["IPFS_API"]
    cid = await upload(api, os.urandom(300_000))
    storage = await add(api, "ipfs", {"endpoint": node})
    made = await in_state(api, storage, "made", cid)
    assert made["location"] == f"ipfs://{cid}"
    there = IpfsStore(node)
    try:
        assert await there.present([cid]) == {cid}
    finally:
        await there.close()


# --- trouble --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", [Door.hang_up, Door.close])
async def test_a_provider_that_is_away_holds_up_no_other_and_gets_everything_when_it_is_back(
    api, bucket, door, allowed, leave
):
    away = await add_s3(api, bucket, door.port)
    disk = await add(api, "local", {"path": str(allowed)})
    await in_state(api, away, "made", await upload(api))
    await leave(door)
    tested = await try_out(api, away)
    assert (tested["ok"], tested["status"], tested["code"]) == (False, "away", "service-unavailable"), tested
    cids = [await upload(api) for _ in range(4)]
    await in_state(api, disk, "made", *cids)  # the other one goes on
    waiting = await in_state(api, away, "waiting", *cids)
    assert waiting["location"] is None

    async def tried() -> bool:
        return any(each["attempt"] for each in (await copies(api, away, "waiting")).values())

    await until(tried)
    seen = await look(api, away)
    assert (seen["status"], seen["code"], bool(seen["reason"])) == ("away", "service-unavailable", True)
    await door.open()
    await in_state(api, away, "made", *cids)  # by itself
    assert (await look(api, away))["status"] == "ready"
    assert set(await copies(api, away, "failed")) == set()


async def test_a_refusal_stops_one_provider_until_somebody_acts(api, bucket):
    storage = await add_s3(api, bucket, secret_access_key="not-this-one-at-all")
    tested = await try_out(api, storage)
    assert (tested["ok"], tested["status"], tested["code"]) == (False, "refused", "storage-refused")
    assert tested["reason"]
    cids = [await upload(api) for _ in range(3)]
    await in_state(api, storage, "waiting", *cids)  # it is not even asked
    assert {each["attempt"] for each in (await copies(api, storage)).values()} == {0}
    changed = await api.patch(storage["links"]["self"], json={"settings": {"secret_access_key": bucket.secret_key}})
    assert changed.status_code == 200, changed.text
    assert changed.json()["secrets"]["secret_access_key"]["set_at"] > storage["secrets"]["secret_access_key"]["set_at"]
    await in_state(api, storage, "made", *cids)


async def test_a_refused_copy_says_why_and_is_made_when_the_settings_are_right(api, bucket):
    cid = await upload(api)
    storage = await add_s3(api, bucket, secret_access_key="not-this-one-at-all")
    failed = await in_state(api, storage, "failed", cid)
    assert (failed["code"], bool(failed["reason"]), failed["attempt"]) == ("storage-refused", True, 1)
    seen = await look(api, storage)
    assert (seen["status"], seen["usage"]["failed"]) == ("refused", {"objects": 1, "size_bytes": 16})
    await api.patch(storage["links"]["self"], json={"settings": {"secret_access_key": bucket.secret_key}})
    await in_state(api, storage, "made", cid)


@pytest.mark.parametrize("how", ["test", "retry"])
async def test_a_folder_that_was_not_mounted_is_tried_again_on_request(api, allowed, problem, how):
    disk = allowed / f"disk-{uuid4().hex[:8]}"
    cid = await upload(api)
    storage = await add(api, "local", {"path": str(disk)})
    await in_state(api, storage, "failed", cid)
    assert (await look(api, storage))["status"] == "refused"
    answer = await api.post(storage["links"][how])
    assert answer.status_code == 200
    assert answer.json().get("ok", False) is False, "it is still not there"
    assert (await look(api, storage))["status"] == "refused"
    disk.mkdir()
    assert (await copies(api, storage))[cid]["state"] != "made", "nobody has asked since it is there"
    assert (await api.post(storage["links"][how])).status_code == 200
    await in_state(api, storage, "made", cid)
    retried = await api.post(f"{storage['links']['retry']}?cid={cid}")
    assert retried.status_code == 200, retried.text
    assert (await copies(api, storage))[cid]["state"] == "made"
    unknown = await api.post(f"{storage['links']['retry']}?cid={cid_of(b'never stored')}")
    problem(unknown, 404, "content-not-found")


async def test_a_full_provider_gets_no_more_until_there_is_room(api, allowed, problem):
    storage = await add(api, "local", {"path": str(allowed)}, capacity_bytes=1000)
    first = await upload(api, os.urandom(700))
    await in_state(api, storage, "made", first)
    second = await upload(api, os.urandom(400))
    failed = await in_state(api, storage, "failed", second)
    assert (failed["code"], "700 of the 1000 bytes" in failed["reason"]) == ("storage-full", True)
    third = await upload(api, os.urandom(300))
    await in_state(api, storage, "made", third)  # what fits still goes there
    assert (await look(api, storage))["status"] == "ready"
    problem(await api.patch(storage["links"]["self"], json={"capacity_bytes": 0}), 422, "invalid-request")
    assert (await api.patch(storage["links"]["self"], json={"capacity_bytes": None})).status_code == 200
    await in_state(api, storage, "made", second)


async def test_copies_that_are_made_at_once_do_not_share_the_last_room(api, allowed):
    cids = [await upload(api, os.urandom(300)) for _ in range(10)]
    storage = await add(api, "local", {"path": str(allowed)}, capacity_bytes=1000)

    async def settled() -> bool:
        found = await copies(api, storage)
        return set(found) == set(cids) and "waiting" not in {each["state"] for each in found.values()}

    await until(settled)
    assert len(await copies(api, storage, "made")) == 3
    assert {each["code"] for each in (await copies(api, storage, "failed")).values()} == {"storage-full"}
    assert (await look(api, storage))["usage"]["made"] == {"objects": 3, "size_bytes": 900}


async def test_a_disabled_provider_gets_what_it_missed_when_it_is_enabled(api, allowed):
    storage = await add(api, "local", {"path": str(allowed)})
    await in_state(api, storage, "made", await upload(api))
    off = await api.patch(storage["links"]["self"], json={"enabled": False, "name": "resting"})
    assert (off.json()["status"], off.json()["name"]) == ("disabled", "resting")
    missed = await upload(api)
    (allowed / "witness").mkdir()
    witness = await add(api, "local", {"path": str(allowed / "witness")})
    await in_state(api, witness, "made", missed)
    assert missed not in await copies(api, storage)
    on = await api.patch(storage["links"]["self"], json={"enabled": True})
    assert on.json()["enabled"] is True
    await in_state(api, storage, "made", missed)


async def test_a_removed_provider_leaves_its_copies_unless_they_are_to_go(api, own, bucket, problem):
    cid = await upload(api)
    kept, emptied = await add_s3(api, bucket), await add_s3(api, bucket)
    await in_state(api, kept, "made", cid)
    await in_state(api, emptied, "made", cid)
    gone = await api.delete(kept["links"]["self"])
    assert gone.json() == {"storage_id": kept["storage_id"], "name": "my s3", "deleted": True, "purge": False}
    assert (await api.delete(f"{emptied['links']['self']}?purge=true")).json()["purge"] is True
    for storage in (kept, emptied):
        for answer in (
            await api.get(storage["links"]["self"]),
            await api.get(storage["links"]["copies"]),
            await api.delete(storage["links"]["self"]),
        ):
            problem(answer, 404, "storage-not-found")
    assert (await api.get("/storage")).json()["total"] == 0
    async with store_of(bucket, emptied) as there:

        async def is_gone() -> bool:
            return not await there.present([cid])

        await until(is_gone)
    async with store_of(bucket, kept) as there:
        assert await there.present([cid]) == {cid}
    connection = await asyncpg.connect(own.environment["DATABASE_URL"])
    try:

        async def forgotten() -> bool:
            ids = [kept["storage_id"], emptied["storage_id"]]
            tables = ("storage_secrets", "storage_providers", "storage_copies", "rm_storage", "rm_copies")
            counts = [
                await connection.fetchval(f"SELECT count(*) FROM {table} WHERE storage_id = ANY ($1)", ids)
                for table in tables
            ]
            return not any(counts)

        await until(forgotten)
    finally:
        await connection.close()


async def test_what_a_provider_does_not_let_us_remove_is_left_and_its_secrets_go_all_the_same(api, own, bucket):
    cids = [await upload(api) for _ in range(3)]
    storage = await add_s3(api, bucket)
    await in_state(api, storage, "made", *cids)
    await api.patch(storage["links"]["self"], json={"settings": {"secret_access_key": "not-this-one-at-all"}})
    assert (await api.delete(f"{storage['links']['self']}?purge=true")).status_code == 200
    pool = await postgres.connect(own.environment["DATABASE_URL"], 2)
    store = postgres.PostgresEventStore(pool)
    try:

        async def ended() -> Any:
            last = decode((await store.load(Storage.stream(storage["storage_id"])))[-1])
            return last if isinstance(last, Storage.Purged) else None

        assert (await until(ended)).left == 3
        kept = "SELECT count(*) FROM storage_secrets WHERE storage_id = $1"
        assert await pool.fetchval(kept, storage["storage_id"]) == 0
    finally:
        await store.close()
        await pool.close()
    async with store_of(bucket, storage) as there:
        assert await there.present(cids) == set(cids)


async def test_copies_go_on_where_a_killed_service_left_them(api, own, bucket, door):
    cids = [await upload(api) for _ in range(12)]
    storage = await add_s3(api, bucket, door.port)
    await until(lambda: copies(api, storage, "made"))
    os.kill(own.supervisor.children["cache"].pid, signal.SIGKILL)
    await in_state(api, storage, "made", *cids)
    async with store_of(bucket, storage) as there:
        assert await there.present(cids) == set(cids)


# --- who may, and what nobody may see -------------------------------------------------------------------------------


async def test_nobody_sees_or_touches_anothers_provider(api, person, own, allowed, problem):
    storage = await add(api, "local", {"path": str(allowed)})
    cid = await upload(api)
    await in_state(api, storage, "made", cid)
    stranger = await person()
    url = storage["links"]["self"]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{own.port}", timeout=60) as nobody:
        for method, path in (
            ("GET", url),
            ("PATCH", url),
            ("DELETE", url),
            ("POST", f"{url}/test"),
            ("GET", f"{url}/copies"),
            ("POST", f"{url}/retry"),
        ):
            body = {"json": {"name": "mine"}} if method == "PATCH" else {}
            problem(await stranger.request(method, path, **body), 404, "storage-not-found")
            problem(await nobody.request(method, path, **body), 401, "unauthenticated")
        for method, path in (("GET", "/storage"), ("POST", "/storage"), ("POST", "/storage/add")):
            problem(await nobody.request(method, path), 401, "unauthenticated")
    assert (await stranger.get("/storage")).json() == {"storage": [], "total": 0, "next": None}
    assert (await look(api, storage))["name"] == "my local"


async def test_a_repeated_request_adds_one_provider(api, allowed, problem):
    body = {"type": "local", "name": "disk", "settings": {"path": str(allowed)}}
    headers = {"Idempotency-Key": uuid4().hex}
    first = await api.post("/storage/add", json=body, headers=headers)
    again = await api.post("/storage/add", json=body, headers=headers)
    assert first.json()["storage_id"] == again.json()["storage_id"]
    assert again.status_code == 201
    assert (await api.get("/storage")).json()["total"] == 1
    other = await api.post("/storage/add", json=body | {"name": "other"}, headers=headers)
    problem(other, 422, "idempotency-conflict")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "settings": {}}, "type"),
        ({"type": "s3", "name": "", "settings": {}}, "name"),
        ({"type": "s3", "name": "x\n", "settings": {"path": 1}}, "settings.path"),
        ({"type": "s3", "name": "x", "settings": [], "password": "hush-hush"}, "password"),
        ({"type": "local", "name": "x", "settings": {"path": "/x"}, "capacity_bytes": -1}, "capacity_bytes"),
        ({"type": "ipfs", "name": "x", "settings": {"endpoint": "http://169.254.169.254/"}}, ""),
        ("not an object", "body"),
    ],
)
async def test_a_request_that_breaks_a_rule_is_refused_without_showing_it(api, body, field):
    answer = await api.post("/storage/add", json=body)
    assert answer.status_code == 422, answer.text
    assert "hush" not in answer.text
    assert not field or field in {each["field"] for each in answer.json()["problems"]}
    assert (await api.get("/storage")).json()["total"] == 0


async def test_secrets_are_nowhere_in_the_clear(api, own, bucket, problem):
    secret = f"hush-{uuid4().hex}"
    new = f"hush-{uuid4().hex}"
    answers = []
    cid = await upload(api)
    storage = await add_s3(api, bucket, secret_access_key=secret)
    url = storage["links"]["self"]
    await in_state(api, storage, "failed", cid)
    answers.append(await api.patch(url, json={"settings": {"secret_access_key": new}}))
    assert answers[-1].status_code == 200
    moved = await api.patch(url, json={"settings": {"endpoint": "http://127.0.0.1:9"}})
    assert "secret_access_key" in problem(moved, 422, "invalid-request")["detail"]
    answers += [moved, await api.post(f"{url}/test")]
    await in_state(api, storage, "failed", cid)
    answers += [await api.get(path) for path in ("/storage", url, f"{url}/copies")]
    twice = {"type": "s3", "name": "x", "settings": storage["settings"] | {"secret_access_key": secret}}
    answers.append(await api.post("/storage/add", json=twice))
    wrong = {"type": "s3", "name": "x", "settings": {"secret_access_key": secret, "bucket": 1}, "token": secret}
    answers.append(await api.post("/storage/add", json=wrong))
    text = "".join(answer.text + str(answer.headers) for answer in answers)
    for hidden in (secret, new):
        assert hidden not in text
        forms = _forms(hidden)
        assert not [table for table, row in await _rows(own) if any(form in row for form in forms)]
        assert not [subject for subject, data in await _messages(own) if any(form in data for form in forms)]
        for log in (own.state / "logs").iterdir():
            assert hidden.encode() not in log.read_bytes(), log.name
    connection = await asyncpg.connect(own.environment["DATABASE_URL"])
    try:  # it is there all the same: sealed
        kept = await connection.fetch("SELECT sealed FROM storage_secrets WHERE storage_id = $1", storage["storage_id"])
    finally:
        await connection.close()
    assert len(kept) == 1
    assert len(kept[0]["sealed"]) == 1 + 12 + len(new) + 16


def _forms(secret: str) -> tuple[bytes, ...]:
    """A text as it shows in a row: by itself, or as the hexadecimal form of bytes."""
    return secret.encode(), secret.encode().hex().encode()


async def _rows(own: System) -> list[tuple[str, bytes]]:
    """Every row of every table, as text."""
    connection = await asyncpg.connect(own.environment["DATABASE_URL"])
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert len(tables) > 10
        found = []
        for table in tables:
            name = table["tablename"]
            rows = await connection.fetch(f"SELECT t::text AS row FROM {name} t")
            found += [(name, row["row"].encode()) for row in rows]
        return found
    finally:
        await connection.close()


async def _messages(own: System) -> list[tuple[str, bytes]]:
    """Every message of every stream that still holds it, and of all commands that were handled: none is kept."""
    async with await nats.connect(own.environment["NATS_URL"]) as connection:
        stream_manager = connection.jetstream()
        found = []
        for info in await stream_manager.streams_info():
            for sequence in range(max(1, info.state.first_seq), info.state.last_seq + 1):
                try:
                    message = await stream_manager.get_msg(str(info.config.name), sequence)
                except nats.js.errors.NotFoundError:
                    continue
                found.append((str(message.subject), (message.data or b"") + str(message.headers).encode()))
        assert found
        return found


async def test_a_command_on_the_bus_holds_no_secret(api, own, bucket):
    secret = f"hush-{uuid4().hex}"
    heard: list[bytes] = []
    async with await nats.connect(own.environment["NATS_URL"]) as connection:

        async def hear(message: Any) -> None:
            heard.append(message.subject.encode() + message.data)

        subscription = await connection.subscribe(">", cb=hear)
        await connection.flush()
        storage = await add_s3(api, bucket, secret_access_key=secret)
        await api.patch(storage["links"]["self"], json={"settings": {"secret_access_key": secret + "2"}})
        await connection.flush()
        await subscription.unsubscribe()
    told = b"".join(heard)
    assert storage["storage_id"].encode() in told
    assert b"cmd.cache.AddStorage" in told
    assert b"cmd.cache.EditStorage" in told
    assert secret.encode() not in told


async def test_the_routes_are_in_the_documentation(api):
    paths = (await api.get("/openapi.json")).json()["paths"]
    assert {path for path in paths if path.startswith("/storage")} == {
        "/storage",
        "/storage/add",
        "/storage/type/{type}",
        "/storage/{storage_id}",
        "/storage/{storage_id}/test",
        "/storage/{storage_id}/copies",
        "/storage/{storage_id}/retry",
    }


async def test_the_read_models_are_made_again_the_same(api, own, bucket, allowed):
    disk, gone = await add(api, "local", {"path": str(allowed)}), await add_s3(api, bucket)
    wrong = await add_s3(api, bucket, secret_access_key="not-this-one-at-all")
    cid = await upload(api)
    await in_state(api, disk, "made", cid)
    await in_state(api, gone, "made", cid)
    await api.patch(disk["links"]["self"], json={"name": "renamed", "capacity_bytes": 10**6, "enabled": False})
    await try_out(api, wrong)
    await in_state(api, wrong, "failed", cid)
    await api.delete(gone["links"]["self"])
    pool = await postgres.connect(own.environment["DATABASE_URL"], 2)
    try:

        async def rows() -> list[str]:
            return [
                row["row"]
                for table in ("rm_storage", "rm_copies")
                for row in await pool.fetch(
                    f"SELECT t::text AS row FROM {table} t WHERE storage_id = ANY ($1) ORDER BY 1",
                    [each["storage_id"] for each in (disk, gone, wrong)],
                )
            ]

        before = await rows()
        assert len(before) == 4
        await projector.rebuild(pool)
        assert await rows() == before
    finally:
        await pool.close()
