"""``artdag token``, ``whoami``: who is signed in, and the tokens that do it."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from artdag_cli.client import Client
from artdag_cli.exits import DONE, SIGN_IN
from artdag_cli.options import Json, Server, State, state_folder
from artdag_cli.printing import columns, show, when
from artdag_cli.state import owner_token, prepare

app = typer.Typer(
    invoke_without_command=True,
    help="Print the local owner's token; make, list and revoke tokens.\n\n"
    "`artdag token` prints that of this machine's system and nothing else. The others are for whoever is signed in.",
)

KINDS = {"": "operator", "device": "program", "l2": "registry"}


@app.callback()
def token(context: typer.Context, state: State = None, json_output: Json = False) -> None:
    """Print the local owner's token; make, list and revoke tokens."""
    if context.invoked_subcommand is not None:
        return
    folder = state_folder(state)
    prepare(folder)
    found = owner_token(folder)
    show({"token": found}, json_output, [found])


@app.command()
def create(
    name: Annotated[
        str, typer.Argument(help="What the program calls itself.  [default: this machine's name]", show_default=False)
    ] = "",
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Make another token of yours, for a program that is to work as you; print it. It lasts for 30 days."""
    with Client.of(state_folder(state), server) as client:
        made = client.tokens.create(name or f"a program on {platform.node() or 'a machine'}")
    show({"token": made}, json_output, [made])


@app.command("list")
def list_tokens(state: State = None, server: Server = "", json_output: Json = False) -> None:
    """List the tokens that sign you in, newest first: their ids, never themselves."""
    with Client.of(state_folder(state), server) as client:
        found = client.tokens.list()
    rows = [
        [
            each["token_id"],
            KINDS.get(each["kind"], each["kind"]),
            when(each["attached_at"]),
            f"until {when(each['expires_at'])}" if each["expires_at"] else "without end",
            "this one" if each["current"] else " ",
        ]
        for each in found["tokens"]
    ]
    show(found, json_output, columns(rows))


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="TOKEN", help="Id of a token, as `artdag token list` tells it.")],
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Have a token of yours refused from now on."""
    with Client.of(state_folder(state), server) as client:
        gone = client.tokens.revoke(token_id)
    show(gone, json_output, [f"{gone['token_id']} is revoked"])


def whoami(state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Say who is signed in, and where. Exit code 4: nobody is."""
    with Client.of(state_folder(state), server) as client:
        who = client.tokens.who()
    said = f"{who['handle']} at {client.url}" if who["signed_in"] else f"nobody is signed in at {client.url}"
    show({"server": client.url, **who}, json_output, [said])
    raise typer.Exit(DONE if who["signed_in"] else SIGN_IN)
