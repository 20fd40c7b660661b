"""Where the state is, which port, and what the demo says at its end."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import stat
from pathlib import Path

import pytest

from artdag_cli import backing, options, system
from artdag_cli.demo import serving
from artdag_cli.options import default_state, free_or_any, state_folder
from artdag_common.errors import BackingServerError, ConfigurationError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_state_is_below_the_users_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options.os, "geteuid", lambda: 1000)
    assert default_state() == home / ".artdag"
    assert state_folder(None) == home / ".artdag"


@pytest.mark.parametrize(
    ("identity", "mode", "expected"),
    [
        ("namespace", 0o700, ".artdag"),
        (backing.NOBODY, 0o755, ".artdag"),
        (backing.NOBODY, 0o700, "/var/lib/artdag"),
    ],
)
def test_root_keeps_it_where_postgres_can_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, identity: str, mode: int, expected: str
) -> None:
    monkeypatch.setattr(options.os, "geteuid", lambda: 0)
    monkeypatch.setattr(backing, "ordinary_identity", lambda: identity)
    home.chmod(mode)
    assert default_state() == home / expected


def test_a_given_state_is_taken_from_where_one_stands(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    assert state_folder(Path("mine")) == home / "mine"
    assert state_folder(Path("~/mine")) == home / "mine"


@pytest.mark.parametrize(("identity", "mode"), [("namespace", 0o700), ("same", 0o700), (backing.NOBODY, 0o711)])
def test_a_new_state_folder_is_its_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identity: str, mode: int
) -> None:
    monkeypatch.setattr(backing, "ordinary_identity", lambda: identity)
    system.prepare(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == mode


def test_a_state_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigurationError, match=str(folder)):
            system.prepare(folder)


def test_the_usual_port_or_any_other() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.listen()
        assert not backing.is_free("127.0.0.1", port)
        assert free_or_any(port) == 0
    assert backing.is_free("127.0.0.1", port)
    assert free_or_any(port) == port


def test_no_port_is_given_away_twice() -> None:
    """Each goes to a server that listens later: it is no other's meanwhile, and connections to it are refused."""
    ports = {backing.free_port() for _ in range(50)}
    assert len(ports) == 50
    for port in ports:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        with socket.create_server(("127.0.0.1", port)):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()


async def test_who_only_looks_whether_a_system_runs_does_not_keep_one_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "up.lock"
    with path.open("w") as ours, path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        starting = asyncio.create_task(system._lock(ours, tmp_path))
        await asyncio.sleep(0)
        assert not starting.done()
        fcntl.flock(looking, fcntl.LOCK_UN)
        await starting
        with pytest.raises(BlockingIOError):
            fcntl.flock(looking, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(BackingServerError, match=r"192\.0\.2\.1"):  # TEST-NET-1, nobody's
        backing.is_free("192.0.2.1", 0)


def test_a_kept_secret_is_made_once_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "token"
    made = iter(["first", "second"])
    assert backing.kept(path, lambda: next(made)) == "first"
    assert backing.kept(path, lambda: next(made)) == "first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["token"]


def test_of_two_who_make_a_secret_at_once_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "token"

    def slowly() -> str:
        assert backing.kept(path, lambda: "the other's") == "the other's"
        return "mine"

    assert backing.kept(path, slowly) == "the other's"
    assert os.listdir(tmp_path) == ["token"]


@pytest.mark.parametrize(
    ("state", "port", "command"),
    [
        (None, 8100, "`./artdag up`"),
        (Path("/data/art dag"), 8100, "`./artdag up --state '/data/art dag'`"),
        (None, 4711, "`./artdag up --port 4711`"),
    ],
)
def test_the_demo_says_how_to_see_its_pages_again(state: Path | None, port: int, command: str) -> None:
    assert command in serving(state, port)
