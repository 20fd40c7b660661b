"""Makes the list of commands in docs/cli.md from the program.

python docs/build_cli.py           write it
python docs/build_cli.py --check   say whether it is stale; exit 1 if it is
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "libs")]

import typer.main  # noqa: E402
from typer.core import TyperGroup  # noqa: E402

from artdag_cli.__main__ import app  # noqa: E402
from artdag_cli.listing import COMMANDS  # noqa: E402

PAGE = ROOT / "docs" / "cli.md"
BEGIN = "<!-- made by docs/build_cli.py -->\n"


def commands(of: Any = None, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, by its whole name."""
    for name, command in (of or typer.main.get_command(app)).commands.items():
        whole = f"{before} {name}".strip()
        if isinstance(command, TyperGroup):
            if command.invoke_without_command:
                yield whole, command
            yield from commands(command, whole)
        else:
            yield whole, command


def summary(command: Any) -> str:
    """Return the first paragraph of a command's help, as one line."""
    return " ".join(str(command.help).split("\n\n")[0].split())


def row(name: str, command: Any) -> str:
    """Return the line of a command."""
    context = typer.Context(command, info_name=name)
    pieces = [each for each in command.collect_usage_pieces(context) if not each.startswith(("[OPTIONS]", "COMMAND"))]
    usage = " ".join([f"artdag {name}", *pieces]).replace("|", "\\|")
    return f"| `{usage}` | {summary(command)} |"


def table() -> str:
    """Return all commands, under the headings of the help."""
    panels: dict[str, list[str]] = {}
    for name, command in commands():
        panels.setdefault(COMMANDS[name.split()[0]].panel, []).append(row(name, command))
    return "\n\n".join(f"### {panel}\n\n| | |\n|---|---|\n" + "\n".join(rows) for panel, rows in panels.items()) + "\n"


def document() -> str:
    """Return the page as it has to be."""
    return PAGE.read_text().partition(BEGIN)[0] + BEGIN + "\n" + table()


def main() -> int:
    """Write the list, or check it."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(document())
    if PAGE.read_text() == document():
        return 0
    print("docs/cli.md does not list what the program has; run: python docs/build_cli.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
