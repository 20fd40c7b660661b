"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from artdag_cli import backing

DEFAULT_PORT = 8100
ROOT_STATE = Path("/var/lib/artdag")


def default_state() -> Path:
    """Return the state folder below the user's home.

    Where root cannot be an ordinary user for Postgres's sake, it is one that ``nobody`` may enter.
    """
    home = Path("~/.artdag").expanduser()
    if os.geteuid() == 0 and not home.parent.stat().st_mode & 0o001 and backing.ordinary_identity() == backing.NOBODY:
        return ROOT_STATE
    return home


State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        envvar="ARTDAG_STATE",
        help="Folder of this system's data, token and logs.  [default: ~/.artdag]",
        show_default=False,
        file_okay=False,
    ),
]
Server = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="ARTDAG_SERVER",
        help="Address of a server where `artdag login` signed you in.  [default: the system on the state folder]",
        show_default=False,
    ),
]
Port = Annotated[int, typer.Option("--port", help="Port of the gateway; 0: any free one.", min=0, max=65535)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def free_or_any(port: int) -> int:
    """Return ``port`` if nobody listens on it, else 0: any free one."""
    return port if backing.is_free("127.0.0.1", port) else 0


def state_folder(option: Path | None) -> Path:
    """Return the state folder that a command is to use."""
    return (option or default_state()).expanduser().absolute()
