"""``artdag bench``: the figures of ``benchmarks/``, each one command."""

from __future__ import annotations

import subprocess
import sys

import typer

from artdag_cli.system import ROOT

app = typer.Typer(no_args_is_help=True, help="Measure, beside a named peer, in the same run.")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def engine(context: typer.Context) -> None:
    """1,000 no-op steps in 20 layers of 50 through the whole stack, beside Celery with Redis."""
    raise typer.Exit(subprocess.call([sys.executable, str(ROOT / "benchmarks" / "engine.py"), *context.args]))


@app.callback()
def _measure() -> None:
    """Measure, beside a named peer, in the same run."""
