"""What is said to people: on standard error, in colour on a terminal only, and nothing of it with ``--quiet``.

Results go to standard output by ``print``. Rich leaves colours out where ``NO_COLOR`` is set.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console

console = Console(stderr=True)
"""For progress and remarks."""

errors = Console(stderr=True)
"""For what has to be seen even so: why something did not go well, and what a person is asked to do."""


def confirm(question: str) -> None:
    """Ask a person, on standard error; typer's own leaves a space on standard output.

    Raises:
        typer.Abort: they do not say yes, or nobody is there.
    """
    errors.print(f"{question} [y/N]: ", end="", highlight=False, markup=False, soft_wrap=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise typer.Abort


def be_quiet(quiet: bool = True) -> None:
    """Print nothing to :data:`console` from now on, or again."""
    console.quiet = quiet


def log_here() -> None:
    """Have what libraries log said on standard error too: as they come, their lines stand among the results."""
    import structlog  # takes a while to load, and those that log have loaded it

    structlog.configure(logger_factory=lambda *_: structlog.WriteLogger(sys.stderr))
