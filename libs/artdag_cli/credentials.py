"""Secrets of a system in containers: what is made once, and what each service and each server gets of it.

Nothing here reads or writes: secrets are values by name in, values by name out.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from artdag_cli.accounts import RELAYING, SECRETS
from artdag_common.errors import ConfigurationError
from artdag_common.eventstore import roles
from artdag_common.messaging import permissions

OWNER = "artdag"
"""Postgres's owner of the tables, and the database."""

SESSIONS = 5
"""Redis's database, as ``artdag up`` has it."""

OPERATOR = "operator"
BACKING = "backing"
PLACE = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
NOT_MADE = ("ARTDAG_S3_URL",)
"""Secrets that only the operator has. One that lies beside the others is given to the services that need it."""


def _actor_key() -> str:
    from artdag_common.federation.signatures import new_key  # takes a while to load, and this is needed once

    return new_key().decode().strip()


MADE: Mapping[str, Callable[[], str]] = {
    "postgres.password": secrets.token_hex,
    "nats.password": secrets.token_hex,
    "redis.password": secrets.token_hex,
    "grafana.password": secrets.token_hex,
    "owner.token": lambda: secrets.token_urlsafe(32),
    "ARTDAG_ACTOR_KEY": _actor_key,
    "ARTDAG_CLUSTER_KEY": secrets.token_hex,
    "ARTDAG_SECRET_KEY": lambda: secrets.token_hex(32),
}
"""Secrets that are made once and kept, with what makes them; all others are derived from these."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the services reach the servers, each ``host:port``; of NATS several, with commas between them."""

    nats: str
    postgres: str
    redis: str

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            ConfigurationError: one is no host with a port.
        """
        places = [("--nats", each) for each in self.nats.split(",")]
        for option, place in (*places, ("--postgres", self.postgres), ("--redis", self.redis)):
            if not PLACE.fullmatch(place):
                raise ConfigurationError(f"{option}: {place!r} is no host with a port, as localhost:4222 is")


def of_servers(kept: Mapping[str, str], work_classes: Collection[str] = ()) -> dict[str, str]:
    """Return what the servers are given: passwords, and the parts of their configuration that hold secrets.

    Args:
        kept: what :data:`MADE` made.
        work_classes: of executors, besides those that every system has.
    """
    password = kept["redis.password"]
    return {
        "postgres.password": kept["postgres.password"],
        "redis.password": password,
        "nats-routes.password": hmac.digest(kept["nats.password"].encode(), b"nats routes", "sha256").hex(),
        "nats.conf": permissions.authorization(kept["nats.password"], _seeds(kept), work_classes).rstrip(),
        "redis.conf": f'save ""\nappendonly no\nrequirepass {password}\nmaxmemory 256mb\nmaxmemory-policy allkeys-lru',
    }


def of_services(kept: Mapping[str, str], servers: Servers) -> dict[str, dict[str, str]]:
    """Return the settings that hold secrets, by service: its own accounts, and of the rest what it needs.

    ``operator`` has the accounts that may do anything: for ``artdag migrate`` and whoever mends a system.
    """
    owners_url = f"postgresql://{OWNER}:{quote(kept['postgres.password'], safe='')}@{servers.postgres}/{OWNER}"
    sessions = f"redis://:{quote(kept['redis.password'], safe='')}@{servers.redis}/{SESSIONS}"
    seeds, databases = _seeds(kept), roles.urls(owners_url)
    given = {
        **{name: kept[name] for name in SECRETS if name in kept},
        "ARTDAG_OWNER_TOKEN_HASH": hashlib.sha256(kept["owner.token"].encode()).hexdigest(),
        "REDIS_URL": sessions,
    }
    found = {}
    for service in permissions.SERVICES:
        found[service] = {
            "NATS_URL": f"nats://{servers.nats}",
            "ARTDAG_NATS_SEED": seeds[service],
            "DATABASE_URL": databases[service],
            **{name: value for name, value in given.items() if service in SECRETS[name]},
        }
    found[RELAYING] |= {
        "ARTDAG_RELAY_NATS_SEED": seeds[permissions.RELAY],
        "ARTDAG_RELAY_DATABASE_URL": databases[permissions.RELAY],
    }
    found[OPERATOR] = {
        "NATS_URL": f"nats://{permissions.OPERATOR}:{quote(kept['nats.password'], safe='')}@{servers.nats}",
        "DATABASE_URL": owners_url,
        "REDIS_URL": sessions,
    }
    return found


def manifests(
    services: Mapping[str, Mapping[str, str]], servers: Mapping[str, str], owner_token: str, prefix: str
) -> Iterator[str]:
    """Yield the Secrets of Kubernetes, each a document of YAML.

    Args:
        services: see :func:`of_services`.
        servers: see :func:`of_servers`.
        prefix: how the names begin: ``artdag-`` makes ``artdag-gateway``.
    """
    import yaml

    held = {**services, BACKING: servers}
    held[OPERATOR] = {**held[OPERATOR], "owner.token": owner_token}
    for name, values in held.items():
        document = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"{prefix}{name}", "labels": {"app.kubernetes.io/part-of": "artdag"}},
            "type": "Opaque",
            "stringData": dict(values),
        }
        yield yaml.safe_dump(document, sort_keys=False, explicit_start=True, width=4096)


def _seeds(kept: Mapping[str, str]) -> dict[str, str]:
    return {name: permissions.seed(kept["nats.password"], name) for name in permissions.ACCOUNTS}
