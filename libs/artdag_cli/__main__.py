"""``artdag``: the command line."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from artdag_cli.exits import failure
from artdag_cli.listing import ListedGroup

PROGRAM = "artdag"
COMPLETING = "_ARTDAG_COMPLETE"
"""Set by a shell that asks what may come next."""

app = typer.Typer(
    name=PROGRAM,
    cls=ListedGroup,
    no_args_is_help=True,
    add_completion=False,  # `artdag completion` prints the scripts, and changes no file of the user's
    pretty_exceptions_enable=False,
    help="Art DAG L1: a rendering server that plans, shares and proves every step.",
    epilog="`artdag COMMAND --help` tells more. Exit codes and examples: docs/cli.md.",
)


def _version(context: typer.Context, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:  # else a shell asks what may come next
        from artdag_common.version import VERSION

        print(f"artdag {VERSION}")
        raise typer.Exit


@app.callback()
def _artdag(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but results and errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    if quiet or "artdag_cli.messages" in sys.modules:  # else nothing can have been said, and rich is not loaded for it
        from artdag_cli.messages import be_quiet

        be_quiet(quiet)


def main() -> None:
    """Run the command line; an error of ours is a sentence, not a traceback."""
    if COMPLETING in os.environ:
        from artdag_cli.completion import prepare

        prepare()
    try:
        app(prog_name=PROGRAM)
    except Exception as error:
        told = failure(error)
        if told is None:
            raise
        _say(told[0])
        sys.exit(told[1])


def _say(sentence: str) -> None:
    from rich.text import Text

    from artdag_cli.messages import errors
    from artdag_cli.printing import plain

    said = "\n".join(map(plain, sentence.splitlines()))  # a server's words may be in it
    errors.print(Text.assemble(("artdag:", "red"), " ", said), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
