"""Runs that people steer, over real media processes: what is stopped is gone, what others need goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from artdag_cli.__main__ import main
from artdag_cli.system import ROOT, System
from artdag_common.application import Application
from artdag_common.domain.step import Step
from artdag_common.messaging.bus import Bus
from tests.integration.gateway.people import signing_in
from tests.processes import below, hear_signals
from tests.unit.media.counted import write_counted

SECONDS = 150.0
SLEEPER = """\
# /// script
# [tool.artdag]
# name = "{name}"
# version = "1.0"
# author = "Ann"
# description = "Takes its time."
# [tool.artdag.params.number]
# type = "int"
# default = 0
# [tool.artdag.params.pause]
# type = "float"
# default = 600.0
# max = 600.0
# ///
import time


def process_frame(frame, params, state):
    time.sleep(params.pause)
    return frame, state
"""


@pytest.fixture(scope="module")
async def api(live: System) -> AsyncIterator[httpx.AsyncClient]:
    """The owner's client."""
    headers = {"Authorization": f"Bearer {live.token}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{live.port}", headers=headers, timeout=90) as client:
        yield client


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A film of eight frames."""
    return write_counted(tmp_path_factory.mktemp("clip") / "clip.mp4", 8).read_bytes()


class Somebody:
    """Who has a film and a slow effect of their own, and runs recipes."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.film = self.effect = ""

    async def prepare(self, clip: bytes, source: str) -> None:
        """Upload both."""
        film = await self.client.post("/cache/upload", files={"file": ("clip.mp4", clip)})
        self.film = film.json()["cid"]
        made = await self.client.post("/effects/upload", content=source, headers={"Content-Type": "text/x-python"})
        assert made.status_code == 201, made.text
        self.effect = made.json()["cid"]

    async def run(self, text: str, **wishes: Any) -> str:
        """Start a run over the film."""
        answer = await self.client.post("/runs", json={"recipe": text, "inputs": [self.film], **wishes})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["run_id"])

    async def look(self, run_id: str) -> dict[str, Any]:
        """Return a run."""
        return dict((await self.client.get(f"/runs/{run_id}")).json())

    async def steps(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Return a run's steps by node."""
        plan = (await self.client.get(f"/api/run/{run_id}/plan")).json()
        return {each["node"]: each for each in plan["steps"]}

    async def ended(self, run_id: str) -> dict[str, Any]:
        """Wait for a run's end and return it."""
        await until(lambda: self._over(run_id))
        return await self.look(run_id)

    async def _over(self, run_id: str) -> bool:
        return (await self.look(run_id))["status"] in ("completed", "failed", "cancelled")

    async def running(self, run_id: str, least: int = 1) -> list[str]:
        """Wait until so many steps of a run run at least, and return their nodes."""
        found: list[str] = []

        async def some() -> bool:
            found[:] = [each["node"] for each in (await self.look(run_id))["steps"]["running"]]
            return len(found) >= least

        await until(some)
        return found


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds that nobody announces."""
    async with asyncio.timeout(SECONDS):
        while not await holds():
            await asyncio.sleep(0.05)


@pytest.fixture
async def ann(api: httpx.AsyncClient, clip: bytes) -> Somebody:
    """The owner, with an effect that nobody used before."""
    it = Somebody(api)
    await it.prepare(clip, SLEEPER.format(name=f"sleep-{uuid4().hex[:8]}"))
    return it


def slow(effect: str, many: int, pause: float = 600.0, on_failure: str = "stop") -> str:
    """A recipe of many slow steps side by side, brought together at the end."""
    nodes: list[dict[str, Any]] = [{"id": "film", "type": "SOURCE", "config": {"input": True}}]
    for i in range(many):
        config = {"effect": effect, "params": {"number": i, "pause": pause}}
        nodes.append({"id": f"slow{i}", "type": "EFFECT", "inputs": ["film"], "config": config})
    nodes.append({"id": "all", "type": "NOOP", "inputs": [f"slow{i}" for i in range(many)]})
    dag = {"nodes": nodes, "output": "all"}
    return json.dumps({"name": f"slow-{uuid4().hex[:8]}", "on_failure": on_failure, "dag": dag}, indent=1)


def sleepers(live: System, before: set[int]) -> set[int]:
    """Return the executor's processes that were not there before."""
    return below(live.supervisor.children["executor"].pid) - before


async def test_cancelling_stops_what_runs_and_what_waits_never_starts(
    live: System, ann: Somebody, events: Application
) -> None:
    many = 24
    before = below(live.supervisor.children["executor"].pid)
    run_id = await ann.run(slow(ann.effect, many))
    await ann.running(run_id)

    async def at_work() -> bool:
        return bool(sleepers(live, before))

    await until(at_work)
    answer = await ann.client.post(f"/runs/{run_id}/cancel", json={"reason": "enough"})
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    steps = await ann.steps(run_id)
    assert {each["status"] for node, each in steps.items() if node.startswith("slow")} == {"cancelled"}
    assert (steps["all"]["status"], steps["all"]["output_cid"]) == ("skipped", None)

    async def gone() -> bool:
        return not sleepers(live, before)

    await until(gone)

    async def histories() -> list[Step | None]:
        return [await events.find(Step, steps[f"slow{i}"]["cache_id"]) for i in range(many)]

    async def still() -> bool:
        return all(step is None or step.status == "cancelled" for step in await histories())

    await until(still)
    started = sum(1 for step in await histories() if step)
    assert 0 < started < many
    marker = await ann.run(slow(ann.effect, 1, pause=0.0))  # what was queued before it would have had its turn
    assert (await ann.ended(marker))["status"] == "completed"
    assert sum(1 for step in await histories() if step) == started
    assert not sleepers(live, before)


async def test_a_step_that_another_persons_run_needs_goes_on(
    live: System, ann: Somebody, bus: Bus, clip: bytes, events: Application
) -> None:
    source = SLEEPER.format(name=f"shared-{uuid4().hex[:8]}")
    await ann.prepare(clip, source)
    async with signing_in(str(ann.client.base_url), bus) as sign_in:
        bob = Somebody((await sign_in()).client)
        await bob.prepare(clip, source)
        mine, theirs = await ann.run(slow(ann.effect, 1, 1.0)), await bob.run(slow(bob.effect, 1, 1.0))
        await ann.running(mine)
        await bob.running(theirs)
        cancelled = await ann.client.post(f"/runs/{mine}/cancel")
        assert cancelled.json()["status"] == "cancelled", "it was running still"
        run = await bob.ended(theirs)
        assert (run["status"], run["progress"]["completed"]) == ("completed", 2)
        step = (await bob.steps(theirs))["slow0"]
        assert step["attempt"] == 1, "it was never broken off"
        done = await events.find(Step, step["cache_id"])
        assert done is not None
        assert (done.status, done.attempt) == ("completed", 1)
        assert (await ann.steps(mine))["slow0"]["status"] == "cancelled"


async def test_a_cancelled_step_is_broken_off_and_the_other_branch_finishes(live: System, ann: Somebody) -> None:
    text = json.loads(slow(ann.effect, 2, on_failure="continue"))
    text["dag"]["nodes"][2]["config"]["params"]["pause"] = 0.0
    before = below(live.supervisor.children["executor"].pid)
    run_id = await ann.run(json.dumps(text, indent=1))
    await until(lambda: is_running(ann, run_id, "slow0"))
    step = (await ann.steps(run_id))["slow0"]["index"]
    answer = await ann.client.post(f"/runs/{run_id}/steps/{step}/cancel")
    assert answer.json()["step"]["error_code"] == "step-cancelled"
    run = await ann.ended(run_id)
    assert (run["status"], run["error"]["node"]) == ("failed", "slow0")
    assert [each["node"] for each in run["artifacts"]] == ["slow1"]
    assert (await ann.client.get(run["artifacts"][0]["url"])).status_code == 200

    async def gone() -> bool:
        return not sleepers(live, before)

    await until(gone)


async def is_running(who: Somebody, run_id: str, node: str) -> bool:
    """Return whether a node's step runs."""
    return node in [each["node"] for each in (await who.look(run_id))["steps"]["running"]]


async def test_a_step_that_runs_for_too_long_is_ended_with_its_process(live: System, ann: Somebody) -> None:
    before = below(live.supervisor.children["executor"].pid)
    run = await ann.ended(await ann.run(slow(ann.effect, 1), step_timeout=1))
    error = run["error"]
    assert (run["status"], error["code"], error["node"]) == ("failed", "step-overdue", "slow0")
    assert "step_timeout" in error["advice"]

    async def gone() -> bool:
        return not sleepers(live, before)

    await until(gone)


async def test_a_pause_outlives_the_planner(live: System, ann: Somebody) -> None:
    nodes: list[dict[str, Any]] = [{"id": "film", "type": "SOURCE", "config": {"input": True}}]
    config = {"effect": ann.effect, "params": {"pause": 1.0}}
    nodes.append({"id": "slow", "type": "EFFECT", "inputs": ["film"], "config": config})
    nodes.append({"id": "turned", "type": "SEGMENT", "inputs": ["slow"], "config": {"offset": 0.1}})
    run_id = await ann.run(json.dumps({"name": "paused", "dag": {"nodes": nodes, "output": "turned"}}, indent=1))
    await ann.running(run_id)
    assert (await ann.client.post(f"/runs/{run_id}/pause")).json()["status"] == "paused"
    os.kill(live.supervisor.children["planner"].pid, signal.SIGKILL)

    async def taken_in() -> bool:
        """By the next planner: what the executor had went on."""
        return bool((await ann.steps(run_id))["slow"]["status"] == "completed")

    await until(taken_in)

    async def answers() -> bool:
        answer = await ann.client.post(f"/runs/{run_id}/pause")
        return answer.status_code == 200

    await until(answers)
    assert (await ann.look(run_id))["status"] == "paused"
    assert (await ann.steps(run_id))["turned"]["status"] == "pending"
    resumed = await ann.client.post(f"/runs/{run_id}/resume")
    assert resumed.status_code in (200, 202), resumed.text
    run = await ann.ended(run_id)
    assert (run["status"], run["progress"]["completed"]) == ("completed", 2)


# --- the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], live: System
) -> Callable[..., Awaitable[tuple[int, str, str]]]:
    """Run a command of ``artdag``: exit code, output, messages."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("ARTDAG_STATE", str(live.state))

    async def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["artdag", *arguments])
        capsys.readouterr()
        code: Any = 0
        try:
            await asyncio.to_thread(main)
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return int(code), said.out, said.err

    return run


async def test_the_command_line_steers(cli: Callable[..., Awaitable[tuple[int, str, str]]], ann: Somebody) -> None:
    run_id = await ann.run(slow(ann.effect, 2, on_failure="continue"), priority="batch")
    await ann.running(run_id)
    assert await cli("pause", run_id) == (0, f"{run_id}  paused\n", "")
    assert (await cli("resume", run_id))[:2] == (0, f"{run_id}  running\n")
    code, _, said = await cli("resume", run_id)
    assert (code, "not paused" in said) == (3, True)
    step = (await ann.steps(run_id))["slow0"]["index"]
    code, out, _ = await cli("cancel", run_id, "--step", str(step), "--reason", "too loud", "--json")
    assert (code, json.loads(out)["step"]["error"]) == (0, "too loud")
    code, _, said = await cli("retry", run_id)
    assert (code, "still goes on" in said) == (3, True)
    assert (await cli("cancel", run_id))[:2] == (0, f"{run_id}  cancelled\n")
    code, _, said = await cli("cancel", run_id)
    assert (code, "already cancelled" in said) == (3, True)
    code, _, said = await cli("retry", run_id, "--watch", "--step-timeout", "1")
    assert (code, "step-overdue" in said, "artdag retry" in said) == (1, True, True)
    settings = [f"--set=slow{i}.params.pause=0" for i in range(2)]
    code, out, said = await cli("rerun", run_id, *settings, "--watch")
    assert code == 0, said
    assert "/cache/" in out
    assert 'slow0.params: {"number": 0, "pause": 600.0} → {"number": 0, "pause": 0.0}' in said
    code, _, said = await cli("rerun", run_id, "--set", "slow0.efect=dog")
    assert (code, "did you mean 'effect'?" in said) == (3, True)
    assert (await cli("rerun", run_id, "--set", "slow0"))[0] == 2
    code, out, _ = await cli("rerun", run_id, "--input", f"film={ann.film}", *settings, "--force", "slow1", "--json")
    assert (code, json.loads(out)["forced"]) == (0, ["slow1"])
    assert (await ann.ended(json.loads(out)["run_id"]))["progress"]["completed"] == 2, "slow1, and all"
    assert (await cli("pause", "no-such-run"))[0] == 3


async def test_ctrl_c_leaves_the_run_alone_and_says_how_to_stop_it(live: System, ann: Somebody) -> None:
    recipe = await ann.client.post("/recipes/upload", content=slow(ann.effect, 1))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "artdag_cli",
        *("render", recipe.json()["name"], ann.film, "--sync", "--state", str(live.state)),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=hear_signals,
    )
    found: list[str] = []

    async def begun() -> bool:
        assert process.returncode is None
        listed = (await ann.client.get("/runs?owner=me&status=running")).json()["runs"]
        found[:] = [each["run_id"] for each in listed if each["recipe"] == recipe.json()["name"]]
        return bool(found)

    await until(begun)
    await ann.running(found[0])
    process.send_signal(signal.SIGINT)
    _, said = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 130
    assert f"run {found[0]} goes on; artdag cancel {found[0]} stops it" in said.decode()
    assert (await ann.look(found[0]))["status"] == "running"
    await ann.client.post(f"/runs/{found[0]}/cancel")
