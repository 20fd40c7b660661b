"""``artdag cancel``, ``pause``, ``resume``, ``retry``, ``rerun``: steer a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from artdag_cli.client import Client
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
    Watch,
    state_folder,
    wishes,
)
from artdag_cli.render import watch


def cancel(
    run_id: RunId,
    step: Annotated[int | None, typer.Option("--step", help="Only this step, by its index in the plan.", min=0)] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the run's history.")] = "",
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Stop a run: nothing further starts, and what runs is broken off unless another run needs it."""
    what = "cancel" if step is None else f"steps/{step}/cancel"
    _show(_post(run_id, what, {"reason": reason}, state, server), json_output)


def pause(run_id: RunId, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Start no further step of a run; what executors have goes on."""
    _show(_post(run_id, "pause", None, state, server), json_output)


def resume(run_id: RunId, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Go on with a paused run."""
    _show(_post(run_id, "resume", None, state, server), json_output)


def retry(
    run_id: RunId,
    watched: Watch = False,
    priority: Priority = "",
    deadline: Deadline = "",
    timeout: Timeout = None,
    wait_timeout: WaitTimeout = None,
    step_timeout: StepTimeout = None,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Try a failed or cancelled run again, as a new run: only what failed is computed."""
    asked = wishes(priority, deadline, timeout, wait_timeout, step_timeout)
    _begin(run_id, "retry", asked, watched, state, server, json_output)


def rerun(
    run_id: RunId,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=WHAT", help="Another input: a name, a CID, or a file. May be repeated."),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NODE.KEY=VALUE", help="Another parameter, as JSON or text. May be repeated."),
    ] = None,
    force: Force = None,
    force_all: ForceAll = False,
    output_name: Annotated[str, typer.Option("--name", help="Name of the output.")] = "",
    watched: Watch = False,
    priority: Priority = "",
    deadline: Deadline = "",
    timeout: Timeout = None,
    wait_timeout: WaitTimeout = None,
    step_timeout: StepTimeout = None,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Run again with something changed, as a new run: only what the changes reach is computed."""
    body = wishes(priority, deadline, timeout, wait_timeout, step_timeout, force, force_all)
    if output_name:
        body["output_name"] = output_name
    if parameters:
        body["parameters"] = read_parameters(parameters)
    if inputs:
        with Client.of(state_folder(state), server) as client:
            body["inputs"] = read_inputs(client, inputs)
    _begin(run_id, "rerun", body, watched, state, server, json_output)


def read_parameters(items: list[str]) -> dict[str, dict[str, Any]]:
    """Return parameters by node from ``node.key=value``; a value that is not JSON is text.

    Raises:
        typer.BadParameter: an item has another form.
    """
    parameters: dict[str, dict[str, Any]] = {}
    for item in items:
        place, equals, value = item.partition("=")
        node, dot, key = place.partition(".")
        if not (equals and dot and node and key):
            raise typer.BadParameter(f"{item!r} is not of the form NODE.KEY=VALUE", param_hint="--set")
        parameters.setdefault(node, {})[key] = _value(value)
    return parameters


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False)  # Python reads NaN and 1e999, which JSON has no word for
    except ValueError:
        return text
    return value


def read_inputs(client: Client, items: list[str]) -> dict[str, Any]:
    """Return inputs by name; one that is named more than once is a list."""
    given: dict[str, list[str]] = {}
    for item in items:
        name, equals, what = item.partition("=")
        if not (equals and name and what):
            raise typer.BadParameter(f"{item!r} is not of the form NAME=WHAT", param_hint="--input")
        given.setdefault(name, []).append(client.upload(Path(what)) if Path(what).is_file() else what)
    return {name: found if len(found) > 1 else found[0] for name, found in given.items()}


def _post(run_id: str, what: str, body: dict[str, Any] | None, state: Path | None, server: str) -> dict[str, Any]:
    with Client.of(state_folder(state), server) as client:
        answer: dict[str, Any] = client.call("POST", f"/runs/{quote(run_id, safe='')}/{what}", json=body)
        return answer


def _show(run: dict[str, Any], json_output: bool) -> None:
    """Print how a run stands; where its owner has not answered yet, that."""
    if json_output:
        print(json.dumps(run, indent=2))
    elif run["status"] == "pending":
        print(f"pending  {run['command_id']}")
    else:
        print(f"{run['run_id']}  {run['status']}")


def _begin(
    run_id: str, what: str, body: dict[str, Any], watched: bool, state: Path | None, server: str, json_output: bool
) -> None:
    with Client.of(state_folder(state), server) as client:
        answer = client.call("POST", f"/runs/{quote(run_id, safe='')}/{what}", json=body)
        if answer["status"] == "pending" or not watched:
            _show(answer, json_output) if json_output or answer["status"] == "pending" else print(answer["run_id"])
            return
        if not json_output:
            for line in told_differences(answer.get("differs") or {}):
                console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
        watch(client, answer["run_id"], f"{what} of {run_id}", json_output)


def told_differences(differs: dict[str, Any]) -> list[str]:
    """Return how a run differs from the first one, a line for each change."""
    lines = [
        f"{node}.{key}: {json.dumps(change['from'])} → {json.dumps(change['to'])}"
        for node, changes in differs.get("parameters", {}).items()
        for key, change in changes.items()
    ]
    lines += [
        f"{name}: {', '.join(change['from'] or ['–'])} → {', '.join(change['to'] or ['–'])}"
        for name, change in differs.get("inputs", {}).items()
    ]
    force = differs.get("force")
    if force:
        lines.append(f"computed again: {'everything' if force is True else ', '.join(force)}")
    return lines
