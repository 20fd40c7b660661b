"""``artdag log``: what a step said."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from artdag_cli.client import Client, RequestFailedError
from artdag_cli.exits import DONE, NOT_SO
from artdag_cli.options import Json, RunId, Server, State, state_folder
from artdag_cli.printing import plain, show

TEXT = "text/plain"


def log(
    run_id: RunId,
    step: Annotated[str, typer.Argument(metavar="STEP", help="Index of a step in the run's plan, or its node.")],
    attempt: Annotated[int, typer.Option("--attempt", help="Which attempt; 0: the newest.", min=0)] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the step ends.")] = False,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Print what a step of a run said: warnings, prints of an uploaded effect, errors.

    A step that takes no time has no log; it is said so. With --follow the exit code is 1 where the step failed, and
    --json prints one object a line.
    """
    with Client.of(state_folder(state), server) as client:
        path = f"/api/run/{quote(run_id, safe='')}/steps/{_index(client, run_id, step)}/log"
        asked = {"attempt": attempt} if attempt else {}
        if follow:
            status = _follow(client, path, asked, json_output)
            raise typer.Exit(NOT_SO if status == "failed" else DONE)
        if json_output:
            show(client.call("GET", path, params=asked, headers={"Accept": "application/json"}), True, [])
        else:
            print(_plain(client.text(path, TEXT, asked)), end="")


def _plain(text: str) -> str:
    """Return lines of a log with nothing in them that a terminal obeys: an effect of somebody else's may print it."""
    return "\n".join(plain(line.rstrip("\r").expandtabs(4)) for line in text.split("\n"))


def _index(client: Client, run_id: str, step: str) -> int:
    """Return the index of a step, given that or the node that it is of.

    Raises:
        RequestFailedError: the node has no step, or several.
    """
    if step.isdigit():
        return int(step)
    plan: dict[str, Any] = client.call("GET", f"/api/run/{quote(run_id, safe='')}/plan")
    found = [each for each in plan["steps"] if each["node"] == step]
    if len(found) == 1:
        return int(found[0]["index"])
    if not found:
        nodes = ", ".join(sorted({each["node"] for each in plan["steps"]})) or "none yet"
        raise RequestFailedError(f"run {run_id} has no node {step!r}; it has: {nodes}")
    indices = ", ".join(f"{each['index']} ({each['label']})" for each in found)
    raise RequestFailedError(f"node {step!r} has several steps; name one by its index: {indices}")


def _follow(client: Client, path: str, asked: dict[str, Any], json_output: bool) -> str:
    """Print what is said until the step ends; return how it ended."""
    for event in client.stream(path, asked):
        if json_output:
            print(json.dumps({"event": event.type, **event.data}), flush=True)
        if event.type == "end":
            if event.data["note"] and not json_output:
                print(plain(event.data["note"]))
            return str(event.data["status"])
        if not json_output:
            print(_plain(event.data["text"]), end="", flush=True)
    raise RequestFailedError("the log broke off before the step ended; the same command begins anew")
