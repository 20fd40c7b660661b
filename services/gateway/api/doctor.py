"""What is wrong now, and how to mend it; and what the reconciler mended by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from artdag_common.domain.access import OWNER
from artdag_common.errors import NotYoursError
from services.gateway.api.documentation import RUN_ID, TIME, answers
from services.gateway.parts import Parts, User
from services.gateway.problems import Json
from services.gateway.standing import Standing, look
from services.gateway.views import time_view

router = APIRouter(tags=["server"])

LAG_EVENTS = 5000
LAG_SECONDS = 10.0
APART_SECONDS, FAR_APART_SECONDS = 5.0, 20.0
"""How far clocks may be apart, of which one is seen only as exactly as the bus is quick."""

LITTLE_BYTES, LITTLE = 5 * 2**30, 0.1
NEARLY_NONE_BYTES, NEARLY_NONE = 500 * 2**20, 0.02
FULL = 0.9
"""Part of a consumer's room that may be taken by messages which are not acknowledged."""

FINDING = {
    "check": "dead_letters",
    "wrong": True,
    "what": "2 dead letters of the planner",
    "how": "artdag dlq list",
}
REPAIR = {
    "at": TIME,
    "planner": "node-1/4711",
    "run_id": RUN_ID,
    "cache_id": "c0ffee…",
    "what": "step-sent-again",
    "detail": "cpu: resize",
}
REPORT: dict[str, Any] = {
    "well": False,
    "checked": ["services", "dead_letters"],
    "findings": [FINDING],
    "repairs": {"counts": [{"what": "step-sent-again", "count": 3, "last_at": TIME}], "last": [REPAIR]},
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is to be told. ``wrong``: and mended; else it is as somebody wants it. ``how``: what to do."""

    what: str
    how: str
    wrong: bool = True


Check = Callable[[Standing], Iterator[Finding]]


@router.get("/api/doctor", summary="What is wrong", responses=answers(REPORT, 401, 403))
async def examine(parts: Parts, viewer: User) -> Response:
    """What is wrong now and how to mend it, and what the reconciler put back by itself in the last 7 days.

    For the operator. `well`: nothing is wrong.
    """
    if viewer != OWNER:
        raise NotYoursError("only the operator of this system sees how it stands")
    return Json(report_of(await look(parts)))


def report_of(found: Standing) -> dict[str, Any]:
    """Return what doctor says of how the system stands, in JSON terms."""
    findings = _findings(CHECKS, found)
    return {
        "well": _well(findings),
        "checked": [check.__name__ for check in CHECKS],
        "findings": findings,
        "repairs": {
            "counts": [
                {"what": each["what"], "count": each["count"], "last_at": time_view(each["last"])}
                for each in found.recent
            ],
            "last": [{**each, "at": time_view(each["at"])} for each in found.last],
        },
    }


def renewed(report: Mapping[str, Any], found: Standing) -> dict[str, Any]:
    """Return a report with what was found since of what everything stands on."""
    old = {check.__name__ for check in BACKING}
    findings = _findings(BACKING, found) + [each for each in report["findings"] if each["check"] not in old]
    return {**report, "well": _well(findings), "findings": findings}


def _findings(checks: Iterable[Check], found: Standing) -> list[dict[str, Any]]:
    return [{"check": check.__name__, **asdict(finding)} for check in checks for finding in check(found)]


def _well(findings: Iterable[Mapping[str, Any]]) -> bool:
    return not any(finding["wrong"] for finding in findings)


# --- checks: each looks at one thing, and yields what it finds ------------------------------------------------------


def postgres(found: Standing) -> Iterator[Finding]:
    """Postgres that does not answer, or takes no writes."""
    where = _at(found, "postgres")
    if not found.postgres:
        yield Finding(
            f"Postgres does not answer in time{where}", "look at its log; DATABASE_URL says where it should be"
        )
    elif why := found.refuses.get("postgres"):
        yield Finding(
            f"nothing can be written to Postgres{where}: {why}",
            "DATABASE_URL has to name the server that is written to",
        )


def nats(found: Standing) -> Iterator[Finding]:
    """NATS that does not answer, or answers and does not tell of its streams."""
    where = _at(found, "nats")
    if not found.nats:
        yield Finding(
            f"NATS does not answer{where}",
            "look at its log; NATS_URL says where it should be. What services and executors do is not known without it",
        )
    elif found.bus is None and found.answering.get("auth"):
        yield Finding(
            f"how the streams stand cannot be read from NATS{where}",
            "look at the logs of NATS, which needs JetStream, and of the auth service",
        )


def redis(found: Standing) -> Iterator[Finding]:
    """Redis that does not answer, or takes no writes."""
    where = _at(found, "redis")
    if not found.redis:
        yield Finding(
            f"Redis does not answer{where}",
            "look at its log; REDIS_URL says where it should be. All goes on without it, only slower",
        )
    elif why := found.refuses.get("redis"):
        yield Finding(
            f"nothing can be written to Redis{where}: {why}",
            "REDIS_URL has to name a server that takes writes; its log tells more. All goes on without it, only slower",
        )


def read_models(found: Standing) -> Iterator[Finding]:
    """Read models that events do not reach."""
    if not found.running:
        yield Finding("the read models stand still", "the gateway's log says at which event, and why")


def services(found: Standing) -> Iterator[Finding]:
    """Services that do not answer. Where NATS does not, over which they are asked, nobody knows."""
    for name, answers_ in found.answering.items():
        if found.nats and not answers_:
            yield Finding(f"the {name} does not answer", f"look at its log, then start it: python -m services.{name}")


def streams(found: Standing) -> Iterator[Finding]:
    """Streams that are missing, and consumers that are full of what they cannot deal with."""
    if found.bus is None:
        return
    for name in {"CMD", "WORK", "EVENTS", "DLQ"} - set(found.bus["streams"]):
        yield Finding(
            f"the stream {name} is missing", "the auth service makes it again within some seconds: see its log"
        )
    for each in found.bus["consumers"]:
        most = each["most_in_hand"]
        if each["stream"] != "WORK" and most > 0 and each["in_hand"] >= FULL * most:
            yield Finding(
                f"{each['in_hand']} of at most {most} messages of {each['stream']}/{each['name']} are not acknowledged",
                "artdag dlq list shows what cannot be read; the log of the service shows what fails",
            )


def lag(found: Standing) -> Iterator[Finding]:
    """Events on their way to the stream and into the read models."""
    for name, count in sorted(found.passed_over.items()):
        yield Finding(
            f"the read models passed over {count} events {name}: this gateway's version does not know them",
            "upgrade the gateway to the version of the services that wrote them",
        )
    relaying = found.relaying
    if relaying is None:
        return
    if relaying.seconds > LAG_SECONDS:
        yield Finding(
            f"{relaying.waiting} committed events have no place in the order yet, one for {relaying.seconds:.0f} s",
            "the relay is in the auth service: see its log; a transaction that stays open holds it up too",
        )
    if (relaying.unpublished or 0) > LAG_EVENTS or relaying.unpublished_seconds > LAG_SECONDS:
        yield Finding(
            f"{relaying.unpublished} events are not in the stream yet, one for {relaying.unpublished_seconds:.0f} s",
            "see the logs of the auth service and of NATS, which takes none where it has no room",
        )
    if relaying.unshown > LAG_EVENTS:
        yield Finding(
            f"the read models lack {relaying.unshown} events", "wait, if it gets less; else see the gateway's log"
        )


def dead_letters(found: Standing) -> Iterator[Finding]:
    """What gave up."""
    for service, count in sorted((found.bus or {}).get("letters", {}).items()):
        if count:
            letters = "dead letter" if count == 1 else "dead letters"
            yield Finding(
                f"{count} {letters} of the {service}",
                f"artdag dlq list --service {service}; then artdag dlq retry or drop, each by its id",
            )


def classes(found: Standing) -> Iterator[Finding]:
    """Work classes with steps on the queue that no executor takes."""
    if found.bus is None:
        return
    served = {
        each["name"].removeprefix("executor-")
        for each in found.bus["consumers"]
        if each["stream"] == "WORK" and (each["waiting"] or each["in_hand"])
    }
    for work_class, count in sorted(found.bus["depth"].items()):
        if work_class not in served:
            yield Finding(
                f"nobody serves the class {work_class}: {count} messages with steps wait",
                f"start an executor with {work_class} in ARTDAG_WORK_CLASSES; or see the log of the one that should",
            )


def runs(found: Standing) -> Iterator[Finding]:
    """Runs to which nothing has happened for a while, and why."""
    unserved = [finding.what for finding in classes(found)]
    for run in found.still:
        about = f"run {run.run_id} of {run.owner}"
        match run.status:
            case "paused":
                yield Finding(f"{about} is paused since {time_view(run.since)}", f"artdag resume {run.run_id}", False)
            case "planned":
                how = f"POST /api/execute with its plan, or artdag cancel {run.run_id}"
                yield Finding(f"{about} is planned and held since {time_view(run.since)}", how, False)
            case "requested" | "analyzing" if not run.scheduled:
                yield Finding(f"{about} is {run.status} since {time_view(run.since)}", "see the planner's log")
            case _ if run.scheduled and unserved:
                yield Finding(f"{about} waits for executors: {'; '.join(unserved)}", "see what is told of the class")
            case _ if run.scheduled:
                yield Finding(
                    f"{about} waits for its turn: {run.scheduled} steps are to run, others are before them, or a limit"
                    " is reached (ARTDAG_CLASS_LIMITS, ARTDAG_USER_LIMITS)",
                    "wait, or start more executors",
                    False,
                )
            case _ if run.waiting:
                yield Finding(
                    f"{about} waits to try {run.waiting} steps again", f"artdag run show {run.run_id} says why", False
                )
            case _:
                yield Finding(
                    f"{about} stands still since {time_view(run.since)}: {run.completed} of {run.total} steps are done",
                    "see the planner's log; the reconciler looks at it every 5 s",
                )


def versions(found: Standing) -> Iterator[Finding]:
    """Services of several versions."""
    there: dict[str, set[str]] = {}
    for each in found.instances:
        there.setdefault(each.version or "one that does not tell", set()).add(each.service)
    if len(there) > 1:
        told = "; ".join(f"{version}: {', '.join(sorted(names))}" for version, names in sorted(there.items()))
        yield Finding(f"services of several versions are here: {told}", "go on with the upgrade, or go back", False)


def clocks(found: Standing) -> Iterator[Finding]:
    """Machines whose clocks are apart from the gateway's."""
    worst: dict[str, float] = {}
    for each in found.instances:
        if each.version and abs(each.ahead_seconds) > abs(worst.get(each.host, 0.0)):
            worst[each.host] = each.ahead_seconds
    for host, ahead in sorted(worst.items()):
        if abs(ahead) > APART_SECONDS:
            yield Finding(
                f"the clock of {host} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the gateway's",
                "have all machines keep time by NTP; proofs between nodes hold 60 s",
                abs(ahead) > FAR_APART_SECONDS,
            )


def disks(found: Standing) -> Iterator[Finding]:
    """Nodes whose disk for content is nearly full."""
    nodes = {each.node: each for each in found.instances if each.node and each.disk_total_bytes}
    for _, each in sorted(nodes.items()):
        free, total = each.disk_free_bytes, each.disk_total_bytes
        if free < LITTLE_BYTES and free < LITTLE * total:
            yield Finding(
                f"the disk with the content of {each.host} has {free / 2**20:.0f} MiB left of {total / 2**30:.0f} GiB",
                "free space, set ARTDAG_CACHE_LIMIT (with S3 or IPFS), or give another disk",
                free < NEARLY_NONE_BYTES or free < NEARLY_NONE * total,
            )


def _at(found: Standing, name: str) -> str:
    """Return where a server is, to be said of it: ``artdag doctor`` knows by it that it told of the same one."""
    place = found.places.get(name)
    return f" at {place}" if place else ""


BACKING: tuple[Check, ...] = (postgres, nats, redis, read_models)
"""Of what everything stands on. They are looked at more often than the rest for who watches."""

CHECKS: tuple[Check, ...] = (*BACKING, services, streams, lag, dead_letters, classes, runs, versions, clocks, disks)
"""What doctor looks at, in this order. A new check is a function here that yields what it finds."""
