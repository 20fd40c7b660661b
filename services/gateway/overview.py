"""How the whole system stands, as its operator is shown it: values in, JSON terms out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from artdag_common.domain.access import OWNER
from artdag_common.domain.failure import kind_of
from artdag_common.messaging.permissions import SERVICES
from services.gateway.presence import Held, Instance
from services.gateway.projections.rows import UNLISTED
from services.gateway.standing import Standing
from services.gateway.throughput import SPAN_SECONDS, Rates
from services.gateway.views import time_view
from services.gateway.work import Place, Work

INSTANCES, EXECUTORS, RUNNING = 50, 100, 100
"""How many of each are listed; all are counted."""

INLINE = "inline"
"""Class of what takes no time, which is on every executor and waits for nobody's hand."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found of the system, everything at about the same time.

    Attributes:
        gateway: name of the one that answers.
        names_all: whether the operator may know what every run is called: nobody else uses this server.
        report: what doctor says, of the servers as ``standing`` has them.
        progress: frames done of a step, and of how many.
        letters: dead letters as they are shown, oldest first; None: the auth service does not tell.
    """

    at: datetime
    gateway: str
    names_all: bool
    standing: Standing
    report: Mapping[str, Any]
    instances: Sequence[Instance]
    held: Sequence[Held]
    work: Work
    rates: Rates
    position: int
    letters: Sequence[Mapping[str, Any]] | None
    progress: Callable[[str], tuple[int, int] | None]


def view(seen: Seen) -> dict[str, Any]:
    """Return what was found in JSON terms."""
    standing = seen.standing
    steps = steps_view(seen)
    letters = (standing.bus or {}).get("letters", {})
    backing = {
        "postgres": standing.postgres,
        "nats": standing.nats,
        "redis": standing.redis,
        "read_models": standing.running,
    }
    return {
        "at": time_view(seen.at),
        "gateway": seen.gateway,
        "well": seen.report["well"],
        "backing": backing,
        "services": [service_view(seen, service) for service in SERVICES],
        "executors": executors_view(seen, steps),
        "running": {"count": len(steps), "items": steps[:RUNNING]},
        "queues": {
            "classes": classes_view(seen),
            "consumers": (standing.bus or {}).get("consumers", []),
            "streams": (standing.bus or {}).get("streams", {}),
        },
        "lag": lag_view(seen),
        "runs": runs_view(seen),
        "failures": {
            "count": seen.work.failed_count if seen.work.known else None,
            "items": [failure_view(seen, failure) for failure in seen.work.failures],
        },
        "dead_letters": {
            "count": sum(letters.values()) if standing.bus is not None else None,
            "by_service": {service: count for service, count in sorted(letters.items()) if count},
            "items": list(seen.letters or ()),
        },
        "throughput": {
            "span_seconds": SPAN_SECONDS,
            "completed": list(seen.rates.completed),
            "failed": list(seen.rates.failed),
            "ends_at": time_view(datetime.fromtimestamp(seen.rates.ends_at, UTC)),
            "per_second": seen.rates.per_second,
            "known_seconds": round(seen.rates.known_seconds, 1),
        },
        "disks": disks_view(seen.instances),
        "doctor": {name: seen.report[name] for name in ("checked", "findings", "repairs")},
    }


def state_of(instance: Instance) -> str:
    """Return how a process stands: ``ready``, ``stopping``, or ``silent``: it should have been heard since."""
    return "silent" if instance.silent else "stopping" if instance.stopping else "ready"


def service_view(seen: Seen, service: str) -> dict[str, Any]:
    """Return a service with its processes; it is listed where it has none, too.

    Whether it answers is null where it cannot be asked.
    """
    instances = [each for each in seen.instances if each.service == service]
    answers = seen.standing.answering.get(service, False) if seen.standing.nats else None
    return {
        "service": service,
        "answers": True if service == "gateway" else answers,
        "count": len(instances),
        "versions": sorted({each.version for each in instances if each.version}),
        "instances": [
            {
                "name": each.name,
                "host": each.host or None,
                "pid": each.pid or None,
                "version": each.version or None,
                "node": each.node or None,
                "since": time_view(each.since),
                "heard_seconds": round(each.heard_seconds, 1),
                "ahead_seconds": round(each.ahead_seconds, 3),
                "state": state_of(each),
                "duties": list(each.duties),
            }
            for each in instances[:INSTANCES]
        ],
    }


def executors_view(seen: Seen, steps: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the executors, with what each works on."""
    of = defaultdict(list)
    for step in steps:
        of[step["executor"]].append(step)
    together = Counter(each.executor for each in seen.held if each.work_class == INLINE)
    executors = [each for each in seen.instances if each.service == "executor"]
    return {
        "count": len(executors),
        "silent": sum(each.silent for each in executors),
        "hands": sum(sum(each.hands.values()) for each in executors if not each.silent),
        "busy": sum(len(each) for each in of.values()),
        "items": [
            {
                "name": each.name,
                "host": each.host or None,
                "pid": each.pid or None,
                "version": each.version or None,
                "since": time_view(each.since),
                "heard_seconds": round(each.heard_seconds, 1),
                "state": state_of(each),
                "classes": [
                    {
                        "class": name,
                        "hands": each.hands.get(name),
                        "busy": sum(step["class"] == name for step in of[each.name]),
                    }
                    for name in sorted({*each.hands, *(step["class"] for step in of[each.name])})
                ],
                "inline": together[each.name],
                "steps": of[each.name][:RUNNING],
            }
            for each in executors[:EXECUTORS]
        ],
    }


def steps_view(seen: Seen) -> list[dict[str, Any]]:
    """Return the steps that executors work on, those first that do for longest; unknown ones last."""
    shown = [step_view(seen, each, seen.work.places.get(each.name)) for each in seen.held if each.work_class != INLINE]
    return sorted(shown, key=lambda step: (step["since"] is None, step["since"] or "", step["cache_id"]))


def step_view(seen: Seen, held: Held, place: Place | None) -> dict[str, Any]:
    """Return a step that an executor works on. Of runs that are others' it is not told what their people call it."""
    progress = seen.progress(held.name)
    named = place is not None and bool(place.run_id) and _named(seen, place.owner, place.published)
    run = f"/run/{place.run_id}" if place is not None and named else ""
    number = f"steps/{place.step}" if place is not None else ""
    return {
        "cache_id": held.name,
        "class": held.work_class,
        "executor": held.executor,
        "type": place.type if place else None,
        "node": place.node if place and (named or not place.run_id) else None,
        "run_id": place.run_id or None if place else None,
        "step": place.step if place and place.run_id else None,
        "runs": place.runs if place else 0,
        "attempt": place.attempt if place else None,
        "since": time_view(place.since) if place else None,
        "done": progress[0] if progress else None,
        "total": progress[1] or None if progress else None,
        "links": {
            "run": run or None,
            "step": f"{run}/{number}" if run else None,
            "log": f"/api{run}/{number}/log" if run else None,
        },
    }


def classes_view(seen: Seen) -> list[dict[str, Any]]:
    """Return the classes of work: what is on the queue of each, and who is there for it. Null: nobody can tell."""
    known = seen.standing.bus is not None
    bus = seen.standing.bus or {}
    prefix = "executor-"
    consumers = {
        each["name"].removeprefix(prefix): each for each in bus.get("consumers", ()) if each["name"].startswith(prefix)
    }
    hands: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for each in seen.instances:
        if each.service == "executor" and not each.silent:
            hands.update(each.hands)
            there.update(each.hands.keys() | {INLINE})
    busy = Counter(each.work_class for each in seen.held)
    depth = bus.get("depth", {})
    return [
        {
            "class": name,
            "depth": depth.get(name, 0) if known else None,
            "waiting": consumers.get(name, {}).get("pending", depth.get(name, 0)) if known else None,
            "in_hand": consumers.get(name, {}).get("in_hand", 0) if known else None,
            "asked_for": consumers.get(name, {}).get("waiting", 0) if known else None,
            "hands": hands[name] if name != INLINE else None,
            "busy": busy[name],
            "executors": there[name],
        }
        for name in sorted({*consumers, *depth, *hands, *busy}, key=lambda name: (name == INLINE, name))
    ]


def lag_view(seen: Seen) -> dict[str, Any]:
    """Return how many events are on their way, and to where; null: unknown."""
    relaying = seen.standing.relaying
    return {
        "outbox_events": relaying.waiting if relaying else None,
        "outbox_seconds": round(relaying.seconds, 3) if relaying else None,
        "stream_events": relaying.unpublished if relaying else None,
        "read_model_events": relaying.unshown if relaying else None,
        "position": seen.position,
        "passed_over": dict(seen.standing.passed_over),
    }


def runs_view(seen: Seen) -> dict[str, Any]:
    """Return the runs that go on: how many, whose, and the newest. Null: nobody can tell."""
    found = seen.work
    return {
        "count": found.run_count if found.known else None,
        "by_status": dict(seen.standing.runs),
        "steps_left": found.steps_left if found.known else None,
        "users": {
            "count": found.user_count if found.known else None,
            "items": [
                _person(seen, row)
                | {name: row[name] for name in ("runs", "held", "done", "total")}
                | {"since": time_view(row["since"])}
                for row in found.users
            ],
        },
        "items": [
            _person(seen, row)
            | _run(seen, row)
            | {
                "status": row["status"],
                "done": row["cached"] + row["completed"],
                "total": row["total"],
                "created_at": time_view(row["created_at"]),
            }
            for row in found.runs
        ],
    }


def failure_view(seen: Seen, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run that failed, and its step that is to blame."""
    shown = _run(seen, row)
    step = row["error_step"] if row["error_step"] >= 0 else None
    run = shown["links"]["run"]
    links = shown["links"] | {"step": f"{run}/steps/{step}" if run and step is not None else None}
    return (
        _person(seen, row)
        | shown
        | {
            "at": time_view(row["updated_at"]),
            "code": row["error_code"],
            "kind": kind_of(row["error_code"]),
            "reason": row["error"],
            "step": step,
            "node": row["error_node"] or None if run else None,
            "type": row["type"],
            "links": links,
        }
    )


def disks_view(instances: Iterable[Instance]) -> list[dict[str, Any]]:
    """Return the disks of the content folders, one for each node, the fullest first."""
    nodes: dict[str, list[Instance]] = defaultdict(list)
    for each in instances:
        if each.node and each.disk_total_bytes > 0:
            nodes[each.node].append(each)
    shown = []
    for node, those in nodes.items():
        latest = min(those, key=lambda each: each.heard_seconds)
        used = 1 - latest.disk_free_bytes / latest.disk_total_bytes
        shown.append(
            {
                "node": node,
                "hosts": sorted({each.host for each in those}),
                "free_bytes": latest.disk_free_bytes,
                "total_bytes": latest.disk_total_bytes,
                "used": round(min(1.0, max(0.0, used)), 4),
            }
        )
    return sorted(shown, key=lambda disk: (-disk["used"], disk["node"]))


def _named(seen: Seen, owner: str, published: bool) -> bool:
    """Return whether the operator sees what is a user's: as anybody else does, in :mod:`visibility`.

    Who sees a picture that the system makes of content hangs on the content, so it has no link here.
    """
    return owner != UNLISTED and (seen.names_all or owner == OWNER or published)


def _person(seen: Seen, row: Mapping[str, Any]) -> dict[str, Any]:
    return {"owner": row["owner"], "handle": seen.work.handles.get(row["owner"])}


def _run(seen: Seen, row: Mapping[str, Any]) -> dict[str, Any]:
    named = _named(seen, row["owner"], row["published"])
    return {
        "run_id": row["run_id"],
        "name": (row["output_name"] or row["recipe_name"] or None) if named else None,
        "links": {"run": f"/run/{row['run_id']}" if named else None},
    }
