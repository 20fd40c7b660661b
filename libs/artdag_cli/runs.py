"""``artdag runs``, ``watch``: what was run, and following one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from artdag_cli.client import Client
from artdag_cli.options import Json, Limit, Mine, RunId, Server, State, state_folder
from artdag_cli.printing import columns, gathered, more, show, when
from artdag_cli.render import Saved
from artdag_cli.render import watch as follow

STATUSES = "running, completed, failed, cancelled, paused, planned, requested, analyzing"


def runs(
    status: Annotated[str, typer.Option("--status", help=f"Only those: {STATUSES}.")] = "",
    mine: Mine = False,
    published: Annotated[bool, typer.Option("--published", help="Only those that gave what is published.")] = False,
    limit: Limit = 20,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """List runs, newest first.

    Example: artdag runs --status failed --mine --limit 5
    """
    owner = "me" if mine else None
    with Client.of(state_folder(state), server) as client:
        found = gathered(client.runs.page, "runs", limit, status=status, owner=owner, published=published)
    show(found, json_output, [*columns([row_of(run) for run in found["runs"]]), *more(found, "runs")])


def row_of(run: Any) -> list[str]:
    """Return a run as a row of a list."""
    progress = run["progress"]
    return [
        run["run_id"],
        run["status"],
        f"{progress['done']}/{progress['total']}",
        when(run["created_at"]),
        run["output_name"] or run["recipe"],
    ]


def watch(
    run_id: RunId,
    output: Saved = None,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Follow a run to its end. Exit code 1: it gave nothing.

    Ctrl-C stops the watching, not the run. Example: artdag watch RUN -o film.mp4
    """
    with Client.of(state_folder(state), server) as client:
        run = client.runs.get(run_id)
        follow(client, run_id, run["output_name"] or run["recipe"], json_output, output)
