"""Other implementations of what we speak, from the npm registry, at the versions that their package-lock.json pin."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.gateway.web.build import installed

PEERS = Path(__file__).parent
ANSWER_SECONDS = 120

Ask = Callable[..., dict[str, Any]]
Told = AsyncIterator[dict[str, Any]]


def _peer(name: str) -> tuple[str, Path]:
    """Return node, and the folder from which it runs a peer's program, beside its packages."""
    node, folder = installed(PEERS / name)
    shutil.copy(PEERS / name / f"{name}.mjs", folder)
    return node, folder


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Ask the peer; the questions are at the head of ``ipfs/ipfs.mjs``."""
    node, folder = _peer("ipfs")

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
    node, folder = _peer("fedify")
    with subprocess.Popen(
        [node, "fedify.mjs"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        yield json.loads(process.stdout.readline())["url"]
        process.stdin.close()


@pytest.fixture(scope="session")
def tus() -> Callable[..., Told]:
    """Upload by the peer; what it can be asked, and tells line by line, is at the head of ``tus/tus.mjs``."""
    node, folder = _peer("tus")

    async def upload(**given: Any) -> Told:
        pipe = subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            node, "tus.mjs", cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe
        )
        try:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            process.stdin.write(json.dumps(given).encode() + b"\n")
            async for line in process.stdout:
                yield json.loads(line)
            assert await process.wait() == 0, (await process.stderr.read()).decode()[-2000:]
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    return upload
