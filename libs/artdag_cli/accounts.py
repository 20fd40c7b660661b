"""What each service is given of what ``up`` knows: accounts of its own, and of the secrets those that it needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from artdag_cli import backing
from artdag_common.eventstore import roles
from artdag_common.messaging import servers
from artdag_common.messaging.permissions import RELAY

RELAYING = "auth"
"""The service in which the relay runs, and which alone is given its accounts."""

READERS = ("gateway", "planner", "executor", "cache")
SECRETS: Mapping[str, Collection[str]] = {
    "ARTDAG_ACTOR_KEY": ("cache",),
    "ARTDAG_CLUSTER_KEY": READERS,
    "ARTDAG_OWNER_TOKEN_HASH": ("auth", "gateway"),
    "ARTDAG_S3_URL": READERS,
    "ARTDAG_SECRET_KEY": ("gateway", "cache"),
    "REDIS_URL": ("gateway", "auth"),
}
"""Secret settings, and the services that get them; to the others they are empty."""


async def accounts(state: Path, environment: Mapping[str, str], started: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the settings by which each service reaches NATS and Postgres under an account of its own.

    Args:
        environment: with ``NATS_URL`` and ``DATABASE_URL`` of the operator's.
        started: names of the settings whose servers are ours. A NATS server of somebody else's has the account that its
            URL names, for all; in such a database roles are made where the account may make them.

    Raises:
        ServiceUnavailableError: Postgres cannot be reached.
    """
    found: dict[str, dict[str, str]] = {service: {} for service in roles.ROLES if service != RELAY}
    if "NATS_URL" in started:
        url = servers.without_account(environment["NATS_URL"])
        seeds = backing.nats_seeds(state)
        for service, own in found.items():
            own |= {"NATS_URL": url, "ARTDAG_NATS_SEED": seeds[service]}
        found[RELAYING]["ARTDAG_RELAY_NATS_SEED"] = seeds[RELAY]
    if urls := await roles.prepare(environment["DATABASE_URL"]):
        for service, own in found.items():
            own["DATABASE_URL"] = urls[service]
        found[RELAYING]["ARTDAG_RELAY_DATABASE_URL"] = urls[RELAY]
    return found


def withheld(service: str) -> dict[str, str]:
    """Return the settings that a service does not get, each empty."""
    return {name: "" for name, services in SECRETS.items() if service not in services}


def shared(found: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the settings of servers on which all services share one account."""
    return [name for name in ("NATS_URL", "DATABASE_URL") if not all(name in own for own in found.values())]
