"""Makes ``_sync`` of ``_async``: ``python -m artdag_client.make_sync``; with ``--check`` it only says what differs.

The two differ in words alone: what is awaited there is called here. A test runs the check.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE, MADE = HERE / "_async", HERE / "_sync"
HEADER = "# Made of {name} by artdag_client.make_sync. Change that one.\n"
PACKAGE = '"""The client for programs that wait for one thing at a time. Made of ``_async`` by ``make_sync``."""\n'
WORDS = (
    (r"\bawait ", ""),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\baclosing\b", "closing"),
    (r"\bAsync([A-Z]\w*)", r"\1"),
    (r"\basync_pause\b", "pause"),
    (r"\ba(close|read|iter_bytes|iter_lines)\b", r"\1"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"artdag_client\._async\b", "artdag_client._sync"),
)
"""What is written otherwise, in this order."""


def made(text: str, name: str) -> str:
    """Return a module of the one client as that of the other, formatted."""
    for pattern, other in WORDS:
        text = re.sub(pattern, other, text)
    ruff = shutil.which("ruff", path=f"{Path(sys.executable).parent}:{sys.base_prefix}/bin") or "ruff"
    for work in (["check", "--select", "I", "--fix", "--quiet"], ["format", "--quiet"]):
        command = [ruff, *work, "--stdin-filename", str(MADE / name), "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text


def modules() -> dict[str, str]:
    """Return the modules that are to be there, by name."""
    texts = {path.name: path.read_text() for path in sorted(SOURCE.glob("*.py")) if path.name != "__init__.py"}
    found = {name: made(HEADER.format(name=f"_async/{name}") + text, name) for name, text in texts.items()}
    return {"__init__.py": PACKAGE, **found}


def main(arguments: list[str]) -> int:
    """Write what differs, or with ``--check`` name it; return the exit code."""
    wanted = modules()
    there = {path.name for path in MADE.glob("*.py")}
    differing = [name for name, text in wanted.items() if name not in there or (MADE / name).read_text() != text]
    stale = sorted(there - wanted.keys())
    if "--check" in arguments:
        for name in (*differing, *stale):
            print(f"libs/artdag_client/_sync/{name} is not current: python -m artdag_client.make_sync", file=sys.stderr)
        return 1 if differing or stale else 0
    for name in differing:
        (MADE / name).write_text(wanted[name])
    for name in stale:
        (MADE / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
