"""Metrics for Prometheus: text exposition format 0.0.4."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus

import asyncpg
from fastapi import APIRouter, Request
from starlette.responses import Response

from artdag_common.addresses import among
from artdag_common.domain.access import OWNER
from artdag_common.errors import NotYoursError
from artdag_common.eventstore.postgres import LOST
from services.gateway.api.documentation import answers
from services.gateway.auditing import address_of
from services.gateway.parts import Gateway, Parts
from services.gateway.projections import ends
from services.gateway.standing import ANSWER_SECONDS, Standing, look

router = APIRouter(tags=["server"])

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COUNTED = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""Refusals that are counted here: there was no room for a request."""

PASSED_ON = ("x-forwarded-for", "forwarded", "x-real-ip")
SHOWN = """# HELP artdag_dead_letters What gave up, and waits for the operator.
# TYPE artdag_dead_letters gauge
artdag_dead_letters{service="planner"} 0
"""

Sample = tuple[Mapping[str, str], float]


@router.get(
    "/metrics",
    summary="Metrics, for Prometheus",
    responses=answers(SHOWN, 401, 403, media_type="text/plain"),
)
async def read_metrics(request: Request, parts: Parts) -> Response:
    """How the system stands, in the text format of Prometheus.

    For whoever asks from a network in `ARTDAG_METRICS_FROM` (this machine, if nothing is set), and for the operator's
    token from anywhere.
    """
    if not _near(request, parts) and await parts.access.user(request) != OWNER:
        raise NotYoursError("metrics are for the operator's token, or for the networks in ARTDAG_METRICS_FROM")
    found = await look(parts, closely=False)
    counted = await _counted(parts.pool) if found.postgres else []
    text = "".join(exposition(found, counted, request.app.state.refused, parts.projector.position))
    return Response(text, media_type=MEDIA_TYPE)


async def _counted(pool: asyncpg.Pool) -> list[tuple[str, str, int]]:
    """Return how steps ended; nothing where Postgres has just gone: what else was found is still to be told."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await ends.ends(pool)
    except (asyncpg.PostgresError, TimeoutError, *LOST):
        return []


def _near(request: Request, parts: Gateway) -> bool:
    """Return whether a request comes from a network that may read. A proxy that nobody told us to trust is nowhere
    near: for whom it asks is not known."""
    trusted = parts.settings.trusted_proxies
    if not trusted and any(name in request.headers for name in PASSED_ON):
        return False
    return among(address_of(request.scope), parts.settings.metrics_from)


def exposition(
    found: Standing, counted: Iterable[tuple[str, str, int]], refused: Mapping[tuple[int, str], int], position: int
) -> Iterator[str]:
    """Yield the lines. What could not be read is left out; ``artdag_up`` tells of it.

    Args:
        counted: how steps and attempts ended: what, kind of failure, how often.
        refused: by status and code, since this gateway began.
        position: of the last event that this gateway's read models show.
    """
    up = {**found.answering, "postgres": found.postgres, "read models": found.running}
    yield from _metric("up", "gauge", "Whether a part answers.", [({"part": k}, v) for k, v in up.items()])
    yield from _metric("position", "gauge", "Events that the read models show.", [({}, position)])
    if found.bus is not None:
        letters = dict.fromkeys(found.answering, 0) | found.bus["letters"]
        samples = (({"service": service}, count) for service, count in letters.items())
        yield from _metric("dead_letters", "gauge", "What gave up, and waits for the operator.", samples)
        depth = (({"class": each}, count) for each, count in found.bus["depth"].items())
        yield from _metric("queue_depth", "gauge", "Messages with steps on the work queue, by class.", depth)
        consumers = [({"stream": c["stream"], "consumer": c["name"]}, c) for c in found.bus["consumers"]]
        pending = ((labels, c["pending"]) for labels, c in consumers)
        yield from _metric("consumer_pending", "gauge", "Messages that a consumer has not been given.", pending)
        in_hand = ((labels, c["in_hand"]) for labels, c in consumers)
        yield from _metric("consumer_in_hand", "gauge", "Messages given and not acknowledged yet.", in_hand)
    if found.postgres:
        runs = (({"status": status}, count) for status, count in found.runs.items())
        yield from _metric("runs", "gauge", "Runs that go on, by status.", runs)
        repaired = (({"what": what}, count) for what, count in found.repaired.items())
        yield from _metric("repairs_total", "counter", "What the reconciler put back that was lost.", repaired)
        ended = (({"end": what, "kind": kind}, count) for what, kind, count in counted)
        help_text = "Ends of steps and failed attempts, by kind of failure; counted anew where read models are."
        yield from _metric("step_ends_total", "counter", help_text, ended)
    if found.relaying:
        lags = (("outbox", found.relaying.waiting), ("stream", found.relaying.unpublished))
        relay = (({"to": to}, count) for to, count in lags if count is not None)
        yield from _metric("relay_lag_events", "gauge", "Committed events that are not there yet.", relay)
        yield from _metric(
            "relay_lag_seconds", "gauge", "How long the oldest waits.", [({}, round(found.relaying.seconds, 3))]
        )
        yield from _metric(
            "projector_lag_events", "gauge", "Events that the read models lack.", [({}, found.relaying.unshown)]
        )
    samples = (({"status": str(int(s)), "code": code}, count) for (s, code), count in sorted(refused.items()))
    help_text = "Requests for which there was no room, since this gateway began."
    yield from _metric("refused_requests_total", "counter", help_text, samples)


def _metric(name: str, kind: str, help_text: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP artdag_{name} {help_text}\n# TYPE artdag_{name} {kind}\n"
    for labels, value in samples:
        named = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"artdag_{name}{f'{{{named}}}' if named else ''} {float(value):.15g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
