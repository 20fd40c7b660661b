"""The state folder of a system on this machine: whose it is, the owner's token, and what runs on it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import Any

from artdag_cli import backing
from artdag_common.errors import ConfigurationError


def prepare(state: Path) -> None:
    """Make the state folder, for its owner only; others may pass through it where Postgres has to run as one of them.

    Raises:
        ConfigurationError: it cannot be made or written.
    """
    closed = backing.ordinary_identity() != backing.NOBODY
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700 if closed else 0o711)
    except OSError as error:
        raise ConfigurationError(f"the state folder {state} cannot be made: {error.strerror}; give another") from error
    if not os.access(state, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(f"the state folder {state} cannot be written by this user; give another --state")


def owner_token(state: Path) -> str:
    """Return the local owner's token, made at the first time and readable by the owner only."""
    return backing.kept(state / "token", lambda: secrets.token_urlsafe(32))


def running(state: Path) -> dict[str, Any] | None:
    """Return what ``up`` wrote about the system on this state folder, or None if none runs."""
    try:
        with (state / "up.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two that ask are not in each other's way
        return None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except BlockingIOError:
        pass
    except PermissionError as error:
        raise ConfigurationError(f"the state folder {state} is another user's") from error
    try:
        facts: dict[str, Any] = json.loads((state / "up.json").read_text())
    except (OSError, ValueError):
        return {}
    return facts
