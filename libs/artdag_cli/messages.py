"""What is said to people: on standard error, in colour on a terminal only, and nothing of it with ``--quiet``.

Results go to standard output by ``print``. Rich leaves colours out where ``NO_COLOR`` is set.
"""

from __future__ import annotations

from rich.console import Console

console = Console(stderr=True)
"""For progress and remarks."""

errors = Console(stderr=True)
"""For what has to be seen even so: why something did not go well, and what a person is asked to do."""


def be_quiet(quiet: bool = True) -> None:
    """Print nothing to :data:`console` from now on, or again."""
    console.quiet = quiet
