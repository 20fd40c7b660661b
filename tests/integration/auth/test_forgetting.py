"""Rows of the inbox outlive the commands that they are about, and not much more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from artdag_common.eventstore import postgres, roles, schema
from artdag_common.messaging.bus import DAY, STREAMS
from artdag_common.messaging.subjects import COMMANDS
from services.auth.forgetting import Forgetting
from services.gateway.repeating import DAYS

AGED = """INSERT INTO es_inbox (consumer, msg_id, handled_at)
SELECT consumer, days || '-' || n, now() - days * interval '1 day'
FROM unnest(ARRAY['planner', 'cache', 'auth']) consumer, unnest(ARRAY[0, 7.9, 8.1, 400]) days, generate_series(1, 5) n
"""
LEFT = "SELECT consumer, split_part(msg_id, '-', 1)::float AS days, count(*) FROM es_inbox GROUP BY 1, 2 ORDER BY 1, 2"


@pytest.fixture
async def urls(database: str) -> AsyncIterator[dict[str, str]]:
    """URLs of the database for each service."""
    own = await roles.prepare(database)
    assert own
    yield own
    owner = await asyncpg.connect(database)
    for name in own:  # roles belong to the server, and other tests have it after this one
        quoted = roles.quoted(f"{database.rpartition('/')[2]}_{name}")
        await owner.execute(f"DROP OWNED BY {quoted} CASCADE")
        await owner.execute(f"DROP ROLE {quoted}")
    await owner.close()


async def test_the_auth_service_forgets_what_is_too_old_of_all_and_nothing_else(
    database: str, urls: dict[str, str]
) -> None:
    owner = await asyncpg.connect(database)
    await owner.execute(AGED)
    pool = await postgres.connect(urls["auth"], 2)
    forgetting = Forgetting(pool)
    assert sum(await asyncio.gather(forgetting.forget(at_once=4), forgetting.forget(at_once=4))) == 30
    left = [(row["consumer"], row["days"], row["count"]) for row in await owner.fetch(LEFT)]
    assert left == [(who, days, 5) for who in ("auth", "cache", "planner") for days in (0, 7.9)]
    assert await forgetting.forget() == 0
    await pool.close()
    await owner.close()


async def test_it_is_done_by_itself(pool: asyncpg.Pool) -> None:
    await pool.execute(AGED)
    forgetting = Forgetting(pool)
    await forgetting.start()
    async with asyncio.timeout(30):
        while await pool.fetchval("SELECT count(*) FROM es_inbox") > 30:
            await asyncio.sleep(0.01)
    await forgetting.stop()
    assert await pool.fetchval("SELECT min(handled_at) > now() - interval '8 days' FROM es_inbox")


async def test_nobody_removes_a_young_row_and_only_the_auth_service_an_old_one(
    database: str, urls: dict[str, str]
) -> None:
    for service, url in urls.items():
        connection = await asyncpg.connect(url)
        for statement in (
            "SELECT es_forget_handled(1)",
            "DELETE FROM es_inbox",
            "UPDATE es_inbox SET handled_at = '-infinity'",
        ):
            if service == "auth" and "forget" in statement:
                continue
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.close()


def test_rows_outlive_commands_and_keys() -> None:
    (commands,) = (stream for stream in STREAMS if stream.name == COMMANDS)
    assert commands.max_age
    assert commands.max_age < DAYS * DAY
    assert f"interval '{DAYS} days'" in schema.schema_text()
