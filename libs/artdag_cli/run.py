"""``artdag run``: a run as one file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console

from artdag_cli.cache_import import bar, unfolded
from artdag_cli.client import Client, RequestFailedError
from artdag_cli.options import Json, Server, State, state_folder
from artdag_cli.run_file import RunFile, verify
from artdag_common.errors import ArtdagError
from artdag_common.ipld.car import CarFile
from artdag_common.ipld.folders import Entry
from artdag_common.run_archive import EVENTS, MANIFEST, content_path

app = typer.Typer(no_args_is_help=True, help="A run with all its content and events, as one CAR file.")
console = Console(stderr=True)

NOT_FOUND = 404

File = Annotated[Path, typer.Argument(metavar="FILE.car", help="The file.", exists=True, dir_okay=False, readable=True)]


class FileExistsAlreadyError(ArtdagError):
    """A file is in the way; it is never written over. Name another, or remove it."""


@app.callback()
def _run() -> None:
    """A run with all its content and events, as one CAR file."""


@app.command("export")
def export(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run that is over.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.car", help="Where to write it.", dir_okay=False)],
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Write a run's content, recipe, plan, provenance and events to one CAR file, and verify it."""
    if file.exists():
        raise FileExistsAlreadyError(f"{file} is there already; it is left as it is")
    part = file.with_name(f"{file.name}.part")
    try:
        with Client.of(state_folder(state), server) as client, bar("export", 0, console, json_output) as told:
            client.save(f"/api/run/{quote(run_id, safe='')}/export", part, lambda done, total: told(done))
        with CarFile(part) as car:
            found = asyncio.run(verify(car))
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)
    _show(found, json_output, file)


@app.command("verify")
def check(file: File, json_output: Json = False) -> None:
    """Check a run's file without a server.

    All bytes hash to their CIDs; the events are the ones that were chained, and lead to the state that the file states;
    all content that the run and its provenance record name is there, or listed as missing. Exit code 1: not so.
    """
    with _opened(file, json_output) as car:
        _show(_verified(car, json_output), json_output, file)


@app.command("import")
def bring_in(
    file: File,
    verify_only: Annotated[bool, typer.Option("--verify-only", help="Check the file and upload nothing.")] = False,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Check a run's file, then upload its content. The history is kept as content, too.

    The run itself does not appear among the runs here: events of another system never enter this one's event store.
    """
    with _opened(file, json_output) as car:
        found = _verified(car, json_output)
        if verify_only:
            _show(found, json_output, file)
            return
        with Client.of(state_folder(state), server) as client:
            stored = _upload(client, car, found, json_output)
    _show(found, json_output, file, stored)


def _opened(file: Path, quiet: bool) -> CarFile:
    with bar("blocks", file.stat().st_size, console, quiet) as told:
        return CarFile(file, told)


def _verified(car: CarFile, quiet: bool) -> RunFile:
    with bar("content", 0, console, quiet) as told:
        return asyncio.run(verify(car, told))


def _upload(client: Client, car: CarFile, found: RunFile, quiet: bool) -> dict[str, Any]:
    """Upload all content; what is there already is not sent again. Return counts, and the CIDs of the history."""
    items = [item for item in found.manifest.content if item.size_bytes is not None]
    done = sent = 0
    with bar("upload", sum(item.size_bytes or 0 for item in items), console, quiet) as told:
        for item in items:
            if not _is_there(client, item.cid):
                _send(client, car, found.files[content_path(item.cid)], item.cid)
                sent += 1
            done += item.size_bytes or 0
            told(done)
    history = {}
    for path, name in ((MANIFEST, "manifest"), (EVENTS, "events")):
        with unfolded(car, found.files[path]) as file:
            history[name] = client.upload(file, f"{name} of run {found.manifest.run_id}")
    return {"uploaded": sent, "there_already": len(items) - sent, "history": history}


def _is_there(client: Client, cid: str) -> bool:
    try:
        client.call("GET", f"/cache/{cid}/meta")
    except RequestFailedError as error:
        if error.values.get("status") != NOT_FOUND:
            raise
        return False
    return True


def _send(client: Client, car: CarFile, entry: Entry, cid: str) -> None:
    """Upload content without a name.

    Raises:
        RequestFailedError: the server calls it something else than its CID.
    """
    with unfolded(car, entry) as path, path.open("rb") as file:
        answer = client.call("POST", "/cache/upload", files={"file": ("content", file, "application/octet-stream")})
    if answer["cid"] != cid:
        raise RequestFailedError(f"the server stored {cid} as {answer['cid']}")


def _show(found: RunFile, json_output: bool, file: Path, stored: dict[str, Any] | None = None) -> None:
    manifest, missing = found.manifest, found.missing
    here = [item for item in manifest.content if item.size_bytes is not None]
    facts: dict[str, Any] = {
        "file": str(file),
        "root": found.root,
        "run_id": manifest.run_id,
        "status": manifest.state["status"],
        "output_cid": manifest.state["output_cid"],
        "events": len(found.events),
        "position": manifest.position,
        "chain_head": manifest.head,
        "content": len(here),
        "content_bytes": sum(item.size_bytes or 0 for item in here),
        "missing": [{"cid": item.cid, "roles": list(item.roles)} for item in missing],
    }
    if json_output:
        print(json.dumps(facts | ({"import": stored} if stored else {}), indent=2))
        return
    lines = [
        f"run {facts['run_id']}: {facts['status']}, output {facts['output_cid'] or '–'}",
        f"{facts['events']} events, chained up to position {facts['position']}, lead to the state that the file states",
        f"{facts['content']} files of {facts['content_bytes']} bytes hash to their CIDs; root {facts['root']}",
    ]
    lines += [f"not in the file: {item.cid} ({', '.join(item.roles)})" for item in missing]
    if stored:
        lines.append(f"uploaded {stored['uploaded']}, there already {stored['there_already']}")
        lines += [f"{name} of the run: {cid}" for name, cid in stored["history"].items()]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    print(file if stored is None else stored["history"]["events"])
