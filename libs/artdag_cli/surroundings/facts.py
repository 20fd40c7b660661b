"""What was found out about this machine and the servers; nothing here judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from artdag_common.environment import Problem
from artdag_common.eventstore.schema import Standing


@dataclass(frozen=True, slots=True)
class Clock:
    """Another clock. ``ahead``: seconds before this machine's, give or take ``within``."""

    ahead: float
    within: float

    @property
    def least(self) -> float:
        """How far they are apart at least, in seconds."""
        return max(0.0, abs(self.ahead) - self.within)


@dataclass(frozen=True, slots=True)
class Space:
    """How full a disk is, in bytes and files; ``files`` is 0 where the file system has no limit of them."""

    device: int
    free: int
    size: int
    free_files: int
    files: int


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that is written to. ``unusable``: why it cannot be; empty: it can."""

    what: str
    path: Path
    unusable: str = ""
    space: Space | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """A file with a secret, and its mode."""

    path: Path
    mode: int
    ours: bool


@dataclass(frozen=True, slots=True)
class Postgres:
    """A Postgres server. ``away``: why it cannot be reached; all else is empty then.

    Attributes:
        version: as ``server_version_num``, 160004.
        settings: of its configuration, by name.
        left: connections that may still be opened.
        makes_roles: whether the account may make roles for the services.
        missing_roles: roles of services that are not there.
        read_only: why nothing can be written to it; empty: it can.
        unable: what the account may not do, although it has to; empty: it may do all.
        schema: how far the database is; None: it cannot be read.
        data: disk of its data, where that is on this machine.
    """

    place: str
    away: str = ""
    version: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    encoding: str = ""
    left: int = 0
    makes_roles: bool = False
    missing_roles: Sequence[str] = ()
    read_only: str = ""
    unable: str = ""
    schema: Standing | None = None
    clock: Clock | None = None
    data: Space | None = None


@dataclass(frozen=True, slots=True)
class Nats:
    """A NATS server, or a cluster of them. ``away``: why it cannot be reached.

    Attributes:
        synced: whether it writes to disk before it says that it has a message; None: it does not tell.
        silent: servers of the cluster that do not answer, and why, while another one does.
    """

    place: str
    away: str = ""
    version: str = ""
    jetstream: bool = False
    max_payload: int = 0
    synced: bool | None = None
    stored: int = 0
    stored_most: int = 0
    silent: Mapping[str, str] = field(default_factory=dict)
    clock: Clock | None = None


@dataclass(frozen=True, slots=True)
class Redis:
    """A Redis server. ``away``: why it cannot be reached. ``policy``: what goes when it is full; empty: unknown.
    ``refuses``: why nothing can be written to it."""

    place: str
    away: str = ""
    version: str = ""
    policy: str = ""
    limit: int = 0
    refuses: str = ""
    clock: Clock | None = None


@dataclass(frozen=True, slots=True)
class Other:
    """Another server that settings name. ``away``: why it cannot be reached; ``refuses``: why it does not work."""

    name: str
    place: str
    away: str = ""
    refuses: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All of it.

    Attributes:
        problems: of the settings, as ``artdag up`` would hand them to the services.
        running: whether a system runs on the state folder.
        kernel: whether a compiled library converts frames to RGB and back.
        postgres, nats, redis: None: no setting names one, and the system that would start them does not run.
    """

    state: Path
    running: bool = False
    problems: Sequence[Problem] = ()
    folders: Sequence[Folder] = ()
    secrets: Sequence[Secret] = ()
    postgres: Postgres | None = None
    nats: Nats | None = None
    redis: Redis | None = None
    others: Sequence[Other] = ()
    kernel: bool = True
