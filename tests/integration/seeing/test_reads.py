"""How reads of content are counted, by where it was found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from artdag_common import metrics
from services.cache.wiring import cache
from tests.integration.nodes.conftest import Cluster


@pytest.fixture(autouse=True)
def counting() -> Iterator[None]:
    """Count, as an executor that is probed does."""
    metrics.begin("executor")
    yield
    metrics.end()


def reads() -> dict[str, float]:
    """Return how often content was found where; places where none was are left out."""
    family: Any = metrics.CONTENT_READS._family
    return {found: child._value.get() for (found,), child in family._metrics.items() if child._value.get()}


async def test_each_input_of_a_step_is_one_read(cluster: Cluster) -> None:
    there, here = cluster.node("there"), cluster.node("here")
    async with there.services(cache), cluster.store_of(here, there) as blobs:
        async with cluster.store_of(there) as theirs:
            cids = [(await theirs.put(f"content {number}".encode())).cid for number in range(3)]
        before = reads()
        async with blobs.held(cids) as paths:
            assert [path.read_text() for path in paths] == ["content 0", "content 1", "content 2"]
        assert {found: count - before.get(found, 0) for found, count in reads().items()} == {"nodes": 3}
        async with blobs.held([*cids, cids[0]]):
            pass
        assert reads()["local"] - before.get("local", 0) == 3
