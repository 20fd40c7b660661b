"""Every write, repeated with one ``Idempotency-Key``: at once, later, after a gateway was lost, and as another request.

A route that is neither in :data:`CASES` nor in ``repeating.EXEMPT`` fails the test, so that nobody adds one that a lost
answer makes people do twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from artdag_cli.backing import free_port, guarded
from artdag_cli.system import ROOT, System
from artdag_common.codec import encode_command
from artdag_common.commands import CancelRun
from artdag_common.config import Settings
from artdag_common.domain.access import hash_token
from artdag_common.ipld.car import CarFile
from artdag_common.ipld.folders import content as read
from artdag_common.ipld.folders import entries
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.dead_letters import COMMAND_ID, FROM, TRIED
from artdag_common.run_archive import EVENTS, MANIFEST
from services.gateway.api.effects import SOURCE_EXAMPLE
from services.gateway.app import create_app
from services.gateway.repeating import EXEMPT, KEY_CHARACTERS, REPLAYED, WRITES
from tests.attacks.conftest import DEAF, Person
from tests.attacks.test_matrix import good, recipe_text
from tests.unit.media.hostile import png

SECONDS = 150.0
WEBHOOK = {"url": f"http://{DEAF}/", "events": ["run.completed"]}
NAMING = ("run_id", "recipe_id", "storage_id", "webhook_id", "user_id", "cid", "name", "rerun_of", "deleted")
FORGET_ANSWERS = "UPDATE gateway.gateway_idempotency SET answer = NULL"
HOLD_ALL = "UPDATE gateway.gateway_idempotency SET answer = NULL, holder = gen_random_uuid(), held_until = now() + $1"


@dataclass
class Asked:
    """A request: who sends it where, what it says, and what another request to the same address says.

    Attributes:
        leaves: what it is about leaves something to answer from, also where the gateway's answer was lost.
    """

    person: Person
    path: str
    more: dict[str, Any] = field(default_factory=dict)
    other: dict[str, Any] = field(default_factory=lambda: {"params": {"other": "1"}})
    leaves: bool = True


@dataclass
class World:
    """Who asks."""

    ada: Person
    operator: Person
    someone: Callable[..., Awaitable[Person]]
    bus: Bus
    executor: int


Case = Callable[[World], Awaitable[Asked]]


# --- what there has to be -------------------------------------------------------------------------------------------


async def content_of(person: Person) -> str:
    """Store something new."""
    files = {"file": png(16, 16) + uuid4().hex.encode()}
    return str((await good(person.api.post("/cache/upload", files=files)))["cid"])


async def recipe_of(person: Person) -> str:
    """Make a recipe known."""
    return str((await good(person.api.post("/recipes/upload", content=recipe_text())))["recipe_id"])


async def shown(person: Person, path: str, *statuses: str) -> Any:
    """Return what is at an address, once it is in one of these states."""
    async with asyncio.timeout(SECONDS):
        while True:
            answer = await person.api.get(path)
            if answer.status_code == 200 and (not statuses or answer.json()["status"] in statuses):
                return answer.json()
            await asyncio.sleep(0.02)


async def bound(person: Person) -> dict[str, Any]:
    """Return a recipe and its inputs."""
    return {"recipe": await recipe_of(person), "inputs": {"media": await content_of(person)}}


async def completed(person: Person) -> str:
    """Render something."""
    run = str((await good(person.api.post("/runs", json=await bound(person))))["run_id"])
    await shown(person, f"/runs/{run}", "completed")
    return run


async def underway(person: Person) -> str:
    """Begin a run that does not end, since nobody computes anything."""
    run = str((await good(person.api.post("/runs", json=await bound(person))))["run_id"])
    await shown(person, f"/runs/{run}", "running")
    return run


async def planned(person: Person) -> str:
    """Plan something; its run waits."""
    run = str((await good(person.api.post("/api/plan", json=await bound(person))))["run_id"])
    await shown(person, f"/runs/{run}", "planned")
    return run


def place() -> dict[str, Any]:
    """Return a place that nobody has added yet."""
    return {
        "type": "local",
        "name": uuid4().hex,
        "settings": {"path": tempfile.mkdtemp(dir=os.environ["ARTDAG_STORAGE_DIRS"])},
    }


async def storage_of(person: Person) -> str:
    """Add a storage provider."""
    storage = str((await good(person.api.post("/storage/add", json=place())))["storage_id"])
    await shown(person, f"/storage/{storage}", "ready")
    return storage


def effect_text() -> str:
    """Return an effect that nobody has."""
    return SOURCE_EXAMPLE.replace('"fade"', f'"e-{uuid4().hex[:8]}"') + f"# {uuid4().hex}\n"


# --- the requests: one line a route ---------------------------------------------------------------------------------


async def start(world: World, path: str = "/runs") -> Asked:
    asked = await bound(world.ada)
    return Asked(world.ada, path, {"json": asked}, {"json": asked | {"output_name": "other"}})


async def import_run(world: World) -> Asked:
    run = await completed(world.ada)
    answer = await world.ada.api.get(f"/api/run/{run}/export")
    file = Path(tempfile.mkdtemp()) / "run.car"
    file.write_bytes(answer.content)
    asked = {}
    with CarFile(file) as car:
        files = {each.path: each.cid for each in entries(car.get, car.roots[0])}
        for name, path in (("manifest", MANIFEST), ("events", EVENTS)):
            sent = {"file": b"".join(read(car.get, files[path]))}
            asked[name] = (await good(world.ada.api.post("/cache/upload", files=sent)))["cid"]
    return Asked(world.ada, "/runs/import", {"json": asked}, {"json": asked | {"events": asked["manifest"]}})


async def start_recipe(world: World, prefix: str) -> Asked:
    asked = await bound(world.ada)
    path = f"/{prefix}/{asked.pop('recipe')}/run"
    return Asked(world.ada, path, {"json": asked}, {"json": asked | {"output_name": "other"}})


async def execute(world: World) -> Asked:
    plan = (await shown(world.ada, f"/api/run/{await planned(world.ada)}/plan"))["plan_cid"]
    return Asked(world.ada, "/api/execute", {"json": {"plan_cid": plan}}, {"json": {"run_id": "other"}})


async def cancel(world: World) -> Asked:
    path = f"/runs/{await planned(world.ada)}/cancel"
    return Asked(world.ada, path, {"json": {"reason": "wrong music"}}, {"json": {"reason": "other"}})


async def steer(world: World, what: str, *before: str) -> Asked:
    run = await underway(world.ada)
    for each in before:
        await good(world.ada.api.post(f"/runs/{run}/{each}"))
    return Asked(world.ada, f"/runs/{run}/{what}")


async def cancel_step(world: World) -> Asked:
    path = f"/runs/{await underway(world.ada)}/steps/1/cancel"
    return Asked(world.ada, path, {"json": {"reason": "wrong music"}}, {"json": {"reason": "other"}})


async def retry(world: World) -> Asked:
    run = await planned(world.ada)
    await good(world.ada.api.post(f"/runs/{run}/cancel"))
    return Asked(world.ada, f"/runs/{run}/retry", {"json": {}}, {"json": {"priority": "batch"}})


async def rerun(world: World) -> Asked:
    path = f"/runs/{await completed(world.ada)}/rerun"
    return Asked(world.ada, path, {"json": {"output_name": "x"}}, {"json": {"output_name": "other"}})


async def publish_run(world: World) -> Asked:
    path = f"/runs/{await completed(world.ada)}/publish"
    return Asked(world.ada, path, {"json": {"name": "x"}}, {"json": {"name": "other"}})


async def upload(world: World, path: str, text: Callable[[], str]) -> Asked:
    return Asked(world.ada, path, {"content": text()}, {"content": text()})


async def upload_content(world: World) -> Asked:
    files, other = {"file": uuid4().hex.encode()}, {"file": uuid4().hex.encode()}
    return Asked(world.ada, "/cache/upload", {"files": files}, {"files": other})


async def import_content(world: World) -> Asked:
    folder = Path(tempfile.mkdtemp(dir=os.environ["ARTDAG_IMPORT_DIRS"]))
    for name in ("a", "b"):
        (folder / name).write_text(uuid4().hex)
    return Asked(world.ada, "/cache/import", {"params": {"path": str(folder)}}, {"params": {"path": f"{folder}/a"}})


async def describe(world: World) -> Asked:
    path = f"/cache/{await content_of(world.ada)}/meta"
    tag = (await world.ada.api.get(path)).headers["etag"]
    more = {"json": {"description": "mine"}, "headers": {"If-Match": tag}}
    return Asked(world.ada, path, more, {"json": {"description": "other"}})


async def publish(world: World) -> Asked:
    path = f"/cache/{await content_of(world.ada)}/publish"
    return Asked(world.ada, path, {"json": {"name": "x"}}, {"json": {"name": "other"}})


async def unpublish(world: World) -> Asked:
    asked = await publish(world)
    await good(world.ada.api.post(asked.path, **asked.more))
    return Asked(world.ada, asked.path)


async def collect(world: World) -> Asked:
    body = {"json": {"older_than_days": 36_500}}
    return Asked(world.operator, "/cache/gc", body, {"json": {"older_than_days": 36_499}})


async def add_storage(world: World, *, form: bool) -> Asked:
    body = place()
    if form:
        fields = {"type": "local", "name": body["name"], "path": body["settings"]["path"]}
        return Asked(world.ada, "/storage", {"data": fields}, {"data": fields | {"name": "other"}})
    return Asked(world.ada, "/storage/add", {"json": body}, {"json": body | {"name": "other"}})


async def change_storage(world: World) -> Asked:
    path = f"/storage/{await storage_of(world.ada)}"
    return Asked(world.ada, path, {"json": {"name": "x", "enabled": False}}, {"json": {"name": "other"}})


async def erase(world: World) -> Asked:
    person = await world.someone()
    await shown(world.operator, f"/api/users/{person.user}")
    return Asked(world.operator, f"/api/users/{person.user}", {}, {"params": {"content": "true"}})


async def webhook_of(person: Person) -> str:
    """Add a webhook; nobody answers there."""
    return str((await good(person.api.post("/webhooks", json=WEBHOOK)))["webhook_id"])


async def add_webhook(world: World) -> Asked:
    return Asked(world.ada, "/webhooks", {"json": WEBHOOK}, {"json": WEBHOOK | {"events": ["run.failed"]}})


async def change_webhook(world: World) -> Asked:
    path = f"/webhooks/{await webhook_of(world.ada)}"
    return Asked(world.ada, path, {"json": {"events": ["run.failed"]}}, {"json": {"enabled": False}})


async def deliver_again(world: World) -> Asked:
    path = f"/webhooks/{await webhook_of(world.ada)}"
    await completed(world.ada)
    async with asyncio.timeout(SECONDS):
        while not (told := (await shown(world.ada, path))["deliveries"]):
            await asyncio.sleep(0.02)
    return Asked(world.ada, f"{path}/deliveries/{told[0]['delivery_id']}/retry")


async def letter(world: World, *, drop: bool) -> Asked:
    run = uuid4().hex
    command = CancelRun(run, "", world.operator.user)
    told = {FROM: subjects.command(command.SERVICE, "CancelRun", run), COMMAND_ID: uuid4().hex, TRIED: "10"}
    await world.bus.dead_letter(command.SERVICE, "CancelRun", encode_command(command), "RuntimeError('x')", told)
    letters = (await shown(world.operator, "/api/dlq?limit=100"))["letters"]
    path = next(each["links"]["self"] for each in letters if each["key"] == run)
    if drop:
        reason, other = {"params": {"reason": "tried"}}, {"params": {"reason": "other"}}
        return Asked(world.operator, path, reason, other, leaves=False)
    return Asked(world.operator, f"{path}/retry", leaves=False)


def one(make: Callable[[Person], Awaitable[str]], path: str) -> Case:
    """Return a request without a body about something of one's own."""

    async def case(world: World) -> Asked:
        return Asked(world.ada, path.format(await make(world.ada)))

    return case


async def effect_of(person: Person) -> str:
    """Make an effect known."""
    return str((await good(person.api.post("/effects/upload", content=effect_text())))["cid"])


async def token_of(person: Person) -> str:
    """Sign a program in, and return the id of its token."""
    codes = await good(person.api.post("/auth/device", json={"client_id": "a program"}))
    await good(person.api.post("/auth/device/confirm", json={"user_code": codes["user_code"], "decision": "allow"}))
    given = await good(person.api.post("/auth/device/token", json={"device_code": codes["device_code"]}))
    token_id = hash_token(given["access_token"])[:16]
    async with asyncio.timeout(SECONDS):
        while token_id not in (await person.api.get("/auth/tokens")).text:
            await asyncio.sleep(0.02)
    return token_id


CASES: dict[str, Case] = {
    "POST /runs": start,
    "POST /runs/import": import_run,
    "POST /runs/{run_id}/cancel": cancel,
    "POST /runs/{run_id}/pause": lambda world: steer(world, "pause"),
    "POST /runs/{run_id}/resume": lambda world: steer(world, "resume", "pause"),
    "POST /runs/{run_id}/steps/{step}/cancel": cancel_step,
    "POST /runs/{run_id}/retry": retry,
    "POST /runs/{run_id}/rerun": rerun,
    "POST /runs/{run_id}/publish": publish_run,
    "DELETE /runs/{run_id}": one(completed, "/runs/{}"),
    "POST /api/plan": lambda world: start(world, "/api/plan"),
    "POST /api/execute": execute,
    "POST /api/run-recipe": lambda world: start(world, "/api/run-recipe"),
    "POST /recipes/upload": lambda world: upload(world, "/recipes/upload", recipe_text),
    "POST /recipes/{recipe}/run": lambda world: start_recipe(world, "recipes"),
    "DELETE /recipes/{recipe}": one(recipe_of, "/recipes/{}"),
    "POST /configs/upload": lambda world: upload(world, "/configs/upload", recipe_text),
    "POST /configs/{recipe}/run": lambda world: start_recipe(world, "configs"),
    "DELETE /configs/{recipe}": one(recipe_of, "/configs/{}"),
    "POST /effects/upload": lambda world: upload(world, "/effects/upload", effect_text),
    "DELETE /effects/{effect}": one(effect_of, "/effects/{}"),
    "POST /cache/upload": upload_content,
    "POST /cache/import": import_content,
    "PATCH /cache/{cid}/meta": describe,
    "POST /cache/{cid}/publish": publish,
    "DELETE /cache/{cid}/publish": unpublish,
    "DELETE /cache/{cid}": one(content_of, "/cache/{}"),
    "POST /cache/gc": collect,
    "POST /storage": lambda world: add_storage(world, form=True),
    "POST /storage/add": lambda world: add_storage(world, form=False),
    "PATCH /storage/{storage_id}": change_storage,
    "DELETE /storage/{storage_id}": one(storage_of, "/storage/{}"),
    "POST /storage/{storage_id}/test": one(storage_of, "/storage/{}/test"),
    "POST /storage/{storage_id}/retry": one(storage_of, "/storage/{}/retry"),
    "DELETE /api/users/{user_id}": erase,
    "POST /webhooks": add_webhook,
    "PATCH /webhooks/{webhook_id}": change_webhook,
    "DELETE /webhooks/{webhook_id}": one(webhook_of, "/webhooks/{}"),
    "POST /webhooks/{webhook_id}/test": one(webhook_of, "/webhooks/{}/test"),
    "POST /webhooks/{webhook_id}/deliveries/{delivery_id}/retry": deliver_again,
    "DELETE /auth/tokens/{token_id}": one(token_of, "/auth/tokens/{}"),
    "POST /api/dlq/{letter_id}/retry": lambda world: letter(world, drop=False),
    "DELETE /api/dlq/{letter_id}": lambda world: letter(world, drop=True),
}

HALTED = ("POST /runs/{run_id}/pause", "POST /runs/{run_id}/resume", "POST /runs/{run_id}/steps/{step}/cancel")
"""Requests about a run that goes on: meanwhile nobody computes anything."""


# --- the tests ------------------------------------------------------------------------------------------------------


def routes() -> set[str]:
    """Return every route by which something is written."""
    app = create_app(SimpleNamespace(settings=Settings()))  # type: ignore[arg-type]
    documented = {
        f"{method.upper()} {path}" for path, operations in app.openapi()["paths"].items() for method in operations
    }
    assert not [route for route in every(app.routes) if not getattr(route, "include_in_schema", True) and writes(route)]
    return {route for route in documented if route.partition(" ")[0] in WRITES}


def every(known: Sequence[Any]) -> Iterator[Any]:
    """Yield routes, and those of the routers among them."""
    for route in known:
        yield route
        yield from every(getattr(getattr(route, "original_router", None), "routes", ()))


def writes(route: Any) -> bool:
    """Return whether something is written by a route."""
    return bool(WRITES & set(getattr(route, "methods", None) or ()))


def test_every_write_is_tried_or_exempt() -> None:
    assert routes() - set(CASES) - set(EXEMPT) == set(), "say how it is asked for, in CASES"
    assert (set(CASES) | set(EXEMPT)) - routes() == set(), "these are gone"
    assert set(CASES) & set(EXEMPT) == set()


def test_every_write_that_takes_a_key_says_so(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            named = [each["name"] for each in operation.get("parameters", []) if each["in"] == "header"]
            assert named.count("Idempotency-Key") == (f"{method.upper()} {path}" in CASES), (method, path)


@pytest.fixture(scope="module")
async def world(
    shared: System, bus: Bus, ada: Person, operator: Person, someone: Callable[..., Awaitable[Person]]
) -> World:
    """Who asks."""
    return World(ada, operator, someone, bus, shared.supervisor.children["executor"].pid)


@pytest.fixture(scope="module")
async def database(shared: System) -> AsyncIterator[asyncpg.Connection]:
    """The server's database, as its owner."""
    connection = await asyncpg.connect(shared.environment["DATABASE_URL"])
    yield connection
    await connection.close()


async def ask(route: str, asked: Asked, key: str, **more: Any) -> httpx.Response:
    """Send a request with a key."""
    given = (asked.more | more).copy()
    given["headers"] = {**given.get("headers", {}), "Idempotency-Key": key}
    return await asked.person.api.request(route.partition(" ")[0], asked.path, **given)


async def decided(route: str, asked: Asked, key: str) -> httpx.Response:
    """Send a request until what it asks for is done, and the answer is the last word."""
    async with asyncio.timeout(SECONDS):
        while (answer := await ask(route, asked, key)).status_code == 202 or is_busy(answer):
            await asyncio.sleep(0.02)
    assert answer.status_code in (200, 201, 204), answer.text
    return answer


def is_busy(answer: httpx.Response) -> bool:
    """Return whether an answer says that the same request is being handled."""
    if answer.status_code != 409 or answer.json()["code"] != "idempotency-busy":
        return False
    assert answer.headers["retry-after"] == "1"
    return True


def identity(answer: httpx.Response) -> dict[str, Any]:
    """Return what an answer names."""
    body = answer.json()
    ids = {name: body[name] for name in body if name in NAMING}
    files = [each["cid"] for each in body.get("files", [])]
    return ids | {"files": files, "location": answer.headers.get("location")}


@contextlib.contextmanager
def halted(process: int) -> Iterator[None]:
    """Let a process do nothing for a while."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


@pytest.mark.parametrize("route", CASES)
async def test_a_repeated_write_is_done_once_and_answered_the_same(
    route: str, world: World, database: asyncpg.Connection
) -> None:
    with halted(world.executor) if route in HALTED else contextlib.nullcontext():
        await repeat(route, world, database)


async def repeat(route: str, world: World, database: asyncpg.Connection) -> None:
    """Send a request at once, again, as another one, and after what was answered is lost."""
    asked, key = await CASES[route](world), uuid4().hex
    at_once = await asyncio.gather(*(ask(route, asked, key) for _ in range(2)))
    assert all(answer.status_code in (200, 201, 202, 204) or is_busy(answer) for answer in at_once), at_once[0].text
    first = await decided(route, asked, key)
    assert {answer.content for answer in at_once if answer.status_code == first.status_code} <= {first.content}
    again = await ask(route, asked, key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers[REPLAYED] == "true"
    assert again.headers.get("location") == first.headers.get("location")
    assert again.headers.get("content-type") == first.headers.get("content-type")

    other = await ask(route, Asked(asked.person, asked.path, asked.other), key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-conflict"), other.text

    if not asked.leaves:
        return
    await database.execute(FORGET_ANSWERS)  # as if the gateway had died before it kept the answer
    anew = await decided(route, asked, key)
    assert (anew.status_code, identity(anew)) == (first.status_code, identity(first))
    assert anew.status_code == 200 or first.headers.get("location") or "files" in first.json()


async def test_a_write_that_is_being_handled_elsewhere_is_waited_for(
    world: World, database: asyncpg.Connection
) -> None:
    asked, key = await start(world), uuid4().hex
    first = await decided("POST /runs", asked, key)
    await database.execute(HOLD_ALL.replace("$1", "interval '1 hour'"))  # by a gateway that is at it
    busy = await ask("POST /runs", asked, key, headers={"Prefer": "wait=0"})
    assert is_busy(busy), busy.text
    waits = asyncio.create_task(ask("POST /runs", asked, key))
    await database.execute(HOLD_ALL.replace("$1", "interval '0 s'"))  # it was lost
    assert identity(await waits) == identity(first)


async def test_what_was_not_done_for_want_of_anything_can_be_asked_for_again(world: World) -> None:
    """A refusal is not kept: nothing came of the request, so it is judged anew."""
    name, key = f"later-{uuid4().hex[:8]}", uuid4().hex
    asked = Asked(world.ada, "/runs", {"json": {"recipe": name, "inputs": {"media": await content_of(world.ada)}}})
    refused = await ask("POST /runs", asked, key)
    assert (refused.status_code, refused.json()["code"]) == (404, "recipe-not-found")
    text = recipe_text()
    await good(world.ada.api.post("/recipes/upload", content=text.replace(text.split()[1], name, 1)))
    assert (await decided("POST /runs", asked, key)).status_code == 201


async def test_keys_are_a_user_s_own_and_of_one_route(world: World) -> None:
    other, key = await world.someone(), uuid4().hex
    files = {"files": {"file": uuid4().hex.encode()}, "data": {"name": "x"}}
    mine, theirs = Asked(world.ada, "/cache/upload", files), Asked(other, "/cache/upload", files)
    first = await decided("POST /cache/upload", mine, key)
    second = await decided("POST /cache/upload", theirs, key)
    assert REPLAYED not in second.headers
    assert second.json()["cid"] == first.json()["cid"]
    made = await decided("POST /recipes/upload", Asked(world.ada, "/recipes/upload", {"content": recipe_text()}), key)
    assert (made.status_code, REPLAYED in made.headers) == (201, False)


@pytest.mark.parametrize("key", ["", "k" * (KEY_CHARACTERS + 1)])
async def test_a_key_that_is_none_is_refused(key: str, world: World) -> None:
    answer = await ask("POST /recipes/upload", Asked(world.ada, "", {"content": recipe_text()}), key)
    asked = Asked(world.ada, "/recipes/upload", {"content": recipe_text()})
    answer = await ask("POST /recipes/upload", asked, key)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert answer.json()["problems"][0]["field"] == "Idempotency-Key"


async def test_nobody_who_reads_the_table_learns_what_was_answered(world: World, database: asyncpg.Connection) -> None:
    name = f"private-{uuid4().hex}"
    files = {"files": {"file": uuid4().hex.encode()}, "data": {"name": name}}
    await decided("POST /cache/upload", Asked(world.ada, "/cache/upload", files), uuid4().hex)
    kept = await database.fetch("SELECT answer, foretold FROM gateway.gateway_idempotency")
    assert any(row["answer"] for row in kept)
    assert not any(name.encode() in (row[column] or b"") for row in kept for column in ("answer", "foretold"))


@contextlib.asynccontextmanager
async def another_gateway(shared: System) -> AsyncIterator[str]:
    """Start a gateway that remembers nothing, and give its address."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *guarded(),
        sys.executable,
        "-m",
        "services.gateway",
        env=os.environ | shared.environment_of("gateway") | {"PORT": str(port)},
        cwd=ROOT,
        stderr=asyncio.subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(SECONDS), httpx.AsyncClient(base_url=url) as client:
            while True:
                try:
                    if (await client.get("/ready")).status_code == 200:
                        break
                except httpx.TransportError:
                    assert process.returncode is None
                await asyncio.sleep(0.02)
        yield url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_another_gateway_and_one_that_was_started_again_answer_the_same(shared: System, world: World) -> None:
    asked, key = await start(world), uuid4().hex
    first = await decided("POST /runs", asked, key)
    async with another_gateway(shared) as url:
        headers = {"Authorization": f"Bearer {world.ada.token}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=SECONDS) as client:
            there = Person(world.ada.user, world.ada.token, client)
            again = await ask("POST /runs", Asked(there, "/runs", asked.more), key)
            assert (again.status_code, again.content) == (first.status_code, first.content)
            other = await ask("POST /runs", Asked(there, "/runs", asked.other), key)
            assert other.json()["code"] == "idempotency-conflict"
            removed = Asked(there, f"/recipes/{await recipe_of(world.ada)}")
            gone, twice = await asyncio.gather(
                *(ask("DELETE /recipes/{recipe}", each, key) for each in (removed, Asked(world.ada, removed.path)))
            )
    assert {gone.status_code, twice.status_code} == {200}, (gone.text, twice.text)
    assert gone.content == twice.content
