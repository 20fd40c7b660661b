"""The configuration of services as ``artdag up`` hands it to them, examined before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from artdag_cli.accounts import withheld
from artdag_common.config import Settings
from artdag_common.environment import Problem


def problems(environment: Mapping[str, str], services: Iterable[str]) -> list[Problem]:
    """Return what is to be told of the settings of all services, each thing once.

    Args:
        environment: what all of them get; the secrets that are not for one are left out of it here.
    """
    found: dict[str, Problem] = {}
    for service in services:
        _, told = Settings.examine({**environment, **withheld(service)}, service)
        for problem in told:
            found.setdefault(str(problem), problem)
    return list(found.values())
