"""NATS with JetStream."""

from __future__ import annotations

import secrets
from pathlib import Path

import nats
from nats.aio.client import Client

from artdag_cli.backing.launch import Launch, binary, guarded, kept, kept_port, rewrite


def nats_server(state: Path) -> tuple[str, Launch]:
    """Return the URL and the launch of a NATS server with JetStream."""
    folder = state / "nats"
    folder.mkdir(exist_ok=True, mode=0o700)
    port = kept_port(state, "nats")
    password = kept(state / "nats.password", secrets.token_hex)
    configuration = folder / "nats.conf"
    rewrite(
        configuration,
        f'listen: "127.0.0.1:{port}"\n'
        "max_payload: 8MB\n"
        f'authorization {{ user: artdag, password: "{password}" }}\n'
        f'jetstream {{ store_dir: "{folder}", sync_interval: always, max_memory_store: 1GB }}\n',
    )
    url = f"nats://artdag:{password}@127.0.0.1:{port}"

    async def ready() -> bool:
        connection = Client()
        try:
            await connection.connect(
                url, connect_timeout=1, allow_reconnect=False, reconnect_time_wait=0, error_cb=_quiet
            )
            await connection.jetstream().account_info()
        except (OSError, nats.errors.Error, nats.js.errors.Error):
            return False
        finally:  # an attempt that failed half way holds a socket too
            await connection.close()
        return True

    return url, Launch(
        "nats", (*guarded(), binary("nats-server"), "-c", str(configuration)), ready, state / "logs" / "nats.log"
    )


async def _quiet(_: Exception) -> None:
    """Errors while a server starts are expected."""
