"""``artdag bench``: the figures of ``benchmarks/``, each one command."""

from __future__ import annotations

import subprocess
import sys

import typer

from artdag_cli.options import State, state_folder
from artdag_cli.system import ROOT

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""What the command line does not know is the benchmark's."""

app = typer.Typer(no_args_is_help=True, help="Measure, beside a named peer, in the same run.")


def _run(name: str, context: typer.Context, option: str = "", state: State = None) -> None:
    """Run a benchmark and exit as it does. ``option``: what it calls the folder that is given as ``--state``."""
    place = [option, str(state_folder(state))] if state else []
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *place, *context.args]
    raise typer.Exit(subprocess.call(command))


@app.command(context_settings=PASSED_ON)
def engine(context: typer.Context, state: State = None) -> None:
    """1,000 no-op steps in 20 layers of 50 through the whole stack, beside Celery with Redis.

    Runs a system of its own, in a new temporary folder, or below ``--state``.
    """
    _run("engine", context, "--folder", state)


@app.command(context_settings=PASSED_ON)
def tracing(context: typer.Context) -> None:
    """What traces cost the run of ``engine``: with a collector, beside without."""
    _run("tracing", context)


@app.command(context_settings=PASSED_ON)
def media(context: typer.Context) -> None:
    """Renders of 720p, beside the ffmpeg command line (``--ffmpeg``) and MoviePy (``--moviepy``), where they are."""
    _run("media", context)


@app.command(context_settings=PASSED_ON)
def beats(context: typer.Context) -> None:
    """Beats of ten generated tracks, beside librosa, by mir_eval's F-measure."""
    _run("beats", context)


@app.command(context_settings=PASSED_ON)
def effects(context: typer.Context) -> None:
    """What each effect costs a frame of 720p, beside a copy of the frame."""
    _run("effects", context)


@app.command(context_settings=PASSED_ON)
def processors(context: typer.Context) -> None:
    """Each kind of step on other processors (``--on``): whose files are the same to the byte, and what others show."""
    _run("processors", context)


@app.command(context_settings=PASSED_ON)
def content(context: typer.Context, state: State = None) -> None:
    """What naming content costs, beside plain SHA-256; with ``--state``, also uploads to the system that runs there."""
    _run("content", context, "--state", state)


@app.command(context_settings=PASSED_ON)
def sharing(context: typer.Context, state: State = None) -> None:
    """A run of 10 steps alone and beside another user's 10,000; ten users with one DAG.

    Runs a system of its own, in a new temporary folder, or below ``--state``.
    """
    _run("sharing", context, "--folder", state)


@app.command(context_settings=PASSED_ON)
def endurance(context: typer.Context, state: State = None) -> None:
    """Memory of planner and gateway over 200 runs of 1,000 steps; with ``--restart``, a planner that dies.

    Runs a system of its own, in a new temporary folder, or below ``--state``.
    """
    _run("endurance", context, "--folder", state)


@app.command(context_settings=PASSED_ON)
def pages(context: typer.Context, state: State = None) -> None:
    """What each page costs over the wire, and when its largest part is shown, in Chromium.

    Runs a system of its own, in a new temporary folder, or below ``--state``.
    """
    _run("pages", context, "--folder", state)


@app.command(context_settings=PASSED_ON)
def dag(context: typer.Context, state: State = None) -> None:
    """A graph of 1,000 steps used while it is fed 50 events a second, and one of 10,000 opened, in Chromium.

    Runs a system of its own, in a new temporary folder, or below ``--state``.
    """
    _run("dag", context, "--folder", state)


@app.command(context_settings=PASSED_ON)
def cluster(context: typer.Context, state: State = None) -> None:
    """Three nodes in network namespaces: changed under load; 1, 2 and 4 executors; bytes of an event.

    Runs a cluster of its own, in a new temporary folder, or below ``--state``.
    """
    _run("cluster", context, "--folder", state)


@app.callback()
def _measure() -> None:
    """Measure, beside a named peer, in the same run."""
