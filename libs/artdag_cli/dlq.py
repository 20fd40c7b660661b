"""``artdag dlq``: what gave up, for the operator: list it, look at it, send it again, drop it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from artdag_cli.client import Client, RequestFailedError
from artdag_cli.exits import NOT_SO, REFUSED
from artdag_cli.messages import confirm, console
from artdag_cli.options import Json, Server, State, state_folder
from artdag_cli.printing import plain

PAGE = 100

app = typer.Typer(no_args_is_help=True, help="Dead letters: what gave up, with its reason.")

Ids = Annotated[list[int] | None, typer.Argument(help="Ids of letters.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All letters, or all of --service and --name.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Service = Annotated[str, typer.Option(help="Only what this service gave up.")]
Name = Annotated[str, typer.Option(help="Only of this name: of a command, an event, a delivery.")]


@app.command("list")
def list_letters(
    service: Service = "", name: Name = "", state: State = None, server: Server = "", json_output: Json = False
) -> None:
    """Show what gave up, oldest first. With --json: one object a line."""
    count = 0
    with Client.of(state_folder(state), server) as client:
        for letter in letters(client, service, name):
            count += 1
            print(json.dumps(letter) if json_output else line_of(letter), flush=True)
    if not count:
        console.print("nothing gave up")


@app.command()
def show(
    letter_id: Annotated[int, typer.Argument(metavar="ID", help="Id of a letter.")],
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Show a letter with its payload and its history."""
    with Client.of(state_folder(state), server) as client:
        letter = client.call("GET", f"/api/dlq/{letter_id}")
    if json_output:
        print(json.dumps(letter, indent=2))
        return
    print(line_of(letter))
    print(f"from {plain(letter['subject'] or '-')}, first sent {letter['since']}, tried {letter['tried']} times")
    for each in letter["tries"]:
        print(f"  {each['at']} {plain(each['reason'])}")
    payload = letter["payload"]
    if payload["json"] is not None:
        print(json.dumps(payload["json"], indent=2))
    elif payload["hex"] is not None:
        print(f"{payload['size_bytes']} bytes: {payload['hex']}")
    else:
        print(f"{payload['size_bytes']} bytes, not shown: they may hold secrets")
    how = letter["retry"]["how"]
    print(plain(f"cannot be sent again: {how}") if how else f"send it again with: artdag dlq retry {letter_id}")


@app.command()
def retry(
    ids: Ids = None,
    everything: All = False,
    service: Service = "",
    name: Name = "",
    yes: Yes = False,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Send letters again. What did happen of them does not happen twice."""

    def send(client: Client, letter_id: int) -> str:
        answer = client.call("POST", f"/api/dlq/{letter_id}/retry")
        return f"went back to {answer['subject']}"

    _check(ids, everything)
    with Client.of(state_folder(state), server) as client:
        chosen = _chosen(client, ids, service, name, "send again", yes, sendable=True)
        _each(client, chosen, send, json_output)


@app.command()
def drop(
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; the audit trail keeps it.")],
    ids: Ids = None,
    everything: All = False,
    service: Service = "",
    name: Name = "",
    yes: Yes = False,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Let letters go for good."""

    def let_go(client: Client, letter_id: int) -> str:
        client.call("DELETE", f"/api/dlq/{letter_id}", params={"reason": reason})
        return "dropped"

    _check(ids, everything)
    with Client.of(state_folder(state), server) as client:
        chosen = _chosen(client, ids, service, name, "drop", yes)
        _each(client, chosen, let_go, json_output)


def letters(client: Client, service: str, name: str) -> Iterator[dict[str, Any]]:
    """Yield dead letters, oldest first."""
    cursor: dict[str, str] = {}
    while True:
        asked = {"service": service, "name": name, "limit": str(PAGE)} | cursor
        page = client.call("GET", "/api/dlq", params=asked)
        yield from page["letters"]
        if page["next"] is None:
            return
        cursor = {"cursor": page["next"]}


def line_of(letter: dict[str, Any]) -> str:
    """Return a letter as one line. Nothing in it moves a cursor."""
    times = f" ×{letter['tried']}" if letter["tried"] > 1 else ""
    about = f" {letter['key']}" if letter["key"] else ""
    return plain(
        f"{letter['id']}  {letter['at'][:19]}Z  {letter['service']}  {letter['name']}{times}{about}: {letter['reason']}"
    )


def _check(ids: list[int] | None, everything: bool) -> None:
    if bool(ids) == everything:
        raise typer.BadParameter("name letters by their ids, or say --all")


def _chosen(
    client: Client,
    ids: list[int] | None,
    service: str,
    name: str,
    verb: str,
    yes: bool,
    sendable: bool = False,
) -> list[int]:
    """Return the ids that are meant. All of them only after a question, unless it is answered before."""
    if ids:
        return ids
    found = list(letters(client, service, name))
    chosen = [letter["id"] for letter in found if not sendable or letter["retry"]["able"]]
    if left := len(found) - len(chosen):
        console.print(f"{left} cannot be sent again; artdag dlq show says what to do", highlight=False)
    if not chosen:
        console.print("there is nothing to do")
        raise typer.Exit()
    if not yes:
        confirm(f"{verb} {len(chosen)} dead letters?")
    return chosen


def _each(client: Client, ids: list[int], act: Any, json_output: bool) -> None:
    """Do it to each, go on after a refusal, and exit with 1 if there was one. Who does not answer is asked no more."""
    failed = False
    for letter_id in ids:
        try:
            said, done = act(client, letter_id), True
        except RequestFailedError as error:
            if error.exit_code != REFUSED:
                raise
            said, done, failed = error.message, False, True
        if json_output:
            print(json.dumps({"id": letter_id, "done": done, "said": said}), flush=True)
        else:
            print(plain(f"{letter_id}: {said}"), file=sys.stdout if done else sys.stderr, flush=True)
    if failed:
        raise typer.Exit(NOT_SO)
