"""Engine overhead: 1,000 no-op steps, 20 layers of 50, each step reading the whole layer before.

Ours goes through everything: HTTP to the gateway, command, planner, work queue, executor, every event durable in
Postgres, until the client sees RunCompleted on the event stream. Beside it, in the same run, Celery 5 with Redis as
broker and result backend, two prefork processes, nothing durable: *tuned* (each layer collected result by result,
without the half-second wait of ``group.get`` on Redis) and *level by level* (``group(...).get()``).

    ./artdag bench engine [--repeats 3] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

LAYERS, WIDTH = 20, 50
STEPS = LAYERS * WIDTH
ROOT = Path(__file__).resolve().parents[1]


def recipe(salt: str) -> str:
    """Return the DAG as a recipe in the ``dag:`` form; JSON is YAML."""
    nodes: list[dict[str, Any]] = [{"id": "source", "type": "SOURCE", "config": {"input": True, "name": "source"}}]
    before = ["source"]
    for layer in range(LAYERS):
        here = [f"s{layer}_{place}" for place in range(WIDTH)]
        nodes += [{"id": n, "type": "NOOP", "config": {"salt": f"{salt}{n}"}, "inputs": before} for n in here]
        before = here
    # The last layer has no reader of its own: the run is over when all its steps are.
    return json.dumps({"name": f"bench-{salt}", "version": "1", "dag": {"nodes": nodes, "output": before[-1]}})


def measure(repeats: int, once: Callable[[], float]) -> list[float]:
    """Return the seconds of ``repeats`` rounds, after one to warm up."""
    once()
    return [once() for _ in range(repeats)]


def ours(url: str, token: str, repeats: int) -> dict[str, list[float]]:
    """Return seconds of fresh runs and of fully cached ones."""
    from artdag_cli.client import Client

    client = Client(url, token)
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(b"nothing to see")
        file.flush()
        source = client.upload(Path(file.name), "bench-source")
    recipes: list[str] = []

    def upload() -> str:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(recipe(uuid.uuid4().hex[:8]))
            file.flush()
            recipes.append(client.upload_recipe(Path(file.name)))
        return recipes[-1]

    def run(recipe_id: str, computed: int) -> float:
        began = time.perf_counter()
        run_id = client.call("POST", f"/recipes/{recipe_id}/run", json={"inputs": {"source": source}})["run_id"]
        last = None
        for event in client.events(run_id):
            last = event
        seconds = time.perf_counter() - began
        assert last is not None
        assert last.type == "RunCompleted", last
        assert last.data["data"]["computed"] == computed, last.data
        return seconds

    def fresh() -> float:
        return run(upload(), STEPS)

    return {"fresh": measure(repeats, fresh), "cached": [run(r, 0) for r in recipes[-repeats:]]}


def celery_peer(redis_url: str, repeats: int) -> dict[str, list[float]]:
    """Return seconds of the same DAG on Celery, tuned and level by level."""
    environment = {**os.environ, "BENCH_REDIS": redis_url, "PYTHONPATH": str(ROOT / "benchmarks")}
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_peer", "worker", "-c", "2", "-P", "prefork", "-l", "ERROR"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    try:
        done = subprocess.run(
            [sys.executable, str(ROOT / "benchmarks" / "celery_peer.py"), str(LAYERS), str(WIDTH), str(repeats)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        worker.terminate()
        worker.wait()
    result: dict[str, list[float]] = json.loads(done.stdout)
    return result


async def main() -> None:
    """Measure both and print the ratio."""
    from artdag_cli import backing
    from artdag_cli.supervisor import Child, Supervisor
    from artdag_cli.system import system

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    options = parser.parse_args()
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="artdag-bench-", dir=options.folder) as folder:
        state = Path(folder)
        async with system(state / "artdag", 0, logs_to_files=True) as it:
            mine = await asyncio.to_thread(ours, f"http://127.0.0.1:{it.port}", it.token, options.repeats)
        supervisor = Supervisor()
        (state / "peer" / "logs").mkdir(parents=True)
        url, launch = backing.redis_server(state / "peer")
        child = Child(launch.name, launch.command, launch.log)
        await supervisor.start(child)
        assert child.process
        await backing.wait_until_ready(launch, child.process)
        try:
            peer = await asyncio.to_thread(celery_peer, url, options.repeats)
        finally:
            await supervisor.stop()
    report(mine, peer, options.json)


def report(mine: dict[str, list[float]], peer: dict[str, list[float]], as_json: bool) -> None:
    """Print medians, their spread and the ratios."""
    rows = {
        "Art DAG, every event durable": mine["fresh"],
        "Art DAG, fully cached": mine["cached"],
        "Celery + Redis, tuned, not durable": peer["tuned"],
        "Celery + Redis, level by level, not durable": peer["levels"],
    }
    medians = {name: statistics.median(seconds) for name, seconds in rows.items()}
    base = medians["Art DAG, every event durable"]
    if as_json:
        per_step = {name: median * 1000 / STEPS for name, median in medians.items()}
        print(json.dumps({"steps": STEPS, "seconds": rows, "ms_per_step": per_step}))
        return
    print(f"{STEPS} no-op steps in {LAYERS} layers of {WIDTH}")
    for name, seconds in rows.items():
        spread = f"{min(seconds):.2f}–{max(seconds):.2f} s"
        print(
            f"  {name:46s} {medians[name] * 1000 / STEPS:7.3f} ms per step   {spread:14s} {medians[name] / base:6.2f}×"
        )


if __name__ == "__main__":
    asyncio.run(main())
