"""Real servers on one machine, from Python wheels, each adopted instead where its URL is given.

NATS, Postgres and Redis are part of every system; S3, IPFS and an L2 to try out with are started where somebody asks
for them. Data lives below the state folder. Passwords are made once and kept there, readable by the owner only.

Each is loaded when it is used, with what it speaks to its server with: most commands need none.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artdag_cli.backing.identity import NOBODY, ordinary_identity
    from artdag_cli.backing.ipfs import ipfs_server
    from artdag_cli.backing.l2 import l2_people, l2_server
    from artdag_cli.backing.launch import Launch, free_port, guarded, is_free, kept, wait_until_ready
    from artdag_cli.backing.nats import nats_cluster, nats_seeds, nats_server
    from artdag_cli.backing.postgres import postgres_server
    from artdag_cli.backing.redis import redis_server
    from artdag_cli.backing.s3 import s3_server

__all__ = [
    "NOBODY",
    "Launch",
    "free_port",
    "guarded",
    "ipfs_server",
    "is_free",
    "kept",
    "l2_people",
    "l2_server",
    "nats_cluster",
    "nats_seeds",
    "nats_server",
    "ordinary_identity",
    "postgres_server",
    "redis_server",
    "s3_server",
    "wait_until_ready",
]

_MODULES = {
    "NOBODY": "identity",
    "Launch": "launch",
    "free_port": "launch",
    "guarded": "launch",
    "ipfs_server": "ipfs",
    "is_free": "launch",
    "kept": "launch",
    "l2_people": "l2",
    "l2_server": "l2",
    "nats_cluster": "nats",
    "nats_seeds": "nats",
    "nats_server": "nats",
    "ordinary_identity": "identity",
    "postgres_server": "postgres",
    "redis_server": "redis",
    "s3_server": "s3",
    "wait_until_ready": "launch",
}


def __getattr__(name: str) -> Any:
    """Return a name of :data:`__all__`, and load the module that it is in."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
