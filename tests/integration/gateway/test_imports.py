"""Runs that were completed elsewhere, among those of who brings them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from typer.testing import CliRunner

from artdag_cli.__main__ import app
from artdag_cli.system import System, system
from artdag_common.cid import cid_of
from artdag_common.messaging.bus import Bus
from artdag_common.run_archive import CONTENT, EVENTS, MANIFEST
from tests.conftest import refusals
from tests.integration.gateway.carrying import Exported, exported, good, over, upload
from tests.integration.gateway.people import Person, SignIn, signing_in

Problem = Callable[..., dict[str, Any]]
SECONDS = 60.0


@pytest.fixture(scope="module")
async def sign_in(url: str, bus: Bus) -> AsyncIterator[SignIn]:
    async with signing_in(url, bus) as it:
        yield it


@pytest.fixture
async def ann(sign_in: SignIn) -> Person:
    """Who renders."""
    return await sign_in()


@pytest.fixture
async def ben(sign_in: SignIn) -> Person:
    """Who gets the file."""
    return await sign_in()


@pytest.fixture
async def file(ann: Person, chain_text: Callable[[str, int], str], tmp_path: Path) -> Exported:
    """A run of Ann's, as a file."""
    return await exported(ann.client, chain_text(f"moved-{uuid4().hex[:8]}", 2), tmp_path)


@pytest.fixture
async def brought(ben: Person, file: Exported) -> dict[str, Any]:
    """Ben's import of it."""
    await upload(ben.client, file.files)
    return dict(await good(ben.client.post("/runs/import", json=file.body)))


@pytest.fixture
async def books(live: System) -> AsyncIterator[asyncpg.Pool]:
    """The running system's database, as its owner sees it."""
    async with asyncpg.create_pool(live.environment["DATABASE_URL"], min_size=1, max_size=1) as pool:
        yield pool


async def test_an_imported_run_is_a_run_of_its_importers(ben: Person, file: Exported, brought: dict[str, Any]) -> None:
    run_id = brought["run_id"]
    assert run_id != file.run["run_id"]
    run = await good(ben.client.get(f"/runs/{run_id}"))
    assert (run["status"], run["owner"]) == ("completed", ben.user)
    assert run["imported_from"] == {
        "run_id": file.run["run_id"],
        "manifest_cid": file.body["manifest"],
        "events_cid": file.body["events"],
        "history_url": f"/api/run/{run_id}/history",
    }
    for same in (
        "recipe",
        "recipe_cid",
        "inputs",
        "output_name",
        "output_cid",
        "provenance_cid",
        "plan_cid",
        "plan_id",
    ):
        assert run[same] == file.run[same], same
    assert run["progress"] == {"total": 3, "cached": 3, "completed": 0, "done": 3, "fraction": 1.0}
    refused = await ben.client.post(f"/runs/{run_id}/rerun", json={})
    assert (refused.status_code, refused.json()["code"]) == (404, "recipe-not-found"), "it is not on his list"
    assert run_id in [each["run_id"] for each in (await good(ben.client.get("/runs?owner=me")))["runs"]]
    plan = await good(ben.client.get(f"/api/run/{run_id}/plan"))
    assert [step["status"] for step in plan["steps"]] == ["cached"] * 3
    for step in plan["steps"]:
        answer = await ben.client.get(step["output_url"])
        assert (answer.status_code, cid_of(answer.content)) == (200, step["output_cid"])
    for url in (run["output_url"], run["provenance_url"], plan["plan_url"]):
        assert (await ben.client.get(url)).status_code == 200
    assert (await ben.client.get(run["provenance_url"])).json()["task_id"] == file.run["run_id"]


async def test_its_history_is_what_was_recorded_there(
    live: System, ben: Person, file: Exported, brought: dict[str, Any], books: asyncpg.Pool
) -> None:
    """And nothing of it is in the event store as if it had happened here: neither a step nor an execution."""
    url = brought["imported_from"]["history_url"]
    recorded = [json.loads(line) for line in file.files[EVENTS].splitlines()]
    told: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = await good(ben.client.get(url, params={"after": after, "limit": 3}))
        told += page["events"]
        after = page["next"]
    assert [(e["position"], e["type"], e["subject"]) for e in told] == [
        (e["position"], e["type"], e["stream"]) for e in recorded
    ]
    requested = next(e for e in told if e["type"] == "RunRequested")
    assert requested["data"]["owner"] == file.run["owner"]
    rows = await books.fetch(
        "SELECT type FROM es_events WHERE stream = $1 ORDER BY version", f"run-{brought['run_id']}"
    )
    assert [row["type"] for row in rows] == ["RunRequested", "RunStepsPlanned", "RunPlanned", "RunCompleted"]
    assert not await books.fetch("SELECT FROM planner_active WHERE run_id = $1", brought["run_id"])
    assert not await books.fetch("SELECT FROM planner_waits WHERE run_id = $1", brought["run_id"])
    live_stream = (await ben.client.get(f"/runs/{brought['run_id']}/events")).text
    assert "StepStarted" not in live_stream
    assert live_stream.count("event: Run") == 4
    own = await good(ben.client.get(f"/api/run/{(await self_rendered(ben))['run_id']}/history"))
    assert (own["events"], own["imported_from"], own["next"]) == ([], None, None)
    replayed = await asyncio.to_thread(
        CliRunner().invoke,
        app,
        ["replay", brought["run_id"], "--json"],
        env={"ARTDAG_STATE": str(live.state), "COLUMNS": "200"},
    )
    assert replayed.exit_code == 0, replayed.output
    assert json.loads(replayed.stdout)["equals_read_model"]


async def self_rendered(person: Person) -> dict[str, Any]:
    given = await good(person.client.post("/cache/upload", files={"file": uuid4().bytes}))
    begun = await good(person.client.post("/runs", json={"recipe": "identity", "inputs": [given["cid"]]}))
    return await over(person.client, begun["run_id"])


async def test_importing_again_gives_the_same_run(ben: Person, file: Exported, brought: dict[str, Any]) -> None:
    again = await good(ben.client.post("/runs/import", json=file.body))
    assert again["run_id"] == brought["run_id"]
    runs = (await good(ben.client.get("/runs?owner=me")))["runs"]
    assert [each["run_id"] for each in runs] == [brought["run_id"]]
    await good(ben.client.delete(f"/runs/{brought['run_id']}"))
    once_more = await good(ben.client.post("/runs/import", json=file.body))
    assert once_more["run_id"] != brought["run_id"]
    assert once_more["output_cid"] == file.run["output_cid"]


async def test_each_importer_has_a_run_of_their_own(
    sign_in: SignIn, ben: Person, file: Exported, brought: dict[str, Any], stranger: httpx.AsyncClient, problem: Problem
) -> None:
    eve = await sign_in()
    run_id = brought["run_id"]
    for path in (
        f"/runs/{run_id}",
        f"/api/run/{run_id}/history",
        f"/api/run/{run_id}/plan",
        f"/api/run/{run_id}/export",
    ):
        problem(await eve.client.get(path), 404, "run-not-found")
    problem(await stranger.get(f"/api/run/{run_id}/history"), 404, "run-not-found")
    assert (await good(eve.client.get("/runs?owner=me")))["total"] == 0
    await upload(eve.client, file.files)
    own = await good(eve.client.post("/runs/import", json=file.body))
    assert own["run_id"] not in (run_id, file.run["run_id"])
    problem(await ben.client.get(f"/runs/{own['run_id']}"), 404, "run-not-found")


async def test_who_does_not_have_the_content_does_not_get_it_by_naming_it(
    ben: Person, file: Exported, problem: Problem
) -> None:
    """Though all of it is stored here: it is Ann's."""
    told = {path: data for path, data in file.files.items() if not path.startswith(CONTENT)}
    await upload(ben.client, told)
    refused = problem(await ben.client.post("/runs/import", json=file.body), 422, "invalid-inputs")
    assert "not stored here" in refused["detail"]
    for cid in (file.run["output_cid"], file.run["inputs"][0]["cids"][0], file.run["provenance_cid"]):
        assert (await ben.client.get(f"/cache/{cid}/raw")).status_code == 404
    assert (await good(ben.client.get("/runs?owner=me")))["total"] == 0


async def test_a_forged_history_is_refused_with_what_is_wrong(ben: Person, file: Exported, problem: Problem) -> None:
    await upload(ben.client, file.files)
    lines = file.files[EVENTS].splitlines(keepends=True)
    for events, said in ((lines[:-1], "does not end at position"), (lines[1:], "missing|do not agree on content")):
        forged = b"".join(events)
        await upload(ben.client, {EVENTS: forged})
        asked = file.body | {"events": cid_of(forged)}
        detail = problem(await ben.client.post("/runs/import", json=asked), 422, "broken-history")["detail"]
        assert any(part in detail for part in said.split("|")), detail
    failed = json.loads(file.files[MANIFEST]) | {"state": {"status": "failed"}}
    manifest = json.dumps(failed).encode()
    await upload(ben.client, {MANIFEST: manifest})
    asked = file.body | {"manifest": cid_of(manifest)}
    detail = problem(await ben.client.post("/runs/import", json=asked), 422, "broken-history")["detail"]
    assert "only completed runs can be imported" in detail
    asked = file.body | {"events": file.body["manifest"]}
    problem(await ben.client.post("/runs/import", json=asked), 422, "broken-history")
    asked = file.body | {"manifest": cid_of(uuid4().bytes)}
    problem(await ben.client.post("/runs/import", json=asked), 422, "invalid-inputs")
    problem(await ben.client.post("/runs/import", json=asked | {"manifest": "x"}), 400, "invalid-cid")
    assert (await good(ben.client.get("/runs?owner=me")))["total"] == 0


async def test_its_content_is_held_until_it_is_deleted(
    ben: Person, file: Exported, brought: dict[str, Any], problem: Problem, books: asyncpg.Pool
) -> None:
    run_id = brought["run_id"]
    output, given = file.run["output_cid"], file.run["inputs"][0]["cids"][0]
    for cid in (output, given, file.run["plan_cid"], *file.body.values()):
        problem(await ben.client.delete(f"/cache/{cid}"), 409, "content-in-use")
    await good(ben.client.delete(f"/runs/{run_id}"))
    assert not await books.fetch("SELECT FROM content_holds WHERE holder = $1", f"run-{run_id}")
    for cid in file.body.values():
        await good(ben.client.delete(f"/cache/{cid}"))
        assert (await ben.client.get(f"/cache/{cid}/raw")).status_code == 404


async def test_no_run_takes_an_output_from_it(
    ann: Person, chain_text: Callable[[str, int], str], tmp_path: Path
) -> None:
    """On another system, where the same is rendered: by its importer, and by somebody else."""
    text = chain_text(f"trusted-{uuid4().hex[:8]}", 1)
    file = await exported(ann.client, text, tmp_path)
    state = tmp_path / "other"
    state.mkdir()
    for folder in (state, *state.parents[:3]):
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o755)
    async with system(state, 0, logs_to_files=True) as other:
        url = f"http://127.0.0.1:{other.port}"
        headers = {"Authorization": f"Bearer {other.token}"}
        bus = await Bus.connect(other.environment["NATS_URL"], "test")
        async with (
            httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as owner,
            signing_in(url, bus) as sign_in,
        ):
            await upload(owner, file.files)
            brought = await good(owner.post("/runs/import", json=file.body))
            assert (brought["status"], brought["owner"]) == ("completed", "owner")
            assert (await owner.get(brought["output_url"])).status_code == 200
            given = file.run["inputs"][0]["cids"][0]
            eve = await sign_in()
            data = next(data for data in file.files.values() if cid_of(data) == given)
            await good(eve.client.post("/cache/upload", files={"file": data}))
            for client, computed in ((eve.client, 1), (owner, 0)):
                begun = await good(client.post("/runs", json={"recipe": text, "inputs": [given]}))
                run = await over(client, begun["run_id"])
                assert run["status"] == "completed"
                assert run["progress"]["completed"] == computed, "the first has to compute it, whoever imported it"
            # what is computed here now is not the imported run's: neither its events nor its logs
            plan = await good(owner.get(f"/api/run/{brought['run_id']}/plan"))
            for step in plan["steps"]:
                log = await owner.get(step["links"]["log"])
                assert "was computed elsewhere" in log.text
            assert "Step" not in {
                line.split(": ")[1][:4]
                for line in (await owner.get(f"/runs/{brought['run_id']}/events")).text.splitlines()
                if line.startswith("event: ")
            }
            again = await owner.get(f"/api/run/{brought['run_id']}/export")
            assert again.content == file.car, "it gives the file that it came from"
            for tab in ("", "/plan", "/artifacts", "/provenance", "/events"):
                page = await owner.get(f"/run/{brought['run_id']}{tab}", headers={"Accept": "text/html"})
                assert page.status_code == 200, page.text
                assert "imported" in page.text
            events = await owner.get(f"/run/{brought['run_id']}/events", headers={"Accept": "text/html"})
            assert "StepCompleted" in events.text
            assert "RunStepsSatisfied" in events.text
            listed = await owner.get("/runs", headers={"Accept": "text/html"})
            assert "imported" in listed.text
        await bus.close()
        assert not refusals(other)
