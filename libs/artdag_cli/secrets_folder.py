"""``artdag secrets``: a folder with a file for each secret, for services that run in containers."""

from __future__ import annotations

import fcntl
import os
import secrets as randomness
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from artdag_cli import credentials
from artdag_cli.credentials import MADE, NOT_MADE, Servers
from artdag_cli.messages import console
from artdag_common.config import Settings
from artdag_common.errors import ConfigurationError

FOLDER_MODE = 0o700
FILE_MODE = 0o444
"""The folder keeps others out. The files may be read by anybody who is let in: a container sees the single files that
are mounted for it, and runs as a user whom this machine does not know."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What lies in a folder.

    Attributes:
        made: names of the secrets that were made now, rather than before.
        values: what all others are derived from, by name.
        servers, services: what each of them gets; see :mod:`credentials`.
    """

    made: tuple[str, ...]
    values: Mapping[str, str]
    servers: Mapping[str, str]
    services: Mapping[str, Mapping[str, str]]


def keep(folder: Path, servers: Servers, work_classes: tuple[str, ...] = ()) -> Kept:
    """Make the secrets that a folder lacks, write what is derived from them, and return all of it.

    What is there stays: doing it again changes nothing but what other servers, or other work classes, ask for. A secret
    that belongs to nobody any more is removed.

    Raises:
        ConfigurationError: the folder holds something else, or cannot be written.
    """
    try:
        with _locked(folder):
            values, made = {}, []
            for name, make in MADE.items():
                if not (text := _read(folder / name)):
                    text = make()
                    made.append(name)
                    _write(folder / name, text)
                values[name] = text
            given = {name: text for name in NOT_MADE if (text := _read(folder / name))}
            services = credentials.of_services(values | given, servers)
            configured = credentials.of_servers(values, work_classes)
            for name, text in configured.items():
                _write(folder / name, text)
            for service, settings in services.items():
                _fill(folder / service, settings)
    except OSError as error:
        raise ConfigurationError(f"{error.filename or folder}: {error.strerror}") from error
    return Kept(tuple(made), values, configured, services)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make a folder that only we may enter, and keep others from doing so meanwhile."""
    folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    names = {each.name for each in folder.iterdir() if not each.name.startswith(".")}
    if names and not names & MADE.keys():
        raise ConfigurationError(
            f"{folder} holds something else; give an empty folder, or one that is still to be made"
        )
    folder.chmod(FOLDER_MODE)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fill(folder: Path, settings: Mapping[str, str]) -> None:
    folder.mkdir(exist_ok=True, mode=FOLDER_MODE)
    for name, text in settings.items():
        _write(folder / name, text)
    for each in folder.iterdir():
        if each.name not in settings:
            each.unlink()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all, and only where it changes: who reads it meanwhile finds one or the other."""
    if _read(path) == text and path.stat().st_mode & 0o777 == FILE_MODE:
        return
    partial = path.with_name(f".{path.name}.{randomness.token_hex(4)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            os.fchmod(file.fileno(), FILE_MODE)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


Folder = Annotated[Path, typer.Argument(help="Where they are kept.", file_okay=False)]
Nats = Annotated[str, typer.Option("--nats", help="Where the services reach NATS.", metavar="HOST:PORT")]
Postgres = Annotated[str, typer.Option("--postgres", help="Where they reach Postgres.", metavar="HOST:PORT")]
Redis = Annotated[str, typer.Option("--redis", help="Where they reach Redis.", metavar="HOST:PORT")]
Kubernetes = Annotated[
    bool, typer.Option("--kubernetes", help="Print them as Secrets besides, for `kubectl apply -f -`.")
]
Prefix = Annotated[str, typer.Option("--prefix", help="How the names of those Secrets begin.")]


def secrets(
    folder: Folder = Path("secrets"),
    nats: Nats = "nats:4222",
    postgres: Postgres = "postgres:5432",
    redis: Redis = "redis:6379",
    kubernetes: Kubernetes = False,
    prefix: Prefix = "artdag-",
) -> None:
    """Make the secrets of a system that runs in containers.

    Each is a file of its own, and each service has a folder with its own ones. What is there already stays as it is, so
    that it can be done again, for other hosts or a new version.
    """
    kept = keep(folder, Servers(nats, postgres, redis), tuple(sorted(Settings.read().classes)))
    if kubernetes:
        for document in credentials.manifests(kept.services, kept.servers, kept.values["owner.token"], prefix):
            print(document, end="")
    made = f"made {', '.join(kept.made)}" if kept.made else "all secrets were there"
    console.print(f"{folder}: {made}; settings of {', '.join(kept.services)}", highlight=False, soft_wrap=True)
    console.print(f"  back up {folder}, apart from the database: without it sealed secrets are lost", highlight=False)
