"""Folders, CAR files and runs as files, on the command line against a running system."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from artdag_cli.__main__ import app
from artdag_cli.client import Client
from artdag_cli.demo_media import make_cat
from artdag_cli.system import System
from artdag_common.cid import CHUNK, cid_of
from artdag_common.effects.registry import EFFECTS
from artdag_common.errors import (
    ArtdagError,
    CidMismatchError,
    MalformedBlockError,
)
from artdag_common.ipld.car import CarFile, FolderCar, Source
from artdag_common.ipld.folders import content, entries
from artdag_common.ipld.unixfs import Tree, dag_of_file


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to."""

    out: str
    err: str
    error: BaseException | None

    @property
    def document(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.out)


Cli = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def cli(live: System) -> Cli:
    """Run a command of ``artdag`` on the running system."""

    async def run(*arguments: str | Path) -> Outcome:
        environment = {"ARTDAG_STATE": str(live.state), "COLUMNS": "200"}
        result = await asyncio.to_thread(CliRunner().invoke, app, list(map(str, arguments)), env=environment)
        error = result.exception
        assert error is None or isinstance(error, ArtdagError | SystemExit), error
        return Outcome(result.stdout, result.stderr, error)

    return run


@pytest.fixture
def client(live: System) -> Iterator[Client]:
    """The owner."""
    with Client.of_state(live.state) as it:
        yield it


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what is taken, and what is not."""
    root = tmp_path / "shots"
    (root / "day one").mkdir(parents=True)
    (root / "none").mkdir()
    (root / "day one" / "a.bin").write_bytes(os.urandom(CHUNK + 5))
    (root / "day one" / "ä.txt").write_text(f"ä {uuid4()}")
    (root / "b").write_bytes(uuid4().bytes)
    (root / ".hidden").write_bytes(b"not this")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_bytes(b"nor this")
    return root


async def test_a_folder_comes_in_under_the_paths_of_its_files(cli: Cli, client: Client, folder: Path) -> None:
    printed = (await cli("cache", "import", folder, "--json")).document
    places = {each["place"]: each for each in printed["files"]}
    assert list(places) == ["b", "day one/a.bin", "day one/ä.txt"]
    for place, each in places.items():
        assert each["cid"] == cid_of((folder / place).read_bytes())
        meta = await asyncio.to_thread(client.call, "GET", f"/cache/{each['cid']}/meta")
        assert place in [name["name"] for name in meta["names"]]
    assert printed["skipped"] == {".hidden": "hidden", ".git": "hidden"}
    tree = Tree()
    for place in places:
        tree.add(place, dag_of_file(folder / place))
    tree.add("none", Tree().build(lambda block: None))
    assert printed["folder_cid"] == tree.build(lambda block: None).cid


async def test_links_that_leave_a_folder_are_left_out(cli: Cli, folder: Path) -> None:
    (folder.parent / "secret").write_bytes(b"not yours")
    (folder / "out").symlink_to("../secret")
    (folder / "day one" / "round").symlink_to(folder)
    (folder / "inside").symlink_to("b")
    (folder / "hidden").symlink_to(".hidden")
    os.mkfifo(folder / "pipe")
    printed = (await cli("cache", "import", folder, "--json")).document
    assert {each["place"] for each in printed["files"]} == {"b", "inside", "day one/a.bin", "day one/ä.txt"}
    assert printed["folder_cid"] is None, "ipfs add -r keeps links as links"
    reasons = printed["skipped"]
    assert reasons["out"] == f"a link that leaves the folder, to {folder.parent / 'secret'}"
    assert reasons["day one/round"] == "a link to what is no file"
    assert reasons["hidden"] == "a link to what is hidden"
    assert reasons["pipe"] == "neither file nor folder"


async def test_a_file_and_what_was_left_out_are_printed(cli: Cli, folder: Path) -> None:
    printed = await cli("cache", "import", folder / "b")
    assert printed.out == f"{cid_of((folder / 'b').read_bytes())}  b\n"
    assert "left out: .git (hidden)" in (await cli("cache", "import", folder)).err


async def test_a_car_file_comes_in_as_the_files_in_it(cli: Cli, folder: Path, tmp_path: Path) -> None:
    paths = {p.relative_to(folder).as_posix(): p for p in (folder / "b", folder / "day one" / "a.bin")}
    car = FolderCar({place: Source.at(path, dag_of_file(path)) for place, path in paths.items()})
    file = tmp_path / "shots.car"
    file.write_bytes(b"".join(car))
    printed = (await cli("cache", "import", file, "--json")).document
    assert {each["place"]: each["cid"] for each in printed["files"]} == {
        place: cid_of(path.read_bytes()) for place, path in paths.items()
    }
    assert {each["was"] for each in printed["files"]} == {""}


async def test_a_car_file_with_a_wrong_byte_brings_nothing_in(cli: Cli, client: Client, tmp_path: Path) -> None:
    source = tmp_path / "content"
    source.write_bytes(uuid4().bytes)
    data = bytearray(b"".join(FolderCar({"content": Source.at(source, dag_of_file(source))})))
    data[-5] ^= 1
    file = tmp_path / "bad.car"
    file.write_bytes(data)
    outcome = await cli("cache", "import", file)
    assert isinstance(outcome.error, CidMismatchError)
    assert not outcome.out


@pytest.fixture
async def run_id(client: Client, tmp_path: Path) -> str:
    """A run of two steps over new content that is over."""
    given = tmp_path / "given"
    given.write_bytes(os.urandom(CHUNK + 9))
    salt = uuid4().hex
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"name: chain-{salt}\ninputs:\n  media: {{type: any, description: anything}}\nsteps:\n"
        f"  - {{id: one, type: NOOP, inputs: [media], config: {{salt: {salt}}}}}\n"
        f"  - {{id: two, type: NOOP, inputs: [one], config: {{salt: {salt}}}}}\noutput: two\n"
    )

    def start() -> str:
        body = {"recipe": client.upload_recipe(recipe), "inputs": [client.upload(given)], "output_name": "it"}
        started = str(client.call("POST", "/runs", json=body)["run_id"])
        assert [event.type for event in client.events(started)][-1] == "RunCompleted"
        return started

    return await asyncio.to_thread(start)


@pytest.fixture
async def exported(cli: Cli, run_id: str, tmp_path: Path) -> Path:
    """Its file."""
    file = tmp_path / "run.car"
    outcome = await cli("run", "export", run_id, file)
    assert outcome.error is None, outcome.err
    assert outcome.out == f"{file}\n"
    return file


async def test_a_run_is_one_file_that_verifies(cli: Cli, client: Client, run_id: str, exported: Path) -> None:
    facts = (await cli("run", "verify", exported, "--json")).document
    run = await asyncio.to_thread(client.run, run_id)
    assert (facts["run_id"], facts["status"], facts["output_cid"]) == (run_id, "completed", run["output_cid"])
    assert facts["missing"] == []
    with CarFile(exported) as car:
        files = {each.path: each.cid for each in entries(car.get, car.roots[0]) if each.kind == "file"}
        manifest = json.loads(b"".join(content(car.get, files["run.json"])))
        events = [json.loads(line) for line in b"".join(content(car.get, files["events.jsonl"])).splitlines()]
    roles = {role for item in manifest["content"] for role in item["roles"]}
    assert {"recipe", "recipe source", "plan", "input media", "step one", "step two", "output"} <= roles
    assert {"provenance", "software", "hardware"} <= roles
    assert len(files) == len(manifest["content"]) + 2
    assert {event["stream"].partition("-")[0] for event in events} == {"run", "recipe", "step"}
    assert facts["events"] == len(events)
    assert next(e["type"] for e in events if e["stream"] == f"run-{run_id}") == "RunRequested"


async def test_exporting_twice_gives_the_same_bytes(cli: Cli, run_id: str, exported: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.car"
    await cli("run", "export", run_id, again)
    assert again.read_bytes() == exported.read_bytes()


async def test_a_run_is_imported_with_its_content(
    live: System, cli: Cli, client: Client, run_id: str, exported: Path
) -> None:
    answer = (await cli("run", "import", exported, "--json")).document["import"]
    assert answer["uploaded"] == 0, "the same system has all of it"
    assert answer["there_already"] > 0
    imported = await asyncio.to_thread(client.run, answer["run_id"])
    assert (imported["status"], imported["imported_from"]["run_id"]) == ("completed", run_id)
    assert answer["url"].endswith(f"/run/{answer['run_id']}")
    run = await asyncio.to_thread(client.run, run_id)
    lost = [run["plan_cid"], run["inputs"][0]["cids"][0]]
    for cid in lost:
        next(Path(live.environment["CACHE_DIR"]).glob(f"??/{cid}")).unlink()
    again = (await cli("run", "import", exported, "--json")).document["import"]
    assert (again["uploaded"], again["run_id"]) == (len(lost), answer["run_id"])
    assert (await cli("run", "import", exported)).out == f"{answer['run_id']}\n"
    assert "imported: completed elsewhere" in (await cli("run", "show", answer["run_id"])).out
    for cid in lost:
        await asyncio.to_thread(client.download, cid, exported.with_name("again"))
        assert cid_of(exported.with_name("again").read_bytes()) == cid
    with CarFile(exported) as car:
        files = {each.path: each for each in entries(car.get, car.roots[0])}
        events = b"".join(content(car.get, files["events.jsonl"].cid))
    assert answer["history"]["events"] == cid_of(events)
    meta = await asyncio.to_thread(client.call, "GET", f"/cache/{cid_of(events)}/meta")
    assert [name["name"] for name in meta["names"]] == [f"events of run {run_id}"]
    assert "import" not in (await cli("run", "import", exported, "--verify-only", "--json")).document


async def test_the_source_of_an_effect_comes_along(cli: Cli, client: Client, tmp_path: Path) -> None:
    cat = tmp_path / "cat.mp4"
    await asyncio.to_thread(make_cat, cat, 5)

    def start() -> str:
        run_id = str(client.call("POST", "/runs", json={"recipe": "dog", "inputs": [client.upload(cat)]})["run_id"])
        assert [event.type for event in client.events(run_id)][-1] == "RunCompleted"
        return run_id

    file = tmp_path / "dog.car"
    assert (await cli("run", "export", await asyncio.to_thread(start), file)).error is None
    assert (await cli("run", "verify", file, "--json")).document["missing"] == []
    with CarFile(file) as car:
        files = {each.path.rpartition("/")[2]: each.cid for each in entries(car.get, car.roots[0])}
        assert b"".join(content(car.get, files[EFFECTS["dog"].cid])) == EFFECTS["dog"].source.read_bytes()


async def test_a_file_in_the_way_is_left_as_it_is(cli: Cli, run_id: str, exported: Path) -> None:
    before = exported.read_bytes()
    assert "is there already" in str((await cli("run", "export", run_id, exported)).error)
    assert exported.read_bytes() == before


async def test_what_cannot_be_exported_leaves_no_file(cli: Cli, tmp_path: Path) -> None:
    outcome = await cli("run", "export", "nothing", tmp_path / "run.car")
    assert "no run nothing" in str(outcome.error)
    assert list(tmp_path.iterdir()) == []


async def test_any_other_car_is_no_run(cli: Cli, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.car"
    file.write_bytes(b"".join(FolderCar({"b": Source.at(folder / "b", dag_of_file(folder / "b"))})))
    outcome = await cli("run", "verify", file)
    assert isinstance(outcome.error, MalformedBlockError)
    assert "there is no run.json in it" in str(outcome.error)
