"""``artdag upload``, ``download``: files in, and out again. ``artdag cache put`` and ``get`` are the same."""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from artdag_cli.cache_import import Told, bar
from artdag_cli.client import Client, RequestFailedError
from artdag_cli.exits import NO_FILE, NOT_SO
from artdag_cli.messages import console
from artdag_cli.options import Json, Server, State, state_folder
from artdag_cli.printing import plain, show
from artdag_client.cids import is_cid
from artdag_common.errors import ArtdagError
from artdag_common.media.types import extension

STDIO = "-"


class NoResultError(ArtdagError):
    """A run has nothing to be saved: it goes on, or gave nothing."""

    exit_code = NOT_SO


class InTheWayError(ArtdagError):
    """There is such a file already. ``--force`` writes over it."""

    exit_code = NO_FILE


def upload(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Files.", exists=True, dir_okay=False)],
    name: Annotated[str, typer.Option("--name", help="What you call it.  [default: the file's name]")] = "",
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Upload files; print each CID and name.

    Where the connection breaks, an upload goes on from where it was. Folders and CAR files: artdag cache import.
    Example: artdag upload cat.mp4 --name kitten
    """
    if name and len(files) > 1:
        raise typer.BadParameter("it names one file", param_hint="--name")
    found = []
    with Client.of(state_folder(state), server) as client:
        for path in files:
            size = path.stat().st_size
            with bar(f"upload {path.name}", size, console, json_output) as told:
                cid = client.upload(path, name, partial(_tell, told))
            found.append({"cid": cid, "name": name or path.stem, "size_bytes": size, "file": str(path)})
            if not json_output:
                print(plain(f"{cid}  {name or path.stem}"), flush=True)
    if json_output:
        show({"uploaded": found}, True, [])


def _tell(told: Told, done: int, total: int) -> None:
    told(done)


def download(
    what: Annotated[str, typer.Argument(metavar="RUN|CID|NAME", help="A run that gave something, or content.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="A file, a folder, or - for standard output.", show_default=False)
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Save content, or what a run gave; every byte is checked.

    The file is there only once all of it came and hashes to its CID. Without --output it is named as the content is
    called, in this folder. Example: artdag download RUN -o film.mp4
    """
    if output == STDIO and json_output:
        raise typer.BadParameter("on standard output there is the content alone", param_hint="--json")
    with Client.of(state_folder(state), server) as client:
        cid, name = _meant(client, what)
        if output == STDIO:
            _print(client, cid)
            return
        path = Path(output or ".")
        if path.is_dir():
            path /= _file_name(client, cid, name)
        if path.exists() and not force:
            raise InTheWayError(f"{path} is there already; --force writes over it")
        with bar(f"save {path.name}", 0, console, json_output) as told:
            client.download(cid, path, partial(_tell, told))
    size = path.stat().st_size
    show({"cid": cid, "file": str(path), "size_bytes": size}, json_output, [str(path)])


def _print(client: Client, cid: str) -> None:
    """Write content to standard output once all of it came, by way of a file: it may be larger than memory."""
    with tempfile.TemporaryDirectory(prefix="artdag-") as folder:
        with client.download(cid, Path(folder) / cid).open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _meant(client: Client, what: str) -> tuple[str, str]:
    """Return the CID that is meant by a run's id, a CID, or the name of content; and what a run calls it."""
    if is_cid(what):
        return what, ""
    try:
        run_id = str(UUID(what))
    except ValueError:
        return named(client, what), ""
    run = client.runs.get(run_id)
    if run["output_cid"] is None:
        raise NoResultError(f"run {run_id} is {run['status']}: there is no result")
    return run["output_cid"], run["output_name"] or run["recipe"]


def named(client: Client, name: str) -> str:
    """Return the CID of content that is called so.

    Raises:
        RequestFailedError: nothing is.
    """
    if is_cid(name):
        return name
    for each in client.content.assets():
        if each["name"] == name:
            return each["cid"]
    raise RequestFailedError(f"no content is called {name!r}; `artdag cache list` tells what there is", status=404)


def _file_name(client: Client, cid: str, name: str) -> str:
    """Return a name for a file: what the content is called, without anything that means a place."""
    meta: Any = client.content.meta(cid)
    ending = f".{extension(meta['media_type'])}"
    whole = name or meta["title"] or cid
    if not whole.lower().endswith(ending.lower()):
        whole += ending
    last = whole.replace("\\", "/").rpartition("/")[2]
    return "".join(each for each in last if each.isprintable() and each not in ':*?"<>|').strip(". ")[:200] or cid
