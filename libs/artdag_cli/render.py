"""``artdag render``: one recipe or effect over some inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from artdag_cli.cache_import import bar
from artdag_cli.client import Client
from artdag_cli.exits import INTERRUPTED, NOT_SO
from artdag_cli.live import RunView
from artdag_cli.messages import console, errors
from artdag_cli.options import (
    Deadline,
    Force,
    ForceAll,
    Json,
    Priority,
    Server,
    State,
    StepTimeout,
    Timeout,
    WaitTimeout,
    state_folder,
    wishes,
)
from artdag_cli.printing import plain, show
from artdag_client.saving import check_place


def _savable(path: Path | None) -> Path | None:
    """See beforehand that something can be saved there: a run may take hours."""
    if path is not None:
        check_place(path, replace=True)
    return path


Saved = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Follow it, and save what it gave; a file that is there is written over.",
        dir_okay=False,
        show_default=False,
        callback=_savable,
    ),
]


def render(
    recipe: Annotated[str, typer.Argument(help="Name or id of a recipe, or name of an effect.")],
    inputs: Annotated[list[str], typer.Argument(help="Inputs in order: names, CIDs, or files, which are uploaded.")],
    sync: Annotated[bool, typer.Option("--sync", help="Wait until it is done.")] = False,
    output_name: Annotated[str, typer.Option("--name", help="Name of the output.")] = "",
    priority: Priority = "",
    force: Force = None,
    force_all: ForceAll = False,
    deadline: Deadline = "",
    timeout: Timeout = None,
    wait_timeout: WaitTimeout = None,
    step_timeout: StepTimeout = None,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Render inputs through a recipe or an effect. Exit code 1: the run failed."""
    asked = wishes(priority, deadline, timeout, wait_timeout, step_timeout, force, force_all)
    with Client.of(state_folder(state), server) as client:
        bound = [client.upload(Path(item)) if Path(item).is_file() else item for item in inputs]
        name = output_name or f"{recipe}-{Path(inputs[0]).stem}"
        body = {"recipe": recipe, "inputs": bound, "output_name": name, **asked}
        begun = client.ask("POST", "/runs", json=body)
        if sync:
            watch(client, begun["run_id"], f"{recipe} {' '.join(inputs)}", json_output)
        else:
            show(begun, json_output, [begun["run_id"]])


def watch(client: Client, run_id: str, title: str, json_output: bool, output: Path | None = None) -> None:
    """Follow a run to its end and print what it gave, or why it gave nothing.

    Args:
        output: where to save what it gave; what is there is written over.

    Raises:
        typer.Exit: 1, it gave nothing; 130, whoever watched it did not want to wait: the run goes on.
    """
    try:
        with RunView(title, console, json_output, run_id) as view:
            view.follow(client.events(run_id))
    except KeyboardInterrupt:
        say(f"run {run_id} goes on; artdag cancel {run_id} stops it, artdag watch {run_id} follows it again")
        raise typer.Exit(INTERRUPTED) from None
    result = client.run(run_id)
    completed = result["status"] == "completed"
    if completed and output is not None:
        with bar("save", 0, console, json_output) as told:
            result["file"] = str(client.download(result["output_cid"], output, lambda done, total: told(done)))
    if json_output:
        print(json.dumps(result, indent=2))
    elif completed:
        print(result.get("file") or f"{result['output_cid']}  {client.url}/cache/{result['output_cid']}/raw")
    if not completed:
        tell_failure(client, result)
        raise typer.Exit(NOT_SO)


def tell_failure(client: Client, run: dict[str, Any]) -> None:
    """Say which step of a run failed, why, after how many attempts, what to do, and what was finished all the same."""
    error = run["error"]
    where = f"step {error['step']}, {error['node']} ({error['type']}): " if error["step"] is not None else ""
    why = f"{where}{error['reason'] or 'no reason was given'} [{error['code']}]"
    errors.print(Text.assemble((f"the run {run['status']}: ", "red"), plain(why)), highlight=False, soft_wrap=True)
    for attempt in error["attempts"][:-1]:
        say(f"attempt {attempt['attempt']}: {attempt['reason']} [{attempt['code']}]")
    say(error["advice"])
    if error["links"]["log"]:
        say(f"log: {client.url}{error['links']['log']}")
    say(f"artdag retry {run['run_id']} tries again what failed")
    for each in run["artifacts"]:
        say(f"finished all the same: {each['node']}  {client.url}{each['url']}")


def say(text: str) -> None:
    """Print a line for people."""
    errors.print(f"  {plain(text)}", highlight=False, markup=False, soft_wrap=True)
