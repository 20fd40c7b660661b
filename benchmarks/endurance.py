"""What a long life costs: memory of planner and gateway over many runs, and a planner that dies with a large run.

*Memory*: runs of 1,000 no-op steps, one after the other, each step new; the resident memory of both processes after
each twenty, and its slope by least squares over the second half, when caches are full.

*Restart* (``--restart``): the planner is killed when 10,000 steps of one run are completed and 1,000 are not. The time
is from the kill until the new process has stored the next event of the run; beside it, what of that passed until the
process had started up.

    ./artdag bench endurance [--runs 200] [--steps 1000] [--restart] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import structlog

WIDTH = 50
EVERY = 20
"""Runs between two looks at the memory."""

WATCHED = ("planner", "gateway")
ITEMS, MAPS, DONE = 500, 22, 10_000


def layered(salt: str, steps: int) -> dict[str, Any]:
    """Return layers of no-op steps, each of which reads two of the layer before."""
    nodes = [_source("SOURCE")]
    before = ["source"]
    for place in range(steps):
        column = place % WIDTH
        inputs = [before[column % len(before)], before[(column + 1) % len(before)]]
        nodes.append({"id": f"s{place}", "type": "NOOP", "config": {"salt": f"{salt}{place}"}, "inputs": inputs})
        if column == WIDTH - 1:
            before = [f"s{each}" for each in range(place - WIDTH + 1, place + 1)]
    return _recipe(salt, nodes, nodes[-1]["id"])


def wide(salt: str) -> dict[str, Any]:
    """Return a recipe that makes each of its items into :data:`MAPS` steps, all ready at once."""
    nodes = [_source("SOURCE_LIST")]
    for place in range(MAPS):
        config = {"operation": "NOOP", "config": {"salt": f"{salt}{place}"}}
        nodes.append({"id": f"m{place}", "type": "MAP", "config": config, "inputs": {"items": "source"}})
    nodes.append({"id": "out", "type": "NOOP", "config": {"salt": salt}, "inputs": [f"m{MAPS - 1}"]})
    return _recipe(salt, nodes, "out")


def _source(kind: str) -> dict[str, Any]:
    return {"id": "source", "type": kind, "config": {"input": True, "name": "source"}}


def _recipe(salt: str, nodes: list[dict[str, Any]], output: str) -> dict[str, Any]:
    return {"name": f"bench-{salt}", "version": "1", "dag": {"nodes": nodes, "output": output}}


class Person:
    """Somebody with a connection, and files too small to matter."""

    def __init__(self, url: str, token: str) -> None:
        from artdag_cli.client import Client

        self.client = Client(url, token)

    def upload(self, text: str) -> str:
        """Upload a few bytes."""
        with tempfile.NamedTemporaryFile(suffix=".bin") as file:
            file.write(text.encode())
            file.flush()
            return self.client.upload(Path(file.name), text)

    def begin(self, recipe: dict[str, Any], source: str | list[str]) -> str:
        """Start a run and return its id."""
        body = {"recipe": json.dumps(recipe, separators=(",", ": ")), "inputs": {"source": source}}
        return str(self.client.call("POST", "/runs", json=body)["run_id"])

    def finish(self, run_id: str) -> None:
        """Wait for the end of a run."""
        last = None
        for last in self.client.events(run_id):  # noqa: B007  (the last one is what counts)
            pass
        assert last is not None
        assert last.type == "RunCompleted", last


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process, in MB (10^6 bytes)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def slope(values: list[float]) -> float:
    """Return by how much values rise from one to the next, by least squares."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    spread = sum((x - middle) ** 2 for x in range(len(values)))
    return sum((x - middle) * (y - mean) for x, y in enumerate(values)) / spread if spread else 0.0


def memory(person: Person, pids: dict[str, int], runs: int, steps: int) -> dict[str, list[float]]:
    """Return the memory of each process, in MB, at the beginning and after each :data:`EVERY` runs."""
    source = person.upload("nothing to see")
    found: dict[str, list[float]] = {name: [resident_mb(pid)] for name, pid in pids.items()}
    for number in range(1, runs + 1):
        person.finish(person.begin(layered(uuid.uuid4().hex[:8], steps), source))
        if number % EVERY == 0:
            for name, pid in pids.items():
                found[name].append(resident_mb(pid))
            told = ", ".join(f"{name} {values[-1]:.1f} MB" for name, values in found.items())
            print(f"  {number:4d} runs: {told}", file=sys.stderr, flush=True)
    return found


async def restart(person: Person, it: Any) -> dict[str, float]:
    """Return the seconds from the kill of the planner to its next process, to its first answer, and to the run's next
    event."""
    import asyncpg

    from artdag_common.messaging.bus import Bus

    sources = [await asyncio.to_thread(person.upload, f"item {place}") for place in range(ITEMS)]
    pool = await asyncpg.create_pool(it.environment["DATABASE_URL"], min_size=1, max_size=1)
    bus = await Bus.connect(it.environment["NATS_URL"], "bench")
    try:
        run_id = await asyncio.to_thread(person.begin, wide(uuid.uuid4().hex[:8]), sources)
        count = "SELECT count(*) FROM es_events WHERE type = 'StepCompleted'"  # read models come later
        while await pool.fetchval(count) < DONE:
            await asyncio.sleep(0.01)
        child = it.supervisor.children["planner"]
        before = child.pid
        killed_at = await pool.fetchval("SELECT clock_timestamp()")
        began = time.monotonic()
        os.kill(before, signal.SIGKILL)
        while child.pid in (0, before):
            await asyncio.sleep(0.001)
        started = time.monotonic() - began
        while not await bus.ping("planner", timeout=0.05):
            await asyncio.sleep(0.01)
        answering = time.monotonic() - began
        following = "SELECT min(recorded_at) FROM es_events WHERE stream = $1 AND recorded_at > $2"
        ended = "SELECT max(type) FROM es_events WHERE stream = $1 AND type = 'RunCompleted' AND recorded_at <= $2"
        while (at := await pool.fetchval(following, f"run-{run_id}", killed_at)) is None:
            if await pool.fetchval(ended, f"run-{run_id}", killed_at):
                raise SystemExit("the run was over before the planner was killed; try again")
            await asyncio.sleep(0.005)
        seconds = {"process": started, "answers": answering, "goes on": (at - killed_at).total_seconds()}
        await asyncio.to_thread(person.finish, run_id)
        return seconds
    finally:
        await bus.close()
        await pool.close()


async def main() -> None:
    """Measure and print."""
    from artdag_cli.system import system

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--restart", action="store_true", help="only the planner that dies")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    options = parser.parse_args()
    # What this process tells of its connections is no result.
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="artdag-bench-", dir=options.folder) as folder:
        async with system(Path(folder) / "artdag", 0, logs_to_files=True) as it:
            person = Person(f"http://127.0.0.1:{it.port}", it.token)
            if options.restart:
                seconds = await restart(person, it)
                told = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
                print(json.dumps(seconds) if options.json else f"planner killed with {DONE} steps done: {told}")
                return
            pids = {name: it.supervisor.children[name].pid for name in WATCHED}
            found = await asyncio.to_thread(memory, person, pids, options.runs, options.steps)
    slopes = {name: slope(values[len(values) // 2 :]) * 100 / EVERY for name, values in found.items()}
    if options.json:
        print(json.dumps({"steps": options.steps, "mb": found, "mb_per_100_runs": slopes}))
        return
    for name, values in found.items():
        print(f"{name:8s} {values[0]:.1f} → {values[-1]:.1f} MB, at last {slopes[name]:+.2f} MB per 100 runs")


if __name__ == "__main__":
    asyncio.run(main())
