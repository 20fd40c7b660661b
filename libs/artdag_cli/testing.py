"""``artdag test``: everything that has to hold, on servers that it starts itself."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated

import typer
from rich.console import Console

from artdag_cli.options import State, state_folder
from artdag_cli.system import ROOT

CHECKS = (
    ("lint", ("ruff", "check", ".")),
    ("format", ("ruff", "format", "--check", "--quiet", ".")),
    ("types", ("mypy",)),
    ("import rules", ("lint-imports", "--no-cache")),
    ("message schemas", ("python", "proto/build.py", "--check")),
)

console = Console(stderr=True)


def run_tests(
    context: typer.Context,
    checks: Annotated[bool, typer.Option(help="Also lint, types, import rules and schemas.")] = True,
    state: State = None,
) -> None:
    """Run the whole suite. Further arguments go to pytest, for example ``artdag test tests/unit -k cid``.

    The servers' data goes to a new temporary folder, or below ``--state``.
    """
    place = ["--basetemp", str(state_folder(state) / "tests")] if state else []
    binaries = os.path.dirname(sys.executable)
    failed = []
    for name, (program, *arguments) in CHECKS if checks and not context.args else ():
        console.print(f"[bold]{name}[/bold]")
        if subprocess.call([os.path.join(binaries, program), *arguments], cwd=ROOT):
            failed.append(name)
    console.print("[bold]tests[/bold]")
    if subprocess.call([sys.executable, "-m", "pytest", *place, *context.args], cwd=ROOT):
        failed.append("tests")
    if failed:
        console.print(f"[red]failed: {', '.join(failed)}[/red]")
        raise typer.Exit(1)
    console.print("[green]all passed[/green]")
