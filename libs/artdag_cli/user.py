"""``artdag user``: who uses this system, what is theirs, and erasing a person."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.filesize import decimal

from artdag_cli.client import Client
from artdag_cli.messages import confirm, console
from artdag_cli.options import Json, Server, State, state_folder
from artdag_cli.printing import plain, show

app = typer.Typer(no_args_is_help=True, help="Who uses this system, and erasing a person. For the operator.")

SHOWN = 20
LEFT = """What cannot be taken back from here:
- what they published stays public, under the names above; --unpublish takes it back;
- provenance records in it carry their handle: they are part of the content, and their CIDs depend on it;
- copies elsewhere: on IPFS, at their own storage, in backups of this server, at L2 and whoever it told;
- events keep what they wrote in names, descriptions, tags and settings of storage, under an id that means nobody."""

Who = Annotated[str, typer.Argument(metavar="USER", help="User id, or handle: @name@domain.")]


@app.command("list")
def list_users(state: State = None, server: Server = "", json_output: Json = False) -> None:
    """List everybody who ever signed in, who came last first."""
    with Client.of(state_folder(state), server) as client:
        people = list(client.operator.people())
    document = {"users": people, "total": len(people)}
    show(document, json_output, [f"{each['user_id']}  {each['handle']}  {_when(each)}" for each in people])


@app.command("show")
def show_user(user: Who, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Show who it is, what is theirs here, and what of it is public."""
    with Client.of(state_folder(state), server) as client:
        found = client.operator.person(user)
    if json_output:
        show(found, True, [])
        return
    print(plain(f"{found['user_id']}  {found['handle']}  {_when(found)}"))
    theirs = found["theirs"]
    things = ", ".join(f"{theirs[name]} {name}" for name in ("runs", "recipes", "effects", "storage", "content"))
    print(f"{things}; {decimal(theirs['bytes'])}")
    _say_public(found["public"])


@app.command()
def erase(
    user: Who,
    content: Annotated[
        bool, typer.Option("--content", help="Also delete their runs, recipes, effects and content, where it can be.")
    ] = False,
    unpublish: Annotated[
        bool, typer.Option("--unpublish", help="First unpublish all that they published; L2 is told.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Erase a person: every token is refused, nobody can tell any more who the id was, their storage is let go of.

    It can be broken off and done again; what is done already is not done twice.
    """
    with Client.of(state_folder(state), server) as client:
        found = client.operator.person(user)
        if not yes:
            what = "with all that can be deleted of theirs" if content else "and leave what is theirs"
            confirm(plain(f"Erase {found['handle']} ({found['user_id']}) {what}? It cannot be undone."))
        total = _erase(client, found["user_id"], content, unpublish)
    if json_output:
        show(total, True, [])
    else:
        _say(total)


def _erase(client: Client, user_id: str, content: bool, unpublish: bool) -> dict[str, Any]:
    """Ask until all is done, and return what it came to in all."""
    total: dict[str, Any] = {"user_id": user_id, "erased": True, "removed": {}, "freed_bytes": 0, "kept": []}
    cursor = None
    while True:
        answer = client.operator.erase(user_id, content=content, unpublish=unpublish, cursor=cursor)
        for part, count in answer["removed"].items():
            total["removed"][part] = total["removed"].get(part, 0) + count
        total["freed_bytes"] += answer["freed_bytes"]
        total["kept"] += answer["kept"]
        total["public"] = answer["public"]
        if answer["next"] is None:
            return total
        cursor = answer["next"]


def _say(total: dict[str, Any]) -> None:
    removed = ", ".join(f"{count} {part}" for part, count in total["removed"].items()) or "nothing else"
    _tell(f"{total['user_id']} means nobody any more; removed: {removed}, {decimal(total['freed_bytes'])} freed")
    for each in total["kept"][:SHOWN]:
        _tell(f"kept: {each['part']} {each['id']}: {each['reason']}")
    if len(total["kept"]) > SHOWN:
        _tell(f"… and {len(total['kept']) - SHOWN} more; --json lists all")
    _say_public(total["public"])
    _tell(LEFT)


def _say_public(public: list[dict[str, Any]]) -> None:
    for each in public[:SHOWN]:
        print(plain(f"public: {each['cid']}  {each['name']}"))
    if len(public) > SHOWN:
        print(f"… and {len(public) - SHOWN} more")


def _tell(text: str) -> None:
    for line in text.splitlines():
        console.print(plain(line), highlight=False, markup=False, soft_wrap=True)


def _when(person: Any) -> str:
    if person["erased_at"]:
        return f"erased {person['erased_at'][:19]}Z"
    signed_in = f"{person['signed_in_at'][:19]}Z" if person["signed_in_at"] else "never"
    return f"joined {person['joined_at'][:19]}Z, signed in last {signed_in}"
