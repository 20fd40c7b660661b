"""What one person's work costs another: a run of 10 steps, alone and beside another user's 10,000.

Twice: with cuts of a short film, each of which keeps a media process busy, and with no-op steps, where all of the time
is the system's own. The ten steps follow one another, so that each has to find its turn anew. The 10,000 are planned
before and let go together, so that what is measured is work beside work. Measured by the client's clock, from the
request to the event that ends the run, and by the events' own times. Then ten users ask for the same layered DAG at
once, of no-op steps and of cuts: each of its steps may be executed once, and when one of the ten cancels midway, the
others get theirs all the same.

    ./artdag bench sharing [--repeats 3] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import secrets
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog
from runs import begin

CHAIN, CROWD, RUNS, USERS = 10, 10_000, 2, 10
"""The 10,000 steps are those of two runs: a recipe holds at most 100,000 values."""

LAYERS = {"no-op": (5, 20), "cut": (8, 8)}
"""How many layers, of how many steps each, the DAG has that ten users ask for."""

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


def layered(salt: str, kind: str) -> dict[str, Any]:
    """Return layers of steps: a no-op step reads the whole layer before, a cut one step of it."""
    nodes, before = [_source()], ["source"]
    layers, width = LAYERS[kind]
    for layer in range(layers):
        here = [f"s{layer}_{place}" for place in range(width)]
        for place, name in enumerate(here):
            read = before[place % len(before)]
            node = _node(name, kind, salt, layer * width + place, read)
            nodes.append(node | {"inputs": before} if kind == "no-op" else node)
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

    def begin(self, recipe: dict[str, Any], path: str = "/runs") -> str:
        """Start a run of a recipe and return its id. ``path``: ``/api/plan`` only plans it."""
        return begin(self.client, recipe, self.source, path)

    def planned(self, recipe: dict[str, Any]) -> str:
        """Plan a run, so that it can be let go at once."""
        run_id = self.begin(recipe, "/api/plan")
        while self.client.run(run_id)["status"] != "planned":
            time.sleep(0.1)
        return run_id

    def release(self, run_id: str) -> None:
        """Let a planned run go on."""
        self.client.call("POST", "/api/execute", json={"run_id": run_id})

    def cancel(self, run_id: str) -> bool:
        """Cancel a run. False: it is over."""
        from artdag_cli.client import RequestFailedError

        try:
            self.client.call("POST", f"/runs/{run_id}/cancel", json={"reason": "measured"})
        except RequestFailedError as error:
            if error.values["status"] != 409:
                raise
            return False
        return True

    def follow(self, run_id: str) -> str:
        """Return the type of a run's last event."""
        return [event.type for event in self.client.events(run_id)][-1]

    def run(self, recipe: dict[str, Any]) -> tuple[str, float]:
        """Run a recipe to its end; return the run's id, and seconds by this clock."""
        began = time.perf_counter()
        run_id = self.begin(recipe)
        end = self.follow(run_id)
        assert end == "RunCompleted", end
        return run_id, time.perf_counter() - began

    def going(self, run_id: str) -> None:
        """Wait until steps of a run are handed out."""
        for event in self.client.events(run_id):
            if event.type == "RunStepsScheduled":
                return


Ran = list[tuple[str, float]]
"""Ids of runs, each with seconds by the client's clock."""


def beside(big: Person, small: Person, kind: str, repeats: int) -> tuple[Ran, Ran, list[list[str]]]:
    """Return the small runs alone, those beside the big ones, and the ids of the big ones beside each."""

    def fresh(recipe: Callable[[str, str], dict[str, Any]]) -> dict[str, Any]:
        return recipe(uuid.uuid4().hex[:8], kind)

    small.run(fresh(chain))
    alone = [small.run(fresh(chain)) for _ in range(repeats)]
    crowded, crowds = [], []
    for _ in range(repeats):
        runs = [big.planned(fresh(crowd)) for _ in range(RUNS)]
        with ThreadPoolExecutor(RUNS) as pool:
            list(pool.map(big.release, runs))
        crowded.append(small.run(fresh(chain)))
        for run_id in runs:
            big.cancel(run_id)
        crowds.append(runs)
    return alone, crowded, crowds


def together(people: list[Person], kind: str, cancels: bool) -> list[str]:
    """Let all ask for the same at once; return the cache ids of the steps. ``cancels``: the first does, midway."""
    with ThreadPoolExecutor(len(people)) as pool:
        recipe = layered(uuid.uuid4().hex[:8], kind)
        runs = list(pool.map(Person.begin, people, [recipe] * len(people)))
        if cancels:
            people[0].going(runs[0])
            assert people[0].cancel(runs[0]), "it ended too early to be cancelled midway"
        ends = list(pool.map(lambda person, run_id: person.follow(run_id), people, runs))
    expected = ["RunCancelled" if cancels else "RunCompleted", *["RunCompleted"] * (len(people) - 1)]
    assert ends == expected, ends
    plan = people[-1].client.call("GET", f"/api/run/{runs[-1]}/plan")
    return [step["cache_id"] for step in plan["steps"] if step["type"] != "SOURCE"]


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


async def check_beside(database_url: str, crowded: Ran, crowds: list[list[str]]) -> None:
    """Raise unless, by the events' own times, others were still going on when each of these runs was over."""
    import asyncpg

    connection = await asyncpg.connect(database_url)
    try:
        query = """SELECT max(recorded_at) FROM es_events
            WHERE stream = ANY ($1::text[]) AND type IN ('RunCompleted', 'RunCancelled')"""
        for (run_id, _), others in zip(crowded, crowds, strict=True):
            over = await connection.fetchval(query, [f"run-{run_id}"])
            last = await connection.fetchval(query, [f"run-{other}" for other in others])
            assert over < last, "the other runs ended too early to tell anything"
    finally:
        await connection.close()


async def by_events(database_url: str, runs: Ran) -> list[float]:
    """Return seconds from request to completion of runs, by their events."""
    import asyncpg

    connection = await asyncpg.connect(database_url)
    try:
        query = """SELECT extract(epoch FROM max(recorded_at) - min(recorded_at))::float FROM es_events
            WHERE stream = $1 AND type IN ('RunRequested', 'RunCompleted')"""
        return [float(await connection.fetchval(query, f"run-{run_id}")) for run_id, _ in runs]
    finally:
        await connection.close()


async def main() -> None:
    """Measure and print the ratios."""
    from artdag_cli.demo_media import make_cat
    from artdag_cli.system import system

    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))
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
            found: dict[str, dict[str, list[float]]] = {}
            for kind in ("no-op", "cut"):
                alone, crowded, crowds = await asyncio.to_thread(beside, people[0], people[1], kind, options.repeats)
                await check_beside(database, crowded, crowds)
                found[kind] = {name: [s for _, s in ran] for name, ran in (("alone", alone), ("beside", crowded))}
                found[f"{kind}, by events"] = {
                    "alone": await by_events(database, alone),
                    "beside": await by_events(database, crowded),
                }
            shared = []
            for kind, cancels in (("no-op", False), ("cut", False), ("cut", True)):
                steps = await asyncio.to_thread(together, people, kind, cancels)
                executed = await attempts(database, steps)
                shared.append({"kind": kind, "cancels": cancels, "steps": len(set(steps)), "executed": executed})
    report(found, shared, options.json)


def report(found: dict[str, dict[str, list[float]]], shared: list[dict[str, Any]], as_json: bool) -> None:
    """Print medians and ratios."""
    if as_json:
        print(json.dumps({"beside": found, "together": shared}))
        return
    print(f"{CHAIN} steps in a row, alone and beside another user's {CROWD} steps")
    for kind, seconds in found.items():
        alone, crowded = (statistics.median(seconds[each]) for each in ("alone", "beside"))
        spread = f"{min(seconds['beside']):.2f}–{max(seconds['beside']):.2f} s"
        print(f"  {kind:16s} alone {alone:6.2f} s   beside {crowded:6.2f} s ({spread})   {crowded / alone:5.2f}×")
    for each in shared:
        one = ", one of whom cancels midway" if each["cancels"] else ""
        print(
            f"{USERS} users{one} ask for the same {each['steps']} steps ({each['kind']}): {each['executed']} executed"
        )


if __name__ == "__main__":
    asyncio.run(main())
