"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from artdag_cli import backing, completion

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
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run.", autocompletion=completion.run_ids)]
RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="Name or id of a recipe.", autocompletion=completion.recipe_names)
]
Mine = Annotated[bool, typer.Option("--mine", help="Only your own.")]
Limit = Annotated[int, typer.Option("--limit", "-n", help="At most so many.", min=1)]
Watch = Annotated[bool, typer.Option("--watch", help="Follow it to its end; exit code 1: it failed.")]
Priority = Annotated[
    str, typer.Option("--priority", help="interactive goes before batch.", metavar="interactive|batch")
]
Force = Annotated[
    list[str] | None,
    typer.Option("--force", help="Compute the steps of this node again, and what follows. May be repeated."),
]
ForceAll = Annotated[bool, typer.Option("--force-all", help="Compute every step again.")]
Deadline = Annotated[
    str, typer.Option("--deadline", help="When it has to be over: 2026-01-07T12:00:00Z.", metavar="TIME")
]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Seconds within which it has to be over.", min=1)]
WaitTimeout = Annotated[
    float | None, typer.Option("--wait-timeout", help="Seconds a step may wait for an executor.", min=1)
]
StepTimeout = Annotated[float | None, typer.Option("--step-timeout", help="Seconds that a step may run.", min=1)]
Port = Annotated[int, typer.Option("--port", help="Port of the gateway; 0: any free one.", min=0, max=65535)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def wishes(
    priority: str,
    deadline: str,
    timeout: float | None,
    wait_timeout: float | None,
    step_timeout: float | None,
    force: list[str] | None = None,
    force_all: bool = False,
) -> dict[str, Any]:
    """Return what a run is asked for besides recipe and inputs, as the body of a request has it."""
    asked = {
        "priority": priority,
        "deadline": deadline,
        "timeout": timeout,
        "wait_timeout": wait_timeout,
        "step_timeout": step_timeout,
        "force": force_all or force,
    }
    return {name: value for name, value in asked.items() if value}


def free_or_any(port: int) -> int:
    """Return ``port`` if nobody listens on it, else 0: any free one."""
    return port if backing.is_free("127.0.0.1", port) else 0


def state_folder(option: Path | None) -> Path:
    """Return the state folder that a command is to use."""
    return (option or default_state()).expanduser().absolute()
