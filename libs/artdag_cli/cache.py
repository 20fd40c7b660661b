"""``artdag cache``: content by the folder, by the file, by the CAR."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

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
from artdag_cli.options import Json, Server, State, state_folder
from artdag_common.ipld.car import CarFile

app = typer.Typer(no_args_is_help=True, help="Bring content in, many files at once.")
console = Console(stderr=True)


@app.callback()
def _cache() -> None:
    """Bring content in, many files at once."""


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
