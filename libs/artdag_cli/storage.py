"""``artdag storage``: places of your own that get a copy of what is yours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.filesize import decimal

from artdag_cli import completion
from artdag_cli.client import Client
from artdag_cli.exits import NOT_SO
from artdag_cli.options import Json, Limit, Server, State, state_folder
from artdag_cli.printing import columns, gathered, more, show, when

app = typer.Typer(no_args_is_help=True, help="Places of your own that get a copy of what is yours.")

Place = Annotated[
    str,
    typer.Argument(metavar="STORAGE", help="Id of a place, or its name.", autocompletion=completion.storage_ids),
]
Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SETTING=VALUE",
        help="Settings, as `artdag storage form TYPE` lists them; SETTING=@FILE reads a secret from a file.",
        show_default=False,
    ),
]


@app.command()
def form(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="local, s3 or ipfs.")],
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Say what a kind of place has to be told."""
    with Client.of(state_folder(state), server) as client:
        found = client.storage.form(kind)
    rows = [
        [
            each["name"],
            "secret" if each.get("secret") else "",
            "required" if each.get("required") else "",
            each["label"],
        ]
        for each in found["fields"]
    ]
    show(found, json_output, [f"{found['label']}: {found['description']}", *columns(rows)])


@app.command()
def add(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="local, s3 or ipfs.")],
    name: Annotated[str, typer.Argument(help="What you call it.")],
    settings: Settings = None,
    capacity: Annotated[int | None, typer.Option("--capacity", help="Bytes that it may hold.", min=1)] = None,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Have what is yours copied to a place: all you have already, and all that comes.

    Example: artdag storage add s3 bucket endpoint=https://s3.example.org bucket=art region=eu access_key_id=KEY
    secret_access_key=@key.txt
    """
    with Client.of(state_folder(state), server) as client:
        found = client.storage.add(kind, name, read_settings(settings or []), capacity)
    show(found, json_output, [f"{found['storage_id']}  {found['name']}"])


def read_settings(items: list[str]) -> dict[str, Any]:
    """Return settings by name from ``name=value``; ``@file``: what is in it.

    Raises:
        typer.BadParameter: an item has another form.
    """
    found: dict[str, Any] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{item!r} is not of the form SETTING=VALUE", param_hint="SETTING=VALUE")
        found[name] = _read(Path(value[1:])) if value.startswith("@") else _value(value)
    return found


def _read(path: Path) -> str:
    """Return what a file holds, without the newline at its end."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} holds no text", param_hint="SETTING=VALUE") from error


def _value(text: str) -> Any:
    """Return truth values as such; anything else is text."""
    return json.loads(text) if text in ("true", "false", "null") else text


@app.command("list")
def list_storage(limit: Limit = 50, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """List your places, newest first, with what is there."""
    with Client.of(state_folder(state), server) as client:
        found = gathered(client.storage.page, "storage", limit)
    rows = [
        [
            each["storage_id"],
            each["type"],
            each["status"] if each["enabled"] else "off",
            f"{each['usage']['made']['objects']} made",
            f"{each['usage']['waiting']['objects']} wait",
            f"{each['usage']['failed']['objects']} failed",
            each["name"],
        ]
        for each in found["storage"]
    ]
    show(found, json_output, [*columns(rows), *more(found, "storage")])


@app.command("show")
def show_storage(place: Place, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Show a place: its settings, which secrets are set, what is there."""
    with Client.of(state_folder(state), server) as client:
        found = client.storage.get(_id(client, place))
    lines = [
        f"{found['name']}  {found['type']}  {found['status'] if found['enabled'] else 'off'}  {found['storage_id']}"
    ]
    if found["reason"]:
        lines.append(f"{found['code']}: {found['reason']}")
    lines += [f"{name}: {value}" for name, value in found["settings"].items()]
    lines += [f"{name}: {'set' if facts['set'] else 'not set'}" for name, facts in found["secrets"].items()]
    for state_of in ("made", "waiting", "failed"):
        amount: Any = found["usage"][state_of]
        lines.append(f"{state_of}: {amount['objects']}, {decimal(amount['size_bytes'])}")
    show(found, json_output, [*lines, f"looked at {when(found['checked_at'])}"])


@app.command()
def change(
    place: Place,
    settings: Settings = None,
    name: Annotated[str | None, typer.Option("--name", help="What you call it from now on.")] = None,
    capacity: Annotated[
        int | None, typer.Option("--capacity", help="Bytes that it may hold; 0: no limit.", min=0)
    ] = None,
    enabled: Annotated[bool | None, typer.Option("--on/--off", help="Whether it gets copies.")] = None,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Change a place, or turn it off and on. What is not named stays; SETTING=null goes back to the default."""
    given = read_settings(settings or [])
    with Client.of(state_folder(state), server) as client:
        found = client.storage.change(
            _id(client, place), name=name, settings=given or None, capacity_bytes=capacity, enabled=enabled
        )
    show(found, json_output, [f"{found['storage_id']}  {found['name']}"])


@app.command("test")
def try_storage(place: Place, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Store something small there, read it back, remove it. Exit code 1: that does not work."""
    with Client.of(state_folder(state), server) as client:
        found = client.storage.test(_id(client, place))
    show(found, json_output, ["it works" if found["ok"] else f"{found['code']}: {found['reason']}"])
    if not found["ok"]:
        raise typer.Exit(NOT_SO)


@app.command()
def copies(
    place: Place,
    only: Annotated[str, typer.Option("--only", help="made, waiting or failed.")] = "",
    limit: Limit = 50,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """List how it stands with each content at a place."""
    with Client.of(state_folder(state), server) as client:
        storage_id = _id(client, place)
        found = gathered(lambda **asked: client.storage.copies_page(storage_id, **asked), "copies", limit, state=only)
    rows = [
        [each["cid"], each["state"], each["location"] or how_far(each["progress"]) or each["reason"]]
        for each in found["copies"]
    ]
    show(found, json_output, [*columns(rows), *more(found, "copies")])


def how_far(progress: dict[str, Any] | None) -> str:
    """Return how far a copy is that is being made; empty: none is."""
    if progress is None:
        return ""
    return progress.get("status") or f"{decimal(progress['done'])} of {decimal(progress['total'])}"


@app.command()
def retry(place: Place, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Copy again what failed, and try at once what waits."""
    with Client.of(state_folder(state), server) as client:
        found = client.storage.retry(_id(client, place))
    show(found, json_output, [f"{found['usage']['waiting']['objects']} wait"])


@app.command()
def remove(
    place: Place,
    purge: Annotated[bool, typer.Option("--purge", help="Also remove the copies there, in the background.")] = False,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Forget a place and its secrets. The copies stay where they are, unless --purge is given."""
    with Client.of(state_folder(state), server) as client:
        gone = client.storage.delete(_id(client, place), purge)
    show(gone, json_output, [f"{gone['name']} is forgotten"])


def _id(client: Client, place: str) -> str:
    """Return the id of a place that is named by it, or called so where no other is."""
    found = [each["storage_id"] for each in client.storage.list() if each["name"] == place]
    return found[0] if len(found) == 1 else place
