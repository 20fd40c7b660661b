"""How a server is started: its binary, port and secrets, and a process that ends with ours."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import itertools
import os
import secrets
import shutil
import signal
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from artdag_common.errors import BackingServerError

READY_SECONDS = 60.0
LOCK = "requirements.lock"
GUARD = Path(__file__).parents[1] / "guard.py"
PORTS = range(20_000, 30_000)
"""For servers that listen later. The kernel gives ports from 32,768 on to whoever asks for any: one of those could be
somebody else's by then. Probes have others, see ``system.py``."""

HELD = 100
"""Ports that we keep for those who will listen there."""

_places = itertools.count(secrets.randbelow(len(PORTS)))
_held: deque[int] = deque()  # descriptors of sockets


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server, and how to see that it is ready."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]]
    log: Path
    stop_signal: int = signal.SIGTERM


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody has, and that nobody else is given for a while.

    We stay bound to it and do not listen: so connections are refused, another process finds it taken, and a server that
    sets ``SO_REUSEADDR``, as they do, can listen there.
    """
    for place in itertools.islice(_places, len(PORTS)):
        port = PORTS[place % len(PORTS)]
        holding = socket.socket()
        try:
            holding.bind(("127.0.0.1", port))
        except OSError:
            holding.close()
            continue
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _held.append(holding.detach())
        if len(_held) > HELD:
            os.close(_held.popleft())
        return port
    raise BackingServerError(f"every port of 127.0.0.1 from {PORTS[0]} to {PORTS[-1]} is taken")


def is_free(host: str, port: int) -> bool:
    """Return whether a server can listen on a TCP port of an address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise BackingServerError(f"nothing can listen on {host}:{port}: {error.strerror or error}") from error
    return True


def kept(path: Path, make: Callable[[], str]) -> str:
    """Return the text of a file that only its owner may read, made at the first time."""
    if not path.exists():
        partial = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make())
        try:
            os.link(partial, path)  # whole or not at all, and only one of several who make it at once
        except FileExistsError:
            pass
        finally:
            partial.unlink()
    return path.read_text().strip()


def kept_port(state: Path, name: str) -> int:
    """Return the server's port: the one it had before, if nobody took it."""
    path = state / f"{name}.port"
    with contextlib.suppress(OSError, ValueError):
        port = int(path.read_text())
        if is_free("127.0.0.1", port):
            return port
    port = free_port()
    path.write_text(str(port))
    return port


def rewrite(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.touch(0o600)
    path.write_text(text)


def package(name: str, lock: str = LOCK) -> Path:
    """Return the folder of a package that is there for its binaries; importing it would do more than we want."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise _not_installed(name, lock)
    return Path(spec.origin).parent


def binary(name: str, lock: str = LOCK) -> str:
    """Return the path of a program that a package brought."""
    found = Path(sys.executable).with_name(name)
    if found.exists():
        return str(found)
    elsewhere = shutil.which(name)
    if not elsewhere:
        raise _not_installed(name, lock)
    return elsewhere


def _not_installed(name: str, lock: str) -> BackingServerError:
    if lock != LOCK:
        return BackingServerError(f"{name} is not installed: `./artdag up --with …` brings what {lock} lists")
    return BackingServerError(f"{name} is not installed; remove the environment folder and run ./artdag again")


def guarded(identity: str = "same", stop_signal: int = signal.SIGTERM) -> list[str]:
    """Return the beginning of a command line whose program ends with this process."""
    return [sys.executable, "-IS", str(GUARD), str(int(stop_signal)), identity]


async def wait_until_ready(launch: Launch, process: asyncio.subprocess.Process) -> None:
    """Wait until a server answers.

    Raises:
        BackingServerError: it ended, or did not answer in time; with the end of its log.
    """
    deadline = asyncio.get_running_loop().time() + READY_SECONDS
    while not await launch.ready():
        late = asyncio.get_running_loop().time() > deadline
        if process.returncode is not None or late:
            tail = launch.log.read_text(errors="replace")[-1500:] if launch.log.exists() else ""
            how = "did not answer in time" if late else f"ended with exit code {process.returncode}"
            raise BackingServerError(f"{launch.name} {how}; the end of {launch.log}:\n{tail}")
        await asyncio.sleep(0.01)
