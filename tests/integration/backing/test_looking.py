"""What doctor finds out of real servers that are there, and do not do what they are for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis.asyncio

from artdag_cli.backing import free_port, redis_server
from artdag_cli.surroundings import servers
from artdag_cli.surroundings.facts import Other
from artdag_cli.system import System
from artdag_common.eventstore import postgres
from artdag_common.eventstore.schema import EMPTY
from tests.answering import Answers, answering
from tests.integration.events.servers import serving

PASSWORD = "of-a-test"


async def as_somebody(database: str, grants: str) -> str:
    """Return the URL of a database for a new account, with some rights."""
    parts = urlsplit(database)
    name = f"somebody_{parts.path.strip('/')}"
    owner = await asyncpg.connect(database)
    await owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    for grant in filter(None, grants.split(";")):
        await owner.execute(grant.format(name=name))
    await owner.close()
    return parts._replace(netloc=f"{name}:{PASSWORD}@{parts.netloc.rpartition('@')[2]}").geturl()


async def forget_somebody(database: str) -> None:
    """Remove that account."""
    owner = await asyncpg.connect(database)
    name = f"somebody_{urlsplit(database).path.strip('/')}"
    await owner.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")
    await owner.close()


async def test_a_postgres_that_takes_no_writes_is_told(database: str) -> None:
    assert (await servers.postgres(database)).read_only == ""
    owner = await asyncpg.connect(database)
    await owner.execute(f"ALTER DATABASE {urlsplit(database).path.strip('/')} SET default_transaction_read_only = on")
    assert (await servers.postgres(database)).read_only == "default_transaction_read_only is on"
    await owner.close()


async def test_an_account_that_may_not_do_what_it_has_to_is_told(database: str) -> None:
    account = await as_somebody(database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    try:
        found = await servers.postgres(account)
        assert (found.schema, found.unable) == (EMPTY, "may make no tables")
        owner = await asyncpg.connect(database)
        await (await postgres.connect(database, 2)).close()
        await owner.execute("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC")
        found = await servers.postgres(account)
        assert (found.schema, found.unable) == (None, "may not append events"), "nor look at the schema"
        await owner.close()
        own = await servers.postgres(database)
        assert (own.unable, own.schema) == ("", own.schema)
        assert own.schema
    finally:
        await forget_somebody(database)


async def test_a_cluster_of_nats_is_whole_or_told(backing: System, state: Path) -> None:
    url = backing.environment["NATS_URL"]
    gone = f"127.0.0.1:{free_port()}"
    assert (await servers.nats_server(url, state, True)).silent == {}
    found = await servers.nats_server(f"{url},{gone}", state, False)
    assert found.away == ""
    assert list(found.silent) == [gone]


async def test_a_redis_that_takes_no_writes_is_told(tmp_path: Path) -> None:
    async with serving(redis_server, tmp_path) as server:
        assert (await servers.redis_server(server.url)).refuses == ""
        client = redis.asyncio.Redis.from_url(server.url)
        await client.config_set("min-replicas-to-write", 1)
        found = await servers.redis_server(server.url)
        assert found.away == ""
        assert "NOREPLICAS" in found.refuses.upper() or "replicas" in found.refuses
        await client.aclose()


class Denying(Answers):
    """A place of content that answers, and lets nobody in."""

    def deny(self) -> None:
        """Answer any request."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = deny  # noqa: N815  (names of the base class)


@pytest.fixture
def denying() -> Iterator[str]:
    """Its address, ``host:port``."""
    with answering(Denying) as place:
        yield place


async def test_places_of_content_that_let_nobody_in_are_told(denying: str) -> None:
    bucket = await servers.s3("the S3 store", f"s3://key:{PASSWORD}@{denying}/bucket?tls=false")
    assert (bucket.place, bucket.away) == (denying, "")
    assert "check access key, secret key and bucket" in bucket.refuses
    assert PASSWORD not in bucket.refuses
    node = await servers.ipfs("the IPFS node", f"http://{denying}", False)
    assert (node.place, node.away) == (denying, "")
    assert "403" in node.refuses


async def test_what_cannot_be_reached_is_not_tried(tmp_path: Path) -> None:
    gone = f"127.0.0.1:{free_port()}"
    async with asyncio.timeout(30):
        bucket = await servers.s3("the S3 store", f"s3://key:secret@{gone}/bucket?tls=false")
        node = await servers.ipfs("the IPFS node", f"http://{gone}", True)
    assert [each.place for each in (bucket, node) if each.away and not each.refuses] == [gone, gone]
    assert await servers.s3("the S3 store", "s3://nothing") == Other("the S3 store", "", servers.UNREADABLE)
