"""``artdag run``: start a run, look at it, publish, delete it; and a run as one file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from typer.core import TyperGroup

from artdag_cli import completion
from artdag_cli.cache_import import bar, unfolded
from artdag_cli.client import Client, RequestFailedError
from artdag_cli.exits import NO_FILE
from artdag_cli.messages import console
from artdag_cli.options import (
    Deadline,
    Force,
    ForceAll,
    Json,
    Priority,
    RunId,
    Server,
    State,
    StepTimeout,
    Timeout,
    WaitTimeout,
    state_folder,
    wishes,
)
from artdag_cli.printing import columns, show, when
from artdag_cli.render import Saved, watch
from artdag_cli.run_file import RunFile, verify
from artdag_cli.steer import read_inputs, read_parameters
from artdag_client.saving import check_place, saving
from artdag_common.errors import ArtdagError, BrokenHistoryError
from artdag_common.ipld.car import CarFile
from artdag_common.ipld.folders import Entry
from artdag_common.run_archive import EVENTS, MANIFEST, content_path


class StartingGroup(TyperGroup):
    """A group where ``run dog cat.mp4`` is ``run start dog cat.mp4``: what is no command of it is what to render."""

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
        """See the base class."""
        if arguments and arguments[0] not in {*self.commands, *context.help_option_names}:
            arguments = ["start", *arguments]
        return super().parse_args(context, arguments)


app = typer.Typer(
    cls=StartingGroup,
    no_args_is_help=True,
    help="Start a run; look at it, publish, delete, export, verify and import runs.\n\n"
    "`artdag run dog cat.mp4` is `artdag run start dog cat.mp4`.",
)

NOT_FOUND = 404
NAMED = 5
"""Of what is missing, in a message."""

File = Annotated[Path, typer.Argument(metavar="FILE.car", help="The file.", exists=True, dir_okay=False, readable=True)]


class FileExistsAlreadyError(ArtdagError):
    """A file is in the way; it is never written over. Name another, or remove it."""

    exit_code = NO_FILE


@app.command()
def start(
    recipe: Annotated[
        str,
        typer.Argument(
            help="Name or id of a recipe, a .yaml file, or name of an effect.", autocompletion=completion.recipe_names
        ),
    ],
    inputs: Annotated[
        list[str] | None, typer.Argument(help="In order: files, which are uploaded, names, or CIDs.")
    ] = None,
    by_name: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=WHAT", help="An input by its name: a file, a name, a CID."),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NODE.KEY=VALUE", help="Another parameter, as JSON or text. May be repeated."),
    ] = None,
    output_name: Annotated[str, typer.Option("--name", help="Name of the output.")] = "",
    watched: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow it to its end; exit code 1: it failed.")
    ] = False,
    output: Saved = None,
    plan_only: Annotated[bool, typer.Option("--plan", help="Only plan it; `artdag run execute RUN` goes on.")] = False,
    priority: Priority = "",
    force: Force = None,
    force_all: ForceAll = False,
    deadline: Deadline = "",
    timeout: Timeout = None,
    wait_timeout: WaitTimeout = None,
    step_timeout: StepTimeout = None,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Start a run: render inputs through a recipe or an effect.

    Examples: artdag run dog cat.mp4 -o dog.mp4 ; artdag run beat-sync --input video=cat.mp4 --input audio=drums.wav -w
    """
    if inputs and by_name:
        raise typer.BadParameter("give all inputs in order, or all by --input NAME=WHAT")
    if plan_only and (watched or output):
        raise typer.BadParameter("nothing is rendered yet; artdag run execute and watch go on", param_hint="--plan")
    asked = wishes(priority, deadline, timeout, wait_timeout, step_timeout, force, force_all)
    if name := output_name or (f"{Path(recipe).stem}-{Path(inputs[0]).stem}" if inputs else ""):
        asked["output_name"] = name
    if parameters:
        asked["parameters"] = read_parameters(parameters)
    text = _read(Path(recipe)) if recipe.endswith((".yaml", ".yml")) else recipe
    with Client.of(state_folder(state), server) as client:
        bound: Any = [client.upload(Path(item)) if Path(item).is_file() else item for item in inputs or []]
        if by_name:
            bound = read_inputs(client, by_name)
        body = {"recipe": text, "inputs": bound, **asked}
        if plan_only:
            _show_plan(client.ask("POST", "/api/plan", json=body), json_output)
            return
        begun = client.ask("POST", "/runs", json=body)
        if watched or output:
            watch(
                client, begun["run_id"], " ".join([Path(recipe).stem, *(inputs or by_name or [])]), json_output, output
            )
        else:
            show(begun, json_output, [begun["run_id"]])


def _read(recipe: Path) -> str:
    """Return the text of a recipe's file."""
    try:
        return recipe.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{recipe} is no text in UTF-8: byte {error.start} is none") from None


@app.command()
def execute(run_id: RunId, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Go on with a run that was only planned."""
    with Client.of(state_folder(state), server) as client:
        run = client.runs.execute(run_id)
    show(run, json_output, [f"{run['run_id']}  {run['status']}"])


@app.command("show")
def show_run(run_id: RunId, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Show how a run stands: its inputs, its output, what is being computed, what failed and why."""
    with Client.of(state_folder(state), server) as client:
        run = client.runs.get(run_id)
        url = client.url
    progress = run["progress"]
    lines = [
        f"{run['recipe']}  {run['status']}  {progress['done']}/{progress['total']} steps",
        f"begun {when(run['created_at'])}, {run['duration_ms'] / 1000:.1f} s, {run['priority']}, by {run['owner']}",
        *(f"input {each['name']}: {', '.join(each['cids'])}" for each in run["inputs"]),
    ]
    if run["output_cid"]:
        lines.append(f"output: {run['output_cid']}  {run['output_name']}")
    if run["provenance_cid"]:
        lines.append(f"provenance: {run['provenance_cid']}")
    lines += [f"runs: {each['label']}" for each in run["steps"]["running"]]
    lines += [f"waits: {each['label']}: {each['reason']}" for each in run["steps"]["waiting"]]
    lines += [f"failed: {each['label']}: {each['reason']}" for each in run["steps"]["failed"]]
    if error := run["error"]:
        lines += [f"{error['reason']} [{error['code']}]", error["advice"]]
    if imported := run["imported_from"]:
        lines.append(f"imported: completed elsewhere as {imported['run_id']}, see {imported['manifest_cid']}")
    if run["published"]:
        lines.append(f"published as {run['published']['name']}")
    show(run, json_output, [*lines, f"{url}/run/{run['run_id']}"])


@app.command()
def plan(run_id: RunId, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Show a run's plan: its steps, level by level, with their cache ids and how they stand."""
    with Client.of(state_folder(state), server) as client:
        _show_plan(client.runs.get_plan(run_id), json_output)


def _show_plan(found: Any, json_output: bool) -> None:
    rows = [
        [step["index"], step["level"], step["status"], step["cache_id"][:16], step["label"]]
        for step in found.get("steps", ())
    ]
    show(found, json_output, [f"{found['run_id']}  {found['status']}", *columns(rows)])


@app.command()
def artifacts(run_id: RunId, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """List what the steps of a run gave, the output among it."""
    with Client.of(state_folder(state), server) as client:
        found = client.runs.artifacts(run_id)
    rows = [[step["output_cid"], step["label"]] for step in found]
    show({"artifacts": list(found)}, json_output, columns(rows))


@app.command()
def provenance(run_id: RunId, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Show the record of how a run's output came to be, checked against its CID; with --json, all of it."""
    with Client.of(state_folder(state), server) as client:
        record = client.runs.provenance(run_id)
    lines = [
        f"output: {record['output']['cid']}",
        f"recipe: {record['recipe_cid']}",
        f"plan: {record['plan_cid']}",
        *(f"input {each['name']}: {each['cid']}" for each in record["inputs"]),
    ]
    show(record, json_output, lines)


@app.command()
def publish(
    run_id: RunId,
    name: Annotated[str | None, typer.Option("--name", help="Under what name.  [default: the output's]")] = None,
    description: Annotated[str | None, typer.Option("--description", help="Described so.")] = None,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Make what a run gave public in your name, with its provenance."""
    with Client.of(state_folder(state), server) as client:
        found = client.runs.publish(run_id, name, description)
    show(found, json_output, [f"{found['cid']} is public as {found['published']['name']}"])


@app.command()
def delete(run_id: RunId, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Take a run that is over off every list."""
    with Client.of(state_folder(state), server) as client:
        gone = client.runs.delete(run_id)
    show(gone, json_output, [f"{gone['run_id']} deleted"])


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
    check_place(file, replace=False)
    with Client.of(state_folder(state), server) as client, saving(file, replace=False) as written:
        with bar("export", 0, console, json_output) as told:
            client.save(f"/api/run/{quote(run_id, safe='')}/export", written, lambda done, total: told(done))
        written.flush()
        with CarFile(Path(written.name)) as car:
            found = asyncio.run(verify(car))
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
    """Check a run's file, upload its content, and have the run among yours, marked as imported.

    Nothing is executed. Its history is kept as content: events of another system never enter this one's event store.
    Only completed runs can be imported, with all that they name; the same file gives the same run again.
    """
    with _opened(file, json_output) as car:
        found = _verified(car, json_output)
        if verify_only:
            _show(found, json_output, file)
            return
        with Client.of(state_folder(state), server) as client:
            _check_complete(found)
            stored = _upload(client, car, found, json_output)
            asked = {"manifest": stored["history"]["manifest"], "events": stored["history"]["events"]}
            run_id = client.ask("POST", "/runs/import", json=asked)["run_id"]
            stored |= {"run_id": run_id, "url": f"{client.url}/run/{run_id}"}
    _show(found, json_output, file, stored)


def _check_complete(found: RunFile) -> None:
    """Refuse a file of which no run can be made, before anything is uploaded.

    Raises:
        BrokenHistoryError: the run was not completed, or what it names is not in the file; says what to do.
    """
    status = found.manifest.state["status"]
    if status != "completed":
        raise BrokenHistoryError(
            f"run {found.manifest.run_id} is {status}; only completed runs can be imported. Retry it where it ran, and"
            " export the run that completes"
        )
    if missing := [f"{item.cid} ({', '.join(item.roles)})" for item in found.missing]:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise BrokenHistoryError(
            f"not in the file: {', '.join(missing[:NAMED])}{more}; it was deleted where it ran. Rerun it there, and"
            " export that; or take what there is, without the run: artdag cache import"
        )


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
        lines.append(f"imported as run {stored['run_id']}: {stored['url']}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    print(file if stored is None else stored["run_id"])
