"""``/ops``: what the system does now, for its operator. It stays up to date while somebody looks at it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.web import pages, words
from services.gateway.web.asking import ask
from services.gateway.web.pages import NO_STORE, aliases, page

router = pages.router()
data = aliases({"/ops": "/api/ops"})

HIGH = 100
"""Height of the chart, in its own units; a span of time is ten wide."""

WIDE, BAR = 10, 8
LEAST_PEAK = 1
SHOWN_STEPS = 6
"""Of an executor; the list of steps has all of them."""

NEARLY_FULL, FULL = 0.8, 0.92
"""Parts of a disk."""

AHEAD_SECONDS = 2.0
"""By how much a clock may be wrong before it is told."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Steps of one span of time: completed ones, and attempts that failed above them. In units of the chart."""

    x: int
    completed: float
    failed: float


@dataclass(frozen=True, slots=True)
class Chart:
    """``peak``: the most a second of any span."""

    width: int
    bars: tuple[Bar, ...]
    peak: float
    failed: int


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure at the head of the page. ``tone``: good, wait or bad; empty: neither. ``there``: id of its part."""

    label: str
    value: str
    note: str
    there: str
    tone: str = ""


@router.get("/ops")
async def operations(request: Request) -> Response:
    """Everything at a glance. Programs get ``/api/ops``."""
    found = await ask(request, "/api/ops")

    def lasted(since: str | None) -> str:
        return words.seconds(elapsed(found["at"], since))

    return await page(
        request,
        "ops.html",
        headers=NO_STORE,
        found=found,
        chart=chart(found["throughput"]),
        tiles=list(tiles(found)),
        wrong=[each for each in found["doctor"]["findings"] if each["wrong"]],
        noted=[each for each in found["doctor"]["findings"] if not each["wrong"]],
        versions=sorted({version for each in found["services"] for version in each["versions"]}),
        lasted=lasted,
        rate=rate,
        disk_tone=disk_tone,
        shown_steps=SHOWN_STEPS,
        ahead_seconds=AHEAD_SECONDS,
    )


def elapsed(now: str, since: str | None) -> float | None:
    """Return the seconds between two times; None: it is not known since when."""
    if since is None:
        return None
    return max(0.0, (datetime.fromisoformat(now) - datetime.fromisoformat(since)).total_seconds())


def rate(value: float) -> str:
    """Return a number a second: 0 → ``0``, 2.43 → ``2.4``, 1234.5 → ``1 234``."""
    return "0" if value == 0 else f"{value:.1f}" if value < 99.95 else words.number(round(value))


def chart(throughput: dict[str, Any]) -> Chart:
    """Return the bars of the steps that ended lately."""
    completed: Sequence[int] = throughput["completed"]
    failed: Sequence[int] = throughput["failed"]
    most = max([LEAST_PEAK, *(one + other for one, other in zip(completed, failed, strict=True))])
    bars = tuple(
        Bar(place * WIDE, round(HIGH * done / most, 1), round(HIGH * lost / most, 1))
        for place, (done, lost) in enumerate(zip(completed, failed, strict=True))
    )
    peak = max(completed, default=0) / throughput["span_seconds"]
    return Chart(len(bars) * WIDE, bars, peak, sum(failed))


def tiles(found: dict[str, Any]) -> Iterator[Tile]:
    """Yield the figures that an operator looks at first."""
    executors, runs, letters = found["executors"], found["runs"], found["dead_letters"]["count"]
    there = executors["count"] - executors["silent"]
    yield Tile("Steps a second", rate(found["throughput"]["per_second"]), "in the last 10 s", "throughput")
    if found["backing"]["nats"]:
        silent = f", {executors['silent']} silent" if executors["silent"] else ""
        yield Tile(
            "Hands at work",
            f"{words.number(executors['busy'])} / {words.number(executors['hands'])}",
            f"of {words.plural(there, 'executor')}{silent}",
            "executors",
            "bad" if not there else "wait" if executors["silent"] else "",
        )
    else:
        yield Tile("Hands at work", "?", "NATS does not answer", "executors", "wait")
    waiting = [each["waiting"] for each in found["queues"]["classes"] if each["class"] != "inline"]
    if found["queues"]["streams"] and None not in waiting:
        left = "steps left" if runs["steps_left"] is None else words.plural(runs["steps_left"], "step") + " left"
        yield Tile("On the queue", words.number(sum(waiting)), f"{left} in runs", "queues")
    else:
        yield Tile("On the queue", "?", "the auth service does not tell", "queues", "wait")
    if runs["count"] is None:
        yield Tile("Runs going on", "?", "Postgres does not answer", "runs", "wait")
    else:
        whose = f"of {words.plural(runs['users']['count'], 'user')}" if runs["count"] else "nobody waits"
        yield Tile("Runs going on", words.number(runs["count"]), whose, "runs")
    if letters is None:
        yield Tile("Dead letters", "?", "the auth service does not tell", "letters", "wait")
    else:
        yield Tile(
            "Dead letters",
            words.number(letters),
            "wait for you" if letters else "none",
            "letters",
            "bad" if letters else "",
        )
    if disks := found["disks"]:
        fullest = disks[0]
        yield Tile(
            "Fullest disk",
            f"{fullest['used'] * 100:.0f} %",
            f"{words.size(fullest['free_bytes'])} free",
            "disks",
            disk_tone(fullest["used"]),
        )
    else:
        yield Tile("Fullest disk", "?", "nobody tells", "disks", "wait")


def disk_tone(used: float) -> str:
    """Return the tone in which it is said how full a disk is."""
    return "bad" if used >= FULL else "wait" if used >= NEARLY_FULL else ""
