"""``artdag up`` as its user knows it: it starts, keeps running, and ends without leaving anything behind."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from artdag_cli.client import Client
from artdag_cli.demo_media import make_cat
from artdag_cli.system import ROOT, SERVICES, System, running, system
from tests.processes import hear_signals

PATIENCE_SECONDS = 150
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "libs")])}
BACKING = {"nats", "postgres", "redis"}


def artdag(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [sys.executable, "-m", "artdag_cli", *map(str, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)


class Up:
    """A running ``artdag up``."""

    def __init__(self, state: Path, *options: str) -> None:
        self.state = state
        self.log = state.with_name(f"{state.name}.log")
        self.home = state.with_name(f"{state.name}.home")
        self.home.mkdir(exist_ok=True)
        elsewhere = {name: str(self.home) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "artdag_cli", "up", "--state", str(state), *options],
                env={**ENVIRONMENT, **elsewhere},
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=hear_signals,
            )

    async def until(self, fits: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until what ``up`` says of itself fits, and return it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                facts = running(self.state)
                if facts and fits(facts):
                    return facts
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.01)

    async def ready(self) -> dict[str, Any]:
        """Wait until it can do work."""
        facts = await self.until(lambda facts: set(facts["processes"]) == BACKING | set(SERVICES))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await answers(facts["local_url"]):
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.02)
        return facts

    def signal(self, number: int) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def up(state: Path, *options: str) -> Iterator[Up]:
    """Run ``artdag up``; whatever the test does, it is gone afterwards."""
    it = Up(state, *options)
    try:
        yield it
    finally:
        it.process.kill()
        it.process.wait()


async def answers(url: str) -> bool:
    """Return whether ``/ready`` says yes."""
    async with httpx.AsyncClient(timeout=5) as client:
        try:
            return (await client.get(f"{url}/ready")).status_code == 200
        except httpx.HTTPError:
            return False


def children() -> dict[int, list[int]]:
    """Return the children of every process."""
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        found.setdefault(parent, []).append(int(entry.parent.name))
    return found


class Family:
    """All processes below one, held by handles that no later process can take over."""

    def __init__(self, ancestor: int) -> None:
        tree, rest = children(), [ancestor]
        self.handles: dict[int, str] = {}
        while rest:
            for pid in tree.get(rest.pop(), ()):
                try:
                    name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    self.handles[os.pidfd_open(pid)] = f"{pid} {name}"
                except (ProcessLookupError, FileNotFoundError):
                    continue
                rest.append(pid)

    def survivors(self) -> list[str]:
        """Wait until all are gone, and return those that do not go by themselves; they are killed."""
        poller = select.poll()
        left = dict(self.handles)
        for handle in left:
            poller.register(handle, select.POLLIN)
        while left:
            ended = poller.poll(PATIENCE_SECONDS * 1000)
            if not ended:
                break
            for handle, _ in ended:
                poller.unregister(handle)
                del left[handle]
        for handle in left:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        for handle in self.handles:
            os.close(handle)
        return sorted(left.values())

    def __str__(self) -> str:
        return "\n".join(sorted(self.handles.values()))


def assert_gone(it: Up) -> None:
    """The state folder is nobody's, and nothing was left elsewhere."""
    with (it.state / "up.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert list(it.home.rglob("*")) == []


def well(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Ask for the status until all is well: it says no where a part takes more than a second."""
    for _ in range(20):
        status = artdag("status", "--state", folder, *options)
        if status.returncode == 0:
            break
    return status


async def test_up_status_down(state: Path) -> None:
    folder = state / "up-down"
    with up(folder, "--port", "0", "--host", "0.0.0.0") as it:
        facts = await it.ready()
        # On every address, not on the first loopback one only.
        port = int(facts["local_url"].rpartition(":")[2])
        socket.create_connection(("127.0.0.2", port), timeout=5).close()

        status = well(folder, "--json")
        assert status.returncode == 0, status.stderr
        told = json.loads(status.stdout)
        assert (told["running"], told["ready"], told["state"], told["pid"]) == (True, True, str(folder), it.process.pid)
        assert set(told["processes"]) == BACKING | set(SERVICES)
        assert {p["restarts"] for p in told["processes"].values()} == {0}
        assert all(Path(f"/proc/{p['pid']}").exists() for p in told["processes"].values())
        assert all(told["parts"].values())
        assert "environment" not in told, "it holds passwords"
        for_people = well(folder)
        assert for_people.returncode == 0
        assert "ready" in for_people.stdout
        assert "planner" in for_people.stdout

        second = artdag("up", "--state", folder, "--port", "0")
        assert second.returncode == 1
        assert f"a system runs on {folder}" in second.stderr
        assert "--state" in second.stderr
        assert "Traceback" not in second.stderr
        taken = artdag("up", "--state", state / "other", "--port", str(port))
        assert taken.returncode == 1
        assert f"port {port} " in taken.stderr
        assert "--port" in taken.stderr
        assert running(folder), "the first one is none the worse for it"

        family = Family(it.process.pid)
        assert len(family.handles) >= 8, family
        down = artdag("down", "--state", folder)
        assert down.returncode == 0, down.stderr
        assert it.process.wait(PATIENCE_SECONDS) == 0
        assert family.survivors() == []
        assert_gone(it)
        assert not (folder / "up.json").exists()
    gone = artdag("status", "--state", folder, "--json")
    assert gone.returncode == 3
    assert json.loads(gone.stdout) == {"running": False, "state": str(folder)}
    again = artdag("down", "--state", folder)
    assert again.returncode == 0
    assert "no system runs" in again.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
async def test_a_signal_while_it_starts_stops_it(state: Path, number: signal.Signals) -> None:
    # At the first start, while Postgres makes its data folder; later, while the services start.
    folder = state / "interrupted"
    begun = {
        signal.SIGINT: lambda facts: facts["processes"],
        signal.SIGTERM: lambda facts: "gateway" in facts["processes"],
        signal.SIGHUP: lambda facts: "auth" in facts["processes"],
    }
    with up(folder, "--port", "0") as it:
        await it.until(begun[number])
        family = Family(it.process.pid)
        assert it.signal(number) == 0, it.log.read_text()
        assert "Traceback" not in it.log.read_text()
        assert family.survivors() == []
        assert_gone(it)


async def test_nothing_outlives_a_killed_up(state: Path, tmp_path: Path) -> None:
    with up(state / "killed", "--port", "0") as it:
        facts = await it.ready()
        make_cat(tmp_path / "cat.mp4", 60)

        def until_it_renders() -> None:
            with Client.of_state(it.state) as client:
                cat = client.upload(tmp_path / "cat.mp4", "cat")
                run_id = client.call("POST", "/runs", json={"recipe": "dog", "inputs": [cat]})["run_id"]
                with contextlib.closing(client.events(run_id)) as events:
                    assert any(event.type == "progress" for event in events)

        await asyncio.to_thread(until_it_renders)
        family = Family(it.process.pid)
        assert "forkserver" in str(family)
        os.kill(facts["processes"]["executor"]["pid"], signal.SIGKILL)  # its media workers are to go all the same
        assert it.signal(signal.SIGKILL) == -signal.SIGKILL
        assert family.survivors() == []
        assert_gone(it)


async def test_a_killed_service_is_back(live: System) -> None:
    url = f"http://127.0.0.1:{live.port}"
    for name in SERVICES:
        child = live.supervisor.children[name]
        before, restarts = child.pid, child.restarts
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while child.restarts == restarts or not child.pid:
                await asyncio.sleep(0.01)
            while not await answers(url):
                await asyncio.sleep(0.02)
        assert child.pid != before
        assert child.restarts == restarts + 1
        told = json.loads((live.state / "up.json").read_text())["processes"][name]
        assert told == {"pid": child.pid, "restarts": child.restarts}


async def test_servers_that_run_elsewhere_are_used(
    backing: System, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("NATS_URL", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.setenv(variable, backing.environment[variable])
    async with system(state / "adopting", 0, logs_to_files=True) as it:
        assert sorted(it.adopted) == ["DATABASE_URL", "NATS_URL", "REDIS_URL"]
        assert set(it.supervisor.children) == set(SERVICES)
        assert not {"nats", "postgres", "redis"} & {path.name for path in it.state.iterdir()}
        file = it.state / "text.txt"
        file.write_bytes(os.urandom(16))

        def last_event() -> str:
            with Client.of_state(it.state) as client:
                run = client.call("POST", "/runs", json={"recipe": "identity", "inputs": [client.upload(file)]})
                return list(client.events(run["run_id"]))[-1].type

        assert await asyncio.to_thread(last_event) == "RunCompleted"
        status = artdag("status", "--state", it.state, "--json")
        assert json.loads(status.stdout)["adopted"] == it.adopted
    assert all(backing.supervisor.children[name].pid for name in BACKING), "what it did not start it does not stop"
