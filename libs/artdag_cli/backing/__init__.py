"""Real servers on one machine, from Python wheels, each adopted instead where its URL is given.

NATS, Postgres and Redis are part of every system; S3, IPFS and an L2 to try out with are started where somebody asks
for them. Data lives below the state folder. Passwords are made once and kept there, readable by the owner only.
"""

from artdag_cli.backing.ipfs import ipfs_server
from artdag_cli.backing.l2 import l2_people, l2_server
from artdag_cli.backing.launch import Launch, free_port, guarded, is_free, kept, wait_until_ready
from artdag_cli.backing.nats import nats_seeds, nats_server
from artdag_cli.backing.postgres import NOBODY, ordinary_identity, postgres_server
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
    "nats_seeds",
    "nats_server",
    "ordinary_identity",
    "postgres_server",
    "redis_server",
    "s3_server",
    "wait_until_ready",
]
