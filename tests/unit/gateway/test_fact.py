"""Events as the gateway sees them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from artdag_common.eventstore.port import Recorded
from services.gateway.projections import objects, recipes, runs, tokens
from services.gateway.projections.fact import fact
from services.gateway.sse import Channel, cloud_event

NEWER = Recorded("run-r", 9, UUID(int=1), "RunMovedToTheMoon", b"\xff", 7, datetime(2026, 1, 7, tzinfo=UTC))


async def test_an_event_of_a_newer_version_is_passed_over():
    newer = fact(NEWER)
    assert (newer.event, newer.position, newer.key) == (None, 7, "r")
    for projection in (runs, recipes, objects, tokens):
        await projection.apply(None, [newer])  # touches no row: there is no connection to touch one with
    assert not Channel("r").accepts(newer)
    assert cloud_event(newer)["data"] == {}
