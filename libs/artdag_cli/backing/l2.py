"""A small L2, the registry that people sign in with: for trying the server out with several people."""

from __future__ import annotations

import secrets
import shutil
import sys
from pathlib import Path

import httpx

from artdag_cli.backing.launch import Launch, guarded, kept, kept_port, package
from artdag_common.errors import BackingServerError

LOCK = "requirements-with.lock"
ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "tests" / "l2" / "__main__.py"
PEOPLE = ("ada", "giles")


def l2_server(state: Path, l1_url: str = "") -> tuple[str, Launch]:
    """Return the address and the launch of a registry; ``l1_url``: a rendering server that it lists.

    Raises:
        BackingServerError: it is not here: it belongs to the checkout, not to the installed product.
    """
    if not PROGRAM.exists():
        raise BackingServerError(
            f"--with l2: the registry to try out with is part of the source checkout (tests/l2), and there is no"
            f" {PROGRAM}; set L2_SERVER to a registry instead"
        )
    package("jwt", LOCK)
    folder = state / "l2"
    folder.mkdir(exist_ok=True, mode=0o700)
    people = state / "l2.people"
    kept(people, lambda: "".join(f"{name} {secrets.token_urlsafe(9)}\n" for name in PEOPLE))
    port = kept_port(state, "l2")
    url = f"http://127.0.0.1:{port}"
    # It finds its own code only, and not ours: it is to know of the server no more than the documents say.
    command = (
        *guarded(),
        shutil.which("env") or "/usr/bin/env",
        f"PYTHONPATH={ROOT}",
        sys.executable,
        "-P",
        "-m",
        "tests.l2",
        f"--port={port}",
        f"--data={folder / 'l2.db'}",
        f"--public-url={url}",
        f"--people={people}",
        *((f"--renderer={l1_url}",) if l1_url else ()),
    )

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
                return (await client.get(f"{url}/health")).status_code == 200
        except httpx.HTTPError:
            return False

    return url, Launch("l2", command, ready, state / "logs" / "l2.log")


def l2_people(state: Path) -> list[tuple[str, str]]:
    """Return name and password of the people that the registry has from its first start."""
    try:
        lines = (state / "l2.people").read_text().splitlines()
    except OSError:
        return []
    return [(name, password) for name, password in map(str.split, lines)]
