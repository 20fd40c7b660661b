"""The Python client against the running system: the whole path, waiting and asynchronous; and its guide."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from uuid import uuid4

import pytest

from artdag_cli.system import ROOT, System
from artdag_client import (
    AsyncClient,
    Client,
    ConflictError,
    InvalidRecipeError,
    NotFoundError,
    RunFailedError,
    UnauthenticatedError,
    cid_of_file,
)
from services.gateway.api.effects import SOURCE_EXAMPLE
from tests.integration.gateway.conftest import chain
from tests.unit.media.counted import write_counted

GUIDE = (ROOT / "docs" / "client.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A film that nobody has."""
    film = write_counted(tmp_path / "cat.mp4", 12, first=uuid4().int % 200)
    film.write_bytes(film.read_bytes() + b"\0\0\0\x18free" + uuid4().bytes)
    return film


async def test_every_example_of_the_guide_works(
    live: System,
    url: str,
    film: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(chain(f"guide-{uuid4().hex[:8]}", 2))
    (tmp_path / "effect.py").write_text(SOURCE_EXAMPLE.replace('"fade"', f'"guide-{uuid4().hex[:8]}"'))
    names = {"URL": url, "TOKEN": live.token}

    def run() -> None:
        for number, text in enumerate(EXAMPLES):
            exec(compile(text, f"docs/client.md, example {number + 1}", "exec"), names)  # noqa: S102

    await asyncio.to_thread(run)
    said = capsys.readouterr().out
    assert len(EXAMPLES) > 8
    assert "completed bafy" in said
    assert "unknown step type 'EFECT'" in said
    assert "run-not-found" in said
    assert "@owner@" in said
    assert (tmp_path / "dog.mp4").stat().st_size > 0
    assert (tmp_path / "again.mp4").read_bytes() == film.read_bytes()


def whole_path(url: str, token: str, film: Path) -> None:
    """Upload, check, publish, render, steer, look, take away, as one program."""
    told: list[tuple[int, int]] = []
    with Client(url, token) as artdag:
        cid = artdag.upload(film, f"film-{uuid4().hex[:8]}", lambda *facts: told.append(facts))
        assert cid == cid_of_file(film)
        assert told[-1] == (film.stat().st_size, film.stat().st_size)
        assert artdag.content.read(cid) == film.read_bytes()
        assert artdag.content.describe(cid, tags=["dance"])["tags"] == ["dance"]
        assert artdag.content.get(cid)["media_type"] == "video/mp4"

        text = chain(f"client-{uuid4().hex[:8]}", 2)
        assert artdag.recipes.check(text)["problems"] == []
        recipe = artdag.recipes.upload(text)
        with pytest.raises(InvalidRecipeError) as invalid:
            artdag.recipes.upload(text.replace("NOOP", "NOPE"))
        assert {problem["line"] for problem in invalid.value.problems} == {5, 6}

        planned = artdag.runs.plan(recipe["recipe_id"], {"media": cid})
        assert (planned["status"], len(planned["steps"])) == ("planned", 3)
        key = uuid4().hex
        assert artdag.runs.execute(planned["run_id"], key)["run_id"] == planned["run_id"]
        assert artdag.runs.execute(planned["run_id"], key)["run_id"] == planned["run_id"], "the same request"
        events = list(artdag.runs.follow(planned["run_id"]))
        assert events[-1].type == "RunCompleted"
        middle = events[len(events) // 2].position
        rest = [event.position for event in artdag.runs.follow(planned["run_id"], after=middle) if event.position]
        assert rest == [event.position for event in events if event.position > middle]
        run = artdag.runs.result(planned["run_id"])
        assert run["output_cid"] == cid, "no-op steps give back what they were given"
        assert [step["node"] for step in artdag.runs.artifacts(run["run_id"])] == ["media", "s0", "s1"]
        assert artdag.runs.provenance(run["run_id"])["output"]["cid"] == cid
        assert artdag.runs.analyses(run["run_id"])["analyses"] == []
        assert artdag.runs.log(run["run_id"], 1)["run_id"] == run["run_id"]
        again = artdag.runs.rerun(run["run_id"], force=True, output_name="again", priority="batch")
        assert again["differs"]["priority"] == {"from": "interactive", "to": "batch"}
        assert artdag.runs.wait(again["run_id"])["status"] == "completed"
        with pytest.raises(ConflictError):
            artdag.runs.retry(run["run_id"])

        held = artdag.runs.plan(text, [cid], force=True)
        assert artdag.runs.cancel(held["run_id"], "not wanted")["status"] == "cancelled"
        with pytest.raises(RunFailedError, match="cancelled"):
            artdag.runs.result(held["run_id"])
        with pytest.raises(RunFailedError):
            artdag.runs.provenance(held["run_id"])

        assert run["run_id"] in {each["run_id"] for each in artdag.runs.list(status="completed", owner="me", limit=50)}
        assert artdag.content.publish(cid, "A film")["published"]["name"] == "A film"
        assert artdag.content.publication(cid)["state"] == "local"
        with pytest.raises(ConflictError) as published:
            artdag.content.delete(cid)
        assert published.value.code == "content-in-use"
        assert artdag.content.unpublish(cid)["state"] == "unpublished"
        assert artdag.runs.delete(held["run_id"])["deleted"]
        assert artdag.recipes.delete(recipe["recipe_id"])["deleted"]
        with pytest.raises(NotFoundError):
            artdag.runs.get(held["run_id"])
        assert artdag.ready()["ready"]
        assert artdag.info()["name"] == "Art DAG L1"


async def test_the_whole_path(live: System, url: str, film: Path) -> None:
    await asyncio.to_thread(whole_path, url, live.token, film)


async def test_the_whole_path_of_many_at_once(live: System, url: str, film: Path, tmp_path: Path) -> None:
    async with AsyncClient(url, live.token) as artdag:
        cid = await artdag.upload(film)
        text = chain(f"client-{uuid4().hex[:8]}", 1)
        recipes = await asyncio.gather(*(artdag.recipes.upload(text.replace("client", f"c{n}")) for n in range(3)))
        runs = await asyncio.gather(*(artdag.recipes.run(each["recipe_id"], {"media": cid}) for each in recipes))
        done = await asyncio.gather(*(artdag.runs.result(run["run_id"], timeout=100) for run in runs))
        assert {run["output_cid"] for run in done} == {cid}
        events = [event async for event in artdag.runs.follow(runs[0]["run_id"])]
        assert events[-1].is_last
        saved = await artdag.download(cid, tmp_path / "again.mp4")
        assert saved.read_bytes() == film.read_bytes()
        exported = await artdag.runs.export(runs[0]["run_id"], tmp_path / "run.car")
        assert exported.stat().st_size > film.stat().st_size
        picture = await artdag.content.picture(cid, width=160)
        assert picture.startswith(b"\xff\xd8")
        token = await artdag.tokens.create("a test")
        async with AsyncClient(url, token) as other:
            assert (await other.tokens.who())["user"] == "owner"
            await other.tokens.revoke_this()
            with pytest.raises(UnauthenticatedError):
                await other.content.usage()
        mine = [each["cid"] async for each in artdag.content.list(owner="me", type="video", kept=True, limit=200)]
        assert cid in mine
