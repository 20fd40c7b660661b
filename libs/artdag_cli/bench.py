"""``artdag bench``: the figures of ``benchmarks/``, each one command."""

from __future__ import annotations

import subprocess
import sys

import typer

from artdag_cli.options import State, state_folder
from artdag_cli.system import ROOT

app = typer.Typer(no_args_is_help=True, help="Measure, beside a named peer, in the same run.")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def engine(context: typer.Context, state: State = None) -> None:
    """1,000 no-op steps in 20 layers of 50 through the whole stack, beside Celery with Redis.

    Runs a system of its own, in a new temporary folder, or below ``--state``.
    """
    place = ["--folder", str(state_folder(state))] if state else []
    command = [sys.executable, str(ROOT / "benchmarks" / "engine.py"), *place, *context.args]
    raise typer.Exit(subprocess.call(command))


@app.callback()
def _measure() -> None:
    """Measure, beside a named peer, in the same run."""
