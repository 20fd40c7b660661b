"""``artdag render``: one recipe or effect over some inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from artdag_cli.client import Client
from artdag_cli.live import RunView
from artdag_cli.options import Json, Server, State, state_folder

console = Console(stderr=True)


def render(
    recipe: Annotated[str, typer.Argument(help="Name or id of a recipe, or name of an effect.")],
    inputs: Annotated[list[str], typer.Argument(help="Inputs in order: names, CIDs, or files, which are uploaded.")],
    sync: Annotated[bool, typer.Option("--sync", help="Wait until it is done.")] = False,
    output_name: Annotated[str, typer.Option("--name", help="Name of the output.")] = "",
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Render inputs through a recipe or an effect. Exit code 1: the run failed."""
    with Client.of(state_folder(state), server) as client:
        _render(client, recipe, inputs, sync, output_name, json_output)


def _render(client: Client, recipe: str, inputs: list[str], sync: bool, output_name: str, json_output: bool) -> None:
    bound = [client.upload(Path(item)) if Path(item).is_file() else item for item in inputs]
    body = {"recipe": recipe, "inputs": bound, "output_name": output_name or f"{recipe}-{Path(inputs[0]).stem}"}
    run_id = client.call("POST", "/runs", json=body)["run_id"]
    if not sync:
        print(json.dumps({"run_id": run_id}) if json_output else run_id)
        return
    with RunView(f"{recipe} {' '.join(inputs)}", console, json_output) as view:
        view.follow(client.events(run_id))
    result = client.run(run_id)
    if json_output:
        print(json.dumps(result, indent=2))
    elif result["status"] == "completed":
        print(f"{result['output_cid']}  {client.url}/cache/{result['output_cid']}/raw")
    if result["status"] != "completed":
        console.print(f"[red]the run {result['status']}:[/red] {result.get('error')}", highlight=False)
        raise typer.Exit(1)
