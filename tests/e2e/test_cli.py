"""The command line against a running system: what it prints, and what it exits with."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from artdag_cli.__main__ import main
from artdag_cli.client import Client
from artdag_cli.demo_media import make_cat
from artdag_cli.system import ROOT, System
from artdag_common.cid import cid_of, is_cid

PATIENCE_SECONDS = 150


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.out)


Cli = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command of ``artdag``."""
    monkeypatch.setenv("COLUMNS", "200")

    async def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["artdag", *map(str, arguments)])
        capsys.readouterr()
        code: Any = 0
        try:
            await asyncio.to_thread(main)
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return Outcome(int(code or 0), printed.out, printed.err)

    return run


@pytest.fixture(scope="module")
def client(live: System) -> Iterator[Client]:
    """The owner."""
    with Client.of_state(live.state) as it:
        yield it


@pytest.fixture(scope="module")
def cat(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The demo's cat, uploaded under its name."""
    path = tmp_path_factory.mktemp("media") / "cat.mp4"
    make_cat(path, 30)
    return client.upload(path, "cat")


@pytest.fixture(scope="module")
async def database(live: System) -> AsyncIterator[asyncpg.Connection]:
    """Where somebody may tamper."""
    connection = await asyncpg.connect(live.environment["DATABASE_URL"])
    yield connection
    await connection.close()


def chain() -> str:
    """A recipe of two no-op steps that nobody computed before."""
    salt = uuid4().hex
    return (
        "name: two-steps\ninputs:\n  media: {type: any, description: anything}\nsteps:\n"
        f"  - {{id: one, type: NOOP, inputs: [media], config: {{salt: {salt}-1}}}}\n"
        f"  - {{id: two, type: NOOP, inputs: [one], config: {{salt: {salt}-2}}}}\n"
        "output: two\n"
    )


def start(client: Client, recipe: str, cid: str) -> str:
    """Start a run and return its id."""
    return str(client.call("POST", "/runs", json={"recipe": recipe, "inputs": [cid]})["run_id"])


async def ended(client: Client, recipe: str, cid: str) -> str:
    """Run something to its end and return the run's id."""
    run_id = start(client, recipe, cid)
    await asyncio.to_thread(lambda: list(client.events(run_id)))
    return run_id


@pytest.fixture(scope="module")
def text(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Content that is no media."""
    path = tmp_path_factory.mktemp("media") / "note.txt"
    path.write_text("not a film")
    return client.upload(path, "note")


@pytest.fixture(scope="module")
async def completed(client: Client, text: str) -> str:
    """A run that went well."""
    return await ended(client, chain(), text)


# --- token, status, usage -------------------------------------------------------------------------------------------


async def test_the_token_is_all_that_token_prints(cli: Cli, live: System, monkeypatch: pytest.MonkeyPatch) -> None:
    by_option = await cli("token", "--state", live.state)
    assert by_option == Outcome(0, live.token + "\n", "")
    monkeypatch.setenv("ARTDAG_STATE", str(live.state))
    assert await cli("token") == by_option
    assert stat.S_IMODE((live.state / "token").stat().st_mode) == 0o600


async def test_a_token_exists_before_the_first_up(cli: Cli, tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    first = await cli("token", "--state", state)
    assert first.code == 0
    assert (await cli("token", "--state", state)).out == first.out
    assert [p.name for p in state.iterdir()] == ["token"]
    assert stat.S_IMODE(state.stat().st_mode) & 0o066 == 0


async def test_every_command_knows_the_state_of_the_environment(
    cli: Cli, live: System, completed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTDAG_STATE", str(live.state))
    status = await cli("status", "--json")
    assert status.code == 0
    assert status.document["state"] == str(live.state)
    assert (await cli("replay", completed, "--json")).code == 0
    refused = await cli("demo", "--port", "70000")
    assert refused.code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["status", "--state", "{empty}"], 3, "no system runs on {empty}"),
        (["render", "dog", "cat", "--state", "{empty}"], 5, "artdag: no system runs on {empty}"),
        (["runs", "--server", "https://l1.example.org", "--state", "{empty}"], 4, "sign in with `artdag login"),
        (["download", "no-such-content", "--state", "{live}"], 3, "no content is called 'no-such-content'"),
        (["cache", "put", "{file}/below", "--state", "{live}"], 2, "does not exist"),
        (["down", "--state", "{empty}"], 0, "no system runs on {empty}"),
        (["replay", "no-such-run", "--state", "{live}"], 1, "no events of a run no-such-run"),
        (["render", "no-such-recipe", "cat", "--state", "{live}"], 3, "no-such-recipe"),
        (["render", "dog", "no-such-content", "--state", "{live}"], 3, "no-such-content"),
        (["up", "--state", "{file}"], 2, "is a file"),
        (["token", "--state", "{file}/below"], 1, "cannot be made"),
        (["up", "--port", "eighty"], 2, "'--port'"),
        (["replay", "x", "--at", "0"], 2, "--at"),
        (["rendr"], 2, "rendr"),
        (["render"], 2, "Missing argument 'recipe'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
async def test_what_cannot_be_is_said_in_a_sentence(
    cli: Cli, live: System, tmp_path: Path, cat: str, arguments: list[str], code: int, sentence: str
) -> None:
    file, empty = tmp_path / "file", tmp_path / "empty"
    file.write_text("")
    empty.mkdir()
    names = {"{live}": live.state, "{file}": file, "{empty}": empty}

    def named(words: str) -> str:
        for name, path in names.items():
            words = words.replace(name, str(path))
        return words

    outcome = await cli(*map(named, arguments))
    assert outcome.code == code, outcome
    words = (outcome.out + outcome.err).replace("│", " ").split()  # usage errors come in a box
    assert named(sentence) in " ".join(words)
    assert "Traceback" not in outcome.err
    assert list(empty.iterdir()) == []


async def test_only_the_state_folder_is_touched(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ARTDAG", "XDG"))},
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "libs")]),
        "HOME": str(home),
        "TMPDIR": str(home),
    }
    command = [sys.executable, "-m", "artdag_cli", "token"]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    )
    assert sorted(p.relative_to(home).as_posix() for p in home.rglob("*")) == [".artdag", ".artdag/token"]
    assert done.stdout == (home / ".artdag" / "token").read_text() + "\n"
    assert done.stderr == ""


# --- render ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose environment is the one that runs these tests, so that nothing is installed."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("artdag", "render.py", "requirements.lock", "requirements-test.lock"):
        shutil.copy(ROOT / name, folder)
    for name in ("libs", "services", "examples"):
        (folder / name).symlink_to(ROOT / name)
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (binaries / "python").chmod(0o755)
    digest = subprocess.run(["sha256sum", "requirements.lock"], cwd=folder, capture_output=True, text=True, check=True)
    (folder / ".venv" / f"artdag-{digest.stdout.split()[0]}").touch()
    return folder


async def test_render_py_waits_or_does_not(live: System, client: Client, cat: str, checkout: Path) -> None:
    async def render(*arguments: str) -> str:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(checkout / "render.py"), *arguments],
            env={**os.environ, "ARTDAG_STATE": str(live.state)},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    cid, address = (await render("dog", "cat", "--sync")).split()
    assert is_cid(cid)
    assert address.endswith(f"/cache/{cid}/raw")
    run_id = (await render("dog", "cat")).strip()
    await asyncio.to_thread(lambda: list(client.events(run_id)))
    run = client.run(run_id)
    assert (run["status"], run["output_cid"]) == ("completed", cid)


async def test_render_takes_files_and_prints_json(cli: Cli, live: System, tmp_path: Path) -> None:
    file = tmp_path / "some text.txt"
    file.write_bytes(uuid4().bytes)
    done = await cli("render", "identity", file, "--name", "copy", "--sync", "--json", "--state", live.state)
    assert done.code == 0, done.err
    assert done.document["status"] == "completed"
    assert done.document["output_cid"] == cid_of(file.read_bytes()), "identity gives back what it was given"
    assert done.document["output_name"] == "copy"


async def test_a_newcomer_goes_all_the_way_from_the_shell(cli: Cli, live: System, tmp_path: Path) -> None:
    """Each with ``--json``, which is all that is on standard output, and most of them without."""
    file, name = tmp_path / "note.bin", f"note-{uuid4().hex[:8]}"
    file.write_bytes(b"\0" + uuid4().bytes)
    recipe = tmp_path / "two-steps.yaml"
    recipe.write_text(chain().replace("two-steps", name))
    home = ("--state", live.state)

    async def told(*arguments: str | Path) -> Any:
        done = await cli(*arguments, "--json", *home)
        assert done.code == 0, done.err
        return done.document

    async def said(*arguments: str | Path) -> str:
        done = await cli(*arguments, *home)
        assert done.code == 0, done.err
        return done.out

    assert (await told("whoami"))["user"] == "owner"
    (uploaded,) = (await told("upload", file, "--name", name))["uploaded"]
    cid = uploaded["cid"]
    assert cid == cid_of(file.read_bytes())
    assert (await told("recipe", "check", recipe))["problems"] == []
    recipe_id = (await told("recipe", "upload", recipe))["recipe_id"]
    assert recipe_id in await said("recipe", "list", "--name", name)
    assert "media  any  anything" in await said("recipe", "show", recipe_id)
    assert await said("recipe", "show", recipe_id, "--source") == recipe.read_text()

    run = await told("run", name, "--input", f"media={name}", "--watch", "-o", tmp_path / "out.bin")
    assert (run["status"], run["output_cid"], run["file"]) == ("completed", cid, str(tmp_path / "out.bin"))
    run_id = run["run_id"]
    assert run_id in await said("runs", "--mine", "--status", "completed", "--limit", "200")
    assert run_id in {each["run_id"] for each in (await told("runs", "-n", "200"))["runs"]}
    assert f"output: {cid}" in await said("run", "show", run_id)
    assert [step["node"] for step in (await told("run", "plan", run_id))["steps"]] == ["media", "one", "two"]
    assert len((await told("run", "artifacts", run_id))["artifacts"]) == 3
    assert (await told("run", "provenance", run_id))["output"]["cid"] == cid
    assert cid in await said("watch", run_id)
    saved = await said("download", run_id, "-o", tmp_path / "again.bin")
    assert saved == f"{tmp_path / 'again.bin'}\n"
    assert (tmp_path / "again.bin").read_bytes() == file.read_bytes()
    assert (await cli("cache", "get", cid, "-o", tmp_path / "again.bin", *home)).code == 6, "it is there already"

    assert (await told("cache", "meta", cid, "--tag", "a", "--tag", "b"))["tags"] == ["a", "b"]
    assert f"{cid}  " in await said("cache", "list", "--name", name)
    assert f"used by run {run_id}" in await said("cache", "show", name)
    assert (await told("cache", "publish", cid, "--name", "A note"))["published"]["name"] == "A note"
    refused = await cli("cache", "delete", cid, *home)
    assert (refused.code, refused.out) == (3, "")
    assert "published" in refused.err
    assert (await told("cache", "unpublish", cid))["state"] == "unpublished"
    assert (await told("run", "delete", run_id))["deleted"] is True
    assert (await cli("run", "show", run_id, *home)).code == 3
    assert (await told("recipe", "delete", recipe_id))["deleted"] is True

    made = (await told("token", "create", "a test"))["token"]
    assert made.startswith("adt_")
    assert any(each["current"] for each in (await told("token", "list"))["tokens"])
    assert (await cli("token", "revoke", "0" * 16, *home)).code == 3
    assert "path" in await said("storage", "form", "local")
    assert (await told("storage", "list")).keys() == {"storage", "total"}
    assert "invert  built in" in await said("effect", "list", "--name", "invert")
    assert "intensity" in await said("effect", "show", "invert")


async def test_a_render_that_fails_exits_with_1(cli: Cli, live: System, text: str) -> None:
    failed = await cli("render", "dog", text, "--sync", "--state", live.state)
    assert failed.code == 1
    assert failed.out == ""
    assert "the run failed: " in failed.err
    as_json = await cli("render", "dog", text, "--sync", "--json", "--state", live.state)
    assert as_json.code == 1
    assert as_json.document["status"] == "failed"


# --- replay ---------------------------------------------------------------------------------------------------------


def _scheduled(client: Client, run_id: str) -> None:
    """Wait until a step was handed out."""
    with contextlib.closing(client.events(run_id)) as events:
        assert any(event.type == "RunStepsScheduled" for event in events)


async def _cancelled(client: Client, live: System, text: str) -> str:
    """Stop a run before its first step is done."""
    executor = live.supervisor.children["executor"].pid
    os.kill(executor, signal.SIGSTOP)
    try:
        run_id = start(client, chain(), text)
        await asyncio.to_thread(_scheduled, client, run_id)
        await asyncio.to_thread(client.call, "POST", f"/runs/{run_id}/cancel", json={"reason": "wrong music"})
    finally:
        os.kill(executor, signal.SIGCONT)
    return run_id


@pytest.fixture(scope="module")
async def runs(client: Client, live: System, text: str, completed: str) -> dict[str, str]:
    """A run for each way in which runs end."""
    failed = await ended(client, "dog", text)
    return {"completed": completed, "failed": failed, "cancelled": await _cancelled(client, live, text)}


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled"])
async def test_the_rebuilt_run_equals_the_read_model(
    cli: Cli, live: System, client: Client, runs: dict[str, str], how: str
) -> None:
    run_id = runs[how]
    done = await cli("replay", run_id, "--json", "--state", live.state)
    assert done.code == 0, done
    told = done.document
    assert told["equals_read_model"]
    assert told["differences"] == []
    assert told["chain"]["intact"]
    assert told["chain"]["length"] >= told["events"][-1]["position"]
    run, plan = client.run(run_id), client.call("GET", f"/api/run/{run_id}/plan")
    assert told["state"]["status"] == run["status"] == how
    assert told["state"]["output_cid"] == (run["output_cid"] or "")
    assert bool(told["state"]["provenance_cid"]) == (how == "completed")
    assert [s["status"] for s in told["state"]["steps"]] == [s["status"] for s in plan["steps"]]
    for_people = await cli("replay", run_id, "--state", live.state)
    assert for_people.code == 0
    assert "the rebuilt state equals the read model" in for_people.out
    assert "hash chain: intact" in for_people.out


async def test_a_run_can_be_seen_as_it_was(cli: Cli, live: System, completed: str) -> None:
    whole = (await cli("replay", completed, "--json", "--state", live.state)).document
    positions = [event["position"] for event in whole["events"]]
    assert positions == sorted(set(positions))
    types = [event["type"] for event in whole["events"]]
    assert (types[0], types[-1]) == ("RunRequested", "RunCompleted")
    assert {"RunStepsPlanned", "StepStarted", "StepCompleted", "RunStepsSatisfied"} <= set(types)
    states = []
    for position in positions:
        earlier = await cli("replay", completed, "--at", str(position), "--json", "--state", live.state)
        assert earlier.code == 0
        assert earlier.document["events"] == whole["events"][: positions.index(position) + 1]
        assert "equals_read_model" not in earlier.document, "the read model is of now"
        states.append(earlier.document["state"])
    assert "completed" not in {state["status"] for state in states[:-1]}
    assert states[-2]["output_cid"] == ""
    assert states[-1] == whole["state"]
    before = await cli("replay", completed, "--at", str(positions[0] - 1), "--state", live.state)
    assert before.code == 1
    assert f"up to position {positions[0] - 1}" in before.err


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("rm_runs", "status", "failed"),
        ("rm_runs", "output_cid", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
        ("rm_run_steps", "status", "failed"),
    ],
)
async def test_a_read_model_that_was_tampered_with_is_found_out(
    cli: Cli, live: System, database: asyncpg.Connection, completed: str, table: str, column: str, value: str
) -> None:
    row = "run_id = $1" if table == "rm_runs" else "run_id = $1 AND node = 'two'"
    truth = await database.fetchval(f"SELECT {column} FROM {table} WHERE {row}", completed)
    await database.execute(f"UPDATE {table} SET {column} = $2 WHERE {row}", completed, value)
    try:
        done = await cli("replay", completed, "--json", "--state", live.state)
        for_people = await cli("replay", completed, "--state", live.state)
    finally:
        await database.execute(f"UPDATE {table} SET {column} = $2 WHERE {row}", completed, truth)
    assert done.code == for_people.code == 1
    assert not done.document["equals_read_model"]
    assert any(column in difference and value in difference for difference in done.document["differences"])
    assert done.document["chain"]["intact"]
    assert "the read model differs" in for_people.out
    assert (await cli("replay", completed, "--state", live.state)).code == 0


async def test_a_changed_event_breaks_the_chain(
    cli: Cli, live: System, database: asyncpg.Connection, completed: str
) -> None:
    # Of another stream: the run itself is rebuilt as before.
    stream, version, data = await database.fetchrow(
        "SELECT stream, version, data FROM es_events WHERE stream LIKE 'object-%' ORDER BY stream LIMIT 1"
    )
    change = "UPDATE es_events SET data = $3 WHERE stream = $1 AND version = $2"
    await database.execute(change, stream, version, bytes(data) + b" ")
    try:
        done = await cli("replay", completed, "--json", "--state", live.state)
        for_people = await cli("replay", completed, "--state", live.state)
    finally:
        await database.execute(change, stream, version, data)
    assert done.code == for_people.code == 1
    assert done.document["equals_read_model"]
    assert not done.document["chain"]["intact"]
    assert done.document["chain"]["reason"]
    assert "hash chain: broken at" in for_people.out
    assert (await cli("replay", completed, "--state", live.state)).code == 0
