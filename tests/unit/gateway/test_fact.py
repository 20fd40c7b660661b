"""Events as the gateway sees them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from artdag_common.eventstore.port import Recorded
from services.gateway.projections.fact import fact
from services.gateway.projections.projector import PROJECTIONS, concerning
from services.gateway.sse import Channel, cloud_event

NEWER = Recorded("run-r", 9, UUID(int=1), "RunMovedToTheMoon", b"\xff", 7, datetime(2026, 1, 7, tzinfo=UTC))


def test_an_event_of_a_newer_version_is_passed_over():
    newer = fact(NEWER)
    assert (newer.event, newer.position, newer.key) == (None, 7, "r")
    for projection in PROJECTIONS:
        assert concerning(projection, [newer]) == []
    assert not Channel("r").accepts(newer)
    assert cloud_event(newer)["data"] == {}
