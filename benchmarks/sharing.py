"""What one person's work costs another: a run of 10 steps, alone and beside another user's 10,000.

Twice: with cuts of a short film, each of which keeps a media process busy, and with no-op steps, where all of the time
is the system's own. The ten steps follow one another, so that each has to find its turn anew. Then ten users ask for
the same layered DAG at once: each of its steps may be executed once.

    ./artdag bench sharing [--repeats 3] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import secrets
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CHAIN, CROWD, RUNS, USERS = 10, 10_000, 2, 10
"""The 10,000 steps are those of two runs: a recipe holds at most 100,000 values."""

LAYERS, WIDTH = 5, 20
FILM_FRAMES = 75


def chain(salt: str, kind: str) -> dict[str, Any]:
    """Return ten steps, one after the other, that nobody computed before."""
    nodes, before = [_source()], "source"
    for place in range(CHAIN):
        nodes.append(_node(f"s{place}", kind, salt, place, before))
        before = f"s{place}"
    return _recipe(salt, nodes, before)


def crowd(salt: str, kind: str) -> dict[str, Any]:
    """Return a share of ten thousand steps, all ready at once."""
    nodes = [_source(), *(_node(f"s{place}", kind, salt, place, "source") for place in range(CROWD // RUNS))]
    return _recipe(salt, nodes, nodes[-1]["id"])


def layered(salt: str) -> dict[str, Any]:
    """Return layers of no-op steps, each reading the whole layer before."""
    nodes, before = [_source()], ["source"]
    for layer in range(LAYERS):
        here = [f"s{layer}_{place}" for place in range(WIDTH)]
        nodes += [{"id": n, "type": "NOOP", "config": {"salt": f"{salt}{n}"}, "inputs": before} for n in here]
        before = here
    return _recipe(salt, nodes, before[-1])


def _source() -> dict[str, Any]:
    return {"id": "source", "type": "SOURCE", "config": {"input": True, "name": "source"}}


def _node(name: str, kind: str, salt: str, place: int, before: str) -> dict[str, Any]:
    if kind == "no-op":
        return {"id": name, "type": "NOOP", "config": {"salt": f"{salt}{name}"}, "inputs": [before]}
    # A length that no other step has: microseconds more or less are the same frames, but another step.
    odd = int(hashlib.sha256(f"{salt}{place}".encode()).hexdigest()[:6], 16) / 1e12
    return {"id": name, "type": "SEGMENT", "config": {"duration": 2.0 + odd}, "inputs": [before]}


def _recipe(salt: str, nodes: list[dict[str, Any]], output: str) -> dict[str, Any]:
    return {"name": f"bench-{salt}", "version": "1", "dag": {"nodes": nodes, "output": output}}


class Person:
    """A user with a film and a connection."""

    def __init__(self, url: str, token: str, film: Path) -> None:
        from artdag_cli.client import Client

        self.client = Client(url, token)
        self.source = self.client.upload(film, "film")

    def begin(self, recipe: dict[str, Any]) -> str:
        """Start a run of a recipe and return its id."""
        body = {"recipe": json.dumps(recipe, separators=(",", ": ")), "inputs": {"source": self.source}}
        return str(self.client.call("POST", "/runs", json=body)["run_id"])

    def follow(self, run_id: str) -> dict[str, Any]:
        """Return the data of a run's last event."""
        last = None
        for last in self.client.events(run_id):  # noqa: B007  (the last one is what counts)
            pass
        assert last is not None
        assert last.type == "RunCompleted", last
        data: dict[str, Any] = last.data["data"]
        return data

    def seconds(self, recipe: dict[str, Any]) -> float:
        """Run a recipe to its end."""
        began = time.perf_counter()
        self.follow(self.begin(recipe))
        return time.perf_counter() - began

    def going(self, run_id: str) -> None:
        """Wait until steps of a run have ended."""
        for event in self.client.events(run_id):
            if event.type == "RunStepsSatisfied":
                return


def beside(big: Person, small: Person, kind: str, repeats: int) -> dict[str, list[float]]:
    """Return seconds of the small run alone, and beside the big one."""

    def fresh(recipe: Callable[[str, str], dict[str, Any]]) -> dict[str, Any]:
        return recipe(uuid.uuid4().hex[:8], kind)

    small.seconds(fresh(chain))
    alone = [small.seconds(fresh(chain)) for _ in range(repeats)]
    crowded = []
    for _ in range(repeats):
        runs = [big.begin(fresh(crowd)) for _ in range(RUNS)]
        big.going(runs[0])
        crowded.append(small.seconds(fresh(chain)))
        going = [run_id for run_id in runs if big.client.run(run_id)["status"] == "running"]
        assert going, "the other runs ended too early to tell anything"
        for run_id in going:
            big.client.call("POST", f"/runs/{run_id}/cancel", json={"reason": "measured"})
    return {"alone": alone, "beside": crowded}


def together(people: list[Person]) -> list[str]:
    """Let all ask for the same at once; return the cache ids of the steps."""
    recipe = layered(uuid.uuid4().hex[:8])
    with ThreadPoolExecutor(len(people)) as pool:
        runs = list(pool.map(lambda person: person.begin(recipe), people))
        list(pool.map(lambda person, run_id: person.follow(run_id), people, runs))
    plan = people[0].client.call("GET", f"/api/run/{runs[0]}/plan")
    return [step["cache_id"] for step in plan["steps"] if step["type"] == "NOOP"]


async def tokens(nats_url: str, count: int) -> list[str]:
    """Attach tokens of so many users, as the operator may."""
    from artdag_common.commands import AttachToken
    from artdag_common.messaging.bus import Bus

    made = [secrets.token_urlsafe(24) for _ in range(count)]
    bus = await Bus.connect(nats_url, "bench")
    for place, token in enumerate(made):
        command = AttachToken(hashlib.sha256(token.encode()).hexdigest(), f"user{place}")
        outcome = await bus.request(command, f"attach/{token}")
        assert outcome
        assert outcome.accepted, outcome
    await bus.close()
    return made


async def attempts(database_url: str, cache_ids: list[str]) -> int:
    """Return how often steps were begun."""
    import asyncpg

    connection = await asyncpg.connect(database_url)
    try:
        streams = [f"step-{cache_id}" for cache_id in cache_ids]
        query = "SELECT count(*) FROM es_events WHERE stream = ANY ($1::text[]) AND type = 'StepStarted'"
        return int(await connection.fetchval(query, streams))
    finally:
        await connection.close()


async def main() -> None:
    """Measure and print the ratios."""
    from artdag_cli.demo_media import make_cat
    from artdag_cli.system import system

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    options = parser.parse_args()
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="artdag-bench-", dir=options.folder) as folder:
        state, film = Path(folder), Path(folder) / "film.mp4"
        make_cat(film, FILM_FRAMES)
        async with system(state / "artdag", 0, logs_to_files=True) as it:
            url, database = f"http://127.0.0.1:{it.port}", it.environment["DATABASE_URL"]
            made = await tokens(it.environment["NATS_URL"], USERS)
            people = [await asyncio.to_thread(Person, url, token, film) for token in made]
            found = {
                kind: await asyncio.to_thread(beside, people[0], people[1], kind, options.repeats)
                for kind in ("no-op", "cut")
            }
            steps = await asyncio.to_thread(together, people)
            shared = {"users": USERS, "steps": len(set(steps)), "executed": await attempts(database, steps)}
    report(found, shared, options.json)


def report(found: dict[str, dict[str, list[float]]], shared: dict[str, int], as_json: bool) -> None:
    """Print medians and ratios."""
    if as_json:
        print(json.dumps({"beside": found, "together": shared}))
        return
    print(f"{CHAIN} steps in a row, alone and beside another user's {CROWD} steps")
    for kind, seconds in found.items():
        alone, crowded = (statistics.median(seconds[each]) for each in ("alone", "beside"))
        spread = f"{min(seconds['beside']):.2f}–{max(seconds['beside']):.2f} s"
        print(f"  {kind:6s} alone {alone:6.2f} s   beside {crowded:6.2f} s ({spread})   {crowded / alone:5.2f}×")
    print(f"{shared['users']} users ask for the same {shared['steps']} steps: {shared['executed']} executed")


if __name__ == "__main__":
    asyncio.run(main())
