"""WAIT: a step that waits instead of computing, so that what is measured is the engine and not the processors.

A package of its own, as people make them: executors and planners find it by the entry point ``artdag.steps``.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from pydantic import Field

from artdag_common.steps.base import StepContext, StepParams, step_type

NAME = "waiting"


class WaitParams(StepParams):
    """Parameters of WAIT."""

    seconds: float = Field(0.25, ge=0)
    salt: str = ""


@step_type("WAIT", version=1, slots=("input",), media=False)
def wait(ctx: StepContext, params: WaitParams, first: Path) -> Path:
    """Wait, and write that it was done."""
    time.sleep(params.seconds)
    path = ctx.output("json")
    path.write_text('{"waited":true}')
    return path


def install(folder: Path) -> str:
    """Install this package into a folder; return it, for ``PYTHONPATH``."""
    about = folder / f"{NAME}-1.dist-info"
    about.mkdir(parents=True)
    shutil.copy(__file__, folder / f"{NAME}.py")
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[artdag.steps]\n{NAME} = {NAME}\n")
    return str(folder)
