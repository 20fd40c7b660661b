"""NATS with JetStream: one server, or a cluster."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nats
from nats.aio.client import Client

from artdag_cli.backing.launch import Launch, binary, guarded, kept, kept_port, rewrite
from artdag_common.config import Settings
from artdag_common.messaging import permissions
from artdag_common.tasks import unbroken

KEPT = "nats.password"
CLUSTER = "artdag"


@dataclass(frozen=True, slots=True)
class _Member:
    """A server of a cluster. ``routes``: its port for the other servers."""

    name: str
    host: str
    port: int
    routes: int


def nats_server(state: Path) -> tuple[str, Launch]:
    """Return the URL, under the operator's account, and the launch of a NATS server with JetStream."""
    return _launch(state, "nats", "127.0.0.1", kept_port(state, "nats"))


def nats_cluster(state: Path, hosts: Sequence[str] = ("127.0.0.1",) * 3) -> tuple[str, list[Launch]]:
    """Return the URL, under the operator's account, and the launches of a cluster of NATS servers with JetStream.

    None of them is ready before most of them run: start all, and wait then.

    Args:
        hosts: addresses that they listen on, each server on ports of its own.
    """
    password = kept(state / "nats.routes.password", secrets.token_hex)
    members = [
        _Member(name, host, kept_port(state, name), kept_port(state, f"{name}.routes"))
        for name, host in ((f"nats-{number}", host) for number, host in enumerate(hosts, 1))
    ]
    routes = ", ".join(f'"nats-route://{CLUSTER}:{password}@{each.host}:{each.routes}"' for each in members)
    launches, urls = [], []
    for member in members:
        section = (
            f'server_name: "{member.name}"\n'
            f'cluster {{ name: {CLUSTER}, listen: "{member.host}:{member.routes}", routes: [{routes}],'
            f' authorization {{ user: {CLUSTER}, password: "{password}",'
            f" timeout: {permissions.SIGN_IN_SECONDS} }} }}\n"
        )
        url, launch = _launch(state, member.name, member.host, member.port, section)
        launches.append(launch)
        urls.append(url)
    return ",".join(urls), launches


def _launch(state: Path, name: str, host: str, port: int, cluster: str = "") -> tuple[str, Launch]:
    folder = state / name
    folder.mkdir(exist_ok=True, mode=0o700)
    password = kept(state / KEPT, secrets.token_hex)
    configuration = folder / "nats.conf"
    rewrite(
        configuration,
        f'listen: "{host}:{port}"\n'
        "max_payload: 8MB\n"
        f"{permissions.authorization(password, nats_seeds(state), Settings.read().classes)}"
        f'jetstream {{ store_dir: "{folder}", sync_interval: always, max_memory_store: 1GB }}\n'
        f"{cluster}",
    )
    url = f"nats://{permissions.OPERATOR}:{password}@{host}:{port}"

    async def ready() -> bool:
        connection = Client()
        try:
            await connection.connect(
                url, connect_timeout=1, allow_reconnect=False, reconnect_time_wait=0, error_cb=_quiet
            )
            await connection.jetstream().account_info()
        except (OSError, nats.errors.Error, nats.js.errors.Error):
            return False
        finally:  # an attempt that failed half way holds a socket too; closing that is broken off leaves it open
            await unbroken(connection.close())
        return True

    return url, Launch(
        name, (*guarded(), binary("nats-server"), "-c", str(configuration)), ready, state / "logs" / f"{name}.log"
    )


def nats_seeds(state: Path) -> dict[str, str]:
    """Return what the accounts of this state folder's server sign in with, by name."""
    secret = kept(state / KEPT, secrets.token_hex)
    return {name: permissions.seed(secret, name) for name in permissions.ACCOUNTS}


async def _quiet(_: Exception) -> None:
    """Errors while a server starts are expected."""
