"""Where one is signed in: a token for each server, in the state folder, readable by its owner only."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, urlsplit

from artdag_cli.exits import SIGN_IN
from artdag_common.errors import ArtdagError, ConfigurationError

FOLDER = "logins"


class NotSignedInError(ArtdagError):
    """No token for this server is kept here. Sign in with ``artdag login URL``."""

    exit_code = SIGN_IN


def server_url(text: str) -> str:
    """Return a server's address as its token is kept by: scheme, host and port.

    Raises:
        ConfigurationError: it is no such address.
    """
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ConfigurationError(f"{text!r} is no address of a server, such as https://l1.example.org")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigurationError(f"{text!r} has more than scheme, host and port; leave out what follows them")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != default else "")


def keep(state: Path, url: str, token: str) -> None:
    """Keep a token; one that is there for this server goes."""
    path = _path(state, url)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token)
    part.replace(path)


def token_for(state: Path, url: str) -> str:
    """Return the token that is kept for a server.

    Raises:
        NotSignedInError: there is none.
    """
    try:
        return _path(state, url).read_text().strip()
    except FileNotFoundError:
        raise NotSignedInError(f"no token for {url} is kept in {state}; sign in with `artdag login {url}`") from None


def forget(state: Path, url: str) -> None:
    """Keep the token no longer."""
    _path(state, url).unlink(missing_ok=True)


def _path(state: Path, url: str) -> Path:
    return state / FOLDER / quote(url, safe="")
