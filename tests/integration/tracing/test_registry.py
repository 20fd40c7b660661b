"""What is sent to the registry, as a span of a trace of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from artdag_common.blobs.local import LocalBlobStore
from artdag_common.tracing import span
from tests.integration.cache.conftest import Cache
from tests.integration.cache.test_delivery import Press, press  # noqa: F401  (fixture)
from tests.integration.federation.registry import answer
from tests.recorder import recording

ASKED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def cache(pool: asyncpg.Pool, tmp_path: Path) -> AsyncIterator[Cache]:
    """The cache service that speaks to the registry."""
    it = Cache(pool, LocalBlobStore(tmp_path))
    yield it
    await it.store.close()


async def test_an_activity_is_told_in_a_trace_of_its_own_with_what_the_registry_said(press: Press) -> None:  # noqa: F811
    press.registry.decisions = [answer(500, ""), answer(422, {"detail": "no such person"})]
    cid = await press.cache.upload()
    with recording() as spans, span("command PublishObject", above=ASKED):
        await press.publish(cid, "a name of giles'")
        for _ in range(2):
            await press.send_one()
            await press.due()
    told = [each for each in spans if each.name == "tell registry"]
    assert [(each.kind, each.above, each.error) for each in told] == [
        ("client", None, "l2-unavailable"),
        ("client", None, ""),
    ]
    assert [each.attributes for each in told] == [{"artdag.attempt": 1}, {"artdag.attempt": 2, "artdag.taken": False}]
    assert "giles" not in json.dumps([each.attributes for each in spans])
