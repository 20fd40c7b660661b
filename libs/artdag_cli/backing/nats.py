"""NATS with JetStream."""

from __future__ import annotations

import secrets
from pathlib import Path

import nats
from nats.aio.client import Client

from artdag_cli.backing.launch import Launch, binary, guarded, kept, kept_port, rewrite
from artdag_common.config import Settings
from artdag_common.messaging import permissions

KEPT = "nats.password"


def nats_server(state: Path) -> tuple[str, Launch]:
    """Return the URL, under the operator's account, and the launch of a NATS server with JetStream."""
    folder = state / "nats"
    folder.mkdir(exist_ok=True, mode=0o700)
    port = kept_port(state, "nats")
    password = kept(state / KEPT, secrets.token_hex)
    configuration = folder / "nats.conf"
    rewrite(
        configuration,
        f'listen: "127.0.0.1:{port}"\n'
        "max_payload: 8MB\n"
        f"{permissions.authorization(password, nats_seeds(state), Settings.read().classes)}"
        f'jetstream {{ store_dir: "{folder}", sync_interval: always, max_memory_store: 1GB }}\n',
    )
    url = f"nats://{permissions.OPERATOR}:{password}@127.0.0.1:{port}"

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


def nats_seeds(state: Path) -> dict[str, str]:
    """Return what the accounts of this state folder's server sign in with, by name."""
    secret = kept(state / KEPT, secrets.token_hex)
    return {name: permissions.seed(secret, name) for name in permissions.ACCOUNTS}


async def _quiet(_: Exception) -> None:
    """Errors while a server starts are expected."""
