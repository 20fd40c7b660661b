"""``artdag cache``: content in and out, what is said of it, who sees it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.filesize import decimal

from artdag_cli.cache_import import (
    Uploaded,
    bar,
    files_in,
    folder_cid,
    select,
    upload_entries,
    upload_files,
)
from artdag_cli.client import Client
from artdag_cli.content import download, named, upload
from artdag_cli.garbage import gc
from artdag_cli.messages import console
from artdag_cli.options import Json, Limit, Mine, Server, State, state_folder
from artdag_cli.printing import columns, gathered, more, show, when
from artdag_common.ipld.car import CarFile

app = typer.Typer(no_args_is_help=True, help="Content: bring it in, look at it, describe, publish, delete it.")
app.command("put")(upload)
app.command("get")(download)
app.command("gc")(gc)

Cid = Annotated[str, typer.Argument(metavar="CID|NAME", help="Content, by its CID or what you call it.")]


@app.command("list")
def list_content(
    type_: Annotated[str, typer.Option("--type", help="Media type, or its first half: video.")] = "",
    name: Annotated[str, typer.Option("--name", help="Only what has this in its name.")] = "",
    tag: Annotated[str, typer.Option("--tag", help="Only what has this tag.")] = "",
    origin: Annotated[str, typer.Option("--origin", help="upload, import, step, plan …")] = "",
    all_: Annotated[bool, typer.Option("--all", help="Also what runs made on the way.")] = False,
    mine: Mine = False,
    limit: Limit = 50,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """List content, newest first.

    Example: artdag cache list --type video --mine
    """
    chosen: dict[str, Any] = {"type": type_, "name": name, "tag": tag, "origin": origin}
    with Client.of(state_folder(state), server) as client:
        found = gathered(
            client.content.page, "objects", limit, owner="me" if mine else None, kept=not (all_ or origin), **chosen
        )
    rows = [[each["cid"], decimal(each["size_bytes"]), each["media_type"], each["title"]] for each in found["objects"]]
    show(found, json_output, [*columns(rows), *more(found, "objects")])


@app.command("show")
def show_content(content: Cid, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Show all that is known of content: what it holds, who uses it, where it is."""
    with Client.of(state_folder(state), server) as client:
        found = client.content.get(named(client, content))
    lines = [
        f"{found['title'] or '–'}  {found['cid']}",
        f"{found['media_type']}, {decimal(found['size_bytes'])}, by {found['origin']}, {when(found['stored_at'])}",
    ]
    if found["description"]:
        lines.append(found["description"])
    if found["tags"]:
        lines.append(f"tags: {', '.join(found['tags'])}")
    facts = found["facts"] or {}
    if facts.get("duration") is not None:
        lines.append(f"{facts['duration']:.3f} s")
    lines += [f"used by run {run['run_id']} as {', '.join(run['as'])}" for run in found["used"]["runs"]]
    lines += [f"used by recipe {each['name']}  {each['recipe_id']}" for each in found["used"]["recipes"]]
    lines += [f"published by {each['owner']} as {each['name']}" for each in found["published"]]
    lines += [f"copy at {each['name']}: {each['state']}" for each in found["copies"]]
    show(found, json_output, lines)


@app.command()
def meta(
    content: Cid,
    name: Annotated[str | None, typer.Option("--name", help="What you call it.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="What you say of it.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="A tag, instead of those there are. May be repeated; '': none.")
    ] = None,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Show what you say of content, or say something else of it. What is not given stays.

    Example: artdag cache meta CID --name kitten --tag animal --tag dance
    """
    with Client.of(state_folder(state), server) as client:
        cid = named(client, content)
        tags = None if tag is None else [each for each in tag if each]
        if name is None and description is None and tags is None:
            found = client.content.meta(cid)
        else:
            found = client.content.describe(cid, name=name, description=description, tags=tags)
    lines = [f"name: {found['name'] or '–'}", f"description: {found['description'] or '–'}"]
    show(found, json_output, [*lines, f"tags: {', '.join(found['tags']) or '–'}"])


@app.command()
def publish(
    content: Cid,
    name: Annotated[str | None, typer.Option("--name", help="Under what name.  [default: yours]")] = None,
    description: Annotated[
        str | None, typer.Option("--description", help="Described so.  [default: as by you]")
    ] = None,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Make content public in your name. What is published cannot be deleted."""
    with Client.of(state_folder(state), server) as client:
        found = client.content.publish(named(client, content), name, description)
    show(found, json_output, [f"{found['cid']} is public as {found['published']['name']}"])


@app.command()
def unpublish(content: Cid, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Make content public no longer in your name."""
    with Client.of(state_folder(state), server) as client:
        found = client.content.unpublish(named(client, content))
    show(found, json_output, [f"{found['cid']} is {found['state']}"])


@app.command()
def delete(content: Cid, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Delete content. Refused while it is published, or a run, recipe or effect of yours needs it."""
    with Client.of(state_folder(state), server) as client:
        gone = client.content.delete(named(client, content))
    show(gone, json_output, [f"{gone['cid']} deleted, {decimal(gone['freed_bytes'])} freed"])


@app.command()
def usage(state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Say how much your content takes, and how much may come."""
    with Client.of(state_folder(state), server) as client:
        found = client.content.usage()
    room = "no limit" if found["free_bytes"] is None else f"{decimal(found['free_bytes'])} left"
    show(found, json_output, [f"{found['objects']} objects, {decimal(found['used_bytes'])}; {room}"])


@app.command("import")
def bring_in(
    source: Annotated[Path, typer.Argument(help="A folder, a file, or a CAR file (.car).", exists=True, readable=True)],
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Upload a folder with all below it, a file, or the files in a CAR; print each CID and name.

    Content of a folder is named by its path there. Hidden files and links that leave the folder are left out. Every
    block of a CAR file is checked before anything is uploaded.
    """
    skipped: dict[str, str] = {}
    folder = None
    with Client.of(state_folder(state), server) as client:
        if source.is_dir():
            chosen = select(source)
            skipped = chosen.skipped
            with bar("upload", sum(each.size_bytes for each in chosen.files), console, json_output) as told:
                stored = [_say(each, json_output) for each in upload_files(client, chosen.files, told)]
            folder = folder_cid(chosen, stored)
        elif source.suffix == ".car":
            size = source.stat().st_size
            with bar("check", size, console, json_output) as told:
                car = CarFile(source, told)
            with car:
                found = files_in(car, size, source.stem, skipped)
                with bar("upload", sum(each.size for each in found), console, json_output) as told:
                    stored = [_say(each, json_output) for each in upload_entries(client, car, found, told)]
        else:
            cid = client.upload(source)
            stored = [_say(Uploaded(source.name, source.stem, cid, source.stat().st_size), json_output)]
    if json_output:
        files = [dataclasses.asdict(each) for each in stored]
        print(json.dumps({"files": files, "skipped": skipped, "folder_cid": folder}, indent=2))
        return
    for place, reason in skipped.items():
        shown = place if place.isprintable() else ascii(place)
        console.print(f"left out: {shown} ({reason})", highlight=False, markup=False, soft_wrap=True)
    if folder:
        console.print(f"the folder, as ipfs add -r names it: {folder}", highlight=False, soft_wrap=True)


def _say(each: Uploaded, quiet: bool) -> Uploaded:
    """Print what is stored, as soon as it is."""
    if not quiet:
        print(f"{each.cid}  {each.name}")
        if each.was:
            console.print(f"  ({each.was} in the CAR file: cut in another way)", highlight=False, soft_wrap=True)
    return each
