"""What processes take while something goes on, and what waits: where the time goes."""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nats.errors import Error as NatsError

from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.tasks import end

TICKS = os.sysconf("SC_CLK_TCK")
EVERY_SECONDS = 0.2
SERVICES = ("auth", "cache", "planner", "executor", "gateway")
BUSY, FULL, TAKEN = 0.85, 0.9, 0.8
"""Parts of one processor, of all of them, and of the slots, from which on there is no more to give: the beginning and
the end of a measurement count too."""

STANDING = """SELECT (SELECT count(*) FROM planner_waits) AS waited_for, (SELECT count(*) FROM es_outbox) AS outbox,
    count(*) FILTER (WHERE state = 'active') AS at_work,
    count(*) FILTER (WHERE state = 'active' AND wait_event_type = 'IO') AS at_the_disk
FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"""


def processor_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the processor time of each process with all below it, by its name; ``clients``: this one's, alone."""
    spent: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            spent[int(entry.name)] = sum(map(int, fields[11:15])) / TICKS
            children.setdefault(int(fields[1]), []).append(int(entry.name))
        except (OSError, ValueError, IndexError):
            continue
    found = {"clients": own_seconds()}
    for name, pid in pids.items():
        left, found[name] = [pid], 0.0
        while left:
            each = left.pop()
            found[name] += spent.get(each, 0.0)
            left += children.get(each, ())
    return found


def thread_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the processor time of each process alone: of ours each has one thread that can work, and no more."""
    found = {"clients": own_seconds()}
    for name, pid in pids.items():
        if name.startswith(SERVICES):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[name] = sum(map(int, fields[11:13])) / TICKS
    return found


def own_seconds() -> float:
    """Return the processor time of this process."""
    times = os.times()
    return times.user + times.system


def machine_seconds() -> float:
    """Return for how long the processors of the machine were busy, all together, since it began."""
    user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    return (user + nice + system + sum(rest)) / TICKS


@dataclass(slots=True)
class Waits:
    """What stood where, looked at now and then.

    Attributes:
        queue: messages of the class that no executor has taken; ``in_hand``: those that some have.
        waited_for: steps that runs wait for, on the queue or kept back by a planner.
        outbox: events that have no place in the order yet.
        at_work, at_the_disk: connections of Postgres that do something; of them, those that wait for the disk.
    """

    queue: list[int] = field(default_factory=list)
    in_hand: list[int] = field(default_factory=list)
    waited_for: list[int] = field(default_factory=list)
    outbox: list[int] = field(default_factory=list)
    at_work: list[int] = field(default_factory=list)
    at_the_disk: list[int] = field(default_factory=list)

    def means(self) -> dict[str, float]:
        """Return the mean of each; nothing of what was not seen."""
        return {name: statistics.mean(seen) for name in self.__slots__ if (seen := getattr(self, name))}


@asynccontextmanager
async def waiting(bus: Bus, connection: Any, work_class: str) -> AsyncIterator[Waits]:
    """Look at what waits while the block runs."""
    waits = Waits()

    async def look() -> None:
        while True:
            try:
                info = await bus.js.consumer_info(subjects.WORK, subjects.workers(work_class))
            except (NatsError, TimeoutError):
                pass
            else:
                waits.queue.append(info.num_pending or 0)
                waits.in_hand.append(info.num_ack_pending or 0)
            row = await connection.fetchrow(STANDING)
            for name in ("waited_for", "outbox", "at_work", "at_the_disk"):
                getattr(waits, name).append(row[name])
            await asyncio.sleep(EVERY_SECONDS)

    looking = asyncio.create_task(look())
    try:
        yield waits
    finally:
        await end(looking)


def limit(rate: float, busy: float, threads: Mapping[str, float], waits: Mapping[str, float], slots: int) -> str:
    """Return what keeps more from being done a second.

    Args:
        rate: steps a second.
        busy: how many processors of the machine were.
        threads: how much of a processor each process took, of those that can use no more than one.
        waits: see :meth:`Waits.means`.
        slots: of all executors; 0: the steps take none.
    """
    processors = os.cpu_count() or 1
    name = max(threads, key=threads.__getitem__)
    if busy >= FULL * processors:
        return f"the processors: {busy:.2f} of {processors} are busy"
    if threads[name] >= BUSY:
        return f"{name}: it takes {threads[name]:.2f} of a processor, and can use no second one"
    if slots and (taken := waits.get("in_hand", 0.0)) >= TAKEN * slots:
        return f"the slots: {taken:.1f} of {slots} are taken, each step has one for {taken / rate:.2f} s"
    at_the_disk = waits.get("at_the_disk", 0.0)
    return (
        f"that one waits for another: {name} is the busiest, {threads[name]:.2f} of a processor;"
        f" {at_the_disk:.2f} connections of Postgres wait for the disk"
    )
