"""``artdag test``: everything that has to hold, on servers that it starts itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Annotated

import typer

from artdag_cli.messages import console
from artdag_cli.options import State, state_folder
from artdag_cli.system import ROOT

CHECKS = (
    ("lint", ("ruff", "check", ".")),
    ("format", ("ruff", "format", "--check", "--quiet", ".")),
    ("types", ("mypy",)),
    ("import rules", ("lint-imports", "--no-cache")),
    ("message schemas", ("python", "proto/build.py", "--check")),
)

TESTS = ROOT / "tests"
BINARIES = os.path.dirname(sys.executable)
BESIDE = ("architecture", "golden", "peers", "unit", "attacks", "contract", "upgrade", "browser")
"""Folders of tests that take together as long as all others, beside which they run."""

PROGRESS = re.compile(rb"[.sxXFE]+ +\[ *\d+%\]\n")
"""What pytest says to those who wait; afterwards nobody does."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NO_BROWSER = "the browser tests need Chromium, which is not here: apt install chromium (as root), then run this again"


def browser() -> str | None:
    """Return the Chromium that the tests in ``tests/browser`` drive; None: there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def browser_needed() -> bool:
    """Return whether tests that lack a browser have to fail instead of being skipped: where nobody reads along."""
    return os.environ.get("CI", "").lower() in ("1", "true")


def run_tests(
    context: typer.Context,
    checks: Annotated[bool, typer.Option(help="Also lint, types, import rules and schemas.")] = True,
    state: State = None,
) -> None:
    """Run the whole suite. Further arguments go to pytest, for example ``artdag test tests/unit -k cid``.

    The servers' data goes to a new temporary folder, or below ``--state``.
    """
    place = state_folder(state) / "tests" if state else None
    if context.args:
        failed = [] if _pytest(context.args, place).wait() == 0 else ["tests"]
    else:
        failed = _everything(checks, place)
    if not browser() and (not context.args or any("tests/browser" in each for each in context.args)):
        console.print(f"[yellow bold]{'failed' if browser_needed() else 'SKIPPED'}:[/yellow bold] {NO_BROWSER}")
    if failed:
        console.print(f"[red]failed: {', '.join(failed)}[/red]")
        raise typer.Exit(1)
    console.print("[green]all passed[/green]")


def _everything(checks: bool, place: Path | None) -> list[str]:
    """Run checks and all tests, in two lines side by side; return what failed."""
    folders = sorted({test.relative_to(TESTS).parts[0] for test in TESTS.rglob("test_*.py")})
    served = [str(TESTS / name) for name in folders if name not in BESIDE]
    failed = []
    with tempfile.TemporaryFile() as said:
        beside = _pytest([str(TESTS / name) for name in BESIDE], place and place / "beside", said)
        try:
            for name, (program, *arguments) in CHECKS if checks else ():
                console.print(f"[bold]{name}[/bold]")
                if subprocess.call([os.path.join(BINARIES, program), *arguments], cwd=ROOT):
                    failed.append(name)
            console.print(f"[bold]tests with servers[/bold]; beside them, shown afterwards: {', '.join(BESIDE)}")
            if _pytest(served, place and place / "served").wait():
                failed.append("tests with servers")
            if beside.wait():
                failed.append(f"tests of {', '.join(BESIDE)}")
        finally:
            beside.terminate()  # does nothing to one that is through
            beside.wait()
        said.seek(0)
        console.print(f"[bold]{', '.join(BESIDE)}[/bold]")
        sys.stdout.buffer.writelines(line for line in said if not PROGRESS.fullmatch(line))
        sys.stdout.flush()
    return failed


def _pytest(arguments: Sequence[str], place: Path | None, output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Start pytest; what it says goes to ``output``, or to where ours goes."""
    where = ["--basetemp", str(place)] if place else []
    command = [sys.executable, "-m", "pytest", *where, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT if output else None)
