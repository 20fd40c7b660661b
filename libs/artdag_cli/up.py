"""``artdag up``, ``down``, ``status``: the system on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import os
import select
import signal
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from artdag_cli.backing import l2_people
from artdag_cli.messages import console
from artdag_cli.options import DEFAULT_PORT, Json, Port, State, state_folder
from artdag_cli.system import EXTRAS, SERVICES, System, running, system
from artdag_common.errors import ConfigurationError

STOP_SECONDS = 60
NAMES = {"s3": "S3", "ipfs": "IPFS", "l2": "L2"}

Host = Annotated[
    str, typer.Option("--host", envvar="HOST", help="Address to listen on; loopback unless told otherwise.")
]


With = Annotated[
    str,
    typer.Option(
        "--with",
        help="Servers to start besides, by commas: s3 (SeaweedFS), ipfs (Kubo), l2 (a registry to sign in with). Their"
        " programs are installed at the first time.",
        show_default=False,
    ),
]


def up(
    state: State = None,
    port: Port = DEFAULT_PORT,
    host: Host = "127.0.0.1",
    with_: With = "",
    json_output: Json = False,
) -> None:
    """Run the whole system until Ctrl-C.

    Starts NATS, Postgres and Redis (those whose NATS_URL, DATABASE_URL or REDIS_URL is set are used instead) and the
    five services, and starts again whatever dies. With s3, all content goes to a bucket too (ARTDAG_S3_URL names one
    of your own instead); with ipfs, content is read from an IPFS node (IPFS_API). With l2, the server is for several
    people, who have accounts at a small registry (L2_SERVER) and publish to it. With --json, one object is printed once
    the system is up.
    """
    asyncio.run(_up(state_folder(state), port, host, extras(with_), json_output))


def extras(text: str) -> list[str]:
    """Return the names of servers to start besides, each once.

    Raises:
        ConfigurationError: one is unknown; names the nearest.
    """
    names = list(dict.fromkeys(filter(None, (name.strip().lower() for name in text.split(",")))))
    for name in names:
        if name not in EXTRAS:
            near = difflib.get_close_matches(name, EXTRAS, n=1, cutoff=0.5)
            meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(EXTRAS)}"
            raise ConfigurationError(f"--with: {name!r} is no server that can be started besides; {meant}")
    return names


async def _up(state: Path, port: int, host: str, besides: list[str], json_output: bool) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as stack:
        servers = ", ".join(["NATS", "Postgres", "Redis", *(NAMES[name] for name in besides)])
        with console.status(f"starting {servers} and the five services"):
            it = await stack.enter_async_context(system(state, port, host, extras=besides, stopping=stopping))
        if not stopping.is_set():
            if json_output:
                print(json.dumps({"url": it.url, "state": str(it.state), "adopted": sorted(it.adopted)}), flush=True)
            else:
                _greet(it)
        await stopping.wait()
        console.print("stopping")


def _greet(it: System) -> None:
    console.print(
        f"[bold]Art DAG[/bold] is up on [link={it.url}]{it.url}[/link]   state: {escape(str(it.state))}",
        highlight=False,
    )
    console.print(f"  sign in:  {it.url}/login?token={it.token}", highlight=False, soft_wrap=True)
    console.print(f"  API:      {it.url}/docs", highlight=False)
    if "l2" in it.supervisor.children:
        _greet_people(it)
    if it.adopted:
        console.print(f"  used as they are: {', '.join(sorted(it.adopted))}", highlight=False)
    console.print("  Ctrl-C stops everything", highlight=False)


def _greet_people(it: System) -> None:
    """Say how to click through signing in with the registry that was started."""
    registry = it.environment["L2_SERVER"]
    known = " or ".join(f"{name} (password {password})" for name, password in l2_people(it.state))
    console.print(f"  registry: {registry}/renderers", highlight=False, soft_wrap=True)
    console.print(f"            sign in there as {known},", highlight=False, soft_wrap=True)
    console.print("            press Attach, render and publish something: it is listed there", highlight=False)


def down(state: State = None, json_output: Json = False) -> None:
    """Stop the system that runs on a state folder."""
    folder = state_folder(state)
    facts = running(folder)
    if facts is None:
        _say_stopped(json_output, folder, False, f"no system runs on {folder}")
        return
    if not facts:
        raise ConfigurationError(f"the system on {folder} is just starting or stopping; try again")
    with console.status("stopping"), contextlib.suppress(ProcessLookupError):  # it may end by itself
        _stop(facts["pid"], folder)
    _say_stopped(json_output, folder, True, f"the system on {folder} is stopped")


def _say_stopped(json_output: bool, folder: Path, stopped: bool, sentence: str) -> None:
    if json_output:
        print(json.dumps({"stopped": stopped, "state": str(folder)}))
    else:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _stop(pid: int, folder: Path) -> None:
    """Tell a system to stop, and wait until it has."""
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        if not poller.poll(STOP_SECONDS * 1000):
            raise ConfigurationError(
                f"the system on {folder}, process {pid}, does not stop within {STOP_SECONDS} s; see {folder / 'logs'}"
            )
    except PermissionError as error:
        raise ConfigurationError(f"the system on {folder}, process {pid}, is another user's") from error
    finally:
        os.close(handle)


def status(state: State = None, json_output: Json = False) -> None:
    """Show what runs on a state folder. Exit code 3: nothing does; 1: something is not ready."""
    folder = state_folder(state)
    facts = running(folder)
    if facts == {}:
        beginning = {"running": True, "ready": False, "state": str(folder)}
        print(json.dumps(beginning) if json_output else f"the system on {folder} is just starting or stopping")
        raise typer.Exit(1)
    if not facts:
        print(json.dumps({"running": False, "state": str(folder)}) if json_output else f"no system runs on {folder}")
        raise typer.Exit(3)
    try:
        answer = httpx.get(f"{facts['local_url']}/ready", timeout=5, trust_env=False)  # by no proxy
        parts, is_ready = answer.json()["parts"], answer.status_code == 200
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        parts, is_ready = {"gateway": False}, False
    if json_output:
        public = {key: value for key, value in facts.items() if key != "environment"}
        print(json.dumps({"running": True, "ready": is_ready, "state": str(folder), **public, "parts": parts}))
    else:
        table = Table("process", "pid", "restarts", title=f"{facts['url']}  ({'ready' if is_ready else 'not ready'})")
        for name, process in facts["processes"].items():
            mark = "" if name in SERVICES else " (backing)"
            table.add_row(f"{name}{mark}", str(process["pid"] or "–"), str(process["restarts"]))
        for variable in facts["adopted"]:
            one = ", one account for all services" if variable in facts.get("one_account", ()) else ""
            table.add_row(f"{variable} (adopted{one})", "–", "–")
        Console().print(table)
        for name in sorted(name for name, able in parts.items() if not able):
            print(f"not ready: {name}")
    raise typer.Exit(0 if is_ready else 1)
