"""NATS, Postgres and Redis as one machine's user gets them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import nats
import nats.errors
import pytest

from artdag_cli import supervisor as module
from artdag_cli.backing import identity
from artdag_cli.supervisor import Child, Supervisor
from artdag_cli.system import AlreadyUpError, PortInUseError, System, running, system
from artdag_common.errors import BackingServerError
from tests.integration.events.servers import Server

VARIABLES = ("NATS_URL", "DATABASE_URL", "REDIS_URL")
SECRETS = ("nats.password", "postgres.password", "redis.password", "token")
PATIENCE_SECONDS = 120


async def connect_nats(url: str) -> nats.NATS:
    """Connect once."""
    return await nats.connect(url, allow_reconnect=False, connect_timeout=5)


def identities(pid: int) -> set[str]:
    """User ids of a process, as this machine sees them."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return set(next(line for line in lines if line.startswith("Uid:")).split()[1:])


async def _says(url: str, greeted: bool, request: str, replies: list[bytes]) -> bool:
    """Ask in a server's own words: NATS and Redis clients leave connections open when they are refused."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        if greeted:
            await reader.readline()
        writer.write(f"{request}\r\nPING\r\n".encode())
        return [await reader.readline() for _ in replies] == replies
    except ConnectionResetError:
        return False
    finally:
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()


async def answer(variable: str, url: str) -> bool:
    """Whether a server lets somebody in."""
    parts = urlsplit(url)
    if variable == "NATS_URL":
        words = json.dumps({"user": parts.username, "pass": parts.password, "verbose": False, "pedantic": False})
        return await _says(url, True, f"CONNECT {words}", [b"PONG\r\n"])
    if variable == "REDIS_URL":
        return await _says(url, False, f"AUTH {parts.password}", [b"+OK\r\n", b"+PONG\r\n"])
    try:
        await (await asyncpg.connect(url, timeout=10)).close()
    except asyncpg.InvalidPasswordError:
        return False
    return True


@pytest.mark.parametrize("variable", VARIABLES)
async def test_a_server_lets_in_whoever_knows_its_password(backing: System, variable: str) -> None:
    url = backing.environment[variable]
    password = urlsplit(url).password
    assert password
    assert len(password) == 64
    assert await answer(variable, url)
    assert not await answer(variable, url.replace(password, "wrong"))


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_server_listens_on_loopback_only(backing: System, variable: str) -> None:
    port = urlsplit(backing.environment[variable]).port
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):  # what listens on every address answers here too
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_secrets_are_for_the_owner_only(backing: System) -> None:
    secrets = {name: (backing.state / name).read_text() for name in SECRETS}
    for name in (*SECRETS, "up.json", "nats/nats.conf", "redis/redis.conf"):
        assert stat.S_IMODE((backing.state / name).stat().st_mode) == 0o600, name
    for name in ("nats", "redis", "postgres", "logs"):
        assert stat.S_IMODE((backing.state / name).stat().st_mode) == 0o700, name
    for child in backing.supervisor.children.values():
        command = Path(f"/proc/{child.pid}/cmdline").read_text()
        assert not [name for name, secret in secrets.items() if secret in command], child.name


async def test_nats_keeps_what_it_acknowledges(backing: System) -> None:
    configuration = (backing.state / "nats" / "nats.conf").read_text()
    assert "sync_interval: always" in configuration
    connection = await connect_nats(backing.environment["NATS_URL"])
    assert connection.max_payload == 8 * 2**20
    await connection.close()


async def test_looking_whether_nats_is_ready_leaves_nothing_open_when_it_is_given_up(
    own_nats: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = nats.NATS.close

    async def closing(connection: nats.NATS) -> None:
        asyncio.get_running_loop().call_soon(looking.cancel)
        await close(connection)

    monkeypatch.setattr(nats.NATS, "close", closing)
    others = asyncio.all_tasks()
    looking = asyncio.create_task(own_nats.launch.ready())
    await asyncio.wait((looking,))
    assert looking.cancelled()
    assert asyncio.all_tasks() <= others


async def test_one_state_folder_one_system(backing: System) -> None:
    assert running(backing.state)
    with pytest.raises(AlreadyUpError, match=str(backing.state)):
        async with system(backing.state, 0, services=False):
            pass
    assert all(child.pid for child in backing.supervisor.children.values())


async def test_a_port_in_use_is_named_before_anything_starts(state: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"port {port} .* --port"):
            async with system(state / "port", port):
                pass
    assert not (state / "port" / "postgres").exists()
    assert running(state / "port") is None


# --- a system that ends and begins again ----------------------------------------------------------------------------


async def write(it: System) -> None:
    """Leave something in Postgres and NATS."""
    connection = await asyncpg.connect(it.environment["DATABASE_URL"])
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    await connection.close()
    bus = await connect_nats(it.environment["NATS_URL"])
    await bus.jetstream().add_stream(name="KEPT", subjects=["kept"])
    await bus.jetstream().publish("kept", b"42")
    await bus.close()


async def read(it: System) -> tuple[int, bytes]:
    """Return what was left."""
    connection = await asyncpg.connect(it.environment["DATABASE_URL"])
    answer = await connection.fetchval("SELECT answer FROM kept")
    await connection.close()
    bus = await connect_nats(it.environment["NATS_URL"])
    message = await bus.jetstream().get_msg("KEPT", 1)
    await bus.close()
    assert message.data
    return answer, message.data


async def restarted(it: System, name: str) -> None:
    """Kill a server and wait until the supervisor has started it again."""
    child = it.supervisor.children[name]
    before, restarts = child.pid, child.restarts
    os.kill(before, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while child.restarts == restarts or not child.pid:
            await asyncio.sleep(0.01)


async def reachable(it: System) -> None:
    """Wait until all servers answer again."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        for variable in VARIABLES:
            while True:
                try:
                    if await answer(variable, it.environment[variable]):
                        break
                except (OSError, asyncpg.PostgresError):
                    await asyncio.sleep(0.02)


async def test_data_outlive_kills_and_restarts(state: Path) -> None:
    folder = state / "lasting"
    # As a start that was killed in the middle leaves it.
    (folder / "postgres.partial").mkdir(parents=True)
    (folder / "postgres.partial" / "PG_VERSION").write_text("18\n")
    async with system(folder, 0, services=False) as it:
        first = dict(it.environment)
        await write(it)
        for name in ("nats", "postgres", "redis"):
            await restarted(it, name)
        await reachable(it)
        assert await read(it) == (42, b"42")
        pids = [child.pid for child in it.supervisor.children.values()]
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert running(folder) is None
    # Somebody takes the port of one of them meanwhile.
    with socket.socket() as taken:
        port = urlsplit(first["NATS_URL"]).port
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        async with system(folder, 0, services=False) as it:
            assert await read(it) == (42, b"42")
            assert it.environment["DATABASE_URL"] == first["DATABASE_URL"], "the same port and password"
            assert urlsplit(it.environment["NATS_URL"]).port != port
            assert it.token == (folder / "token").read_text()
    assert not (folder / "postgres.partial").exists()


async def test_a_server_that_cannot_start_says_why(state: Path) -> None:
    folder = state / "broken"
    (folder / "postgres").mkdir(parents=True, mode=0o700)
    (folder / "postgres" / "PG_VERSION").write_text("8.4\n")
    with pytest.raises(BackingServerError) as raised:
        async with system(folder, 0, services=False):
            pass
    assert "postgres ended with exit code" in raised.value.message
    assert str(folder / "logs" / "postgres.log") in raised.value.message
    assert "postgresql.conf" in raised.value.message, "the end of its log"
    assert running(folder) is None, "the others were stopped"


async def test_what_was_started_is_stopped_when_starting_is_given_up(state: Path) -> None:
    stopping = asyncio.Event()
    stopping.set()
    async with system(state / "given-up", 0, stopping=stopping) as it:
        assert set(it.supervisor.children) <= {"nats", "redis", "postgres"}
    assert running(state / "given-up") is None


# --- as root ----------------------------------------------------------------------------------------------------------

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that does not allow user namespaces."""
    guarded = identity.guarded

    def without(who: str = "same", stop_signal: int = signal.SIGTERM) -> list[str]:
        return ["/bin/false"] if who == "namespace" else guarded(who, stop_signal)

    monkeypatch.setattr(identity, "guarded", without)


@pytest.fixture
async def as_nobody(state: Path, no_namespaces: None) -> AsyncIterator[System]:
    """Servers of root where Postgres runs as ``nobody``."""
    async with system(state / "as-nobody", 0, services=False) as it:
        yield it


@as_root
async def test_without_namespaces_postgres_runs_as_nobody(as_nobody: System) -> None:
    connection = await asyncpg.connect(as_nobody.environment["DATABASE_URL"])
    assert await connection.fetchval("SELECT current_database()") == "artdag"
    await connection.close()
    uids = {name: identities(child.pid) for name, child in as_nobody.supervisor.children.items()}
    assert uids == {"nats": {"0"}, "redis": {"0"}, "postgres": {"65534"}}
    assert stat.S_IMODE(as_nobody.state.stat().st_mode) == 0o711, "it may pass through, not look around"
    for name in SECRETS:
        assert stat.S_IMODE((as_nobody.state / name).stat().st_mode) == 0o600


@as_root
async def test_a_folder_that_nobody_may_not_enter_is_named(state: Path, no_namespaces: None) -> None:
    closed = state / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(BackingServerError, match=rf"nobody may not enter {closed}: .* --state"):
        async with system(closed / "state", 0, services=False):
            pass


@as_root
async def test_with_namespaces_the_folder_may_be_closed(backing: System) -> None:
    assert identities(backing.supervisor.children["postgres"].pid) in ({"0"}, {"65534"})


# --- the supervisor by itself -----------------------------------------------------------------------------------------


async def test_nothing_is_started_again_once_it_stops() -> None:
    supervisor = Supervisor()
    child = Child("short", ("/bin/true",), None)
    await supervisor.start(child)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while child.restarts < 2:
            await asyncio.sleep(0.01)
    await supervisor.stop()
    restarts = child.restarts
    assert child.guard
    assert child.guard.done()
    assert child.pid == 0
    assert child.restarts == restarts


async def test_who_does_not_stop_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.2)
    supervisor = Supervisor()
    deaf = Child("deaf", ("/bin/sh", "-c", "trap '' TERM; sleep 600 & wait; sleep 600"), None)
    await supervisor.start(deaf)
    assert deaf.process
    await supervisor.stop()
    assert deaf.process.returncode is not None
