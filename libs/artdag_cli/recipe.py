"""``artdag recipe``: what is rendered, and whether it is in order before anything is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from artdag_cli.client import Client
from artdag_cli.exits import NOT_SO
from artdag_cli.options import Json, Limit, Mine, RecipeName, Server, State, state_folder
from artdag_cli.printing import columns, gathered, more, plain, show, when

app = typer.Typer(no_args_is_help=True, help="Recipes: check, upload, look, delete.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="A recipe, as YAML.", exists=True, dir_okay=False)]


@app.command()
def check(file: File, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Say what is wrong with a recipe, by line and column; nothing is kept. Exit code 1: something is."""
    with Client.of(state_folder(state), server) as client:
        found = client.recipes.check(file)
    problems = found["problems"]
    lines = [f"{file}:{each['line']}:{each['column']}: {each['field']}: {each['problem']}" for each in problems]
    if not problems:
        inputs = ", ".join(f"{each['name']} ({each['type']})" for each in found["inputs"]) or "none"
        lines = [f"{found['name']} {found['version']} is in order; inputs: {inputs}"]
    show(found, json_output, lines)
    if problems:
        raise typer.Exit(NOT_SO)


@app.command()
def upload(file: File, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Make a recipe known; print its id and name. All that is wrong with it is said at once."""
    with Client.of(state_folder(state), server) as client:
        found = client.recipes.upload(file)
    show(found, json_output, [f"{found['recipe_id']}  {found['name']}"])


@app.command("list")
def list_recipes(
    name: Annotated[str, typer.Option("--name", help="Only those whose name has this in it.")] = "",
    mine: Mine = False,
    limit: Limit = 50,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """List recipes, newest first: yours, and published ones."""
    with Client.of(state_folder(state), server) as client:
        found = gathered(client.recipes.page, "recipes", limit, name=name, owner="me" if mine else None)
    rows = [[each["recipe_id"], each["name"], each["version"], each["description"]] for each in found["recipes"]]
    show(found, json_output, [*columns(rows), *more(found, "recipes")])


@app.command("show")
def show_recipe(
    recipe: RecipeName,
    source: Annotated[bool, typer.Option("--source", help="Print it as it was written, and nothing else.")] = False,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Show a recipe with its inputs and nodes."""
    with Client.of(state_folder(state), server) as client:
        found = client.recipes.get(recipe)
        if source and not json_output:
            print(client.content.read(found["source_cid"]).decode(), end="")
            return
    lines = [
        f"{found['name']} {found['version']}  {found['recipe_id']}",
        f"by {found['owner']}, {when(found['created_at'])}",
    ]
    if found["description"]:
        lines.append(found["description"])
    inputs = [
        [each["name"], f"{each['type']}{' …' if each['list'] else ''}", each["description"]] for each in found["inputs"]
    ]
    nodes = [[each["id"], each["type"], ", ".join(map(str, each["inputs"]))] for each in found["nodes"]]
    for title, rows in (("inputs", inputs), ("nodes", nodes)):
        lines += [f"{title}:", *(f"  {line}" for line in columns(rows))]
    show(found, json_output, [*lines, f"output: {found['output']}"])


@app.command()
def delete(recipe: RecipeName, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Take a recipe off your list. Runs made with it stay."""
    with Client.of(state_folder(state), server) as client:
        gone = client.recipes.delete(recipe)
    show(gone, json_output, [plain(f"{gone['recipe_id']}  {gone['name']} deleted")])
