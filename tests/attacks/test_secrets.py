"""What must be told to nobody is told once, in every way there is, and then looked for in every place there is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest
import redis.asyncio

from artdag_cli.system import System
from services.gateway.access import COOKIE
from tests.attacks.conftest import Person
from tests.e2e.people import person

PIECE_BYTES = 1 << 22
OWN_FILES = ("l2", "l2.people", "logs/l2.log")
"""Of the registry, which is somebody else's: it knows its own tokens."""

CONTROL = "control-word"
TOKEN = "token of the registry's"
PRIVATE = stat.S_IRWXG | stat.S_IRWXO


@dataclass
class Told:
    """Secrets by what they are, and all that was answered while they were used."""

    secrets: dict[str, str] = field(default_factory=dict)
    answers: list[tuple[str, bytes]] = field(default_factory=list)
    control: str = field(default_factory=lambda: f"{CONTROL}-{uuid4().hex}")

    def new(self, what: str) -> str:
        """Return a secret that was never used before."""
        self.secrets[what] = f"secret-{uuid4().hex}"
        return self.secrets[what]

    async def heard(self, answer: httpx.Response) -> None:
        """Keep an answer, but for the cookie that is meant to hold a token."""
        await answer.aread()
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items() if name != "set-cookie")
        said = f"{answer.request.method} {answer.request.url.path}"
        self.answers.append((said, head.encode() + answer.content))

    def found_in(self, text: bytes) -> list[str]:
        """Return which secrets a text holds: as they are, in an address, or as hexadecimal digits."""
        return [
            what
            for what, secret in self.secrets.items()
            if secret.encode() in text
            or quote(secret, safe="").encode() in text
            or secret.encode().hex().encode() in text
        ]


@pytest.fixture(scope="module")
async def told(shared: System, url: str) -> AsyncIterator[Told]:
    """Go through everything that takes a secret, rightly and wrongly."""
    it = Told()
    it.secrets["operator's token"] = shared.token
    hooks = {"response": [it.heard]}
    async with (
        person(shared.url, shared.environment["L2_SERVER"]) as human,
        httpx.AsyncClient(base_url=url, timeout=90, event_hooks=hooks) as browser,
        httpx.AsyncClient(base_url=url, timeout=90, event_hooks=hooks) as client,
    ):
        human.l1 = browser
        link = await human.link()
        it.secrets[TOKEN] = link.params["auth_token"]
        await human.follow(link)
        assert browser.cookies[COOKIE] == it.secrets[TOKEN]
        await flows(it, client, shared)
        yield it


async def flows(it: Told, client: httpx.AsyncClient, shared: System) -> None:
    """Use secrets where they belong, and where they do not."""
    signed = {"Authorization": f"Bearer {it.secrets[TOKEN]}"}
    await client.get("/login", params={"token": shared.token})
    client.cookies.clear()
    for path, name in (("/login", "token"), ("/auth", "auth_token")):
        await client.get(path, params={name: it.new(f"wrong token at {path}")})
        await client.get(
            path, params={name: it.new(f"wrong token at {path} for a page")}, headers={"Accept": "text/html"}
        )
    await client.get("/runs", headers={"Authorization": f"Bearer {it.new('wrong token as bearer')}"})
    await client.get("/runs", headers={"Authorization": f"Basic {it.new('wrong scheme')}"})
    await client.get("/runs", headers={"Cookie": f"{COOKIE}={it.new('wrong cookie')}"})
    await client.get("/nowhere", params={"token": it.new("token for a page that is not there")})
    await client.get("/runs", params={"cursor": "x", "access_token": it.new("token in the wrong place")})
    await client.post("/auth/revoke", json={"token": it.new("token to revoke")})
    await client.post("/auth/revoke", content=b'{"token": "' + it.new("token in half a body").encode())
    await client.get(
        "/runs", headers={"Authorization": f"Bearer {it.new('token to a foreign host')}", "Host": "evil.example"}
    )
    settings = {"endpoint": "https://store.invalid", "bucket": "b", "access_key_id": "k"}
    good = {"secret_access_key": it.new("storage secret of a place that is away")}
    bad: list[dict[str, object]] = [
        {"type": "s3", "settings": {**settings, **good}},
        {
            "type": "s3",
            "settings": {**settings, "secret_access_key": it.new("storage secret of a bad place"), "bucket": "/"},
        },
        {"type": "s3", "settings": {**settings, "secret_key": it.new("storage secret under a wrong name")}},
        {"type": "s3", "settings": {**settings, "secret_access_key": {"deep": it.new("storage secret too deep")}}},
        {
            "type": "s3",
            "settings": {**settings, "endpoint": f"https://u:{it.new('password in an address')}@store.invalid"},
        },
        {"type": "ipfs", "settings": {"endpoint": "http://127.0.0.1:1", "token": it.new("token of a node inside")}},
        {"type": "pinning", "settings": {"endpoint": "https://pins.invalid", "token": it.new("token of a service")}},
        {"type": "ipfs", "settings": {"endpoint": f"https://a.invalid/?token={it.new('token in an address')}"}},
        {"type": "what", "settings": {"token": it.new("token of no kind")}},
    ]
    for each in bad:
        await client.post("/storage/add", json={"name": f"{it.control}", **each}, headers=signed)
    form = {
        "type": "s3",
        "name": "x",
        **settings,
        "secret_access_key": it.new("storage secret in a form"),
        "extra": "y",
    }
    await client.post("/storage", data=form, headers=signed)
    folder = Path(os.environ["ARTDAG_STORAGE_DIRS"])
    local = {"type": "local", "name": it.control, "settings": {"path": str(folder)}}
    made = await client.post("/storage/add", json=local, headers=signed)
    await client.patch(
        made.headers.get("location", "/storage/none"),
        json={"settings": {"token": it.new("secret for a folder")}},
        headers=signed,
    )
    where = "https://store.invalid/hook"
    for body in (
        {"url": where, "secret": f"whsec_{it.new('webhook secret of a host that is away')}"},
        {"url": where, "secret": {"deep": it.new("webhook secret too deep")}},
        {"url": where, "secrets": it.new("webhook secret under a wrong name")},
        {"url": f"https://u:{it.new('password of a webhook')}@store.invalid/"},
        {"url": f"{where}?key={it.new('key of a webhook')}"},
    ):
        await client.post("/webhooks", json=body, headers=signed)
    await client.post("/cache/upload", files={"file": it.control.encode()}, data={"name": it.control}, headers=signed)
    await client.post("/logout", headers=signed)
    await client.get("/runs", headers=signed)


def environment_secrets(shared: System) -> dict[str, str]:
    """Return the secrets that the system runs on."""
    found = {"secret key": shared.environment["ARTDAG_SECRET_KEY"], "operator's token": shared.token}
    for name, value in shared.environment.items():
        if "://" in value and (password := urlsplit(value).password):
            found[f"password in {name}"] = password
    key = Path(shared.environment["ARTDAG_ACTOR_KEY"])
    found["actor's key"] = "".join(key.read_text().splitlines()[1:3])
    for service, own in shared.accounts.items():
        for name, value in own.items():
            if name.endswith("_SEED"):
                found[f"{service}'s {name}"] = value
            elif password := urlsplit(value).password:
                found[f"{service}'s password in {name}"] = password
    return found


async def settled(shared: System) -> None:
    """Wait until what was said is written: every event has its place in the log and in the read models."""
    connection = await asyncpg.connect(shared.environment["DATABASE_URL"])
    try:
        async with asyncio.timeout(30):
            while await connection.fetchval("SELECT count(*) FROM es_outbox"):
                await asyncio.sleep(0.05)
    finally:
        await connection.close()


def files_of(folder: Path) -> Iterator[Path]:
    for path in sorted(Path(place, name) for place, _, names in os.walk(folder) for name in names):
        inside = str(path.relative_to(folder))
        if path.is_file() and not any(inside == own or inside.startswith(f"{own}/") for own in OWN_FILES):
            yield path


def pieces_of(path: Path) -> Iterator[bytes]:
    """Yield a file in pieces that overlap, so that nothing is cut in two."""
    before = b""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield before + piece
            before = piece[-512:]


async def test_no_secret_of_a_user_is_in_any_file(told: Told, shared: System) -> None:
    """Not in logs, not in Postgres' pages and write-ahead log, not in the streams of NATS, not in temporary files."""
    await settled(shared)
    kept = {"token": "operator's token", "up.json": "operator's token"}
    leaks: set[str] = set()
    seen: set[str] = set()

    def search() -> None:
        for path in files_of(shared.state):
            place = str(path.relative_to(shared.state))
            for piece in pieces_of(path):
                if told.control.encode() in piece:
                    seen.add(place.partition("/")[0])
                leaks.update(f"{what}: {place}" for what in told.found_in(piece) if kept.get(place) != what)

    await asyncio.to_thread(search)
    assert not leaks, sorted(leaks)
    assert len(seen) >= 2, f"what is no secret is found, in Postgres and in NATS: {seen}"


async def test_no_secret_is_in_a_row(told: Told, shared: System) -> None:
    """Rows may be packed in their pages; here they are read."""
    connection = await asyncpg.connect(shared.environment["DATABASE_URL"])
    secrets = Told(secrets=told.secrets | environment_secrets(shared))
    leaks: set[str] = set()
    found = 0
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        for (table,) in tables:
            for (row,) in await connection.fetch(f"SELECT t::text FROM {table} t"):
                text = row.encode()
                found += told.control.encode() in text
                leaks.update(f"{what}: {table}" for what in secrets.found_in(text))
    finally:
        await connection.close()
    assert not leaks, sorted(leaks)
    assert found, "what is no secret is found"
    assert len(tables) > 10


async def test_no_secret_is_in_redis(told: Told, shared: System) -> None:
    secrets = Told(secrets=told.secrets | environment_secrets(shared))
    client = redis.asyncio.Redis.from_url(shared.environment["REDIS_URL"])
    leaks: set[str] = set()
    keys = 0
    try:
        async for key in client.scan_iter(count=1000):
            keys += 1
            leaks.update(f"{what}: {key!r}" for what in secrets.found_in(key + (await client.dump(key) or b"")))
    finally:
        await client.aclose()
    assert not leaks, sorted(leaks)
    assert keys


async def test_no_secret_is_in_a_log_or_a_command_line(told: Told, shared: System) -> None:
    secrets = Told(secrets=told.secrets | environment_secrets(shared))
    logs = [path for path in (shared.state / "logs").glob("*.log") if path.name != "l2.log"]
    assert len(logs) >= 8
    texts = {path.name: b"".join(pieces_of(path)) for path in logs}
    for name, child in shared.supervisor.children.items():
        texts[f"command line of {name}"] = Path(f"/proc/{child.pid}/cmdline").read_bytes()
    leaks = [f"{what}: {place}" for place, text in texts.items() for what in secrets.found_in(text)]
    assert not leaks, leaks


async def test_no_answer_holds_a_secret(told: Told, shared: System) -> None:
    secrets = Told(secrets=told.secrets | environment_secrets(shared))
    leaks = [f"{what}: {place}" for place, text in told.answers for what in secrets.found_in(text)]
    assert not leaks, leaks
    assert len(told.answers) > 25


async def test_what_reads_secrets_is_for_its_owner_only(shared: System) -> None:
    for name in ("token", "secret.key", "up.json", "actor.key"):
        mode = (shared.state / name).stat().st_mode
        assert not mode & PRIVATE, f"{name}: {stat.filemode(mode)}"
    facts = json.loads((shared.state / "up.json").read_text())
    assert shared.token not in json.dumps(facts)


async def test_a_service_knows_the_secrets_that_it_needs(shared: System, operator: Person) -> None:
    """What takes one service over has its secrets, and nobody else's."""
    assert operator.user == "owner"
    needed = {
        "ARTDAG_ACTOR_KEY": {"cache"},
        "ARTDAG_SECRET_KEY": {"gateway", "cache"},
        "ARTDAG_OWNER_TOKEN_HASH": {"auth", "gateway"},
        "REDIS_URL": {"gateway", "auth"},
    }
    for service in ("gateway", "planner", "executor", "cache", "auth"):
        said = shared.environment_of(service)
        if os.geteuid() == 0:  # nobody else may look: a service is closed even to other processes of its user
            lines = Path(f"/proc/{shared.supervisor.children[service].pid}/environ").read_bytes().split(b"\0")
            said = dict(line.decode().partition("=")[::2] for line in lines if line)
        assert shared.token not in said.values()
        for name, services in needed.items():
            assert bool(said.get(name)) == (service in services), (service, name)
