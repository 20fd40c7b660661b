"""Looks at all of it at once: what is not there is noted, and nothing is raised."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from artdag_cli import configuration
from artdag_cli.surroundings import machine, servers
from artdag_cli.surroundings.facts import Nats, Other, Postgres, Redis, Surroundings
from artdag_cli.system import SERVICES, running
from artdag_common.config import SECRETS
from artdag_common.environment import BY_FILE, Problem, with_secrets
from artdag_common.errors import ConfigurationError
from artdag_common.media import kernel

BACKING = ("DATABASE_URL", "NATS_URL", "REDIS_URL")
TRUE = ("1", "true", "yes", "on", "t", "y")


async def look(state: Path) -> Surroundings:
    """Return what a system on a state folder stands on: the one that runs, or the one that would start there."""
    facts = _facts(state)
    told: Mapping[str, str] = (facts or {}).get("environment", {})
    given, _ = with_secrets(os.environ, SECRETS)
    environment = {**given, **told}
    own = "NATS_URL" in told and "NATS_URL" not in (facts or {}).get("adopted", ())
    postgres, nats, redis, *others = await asyncio.gather(
        _postgres(environment), _nats(environment, state, own), _redis(environment), *_others(environment)
    )
    return Surroundings(
        state=state,
        running=facts is not None,
        problems=problems(state, os.environ, told),
        folders=machine.folders(_folders(state, environment, facts is not None)),
        secrets=machine.secrets(state, os.environ),
        postgres=postgres,
        nats=nats,
        redis=redis,
        others=others,
        kernel=kernel.load() is not None,
    )


def problems(state: Path, given: Mapping[str, str], told: Mapping[str, str]) -> list[Problem]:
    """Return what is to be told of the settings that services would get; what ``up`` makes itself is not missing.

    Args:
        given: the environment here.
        told: what ``up`` gave the services of the system that runs.
    """
    environment = {name: value for name, value in given.items() if name.removesuffix(BY_FILE) not in told} | dict(told)
    key = state / "actor.key"
    made = {"ARTDAG_ACTOR_KEY": str(key) if key.exists() else "", "ARTDAG_OWNER_TOKEN_HASH": "0" * 64}
    for name, value in {**made, "CACHE_DIR": str(state / "cache")}.items():
        if not environment.get(name) and not environment.get(name + BY_FILE):
            environment[name] = value
    found = configuration.problems(environment, SERVICES)
    # The key that a registry needs would be made at the first start.
    return [each for each in found if key.exists() or each.names != ("L2_SERVER", "ARTDAG_ACTOR_KEY")]


def _folders(state: Path, environment: Mapping[str, str], runs: bool) -> dict[str, Path]:
    """Return the folders that matter here: with servers of somebody else's there need be no state folder."""
    found = {}
    if runs or state.exists() or not any(environment.get(name) for name in BACKING):
        found["the state folder"] = state
    if environment.get("CACHE_DIR") or found:
        cache = Path(environment.get("CACHE_DIR") or state / "cache")
        found["the folder of content"] = cache.expanduser().absolute()
    return found


def _facts(state: Path) -> dict[str, Any] | None:
    try:
        return running(state)
    except ConfigurationError:  # another user's, which the folder's own check tells
        return None


async def _postgres(environment: Mapping[str, str]) -> Postgres | None:
    url = environment.get("DATABASE_URL")
    return await servers.postgres(url) if url else None


async def _nats(environment: Mapping[str, str], state: Path, own: bool) -> Nats | None:
    url = environment.get("NATS_URL")
    return await servers.nats_server(url, state, own) if url else None


async def _redis(environment: Mapping[str, str]) -> Redis | None:
    url = environment.get("REDIS_URL")
    return await servers.redis_server(url) if url else None


def _others(environment: Mapping[str, str]) -> list[Coroutine[Any, Any, Other]]:
    found: list[Coroutine[Any, Any, Other]] = []
    if url := environment.get("ARTDAG_S3_URL"):
        found.append(servers.s3("the S3 store", url))
    if api := environment.get("IPFS_API"):
        primary = environment.get("IPFS_PRIMARY", "").lower() in TRUE
        found.append(servers.ipfs("the IPFS node", api, primary))
    if registry := environment.get("L2_SERVER"):
        found.append(servers.other("the registry", registry))
    return found
