"""Everything that an operator looks at while the system works, in one answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from artdag_common.domain.access import OWNER
from artdag_common.errors import ArtdagError, NotYoursError
from artdag_common.messaging.presence import own_name, token
from services.gateway.api.dlq import LETTER, letter_view
from services.gateway.api.doctor import REPORT, renewed, report_of
from services.gateway.api.documentation import RUN_ID, TIME, answers
from services.gateway.api.shapes import ByName
from services.gateway.overview import INLINE, Seen, view
from services.gateway.parts import Gateway, Parts, User
from services.gateway.problems import Json
from services.gateway.standing import Standing, look
from services.gateway.throughput import SPAN_SECONDS
from services.gateway.work import work

router = APIRouter(tags=["server"])

LETTERS = 20
"""How many dead letters are listed; all are counted."""

LETTERS_SECONDS = 2.0

STEP: dict[str, Any] = {
    "cache_id": "c0ffee…",
    "class": "cpu",
    "executor": "node-1-4711",
    "type": "EFFECT",
    "node": "apply_dog",
    "run_id": RUN_ID,
    "step": 3,
    "runs": 1,
    "attempt": 1,
    "since": TIME,
    "done": 120,
    "total": 300,
    "links": {"run": f"/run/{RUN_ID}", "step": f"/run/{RUN_ID}/steps/3", "log": f"/api/run/{RUN_ID}/steps/3/log"},
}
INSTANCE: dict[str, Any] = {
    "name": "node-1-4712",
    "host": "node-1",
    "pid": 4712,
    "version": "0.1.0",
    "node": "a3c5…",
    "since": TIME,
    "heard_seconds": 0.8,
    "ahead_seconds": -0.001,
    "state": "ready",
    "duties": ["relay"],
}
PERSON = {"owner": "owner", "handle": "@owner@localhost"}
SHOWN: dict[str, Any] = {
    "at": TIME,
    "gateway": "node-1-4713",
    "well": True,
    "backing": {"postgres": True, "nats": True, "redis": True, "read_models": True},
    "services": [
        {"service": "planner", "answers": True, "count": 1, "versions": ["0.1.0"], "instances": [INSTANCE]},
    ],
    "executors": {
        "count": 1,
        "silent": 0,
        "hands": 4,
        "busy": 1,
        "items": [
            {
                "name": "node-1-4711",
                "host": "node-1",
                "pid": 4711,
                "version": "0.1.0",
                "since": TIME,
                "heard_seconds": 0.4,
                "state": "ready",
                "classes": [{"class": "cpu", "hands": 4, "busy": 1}],
                "inline": 0,
                "steps": [STEP],
            }
        ],
    },
    "running": {"count": 1, "items": [STEP]},
    "queues": {
        "classes": [
            {
                "class": "cpu",
                "depth": 3,
                "waiting": 2,
                "in_hand": 1,
                "asked_for": 3,
                "hands": 4,
                "busy": 1,
                "executors": 1,
            }
        ],
        "consumers": [
            {"stream": "EVENTS", "name": "planner", "pending": 0, "in_hand": 0, "most_in_hand": 4000, "waiting": 1}
        ],
        "streams": ByName(EVENTS={"messages": 4711, "last": 4711, "bytes": 1048576}),
    },
    "lag": {
        "outbox_events": 0,
        "outbox_seconds": 0.0,
        "stream_events": 0,
        "read_model_events": 0,
        "position": 4711,
        "passed_over": ByName(),
    },
    "runs": {
        "count": 1,
        "by_status": ByName(running=1),
        "steps_left": 3,
        "users": {
            "count": 1,
            "items": [PERSON | {"runs": 1, "held": 0, "done": 1, "total": 4, "since": TIME}],
        },
        "items": [
            PERSON
            | {
                "run_id": RUN_ID,
                "name": "my-output",
                "status": "running",
                "done": 1,
                "total": 4,
                "created_at": TIME,
                "links": {"run": f"/run/{RUN_ID}"},
            }
        ],
    },
    "failures": {
        "count": 1,
        "items": [
            PERSON
            | {
                "run_id": RUN_ID,
                "name": "trailer",
                "at": TIME,
                "code": "step-input",
                "kind": "bad-input",
                "reason": "the video ends before 3600 s",
                "step": 1,
                "node": "ending",
                "type": "SEGMENT",
                "links": {"run": f"/run/{RUN_ID}", "step": f"/run/{RUN_ID}/steps/1"},
            }
        ],
    },
    "dead_letters": {"count": 1, "by_service": ByName(planner=1), "items": [LETTER]},
    "throughput": {
        "span_seconds": SPAN_SECONDS,
        "completed": [0, 12, 30],
        "failed": [0, 0, 1],
        "ends_at": TIME,
        "per_second": 2.4,
        "known_seconds": 300.0,
    },
    "disks": [
        {"node": "a3c5…", "hosts": ["node-1"], "free_bytes": 52428800000, "total_bytes": 104857600000, "used": 0.5},
    ],
    "doctor": {"checked": REPORT["checked"], "findings": REPORT["findings"], "repairs": REPORT["repairs"]},
}


@router.get("/api/ops", summary="What the system does now", responses=answers(SHOWN, 401, 403))
async def operations(parts: Parts, viewer: User) -> Response:
    """Services and their processes, executors and what each works on, queues, runs and failures, dead letters, steps
    a second, disks, and what doctor finds. For the operator.

    Lists are bounded, `count` says how many there are in all. What is found is half a second old at most, doctor's part
    five. Where somebody does not answer, what only they know is null, or empty; `backing` and `services` say who, and
    `well` is false.
    """
    if viewer != OWNER:
        raise NotYoursError("only the operator of this system sees what it does")
    return Json(await parts.overview.get(lambda: overview(parts)))


async def overview(parts: Gateway) -> dict[str, Any]:
    """Look at everything, and return it in JSON terms."""
    held = parts.presence.held()
    wanted = {each.name for each in held if each.work_class != INLINE}
    standing, report, found = await asyncio.gather(
        look(parts, closely=False),
        parts.report.get(lambda: _examined(parts)),
        work(parts, wanted),
    )
    seen = Seen(
        at=datetime.now(UTC),
        gateway=token(own_name()),
        names_all=not parts.settings.shared,
        standing=standing,
        report=renewed(report, standing),
        instances=parts.presence.instances(),
        held=held,
        work=found,
        rates=parts.throughput.rates(),
        position=parts.projector.position,
        letters=await _letters(parts, standing),
        progress=parts.ticks.done,
    )
    return view(seen)


async def _examined(parts: Gateway) -> dict[str, Any]:
    return report_of(await look(parts))


async def _letters(parts: Gateway, standing: Standing) -> list[dict[str, Any]] | None:
    if standing.bus is None:
        return None
    if not sum(standing.bus["letters"].values()):
        return []
    try:
        async with asyncio.timeout(LETTERS_SECONDS):
            found = await parts.auth.letters("", "", 0, LETTERS)
            return [letter_view(letter) for letter in found["letters"]]
    except (ArtdagError, TimeoutError):
        return None
