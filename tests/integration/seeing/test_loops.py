"""Loops in the background that end though nobody told them to: probes say so, and the log says why."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest
from structlog.testing import capture_logs

from artdag_common.probing import Parts, Probe
from artdag_common.tasks import end
from services.cache.limit import Limit
from services.cache.wiring import cache
from services.planner.wiring import planner
from tests.integration.events.appends import eventually
from tests.integration.executor.conftest import Bench
from tests.integration.nodes.conftest import Cluster


def service(cluster: Cluster, **more: object) -> AbstractAsyncContextManager[Parts]:
    """A cache service with something to do for each of its loops."""
    return cache(cluster.node("a", ARTDAG_CACHE_LIMIT=1000, ARTDAG_RETENTION_DAYS=1, **more).settings)


async def broken_off(name: str) -> None:
    """End a loop, as a defect might."""
    (loop,) = [task for task in asyncio.all_tasks() if task.get_name() == name]
    await end(loop)


def health(parts: Parts) -> tuple[int, dict[str, object]]:
    """Return what a probe says of a service."""
    probe = Probe(asyncio.Event())
    probe.watch(parts)
    return probe.health()


@pytest.mark.parametrize(
    ("loop", "told"),
    [
        ("garbage", "content"),
        ("keep content: this node", "content"),
        ("make room", "content"),
        ("announce the node", "content"),
        ("copies", "copies"),
        ("webhooks", "webhooks"),
        ("old step logs", "step_logs"),
        ("follow cache", "events"),
    ],
)
async def test_a_loop_of_the_cache_service_that_ends_is_told_of(cluster: Cluster, loop: str, told: str) -> None:
    async with service(cluster) as parts:
        assert health(parts) == (200, {"status": "ok"})
        await broken_off(loop)
        assert health(parts) == (503, {"status": "stuck", "loops": [told]})


async def test_a_cache_service_that_serves_its_node_alone_is_watched_too(cluster: Cluster) -> None:
    async with service(cluster, ARTDAG_CACHE_DUTIES="node") as parts:
        assert health(parts) == (200, {"status": "ok"})
        await broken_off("make room")
        assert health(parts) == (503, {"status": "stuck", "loops": ["content"]})


async def test_an_executor_that_no_longer_tells_that_it_is_there_is_told_of(bench: Bench) -> None:
    async with bench.executor() as parts:
        assert health(parts) == (200, {"status": "ok"})
        await broken_off("tell of presence")
        assert health(parts) == (503, {"status": "stuck", "loops": ["presence"]})


@pytest.mark.parametrize(
    ("loop", "told"),
    [
        ("count hands", "queue"),
        ("look after slots", "queue"),
        ("note repairs", "repairs"),
        ("watch executors", "executors"),
        ("reconcile", "events"),
    ],
)
async def test_a_loop_of_the_planner_that_ends_is_told_of(cluster: Cluster, loop: str, told: str) -> None:
    async with planner(cluster.node("a", ARTDAG_CLASS_LIMITS="gpu=1").settings) as parts:
        assert health(parts) == (200, {"status": "ok"})
        await broken_off(loop)
        assert health(parts) == (503, {"status": "stuck", "loops": [told]})


async def test_what_ended_a_loop_is_in_the_log(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_down(self: Limit) -> int:
        raise KeyError("nobody thought of it")

    monkeypatch.setattr(Limit, "make_room", break_down)
    with capture_logs() as lines:
        async with service(cluster) as parts:

            async def stuck() -> bool:
                return health(parts)[0] == 503

            await eventually(stuck, "the loop has ended")
    (line,) = [each for each in lines if each.get("loop") == "make room"]
    assert isinstance(line["exc_info"], KeyError)
