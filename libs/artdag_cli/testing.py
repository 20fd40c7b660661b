"""``artdag test``: everything that has to hold, on servers that it starts itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
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
BESIDE = (("architecture", "golden", "unit", "attacks", "contract", "peers"), ("upgrade", "e2e", "browser"))
"""Folders of tests that run beside all others, in two lines: many wait for something most of the time."""

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
        where = ["--basetemp", str(place)] if place else []
        command = [sys.executable, "-m", "pytest", *where, *context.args]
        failed = [] if subprocess.call(command, cwd=ROOT) == 0 else ["tests"]
    elif place:
        failed = _everything(checks, place)
    else:  # not where pytest by itself would put it: whoever else starts one would shut it against Postgres' user
        place = Path(tempfile.mkdtemp(prefix="artdag-tests-"))
        failed = _everything(checks, place)
        if failed:
            console.print(f"What the tests left is in {place}")
        else:
            shutil.rmtree(place, ignore_errors=True)
    if not browser() and (not context.args or any("tests/browser" in each for each in context.args)):
        console.print(f"[yellow bold]{'failed' if browser_needed() else 'SKIPPED'}:[/yellow bold] {NO_BROWSER}")
    if failed:
        console.print(f"[red]failed: {', '.join(failed)}[/red]")
        raise typer.Exit(1)
    console.print("[green]all passed[/green]")


def _everything(checks: bool, place: Path) -> list[str]:
    """Run all tests, in three lines side by side, and the checks while they begin; return what failed."""
    folders = sorted({test.relative_to(TESTS).parts[0] for test in TESTS.rglob("test_*.py")})
    served = [name for name in folders if not any(name in line for line in BESIDE)]
    failed = []
    with ExitStack() as ends:
        lines = []
        for line in BESIDE:
            said = ends.enter_context(tempfile.TemporaryFile())
            tests = _pytest(line, place, said)
            _end_with(ends, tests)
            lines.append((", ".join(line), tests, said))
        shown = _pytest(served, place, subprocess.PIPE)  # what it says before the checks are through waits there
        _end_with(ends, shown)
        assert shown.stdout is not None
        for name, (program, *arguments) in CHECKS if checks else ():
            console.print(f"[bold]{name}[/bold]")
            if subprocess.call([os.path.join(BINARIES, program), *arguments], cwd=ROOT):
                failed.append(name)
        console.print(f"[bold]{', '.join(served)}[/bold]; beside them, shown afterwards: all other tests")
        while piece := os.read(shown.stdout.fileno(), 1 << 16):
            sys.stdout.buffer.write(piece)
            sys.stdout.flush()
        if shown.wait():
            failed.append(f"tests of {', '.join(served)}")
        for names, tests, said in lines:
            if tests.wait():
                failed.append(f"tests of {names}")
            said.seek(0)
            console.print(f"[bold]{names}[/bold]")
            sys.stdout.buffer.writelines(line for line in said if not PROGRESS.fullmatch(line))
            sys.stdout.flush()
    return failed


def _pytest(folders: Sequence[str], place: Path, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """Start the tests of some folders; what they say goes to ``output``."""
    place.mkdir(parents=True, exist_ok=True)
    tests = [str(TESTS / name) for name in folders]
    colour = "yes" if output == subprocess.PIPE and sys.stdout.isatty() else "no"
    command = [sys.executable, "-m", "pytest", "--basetemp", str(place / folders[0]), "--color", colour, *tests]
    return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)


def _end_with(ends: ExitStack, tests: subprocess.Popen[bytes]) -> None:
    ends.callback(tests.wait)
    ends.callback(tests.terminate)  # does nothing to one that is through
