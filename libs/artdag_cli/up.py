"""``artdag up``, ``down``, ``status``, ``token``: the system on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.table import Table

from artdag_cli.options import DEFAULT_PORT, Json, Port, State, state_folder
from artdag_cli.system import SERVICES, System, owner_token, running, system
from artdag_common.errors import ConfigurationError

console = Console(stderr=True)
Host = Annotated[
    str, typer.Option("--host", envvar="HOST", help="Address to listen on; loopback unless told otherwise.")
]


def up(state: State = None, port: Port = DEFAULT_PORT, host: Host = "127.0.0.1") -> None:
    """Run the whole system until Ctrl-C.

    Starts NATS, Postgres and Redis (those whose NATS_URL, DATABASE_URL or REDIS_URL is set are used instead) and the
    five services, and starts again whatever dies.
    """
    asyncio.run(_up(state_folder(state), port, host))


async def _up(state: Path, port: int, host: str) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    starting = asyncio.create_task(_run_until(stopping, state, port, host))
    await starting


async def _run_until(stopping: asyncio.Event, state: Path, port: int, host: str) -> None:
    with console.status("starting NATS, Postgres, Redis and the five services"):
        context = system(state, port, host, stopping=stopping)
        it = await context.__aenter__()
    try:
        if not stopping.is_set():
            _greet(it)
        await stopping.wait()
        console.print("stopping")
    finally:
        await context.__aexit__(None, None, None)


def _greet(it: System) -> None:
    console.print(f"[bold]Art DAG[/bold] is up on [link={it.url}]{it.url}[/link]   state: {it.state}", highlight=False)
    console.print(f"  sign in:  {it.url}/login?token={it.token}", highlight=False, soft_wrap=True)
    console.print(f"  API:      {it.url}/docs", highlight=False)
    if it.adopted:
        console.print(f"  used as they are: {', '.join(sorted(it.adopted))}", highlight=False)
    console.print("  Ctrl-C stops everything", highlight=False)


def down(state: State = None) -> None:
    """Stop the system that runs on a state folder."""
    folder = state_folder(state)
    facts = running(folder)
    if facts is None:
        console.print(f"no system runs on {folder}")
        return
    if not facts:
        raise ConfigurationError(f"the system on {folder} is just starting or stopping; try again")
    handle = os.pidfd_open(facts["pid"])
    signal.pidfd_send_signal(handle, signal.SIGTERM)
    with console.status("stopping"):
        _wait_for_exit(handle)
    console.print(f"the system on {folder} is stopped")


def _wait_for_exit(handle: int) -> None:
    import select

    poller = select.poll()
    poller.register(handle, select.POLLIN)
    if not poller.poll(60_000):
        raise ConfigurationError("the system does not stop within a minute; see its logs")


def status(state: State = None, json_output: Json = False) -> None:
    """Show what runs on a state folder. Exit code 3: nothing does; 1: something is not ready."""
    folder = state_folder(state)
    facts = running(folder)
    if not facts:
        print(json.dumps({"running": False, "state": str(folder)}) if json_output else f"no system runs on {folder}")
        raise typer.Exit(3)
    try:
        answer = httpx.get(f"{facts['local_url']}/ready", timeout=5)
        parts, is_ready = answer.json(), answer.status_code == 200
    except (httpx.HTTPError, ValueError) as error:
        parts, is_ready = {"gateway": str(error)}, False
    if json_output:
        public = {key: value for key, value in facts.items() if key != "environment"}
        print(json.dumps({"running": True, "ready": is_ready, "state": str(folder), **public, "parts": parts}))
    else:
        table = Table("process", "pid", "restarts", title=f"{facts['url']}  ({'ready' if is_ready else 'not ready'})")
        for name, process in facts["processes"].items():
            mark = "" if name in SERVICES else " (backing)"
            table.add_row(f"{name}{mark}", str(process["pid"] or "–"), str(process["restarts"]))
        for variable in facts["adopted"]:
            table.add_row(f"{variable} (adopted)", "–", "–")
        Console().print(table)
    raise typer.Exit(0 if is_ready else 1)


def token(state: State = None) -> None:
    """Print the local owner's token, and nothing else."""
    folder = state_folder(state)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    print(owner_token(folder))
