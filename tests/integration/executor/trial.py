"""A step type that does whatever a test needs done in a media worker process. Loaded by the tests' pool only."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Literal

from artdag_common.errors import StepInputError
from artdag_common.steps.base import STEP_TYPES, StepContext, StepParams, step_type

NAME = "TRIAL"


class TrialParams(StepParams):
    """Parameters of TRIAL."""

    what: Literal["write", "wait", "crash", "refuse", "break", "swell", "tick", "print", "chatter"]
    folder: str  # of the test; each attempt leaves a file there that is named by its process


@step_type(NAME, version=1, slots=(), inputs=(0, None), media=False)
def trial(ctx: StepContext, params: TrialParams, *inputs: Path) -> Path:
    """Write a JSON file, after doing what the test asks for."""
    folder = Path(params.folder)
    (folder / f"{os.getpid()}.attempt").touch()
    match params.what:
        case "wait":  # for a byte in the test's pipe
            with (folder / "go").open("rb", buffering=0) as pipe:
                pipe.read(1)
        case "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        case "refuse":
            raise StepInputError("the input is unreadable")
        case "break":
            raise KeyError("nobody thought of it")
        case "swell":
            bytearray(2**40)  # the kernel refuses, since no process here may have so much
        case "print":
            print("in Python,", folder / "x", flush=True)
            os.write(2, b"and beside it\n\x1b[2Jcleared\n")
            with (folder / "go").open("rb", buffering=0) as pipe:
                pipe.read(1)
            print("the end, without its line", end="")
        case "chatter":
            for number in range(10_000):
                print("line", number)
        case "tick":
            for done in range(1, 4):
                ctx.progress(done, 3)
                time.sleep(0.25)  # ticks are rare by design: what comes sooner is left out
    path = ctx.output("json")
    path.write_text('{"trial":true}')
    return path


TRIAL = STEP_TYPES.pop(NAME)
"""Not known to anybody who does not ask for it."""
