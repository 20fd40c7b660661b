"""A cluster on one machine: what it does while it is changed, how it grows with executors, and what an event costs.

Nodes a, b and c, each in a network namespace of its own (where that is not allowed, on a loopback address of its own;
which of the two is printed), with a content folder of its own and a NATS server: streams are kept three times. On a and
b a gateway, a planner and an auth service with the relay, on all three an executor and a cache service, which gives
content to the other nodes. Postgres and Redis outside, once.

*changes*: runs of no-op steps and of media steps are started through both gateways without a pause, while an executor
comes and goes, each service is told to stop and starts again, one after the other, a NATS server is killed and comes
back, and an executor is killed. No run may fail, each output has to be that of an undisturbed run, nothing may give up,
and no step may be begun once more than what was broken off: else this ends with an error.

*rates*: steps a second with 1, 2 and 4 executors, of steps that wait (a quarter of a second, in a process of their own,
as media), of cuts of a film, and of no-op steps; the processor time of each kind of process for a step; what waits
meanwhile, on the queue, at the planners, in the outbox, at Postgres; and what keeps it from being more.

*bytes*: what an event and a step take in Postgres and in the stream.

Each part has its time, on a quiet machine some two or three minutes of it. One that takes longer is broken off, and the
whole of it then: nothing takes more than ten minutes. On a slow machine fewer runs end between two changes, and fewer
steps are measured; how many is told.

    ./artdag bench cluster [--only changes rates bytes] [--between 3] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import namespaces
import spending
import structlog
import waiting
from runs import begin

if TYPE_CHECKING:
    from asyncpg import Connection

    from artdag_cli.cluster import Cluster, Node
    from artdag_common.messaging.bus import Bus

NODES, SPARE = ("a", "b", "c"), "d"
SERVICES = {"auth": "ab", "cache": "abc", "planner": "ab", "executor": "abc", "gateway": "ab"}
START_SECONDS = 60.0
"""How long all services may take to start."""

PARTS = {"changes": 255.0, "rates": 200.0, "bytes": 60.0}
"""What there is to measure, and how long each may take, in seconds."""

FILM_FRAMES = 60
AWAY_SECONDS = 15.0
"""How long the NATS server stays away: longer than an election."""

SLOTS = {"wait": 8, "cut": 1, "no-op": 1}
CLASSES = {"wait": "cpu", "cut": "cpu", "no-op": "inline"}
STEPS = {"wait": 160, "cut": 8, "no-op": 1200}
"""Steps for each executor (of no-op steps: altogether), of each kind, or as many as are done in so many seconds."""

MEASURE_SECONDS = 10.0
WARM = {"wait": 8, "cut": 1, "no-op": 50}
"""Steps for each executor by each person, before any are measured: until all is loaded."""

WAIT_SECONDS = 0.25
SOME_SECONDS = 15.0
"""How long runs are waited for between two changes at most."""

BEGAN = time.monotonic()


def tell(what: str) -> float:
    """Tell whoever waits how far it is; return the seconds since the beginning."""
    seconds = time.monotonic() - BEGAN
    print(f"  {seconds:6.1f} s  {what}", file=sys.stderr, flush=True)
    return round(seconds, 1)


# --- recipes --------------------------------------------------------------------------------------------------------


def _recipe(salt: str, nodes: list[dict[str, Any]], output: str) -> dict[str, Any]:
    source = {"id": "source", "type": "SOURCE", "config": {"input": True, "name": "source"}}
    return {"name": f"bench-{salt}", "version": "1", "dag": {"nodes": [source, *nodes], "output": output}}


def layered(salt: str, layers: int = 4, width: int = 20) -> dict[str, Any]:
    """Return layers of no-op steps, each of which reads two of the layer before."""
    nodes, before = [], ["source"]
    for layer in range(layers):
        here = [f"s{layer}_{place}" for place in range(width)]
        for place, name in enumerate(here):
            inputs = list(dict.fromkeys(before[(place + i) % len(before)] for i in (0, 1)))
            nodes.append({"id": name, "type": "NOOP", "config": {"salt": f"{salt}{name}"}, "inputs": inputs})
        before = here
    return _recipe(salt, nodes, before[-1])


def rendered(salt: str) -> dict[str, Any]:
    """Return five steps with a film, whose bytes do not depend on the salt."""
    nodes: list[dict[str, Any]] = [
        {"id": "new", "type": "NOOP", "config": {"salt": salt}, "inputs": ["source"]},
        {"id": "cut", "type": "SEGMENT", "config": {"offset": 0.5, "duration": 1.0}, "inputs": ["new"]},
        {"id": "dog", "type": "EFFECT", "config": {"effect": "dog"}, "inputs": ["cut"]},
        {"id": "small", "type": "RESIZE", "config": {"width": 160, "height": 90}, "inputs": ["new"]},
        {"id": "both", "type": "SEQUENCE", "inputs": ["dog", "small"]},
    ]
    return _recipe(salt, nodes, "both")


def side_by_side(salt: str, kind: str, count: int) -> dict[str, Any]:
    """Return steps of a kind that are all ready at once."""
    made: dict[str, Callable[[int], tuple[str, dict[str, Any]]]] = {
        "wait": lambda place: ("WAIT", {"seconds": WAIT_SECONDS, "salt": f"{salt}{place}"}),
        # Less than a microsecond more is the same frames, but another step.
        "cut": lambda place: ("SEGMENT", {"duration": 1.5 + (int(salt, 16) % 10**6 * 100 + place) / 1e14}),
        "no-op": lambda place: ("NOOP", {"salt": f"{salt}{place}"}),
    }
    nodes = []
    for place in range(count):
        name, config = made[kind](place)
        nodes.append({"id": f"s{place}", "type": name, "config": config, "inputs": ["source"]})
    return _recipe(salt, nodes, f"s{count - 1}")


def salt() -> str:
    """Return eight hexadecimal digits that nobody used before."""
    return uuid.uuid4().hex[:8]


# --- a person -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    run_id: str
    kind: str
    event: str
    output: str
    seconds: float


class Person:
    """Somebody with a connection to one gateway."""

    def __init__(self, url: str, token: str) -> None:
        from artdag_cli.client import Client

        self.client = Client(url, token)

    def run(self, kind: str, recipe: dict[str, Any], source: str) -> Ended:
        """Run a recipe to its end."""
        began = time.perf_counter()
        run_id = begin(self.client, recipe, source)
        last = None
        for last in self.client.events(run_id):  # noqa: B007  (the last one is what counts)
            pass
        assert last is not None
        output = str(last.data["data"].get("output_cid", ""))
        return Ended(run_id, kind, last.type, output, time.perf_counter() - began)


KINDS: dict[str, Callable[[str], dict[str, Any]]] = {"no-op": layered, "media": rendered}


@dataclass(slots=True)
class Load:
    """Runs, one after the other in each of several threads, until told to stop."""

    people: list[Person]
    sources: dict[str, str]
    ended: list[Ended] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin: for each person one thread of each kind of run."""
        for person in self.people:
            for kind in KINDS:
                thread = threading.Thread(target=self._work, args=(person, kind), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _work(self, person: Person, kind: str) -> None:
        from artdag_cli.client import RequestFailedError

        while not self._stop.is_set():
            try:
                self.ended.append(person.run(kind, KINDS[kind](salt()), self.sources[kind]))
            except RequestFailedError as error:
                self.refused.append(f"{kind}: {error.message}")

    def ends(self) -> Counter[str]:
        """Return how many have ended, by kind."""
        return Counter(each.kind for each in list(self.ended))

    def stop(self) -> None:
        """Begin no more."""
        self._stop.set()

    def finish(self) -> None:
        """Wait for what was begun."""
        for thread in self._threads:
            thread.join()


# --- processes ------------------------------------------------------------------------------------------------------


def pids_of(it: Cluster) -> dict[str, int]:
    """Return the processes of a cluster by name."""
    return {name: child.pid for name, child in it.supervisor.children.items()}


# --- changes --------------------------------------------------------------------------------------------------------


async def leader_of(bus: Any, stream: str) -> str:
    """Return the NATS server that leads a stream."""
    while True:
        info = await bus.js.stream_info(stream)
        if info.cluster and info.cluster.leader:
            return str(info.cluster.leader)
        await asyncio.sleep(0.05)


async def three_of_each(bus: Any) -> None:
    """Wait until each stream is on three servers, which all have it whole."""
    from artdag_common.messaging.bus import STREAMS

    for config in STREAMS:
        while True:
            info = await bus.js.stream_info(config.name)
            others = info.cluster.replicas or [] if info.cluster else []
            if len(others) == 2 and all(each.current for each in others):
                break
            await asyncio.sleep(0.05)


async def changes(it: Cluster, nodes: list[Node], film: Path, between: int) -> dict[str, Any]:
    """Change everything there is to change under load; return what came of the runs.

    Args:
        between: runs of each kind that end between two changes, so that each meets some.
    """
    from artdag_common.messaging.bus import Bus

    bus = await Bus.connect(it.environment["NATS_URL"], "bench")
    people = [Person(url, it.token) for url in it.gateways.values()]
    source = await asyncio.to_thread(people[0].client.upload, film, "film")
    usual = {kind: await asyncio.to_thread(people[0].run, kind, KINDS[kind](salt()), source) for kind in KINDS}
    assert {each.event for each in usual.values()} == {"RunCompleted"}, usual
    load = Load(people, dict.fromkeys(KINDS, source))
    try:
        load.start()
        killed_at, told = await _change(it, nodes, bus, load, between)
        load.stop()
        await asyncio.to_thread(load.finish)
        told.append((tell("the last run is over"), "the last run is over"))
        return {**await _came_of(bus, load, usual), "times": told, **await _counted(it, bus, killed_at)}
    finally:
        load.stop()
        await bus.close()


async def _change(
    it: Cluster, nodes: list[Node], bus: Bus, load: Load, between: int
) -> tuple[float, list[tuple[float, str]]]:
    """Make the changes; return when the NATS server was killed, in unix seconds, and what was done when."""
    from artdag_common.messaging import subjects

    told: list[tuple[float, str]] = []
    before: Counter[str] = Counter()

    async def done(what: str, wait: bool = True) -> None:
        """Tell of a change, and let some runs end before the next."""
        nonlocal before
        until = time.monotonic() + SOME_SECONDS
        while wait and time.monotonic() < until and any(load.ends()[kind] < before[kind] + between for kind in KINDS):
            await asyncio.sleep(0.05)
        ends = load.ends()
        met = ", ".join(f"{ends[kind] - before[kind]} {kind}" for kind in KINDS)
        before = ends
        told.append((tell(f"{what}; runs that ended since the last change: {met}"), what))

    await done("runs go on")
    await it.start("cache", nodes[-1])
    added = await it.start("executor", nodes[-1], ARTDAG_SLOTS="2")
    await done("an executor more")
    for service, places in SERVICES.items():
        for place in places:
            await it.restart(f"{service}-{place}")
            await done(f"{service}-{place} was told to stop, and is back", wait=False)
    await done("all are back")
    await it.stop(added)
    await done("an executor less, told to stop")
    await it.restart("executor-b", signal.SIGKILL)
    await done("executor-b was killed, and is back")
    leader = await leader_of(bus, subjects.EVENTS)
    server = await it.kill_server(leader)
    killed_at = time.time()
    await done(f"{leader} was killed, which led the stream of events", wait=False)
    await asyncio.sleep(AWAY_SECONDS)  # how long it is away is a part of what is done to the others
    await it.bring_back(server)
    await done(f"{leader} is back", wait=False)
    await three_of_each(bus)
    await done("every stream is whole on three servers again")
    return killed_at, told


async def _came_of(bus: Bus, load: Load, usual: dict[str, Ended]) -> dict[str, Any]:
    """Return what came of the runs."""
    from artdag_common.messaging import subjects

    letters = await bus.js.stream_info(subjects.DEAD_LETTERS)
    longest = {kind: [each.seconds for each in load.ended if each.kind == kind] for kind in KINDS}
    return {
        "runs": dict(load.ends()),
        "not completed": [each.run_id for each in load.ended if each.event != "RunCompleted"],
        "wrong output": [each.run_id for each in load.ended if each.output != usual[each.kind].output],
        "requests refused": load.refused,
        "dead letters": letters.state.messages,
        "longest run in seconds": {kind: round(max(those), 2) for kind, those in longest.items() if those},
        "undisturbed run in seconds": {kind: round(each.seconds, 2) for kind, each in usual.items()},
    }


STEPS_BEGUN = """SELECT
    count(*) AS steps, sum(begun) AS begun, sum(broken) AS broken_off, sum(lost) AS lost,
    sum(greatest(0, begun - 1 - broken - lost)) AS needless,
    sum(greatest(0, completed - 1)) AS completed_twice
FROM (
    SELECT e.stream, count(*) FILTER (WHERE type = 'StepStarted') AS begun,
        count(*) FILTER (WHERE type = 'StepCompleted') AS completed,
        count(*) FILTER (WHERE type = 'StepAttemptFailed') AS broken,
        (SELECT count(*) FROM planner_repairs r
         WHERE r.what = 'executor-lost' AND 'step-' || r.cache_id = e.stream) AS lost
    FROM es_events e WHERE e.stream LIKE 'step-%' GROUP BY e.stream
) each"""

PAUSE = """SELECT coalesce(max(pause), 0)::float FROM (
    SELECT extract(epoch FROM recorded_at - lag(recorded_at) OVER (ORDER BY recorded_at)) AS pause
    FROM es_events WHERE type = 'StepCompleted' AND recorded_at BETWEEN to_timestamp($1) AND to_timestamp($2)
) each"""


MISPLACED = "events at another place than their own, of 98 looked at"


async def _counted(it: Cluster, bus: Any, killed_at: float) -> dict[str, Any]:
    """Return what the event store and the stream of events tell."""
    import asyncpg

    from artdag_common.messaging import subjects

    connection = await asyncpg.connect(it.environment["DATABASE_URL"])
    try:
        (steps,) = await connection.fetch(STEPS_BEGUN)
        pause = await connection.fetchval(PAUSE, killed_at - 1, killed_at + AWAY_SECONDS + 15)
        repairs = await connection.fetch("SELECT what, count(*) FROM planner_repairs GROUP BY what ORDER BY what")
        last = await _published(connection, bus)
        info = await bus.js.stream_info(subjects.EVENTS)
        places = sorted({1, last, *(last * part // 97 for part in range(1, 97))})
        stored = {place: (await bus.js.get_msg(subjects.EVENTS, seq=place)).headers for place in places}
        misplaced = [place for place, headers in stored.items() if headers["Es-Position"] != str(place)]
        return {
            "steps": {name: int(value or 0) for name, value in steps.items()},
            "longest pause between ends of steps, server killed, in seconds": round(pause, 2),
            "repairs": {row["what"]: row["count"] for row in repairs},
            "events": last,
            "events in the stream": info.state.messages,
            MISPLACED: misplaced,
        }
    finally:
        await connection.close()


async def _published(connection: Connection, bus: Any) -> int:
    """Wait until every event is in the stream; return how many there are."""
    from artdag_common.messaging import subjects

    while True:
        waiting_ones = await connection.fetchval("SELECT count(*) FROM es_outbox")
        last = await connection.fetchval("SELECT max(position) FROM es_log")
        info = await bus.js.stream_info(subjects.EVENTS)
        if not waiting_ones and info.state.last_seq == last:
            return int(last)
        await asyncio.sleep(0.05)


# --- rates ----------------------------------------------------------------------------------------------------------

BETWEEN = """SELECT extract(epoch FROM max(recorded_at) - min(recorded_at))::float FROM es_events
WHERE stream = ANY ($1::text[])"""


async def rate(it: Cluster, bus: Bus, kind: str, executors: int, source: str) -> dict[str, Any]:
    """Run steps of a kind through both gateways; return how many were done a second, what that cost, what waited."""
    import asyncpg

    people = [Person(url, it.token) for url in it.gateways.values()]

    def run(person: Person, many: int) -> Ended:
        ended = person.run(kind, side_by_side(salt(), kind, many), source)
        assert ended.event == "RunCompleted", ended
        return ended

    warm = WARM[kind] * executors
    began = time.perf_counter()
    await asyncio.gather(*(asyncio.to_thread(run, person, warm) for person in people))
    in_time = MEASURE_SECONDS * warm * len(people) / (time.perf_counter() - began)
    each = int(min(STEPS[kind] * (1 if kind == "no-op" else executors), in_time)) // len(people) or 1
    connection = await asyncpg.connect(it.environment["DATABASE_URL"])
    try:
        async with spending.waiting(bus, connection, CLASSES[kind]) as waits:
            before = _spent(it)
            ended = await asyncio.gather(*(asyncio.to_thread(run, person, each) for person in people))
            after = _spent(it)
        seconds = float(await connection.fetchval(BETWEEN, [f"run-{run.run_id}" for run in ended]))
    finally:
        await connection.close()
    steps, clock = each * len(people), after.clock - before.clock
    trees = {name: after.trees[name] - before.trees[name] for name in before.trees}
    threads = {name: (after.threads[name] - before.threads[name]) / clock for name in before.threads}
    kinds: dict[str, float] = {}
    for name, spent in trees.items():
        kind_of = name.partition("-")[0]
        kinds[kind_of] = kinds.get(kind_of, 0.0) + spent
    busy = (after.busy - before.busy) / clock
    slots = SLOTS[kind] * executors if kind != "no-op" else 0
    return {
        "steps": steps,
        "seconds": seconds,
        "steps a second": steps / seconds,
        "busy processors": sum(trees.values()) / clock,
        "busy processors of the machine": busy,
        "ms of a processor for a step": {name: 1000 * spent / steps for name, spent in _most_first(kinds)},
        "processors that each process takes": {name: spent / clock for name, spent in _most_first(trees)},
        "waits": waits.means(),
        "limit": spending.limit(steps / seconds, busy, threads, waits.means(), slots),
    }


def _most_first(spent: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(spent.items(), key=lambda each: -each[1])


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor seconds until now: of each process with those below it, of each alone, of the machine. And when."""

    trees: dict[str, float]
    threads: dict[str, float]
    busy: float
    clock: float


def _spent(it: Cluster) -> Spent:
    pids = pids_of(it)
    return Spent(
        spending.processor_seconds(pids),
        spending.thread_seconds(pids),
        spending.machine_seconds(),
        time.perf_counter(),
    )


async def rates(it: Cluster, nodes: list[Node], film: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """Return the rate of each kind of steps with 1, 2 and 4 executors."""
    from artdag_common.messaging.bus import Bus

    person = Person(next(iter(it.gateways.values())), it.token)
    source = await asyncio.to_thread(person.client.upload, film, "film")
    for name in [name for name in it.supervisor.children if name.startswith("executor-")]:
        await it.stop(name)
    if f"cache-{SPARE}" not in it.supervisor.children:
        await it.start("cache", nodes[-1])
    found: dict[str, dict[int, dict[str, Any]]] = {}
    bus = await Bus.connect(it.environment["NATS_URL"], "bench")
    try:
        for kind, slots in SLOTS.items():
            names: list[str] = []
            for executors in (1, 2, 4):
                for node in nodes[len(names) : executors]:
                    names.append(await it.start("executor", node, ARTDAG_SLOTS=str(slots)))
                measured = await rate(it, bus, kind, executors, source)
                found.setdefault(kind, {})[executors] = measured
                said = f"{measured['steps']} steps, {measured['steps a second']:.1f} a second"
                tell(f"{kind}, {executors} executors: {said}; limited by {measured['limit']}")
            for name in names:
                await it.stop(name)
    finally:
        await bus.close()
    return found


# --- bytes ----------------------------------------------------------------------------------------------------------

SIZES = """SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname IN ('public', 'gateway')"""
EACH = """SELECT type, count(*) AS count, avg(length(data))::float AS payload, avg(pg_column_size(e.*))::float AS row
FROM es_events e GROUP BY type ORDER BY count DESC LIMIT 12"""


async def sizes(it: Cluster, nodes: list[Node], film: Path) -> dict[str, Any]:
    """Return what runs of no-op steps and of steps that compute take in each table and in the stream."""
    import asyncpg

    from artdag_common.messaging import subjects
    from artdag_common.messaging.bus import Bus

    if not any(name.startswith("executor-") for name in it.supervisor.children):
        await it.start("executor", nodes[0], ARTDAG_SLOTS="8")
    person = Person(next(iter(it.gateways.values())), it.token)
    source = await asyncio.to_thread(person.client.upload, film, "film")
    bus = await Bus.connect(it.environment["NATS_URL"], "bench")
    connection = await asyncpg.connect(it.environment["DATABASE_URL"])

    async def look() -> tuple[int, Counter[str]]:
        last = await _published(connection, bus)
        await connection.execute("VACUUM")  # what was changed in place leaves room for the next
        info = await bus.js.stream_info(subjects.EVENTS)
        tables = {row["name"]: row["bytes"] for row in await connection.fetch(SIZES)}
        return last, Counter({**tables, "stream EVENTS": info.state.bytes})

    found: dict[str, Any] = {}
    try:
        for kind, steps in (("no-op", 4000), ("wait", 400)):
            last, before = await look()
            for _ in range(4):
                ended = await asyncio.to_thread(person.run, kind, side_by_side(salt(), kind, steps // 4), source)
                assert ended.event == "RunCompleted", ended
            now, after = await look()
            after.subtract(before)
            found[kind] = {
                "steps": steps,
                "events": now - last,
                # What is there for a while only, as the outbox, may have been more before.
                "bytes": {name: size for name, size in after.most_common() if size > 0},
            }
        found["events"] = [dict(row) for row in await connection.fetch(EACH)]
        return found
    finally:
        await connection.close()
        await bus.close()


# --- all of it ------------------------------------------------------------------------------------------------------


async def main() -> None:
    """Measure and print."""
    from artdag_cli.cluster import cluster
    from artdag_cli.demo_media import make_cat
    from artdag_cli.system import ROOT

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--between", type=int, default=3, help="runs of each kind that end between two changes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    options = parser.parse_args()
    # What this process tells of its connections, which lose servers, is no result.
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="artdag-bench-", dir=options.folder) as folder,
        namespaces.network([*NODES, SPARE]) as (home, nodes, said),
    ):
        print(f"nodes: {said}", file=sys.stderr)
        Path(folder).chmod(0o755)  # Postgres may have to run as somebody else
        film, state = Path(folder) / "film.mp4", Path(folder) / "c"
        make_cat(film, FILM_FRAMES)
        packages = os.pathsep.join([str(ROOT), str(ROOT / "libs"), waiting.install(Path(folder) / "steps")])
        settings = {"PYTHONPATH": packages, "ARTDAG_SLOTS": "2", "ARTDAG_RATE_READ": "0", "ARTDAG_RATE_WRITE": "0"}
        found: dict[str, Any] = {"nodes": said, "load": os.getloadavg()}
        async with cluster(state, nodes[: len(NODES)], home, settings) as it:
            tell("Postgres, Redis and three NATS servers are there")
            await start(it, dict(zip((*NODES, SPARE), nodes, strict=True)))
            measured: dict[str, Callable[[Cluster, list[Node], Path], Awaitable[dict[Any, Any]]]] = {
                "changes": partial(changes, between=options.between),
                "rates": rates,
                "bytes": sizes,
            }
            for part in options.only:
                tell(f"{part}: {PARTS[part]:.0f} s at most")
                try:
                    async with asyncio.timeout(PARTS[part]):
                        found[part] = await measured[part](it, nodes, film)
                except TimeoutError as error:  # of what it does, or of ours
                    found["broken off"] = f"{part}: {str(error) or f'not over after {PARTS[part]:.0f} s'}"
                    break
            found["refusals"] = refusals(state)
    tell("all is taken away")
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        report(found)
    if wrong := faults(found):
        raise SystemExit("\n".join(wrong))


async def start(it: Cluster, places: dict[str, Node]) -> None:
    """Start all services."""
    async with asyncio.timeout(START_SECONDS):
        for service, where in SERVICES.items():
            await asyncio.gather(*(it.start(service, places[place]) for place in where))
            tell(f"{service} on {', '.join(where)}")


def faults(found: dict[str, Any]) -> list[str]:
    """Return what should not have happened."""
    wrong = [f"broken off: {found['broken off']}"] if "broken off" in found else []
    if found["refusals"]:
        wrong.append(f"refused to a service: {found['refusals'][:5]}")
    if came := found.get("changes"):
        told = ("not completed", "wrong output", "requests refused", "dead letters", MISPLACED)
        wrong += [f"{name}: {came[name]}" for name in told if came[name]]
        counts = came["steps"]
        wrong += [f"steps {name}: {counts[name]}" for name in ("needless", "completed_twice") if counts[name]]
        if came["events"] != came["events in the stream"]:
            wrong.append(f"{came['events']} events, {came['events in the stream']} of them in the stream")
    return wrong


def refusals(state: Path) -> list[str]:
    """Return what NATS and Postgres refused to a service, from their logs."""
    return [
        line
        for log in (state / "logs").glob("*.log")
        for line in log.read_text(errors="replace").splitlines()
        if ("Violation" in line and log.name.startswith("nats")) or "permission denied" in line
    ]


def report(found: dict[str, Any]) -> None:
    """Print ratios, and what takes the time."""
    if "changes" in found:
        for name, value in found["changes"].items():
            if name != "times":
                print(f"  {name}: {value}")
    for kind, by_count in found.get("rates", {}).items():
        one = by_count[1]["steps a second"]
        for executors, it in by_count.items():
            ideal = executors * SLOTS[kind] / WAIT_SECONDS
            of_ideal = f"  {it['steps a second'] / ideal:5.2f} of what they could" if kind == "wait" else ""
            print(
                f"  {kind:6s} {executors} executors: {it['steps a second']:8.1f} steps a second"
                f"  {it['steps a second'] / one:5.2f} of one{of_ideal}"
                f"  {it['busy processors']:4.2f} of {os.cpu_count()} processors busy"
                f" (the machine: {it['busy processors of the machine']:4.2f})"
            )
            print(f"         limited by {it['limit']}")
            told = ", ".join(f"{name} {ms:.2f}" for name, ms in it["ms of a processor for a step"].items())
            print(f"         ms a step: {told}")
            each = list(it["processors that each process takes"].items())[:4]
            print(f"         processors: {', '.join(f'{name} {taken:.2f}' for name, taken in each)}")
            print(f"         on average: {', '.join(f'{name} {mean:.1f}' for name, mean in it['waits'].items())}")
    for kind, it in found.get("bytes", {}).items():
        if kind == "events":
            for row in it:
                print(f"  {row['type']:20s} {row['count']:6d}  payload {row['payload']:6.0f}  row {row['row']:6.0f}")
            continue
        all_of_it = sum(it["bytes"].values())
        print(
            f"  {kind}: {it['events'] / it['steps']:.2f} events and {all_of_it / it['steps']:.0f} bytes a step,"
            f" {all_of_it / it['events']:.0f} an event"
        )
        for name, size in it["bytes"].items():
            print(f"    {name:28s} {size / it['steps']:8.1f} bytes a step")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # what was made is taken away
    namespaces.enter_user_namespace()
    asyncio.run(main())
