"""Effects of strangers, and the two ways in which this machine may isolate them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artdag_common.effects import uploaded
from artdag_common.effects.base import Effect
from artdag_common.isolation import bubblewrap, landlock
from artdag_common.isolation.frames import run_frames
from artdag_common.isolation.limits import Limits

HEADER = """\
# /// script
# dependencies = ["numpy"]
#
# [tool.artdag]
# name = "stranger"
# version = "1.0"
# author = "somebody"
# description = "What it does shows."
# kind = "{kind}"
# ///
"""
SHAPE = (36, 64, 3)
TIGHT = Limits(memory_bytes=2**30, cpu_seconds=20, silence_seconds=20)


def _namespaces() -> bool:
    """Whether this machine has bubblewrap, and lets it make namespaces."""
    program = bubblewrap.program()
    if program is None:
        return False
    import subprocess

    command = bubblewrap.wrapped(["/usr/bin/env", "true"], program, [Path("/")], [], Path("/tmp"), 4096)
    return subprocess.run(command, capture_output=True, timeout=90, check=False).returncode == 0


NAMESPACES = _namespaces()


@pytest.fixture(params=["namespaces", "landlock"])
def mechanism(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each mechanism that this machine has."""
    if request.param == "namespaces" and not NAMESPACES:
        pytest.skip("this machine makes no namespaces")
    if request.param == "landlock":
        if landlock.version() < landlock.ALONE:
            pytest.skip("the kernel has no Landlock")
        monkeypatch.setattr(bubblewrap, "program", lambda: None)
    return str(request.param)


@pytest.fixture
def stranger(tmp_path: Path) -> Callable[..., Effect]:
    """Make an effect of the body of its function."""

    def make(code: str, kind: str = "frame") -> Effect:
        path = tmp_path / "stranger.py"
        path.write_text(HEADER.format(kind=kind) + code)
        return uploaded.parse(path.read_bytes(), path)

    return make


@pytest.fixture
def framed(stranger: Callable[..., Effect]) -> Callable[..., list[Any]]:
    """Run a body of ``process_frame`` over some frames: the number n is a frame full of n."""

    def run(body: str, count: int = 1, limits: Limits = TIGHT) -> list[Any]:
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        effect = stranger(f"def process_frame(frame, params, state):\n{lines}    return frame, state\n")
        frames = (np.full(SHAPE, number, np.uint8) for number in range(count))
        return list(run_frames(effect, effect.params(), frames, {}, limits))

    return run
