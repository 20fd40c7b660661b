"""The whole system on one machine: backing servers, five services, one state folder."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import httpx

from artdag_cli import backing
from artdag_cli.accounts import accounts, shared, withheld
from artdag_cli.configuration import problems
from artdag_cli.messages import log_here
from artdag_cli.state import owner_token as owner_token
from artdag_cli.state import prepare as prepare
from artdag_cli.state import running as running
from artdag_cli.supervisor import Child, Supervisor
from artdag_common.blobs.endpoints import HOSTS_SETTING, parse_endpoint
from artdag_common.config import SECRETS
from artdag_common.config_rules import refuse
from artdag_common.environment import take_in
from artdag_common.errors import ArtdagError, BackingServerError
from artdag_common.tasks import end, to_its_end

Server = Callable[[Path], tuple[str, backing.Launch]]

SERVICES = ("auth", "cache", "planner", "executor", "gateway")
BACKING: dict[str, Server] = {
    "NATS_URL": backing.nats_server,
    "DATABASE_URL": backing.postgres_server,
    "REDIS_URL": backing.redis_server,
}
EXTRAS: dict[str, tuple[str, Server]] = {
    "s3": ("ARTDAG_S3_URL", backing.s3_server),
    "ipfs": ("IPFS_API", backing.ipfs_server),
    "l2": ("L2_SERVER", backing.l2_server),
}
STORES = ("s3", "ipfs")
READY_SECONDS = 60.0
LOOK_SECONDS = 0.5
PROBE_PORTS = range(10_000, 20_000)
"""Those that no connection of somebody else's is given meanwhile, as it would be a port above (ip_local_port_range)."""

SOCKET_PATH_BYTES = 107
SOCKET_NAME_BYTES = len("/pymp-12345678/listener-12345678")
ROOT = Path(__file__).resolve().parents[2]


class AlreadyUpError(ArtdagError):
    """Another system runs on this state folder. Use it, stop it with ``artdag down``, or give another ``--state``."""


class PortInUseError(ArtdagError):
    """Another program listens on the gateway's port. Stop it, or give another ``--port``."""


@dataclass(slots=True)
class System:
    """A running system."""

    state: Path
    url: str
    token: str
    environment: dict[str, str]
    supervisor: Supervisor
    port: int
    adopted: list[str] = field(default_factory=list)
    accounts: dict[str, dict[str, str]] = field(default_factory=dict)
    probes: dict[str, int] = field(default_factory=dict)

    def environment_of(self, service: str) -> dict[str, str]:
        """Return the settings of a service: those of all, without secrets of others, and with its own accounts.

        :attr:`environment` names the operator's accounts, which may do anything.
        """
        return {**self.environment, **withheld(service), **self.accounts.get(service, {})}

    def write_facts(self) -> None:
        """Tell ``status`` and ``down`` what runs."""
        facts = {
            "pid": os.getpid(),
            "url": self.url,
            "local_url": f"http://127.0.0.1:{self.port}",
            "adopted": self.adopted,
            "one_account": shared(self.accounts),
            "probes": self.probes,
            "environment": self.environment,
            "processes": {c.name: {"pid": c.pid, "restarts": c.restarts} for c in self.supervisor.children.values()},
        }
        temporary = self.state / "up.json.new"
        temporary.unlink(missing_ok=True)
        backing.kept(temporary, lambda: json.dumps(facts, indent=2))  # holds passwords: for the owner only
        temporary.replace(self.state / "up.json")


@asynccontextmanager
async def system(
    state: Path,
    port: int,
    host: str = "127.0.0.1",
    *,
    logs_to_files: bool = False,
    services: bool = True,
    extras: Collection[str] = (),
    stopping: asyncio.Event | None = None,
    probes: bool = False,
) -> AsyncIterator[System]:
    """Run the whole system until the block is left.

    Args:
        port: of the gateway; 0: any free one.
        logs_to_files: services log to ``<state>/logs`` instead of standard error.
        services: False: backing servers only.
        extras: names of :data:`EXTRAS` to start besides.
        stopping: once set, starting is given up and the block entered with what there is.
        probes: services answer probes on free ports, if ``ARTDAG_PROBE_PORT`` does not name the first one's.

    Raises:
        AlreadyUpError: a system runs on this state folder.
        PortInUseError: somebody listens on the port.
        BackingServerError: something did not start.
    """
    log_here()
    prepare(state)
    (state / "logs").mkdir(exist_ok=True, mode=0o700)
    with (state / "up.lock").open("w") as lock:
        await _lock(lock, state)
        if services and port and not backing.is_free(host, port):
            raise PortInUseError(f"port {port} of {host} is in use; give another with --port (0: any free one)")
        port = port or backing.free_port()
        url = f"http://localhost:{port}"
        token = owner_token(state)
        supervisor = Supervisor()
        it = System(state, url, token, {}, supervisor, port, probes=_probe_ports(probes))
        supervisor.on_change(it.write_facts)
        try:
            await _unless(stopping or asyncio.Event(), _start(it, host, extras, services, logs_to_files))
            yield it
        finally:
            await supervisor.stop()
            (state / "up.json").unlink(missing_ok=True)
            fcntl.flock(lock, fcntl.LOCK_UN)  # a process that was forked meanwhile has it too, and closes it later


async def _unless(stopping: asyncio.Event, start: Coroutine[Any, Any, None]) -> None:
    """Start, or give up starting as soon as ``stopping`` is set."""
    starting = asyncio.create_task(start, name="start")
    told = asyncio.create_task(stopping.wait(), name="told to stop")
    try:
        await asyncio.wait((starting, told), return_when=asyncio.FIRST_COMPLETED)
        if not stopping.is_set():
            await starting
    finally:
        await end(starting, told)


async def _start(it: System, host: str, extras: Collection[str], services: bool, logs_to_files: bool) -> None:
    refuse(take_in(os.environ, SECRETS))
    given = _given(it, host)
    if services:
        refuse(problems({**os.environ, **given}, SERVICES))
    it.environment = await _start_backing(it, extras)
    started = [variable for variable in BACKING if variable not in it.adopted]
    it.accounts = await accounts(it.state, it.environment, started)
    it.environment |= given
    if (registry := it.environment.get("L2_SERVER")) and not os.environ.get("L2_DOMAIN"):
        it.environment["L2_DOMAIN"] = urlsplit(registry).netloc
    if services:
        await _start_services(it, logs_to_files)


def _given(it: System, host: str) -> dict[str, str]:
    """Return what all services get besides the addresses of servers."""
    return {
        "HOST": host,
        "PORT": str(it.port),
        "L1_PUBLIC_URL": _public_url(it),
        "CACHE_DIR": os.environ.get("CACHE_DIR") or str(it.state / "cache"),
        "ARTDAG_SECRET_KEY": os.environ.get("ARTDAG_SECRET_KEY")
        or backing.kept(it.state / "secret.key", lambda: secrets.token_hex(32)),
        "ARTDAG_ACTOR_KEY": os.environ.get("ARTDAG_ACTOR_KEY") or str(_actor_key(it.state)),
        "ARTDAG_OWNER_TOKEN_HASH": hashlib.sha256(it.token.encode()).hexdigest(),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "libs")]),
        **temporary_files(it.state),
    }


def _actor_key(state: Path) -> Path:
    """Return the file with the key that this system signs with, made at the first time."""
    from artdag_common.federation.signatures import new_key  # takes a while to load, and this is needed once

    path = state / "actor.key"
    backing.kept(path, lambda: new_key().decode())
    return path


def _public_url(it: System) -> str:
    return os.environ.get("L1_PUBLIC_URL") or it.url


def temporary_files(state: Path) -> dict[str, str]:
    """Return the setting that has services keep their temporary files, among them sockets, in the state folder.

    What killed processes left there goes first. A path that is too long for the name of a socket stays unused.
    """
    folder = state / "tmp"
    if len(os.fsencode(folder)) + SOCKET_NAME_BYTES > SOCKET_PATH_BYTES:
        return {}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return {"TMPDIR": str(folder)}


async def _start_backing(it: System, extras: Collection[str]) -> dict[str, str]:
    started = []

    async def one(variable: str, server: Server) -> tuple[str, str]:
        if os.environ.get(variable):
            it.adopted.append(variable)
            return variable, os.environ[variable]
        url, launch = await to_its_end(server, it.state)
        started.append(variable)
        child = Child(launch.name, launch.command, launch.log, launch.stop_signal)
        await it.supervisor.start(child)
        assert child.process
        await backing.wait_until_ready(launch, child.process)
        return variable, url

    servers = {**BACKING, **dict(EXTRAS[name] for name in extras)}
    if "l2" in extras:
        servers["L2_SERVER"] = functools.partial(backing.l2_server, l1_url=_public_url(it))
    starts = [
        asyncio.create_task(one(variable, server), name=f"start {variable}") for variable, server in servers.items()
    ]
    try:
        environment = dict(await asyncio.gather(*starts))
    finally:
        await end(*starts)  # where one failed, the others are not to go on
    # What was started for them people may use as storage of their own too, although it is on this machine.
    stores = [EXTRAS[name][0] for name in STORES]
    ours = [_host_and_port(environment[variable]) for variable in stores if variable in started]
    if ours:
        environment[HOSTS_SETTING] = ",".join(filter(None, (os.environ.get(HOSTS_SETTING), *ours)))
    return environment


def _host_and_port(address: str) -> str:
    """Return ``host:port`` of a multiaddr or a URL."""
    if address.startswith("/"):
        return parse_endpoint(address).netloc
    return urlsplit(address).netloc.rpartition("@")[2]


async def _lock(file: TextIO, state: Path) -> None:
    """Have the state folder for ourselves; who only looks whether a system runs there has it for a moment."""
    until = asyncio.get_running_loop().time() + LOOK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if asyncio.get_running_loop().time() > until:
                raise AlreadyUpError(
                    f"a system runs on {state} already; see `artdag status`, stop it with `artdag down`, or give"
                    " another --state"
                ) from None
        await asyncio.sleep(0.02)


def _probe_ports(any_free: bool) -> dict[str, int]:
    """Return the port on which each service answers probes: one after the other, from the one that is set on."""
    given = os.environ.get("ARTDAG_PROBE_PORT", "")
    first = int(given) if given.isdecimal() else 0  # what is no number is refused with all other settings
    while any_free and not first:
        tried = PROBE_PORTS.start + secrets.randbelow(len(PROBE_PORTS))
        first = tried if all(backing.is_free("127.0.0.1", tried + each) for each in range(len(SERVICES))) else 0
    return {name: first + place for place, name in enumerate(SERVICES)} if first else {}


async def _start_services(it: System, logs_to_files: bool) -> None:
    for name in SERVICES:
        command = (*backing.guarded(), sys.executable, "-m", f"services.{name}")
        log = it.state / "logs" / f"{name}.log" if logs_to_files else None
        # Not in what environment_of gives: whoever starts another one beside it would ask for the same port.
        own = {"ARTDAG_PROBE_PORT": str(it.probes.get(name, 0))}
        await it.supervisor.start(Child(name, command, log, environment={**it.environment_of(name), **own}))
    await wait_until_ready(it)


async def wait_until_ready(it: System) -> None:
    """Wait until the gateway says that every part can do work.

    Raises:
        BackingServerError: it did not in time; says which part.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READY_SECONDS
    missing = "the gateway does not answer"
    # No proxy that the environment names: it would be asked for a port of its own machine.
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{it.port}", timeout=5, trust_env=False) as client:
        while loop.time() < deadline:
            with contextlib.suppress(httpx.HTTPError, ValueError):
                answer = await client.get("/ready")
                if answer.status_code == 200:
                    return
                missing = answer.text
            await asyncio.sleep(0.05)
    raise BackingServerError(f"the system is not ready after {READY_SECONDS:g} s: {missing}; see {it.state / 'logs'}")
