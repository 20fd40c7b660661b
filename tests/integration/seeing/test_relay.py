"""What a relay tells of the horizon: as long as it leads, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from artdag_common import metrics
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.relay import LEADER_LOCK, Relay
from tests.integration.events.appends import eventually, write


@pytest.fixture(autouse=True)
def counting() -> Iterator[None]:
    """Count, as an auth service that is probed does."""
    metrics.begin("auth")
    yield
    metrics.end()


def value(metric: metrics.Metric) -> float:
    """Return a number as it is shown."""
    family: Any = metric._family
    return float(family.collect()[0].samples[0].value)


async def test_who_lost_the_lead_tells_of_no_horizon_any_more(
    bus: Bus, pool: asyncpg.Pool, store: PostgresEventStore, database: str
) -> None:
    async def held_up() -> bool:
        return value(metrics.RELAY_HORIZON) > 0

    async def leads() -> bool:
        return bool(value(metrics.RELAY_LEADS))

    async def follows() -> bool:
        return not await leads()

    relay = Relay(database, bus)
    await relay.start()
    older, successor = await asyncpg.connect(database), await asyncpg.connect(database)
    try:
        await eventually(leads, "it leads")
        async with older.transaction():
            await older.execute("SELECT pg_current_xact_id()")
            await write(store, "run-1", 1)
            await eventually(held_up, "an event waits for the older transaction")
            leading = asyncio.create_task(successor.execute("SELECT pg_advisory_lock($1)", LEADER_LOCK))

            async def waits() -> bool:
                found = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $1"
                return bool(await pool.fetchval(found, LEADER_LOCK))

            await eventually(waits, "the successor waits for the lock")
            await pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE locktype = 'advisory' AND granted AND objid = $1 AND pid <> pg_backend_pid()",
                LEADER_LOCK,
            )
            await leading
            await eventually(follows, "it has seen that it leads no more")
            assert value(metrics.RELAY_HORIZON) == 0
    finally:
        await relay.stop()
        await older.close()
        await successor.close()
