"""What can be wrong with what a system stands on, and how it is mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from artdag_cli.surroundings.facts import Clock, Surroundings
from artdag_common.eventstore.schema import EMPTY, LEAST, SCHEMA
from artdag_common.version import VERSION

LEAST_POSTGRES = 14
LEAST_NATS = (2, 10)
LEAST_REDIS = (6, 2)
LEAST_PAYLOAD = 8 * 10**6
LEAST_CONNECTIONS = 10
"""Connections that a service opens for itself, and some for the operator."""

APART_SECONDS, FAR_APART_SECONDS = 2.0, 10.0
"""How far clocks may be apart: proofs between nodes hold 60 s, and what is to end at a time ends by each clock."""

LITTLE_SPACE, NO_SPACE = 5 * 2**30, 500 * 2**20
LITTLE, NEARLY_NONE = 0.1, 0.02
FULL = 0.9
GROUP_OR_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is to be told. ``wrong``: and mended; else it is as somebody wants it. ``how``: what to do."""

    what: str
    how: str
    wrong: bool = True


Check = Callable[[Surroundings], Iterator[Finding]]


def configuration(found: Surroundings) -> Iterator[Finding]:
    """Settings that services do not start with, names that nobody reads, and what is not as it seems."""
    for problem in found.problems:
        how = "set it right and start again; docs/configuration.md tells of every variable"
        yield Finding(str(problem), how if problem.fatal else "look whether it is meant so", problem.fatal)


def folders(found: Surroundings) -> Iterator[Finding]:
    """Folders that cannot be read and written."""
    for folder in found.folders:
        if folder.unusable:
            yield Finding(
                f"{folder.what}, {folder.path}: {folder.unusable}",
                "give another folder, or make it this user's with chown",
            )


def secrets(found: Surroundings) -> Iterator[Finding]:
    """Files with secrets that others may read."""
    for secret in found.secrets:
        if secret.mode & GROUP_OR_OTHERS and secret.ours:
            yield Finding(
                f"others may read {secret.path}, which holds a secret (mode {secret.mode:o})",
                f"chmod 600 {secret.path}; if others were on this machine, make the secret anew",
                wrong=bool(secret.mode & 0o007),
            )


def disk(found: Surroundings) -> Iterator[Finding]:
    """Disks that are nearly full, of bytes or of files."""
    spaces = {folder.what: (str(folder.path), folder.space) for folder in found.folders if not folder.unusable}
    if found.postgres:
        spaces["the data of Postgres"] = (found.postgres.place, found.postgres.data)
    told: set[int] = set()
    for what, (path, space) in spaces.items():
        if space is None or space.device in told:
            continue
        told.add(space.device)
        if space.free < LITTLE_SPACE and space.free < LITTLE * space.size:
            yield Finding(
                f"the disk of {what}, {path}, has {_bytes(space.free)} left of {_bytes(space.size)}",
                "free space, set ARTDAG_CACHE_LIMIT (with S3 or IPFS), or give another disk",
                wrong=space.free < NO_SPACE or space.free < NEARLY_NONE * space.size,
            )
        if space.files and space.free_files < LITTLE * space.files:
            yield Finding(
                f"the disk of {what}, {path}, has room for {space.free_files} more files of {space.files}",
                "remove files, or make the file system anew with more inodes",
                wrong=space.free_files < NEARLY_NONE * space.files,
            )


def postgres(found: Surroundings) -> Iterator[Finding]:
    """A Postgres server that is away, too old, or set up so that committed events can be lost or nobody gets in."""
    server = found.postgres
    if server is None:
        return
    if server.away:
        how = "start it, or correct DATABASE_URL; pg_hba.conf says whom it lets in"
        yield Finding(f"Postgres at {server.place} cannot be reached: {server.away}", how)
        return
    if server.version // 10_000 < LEAST_POSTGRES:
        what = f"Postgres at {server.place} is of version {server.version // 10_000}"
        yield Finding(f"{what}; {LEAST_POSTGRES} is the oldest that will do", "upgrade it")
    for name, wanted, lost in (
        ("fsync", ("on",), "a crash of the machine can destroy the database"),
        ("full_page_writes", ("on",), "a crash of the machine can destroy the database"),
        ("synchronous_commit", ("on", "local", "remote_write", "remote_apply"), "a crash loses events that were told"),
    ):
        value = server.settings.get(name)
        if value is not None and value not in wanted:
            yield Finding(f"{name} of Postgres is {value}: {lost}", f"ALTER SYSTEM SET {name} = on; then reload it")
    if server.read_only:
        yield Finding(
            f"nothing can be written to Postgres at {server.place}: {server.read_only}",
            "DATABASE_URL has to name the server that is written to",
        )
    if server.unable:
        yield Finding(
            f"the account of DATABASE_URL {server.unable}",
            "give the account that owns the tables; or, of a new database, ALTER DATABASE … OWNER TO that account",
        )
    if server.encoding and server.encoding != "UTF8":
        yield Finding(
            f"the database has the encoding {server.encoding}: names of people do not fit into it",
            "make one with ENCODING 'UTF8' and put the dump of this one into it",
        )
    if server.left < LEAST_CONNECTIONS:
        yield Finding(
            f"Postgres has {max(0, server.left)} connections left of {server.settings.get('max_connections', '?')}",
            "raise max_connections; a service opens up to 12",
            wrong=server.left <= 0,
        )
    if server.missing_roles and server.makes_roles:
        yield Finding(
            f"roles of services are missing in Postgres: {', '.join(server.missing_roles)}",
            "artdag migrate makes them; artdag up does so by itself",
            wrong=server.schema not in (None, EMPTY) and found.running,
        )
    elif server.missing_roles:
        yield Finding(
            "all services share one account of Postgres: that of DATABASE_URL has no password or may make no roles",
            "ALTER ROLE … CREATEROLE, and give it a password, if each is to have its own",
            wrong=False,
        )


def schema(found: Surroundings) -> Iterator[Finding]:
    """A database that is newer or older than this version."""
    there = found.postgres and found.postgres.schema
    if found.postgres and not found.postgres.away and there is None:
        yield Finding(
            "whether the tables of the database are up to date cannot be seen by the account of DATABASE_URL",
            "look with the account that owns them",
            wrong=False,
        )
    if not there:
        return
    if there == EMPTY:
        if found.running:
            yield Finding(
                "a system runs, and there are no tables in the database that DATABASE_URL names",
                "correct DATABASE_URL; or, of a new database, artdag migrate makes them",
            )
        return
    if there.least > SCHEMA:
        yield Finding(
            f"the database has schema {there.version}; {VERSION} has schema {SCHEMA}, and cannot work with it",
            "upgrade to the version that made it",
        )
    elif there.version > SCHEMA:
        yield Finding(
            f"the database has schema {there.version}; this is {VERSION}, with schema {SCHEMA}, and works with it too",
            "go on with the upgrade",
            wrong=False,
        )
    elif there.version < SCHEMA:
        yield Finding(
            f"the database has schema {there.version}; this is {VERSION}, with schema {SCHEMA}",
            "artdag migrate brings it up to date, while services go on"
            + (f"; those with schema {LEAST} and later may stay" if there.version >= LEAST else ""),
        )


def nats(found: Surroundings) -> Iterator[Finding]:
    """A NATS server that is away, too old, or set up so that messages are lost or refused."""
    server = found.nats
    if server is None:
        return
    if server.away:
        how = "start it, or correct NATS_URL; the server's log says whom it refuses"
        yield Finding(f"NATS at {server.place} cannot be reached: {server.away}", how)
        return
    for place, why in server.silent.items():
        yield Finding(
            f"NATS at {place} cannot be reached, while another of the cluster can: {why}",
            "start it, or correct NATS_URL: until then fewer may fail than the cluster is made for",
        )
    if _number(server.version) < LEAST_NATS:
        least = ".".join(map(str, LEAST_NATS))
        yield Finding(f"NATS at {server.place} is {server.version}; {least} is the oldest that will do", "upgrade it")
    if not server.jetstream:
        yield Finding(
            "NATS has no JetStream for this account, and so keeps no messages",
            "jetstream { store_dir: …, sync_interval: always } in its configuration, or start it with --jetstream",
        )
    if server.max_payload < LEAST_PAYLOAD:
        yield Finding(
            f"NATS takes messages of {_bytes(server.max_payload)} at most: large plans are refused",
            "max_payload: 8MB in its configuration",
        )
    if server.synced is False:
        yield Finding(
            "NATS says that it has a message before it is on the disk: a crash of the machine loses commands",
            "sync_interval: always in its section jetstream",
        )
    elif server.synced is None and server.jetstream:
        yield Finding(
            "whether NATS writes to disk before it answers cannot be asked",
            "look for sync_interval: always in the section jetstream of its configuration",
            wrong=False,
        )
    if server.stored_most and server.stored > FULL * server.stored_most:
        yield Finding(
            f"JetStream has {_bytes(server.stored)} on disk, of at most {_bytes(server.stored_most)}",
            "raise max_file_store; the services log what it refuses",
        )


def redis(found: Surroundings) -> Iterator[Finding]:
    """A Redis server that is away, too old, or that refuses to write when it is full."""
    server = found.redis
    if server is None:
        return
    if server.away:
        yield Finding(
            f"Redis at {server.place} cannot be reached: {server.away}",
            "start it, or correct REDIS_URL; all goes on without it, only slower",
        )
        return
    if server.version and _number(server.version) < LEAST_REDIS:
        least = ".".join(map(str, LEAST_REDIS))
        yield Finding(f"Redis at {server.place} is {server.version}; {least} is the oldest that will do", "upgrade it")
    if server.refuses:
        yield Finding(
            f"nothing can be written to Redis at {server.place}: {server.refuses}",
            "REDIS_URL has to name a server that takes writes; its log tells more. All goes on without it, only slower",
        )
    if server.limit and server.policy == "noeviction":
        yield Finding(
            f"Redis refuses to write when it has {_bytes(server.limit)}, as maxmemory-policy is noeviction",
            "CONFIG SET maxmemory-policy allkeys-lru: all in it can be lost",
        )


def others(found: Surroundings) -> Iterator[Finding]:
    """Other servers that settings name, where nobody answers, or that do not do what they are for."""
    for server in found.others:
        if server.away:
            what = f"{server.name} cannot be reached{f' at {server.place}' if server.place else ''}: {server.away}"
            yield Finding(what, "start it, or correct or leave out its setting")
        elif server.refuses:
            yield Finding(f"{server.name} does not work: {server.refuses}", "correct its setting, or what it is about")


def clock(found: Surroundings) -> Iterator[Finding]:
    """Clocks that are apart."""
    clocks: dict[str, Clock | None] = {
        "Postgres": found.postgres.clock if found.postgres else None,
        "NATS": found.nats.clock if found.nats else None,
        "Redis": found.redis.clock if found.redis else None,
    }
    for name, other in clocks.items():
        if other and other.least > APART_SECONDS:
            way = "ahead of" if other.ahead > 0 else "behind"
            yield Finding(
                f"the clock of {name} is {other.least:.1f} s {way} this machine's",
                "have all machines keep time by NTP: timedatectl set-ntp true",
                wrong=other.least > FAR_APART_SECONDS,
            )


def conversion(found: Surroundings) -> Iterator[Finding]:
    """Frames that are turned into RGB and back by NumPy, for want of a compiled library."""
    if not found.kernel:
        yield Finding(
            "NumPy turns frames into RGB and back, which takes many times as long as by a compiled library",
            "install a C compiler (Debian and Ubuntu: apt install gcc libc6-dev); the next ./artdag compiles it",
            wrong=False,
        )


def _bytes(number: int) -> str:
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if number >= 1 << power:
            return f"{number / (1 << power):.1f} {unit}"
    return f"{number} bytes"


def _number(version: str) -> tuple[int, ...]:
    parts = version.split("-")[0].split(".")
    return tuple(int(part) for part in parts[:2] if part.isdigit())


CHECKS: tuple[Check, ...] = (
    configuration,
    folders,
    secrets,
    disk,
    postgres,
    schema,
    nats,
    redis,
    others,
    clock,
    conversion,
)
"""What is looked at, in this order. A new check is a function here that yields what it finds."""
