"""What runs inside: gives up every right, then loads code of a stranger and calls it.

Started as a program of its own, with a clean environment. Everything it has to know comes in a file that it inherits;
frames come in memory that it shares with the one that started it. It imports nothing of Art DAG beyond this package.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import mmap
import os
import random
import signal
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from artdag_common.isolation import landlock, limits, messages, seccomp

PR_SET_PDEATHSIG = 1
SHOWN = 500


class Params(types.SimpleNamespace):
    """Parameters of an effect: ``params.name`` or ``params["name"]``."""

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


class Context:
    """What ``process`` may use.

    Attributes:
        seed: for everything that is drawn by chance.
        tmp: a folder of its own.
    """

    def __init__(self, seed: int, tmp: Path, replies: int) -> None:
        self.seed = seed
        self.tmp = tmp
        self._replies = replies

    def progress(self, done: int, total: int = 0) -> None:
        """Tell how much is done; a sign of life too."""
        messages.send(self._replies, messages.PROGRESS, messages.COUNT.pack(max(0, done), max(0, total)))


def main() -> None:
    """Run what the setup says; every problem is told, none is raised."""
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        setup = json.load(file)
    replies = int(setup["replies"])
    messages.send(replies, messages.STARTED)
    # In the environment of the packages offered, not in that of Art DAG.
    sys.path[:] = [path for path in sys.path if path != setup["package"]] + setup["search_path"]
    for name in setup["modules"]:
        importlib.import_module(name)
    os.chdir(setup["tmp"])
    confine(setup)
    try:
        run(setup)
    except MemoryError:
        fail(replies, f"out of memory: it may use {setup['limits']['memory_bytes'] >> 20} MiB")
    except BaseException as error:
        fail(replies, explain(error, setup["source"]))
    os._exit(0)  # nothing of the stranger's runs at exit


def confine(setup: dict[str, Any]) -> None:
    """Give up every right that the code does not need."""
    own = limits.Limits(**setup["limits"])
    if setup["user"] is not None:
        become(setup["user"], setup["keep_files"])
    if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) < 0 or os.getppid() not in (1, setup["parent"]):
        os._exit(1)  # whom it works for is gone already
    limits.apply(own, setup["tasks"])
    seccomp.give_up_new_privileges()
    if setup["rules"]:
        landlock.restrict((Path(path), rights) for path, rights in setup["rules"] if os.path.exists(path))
    seccomp.restrict(threads=own.threads > 0)


def become(user: int, keep_files: bool) -> None:
    """Be somebody whom nothing belongs to, without any capability.

    Args:
        keep_files: where files can only be reached as who it was, it stays that one towards files. It still has no
            capability, and counts as the other for the number of its threads.
    """
    os.setgroups([])
    os.setresgid(user, user, user)
    if not keep_files:
        os.setresuid(user, user, user)
        return
    os.setresuid(user, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, nothing) < 0:
        raise OSError(ctypes.get_errno(), "capset")


def run(setup: dict[str, Any]) -> None:
    """Load the code and call it as often as it is asked for."""
    random.seed(setup["seed"])
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(setup["seed"] % 2**32)
    module = types.ModuleType("effect")
    sys.modules["effect"] = module
    exec(compile(setup["source"], "effect.py", "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    function = getattr(module, setup["function"])
    params = Params(**setup["params"])
    if setup["frames"] is not None:
        messages.send(setup["replies"], messages.READY)
        change_frames(function, params, setup)
        return
    ctx = Context(setup["seed"], Path(setup["tmp"]), setup["replies"])
    messages.send(setup["replies"], messages.READY)
    function([Path(path) for path in setup["inputs"]], Path(setup["output"]), params, ctx)
    messages.send(setup["replies"], messages.DONE)


def change_frames(function: Callable[..., Any], params: Params, setup: dict[str, Any]) -> None:
    """Change one frame after the other, in the memory that both sides see."""
    import numpy as np

    slots, *shape = setup["frames"]["shape"]
    memory = mmap.mmap(setup["frames"]["descriptor"], 0)
    os.close(setup["frames"]["descriptor"])
    frames = np.frombuffer(memory, np.uint8)[: slots * shape[0] * shape[1] * shape[2]].reshape(slots, *shape)
    state: Any = {}
    while True:
        kind, payload = messages.receive(setup["orders"])
        if kind != messages.NEXT:
            return
        (slot,) = messages.FRAME.unpack(payload[: messages.FRAME.size])
        vars(params).update(json.loads(payload[messages.FRAME.size :]))
        given = function(frames[slot].copy(), params, state)  # a copy, since it may keep the frame it gets
        if not isinstance(given, tuple) or len(given) != 2:
            raise WrongResultError(f"gave back {_kind_of(given)}; it has to be (frame, state)")
        after, state = given
        if not isinstance(after, np.ndarray) or after.dtype != np.uint8 or after.shape != frames[slot].shape:
            raise WrongResultError(
                f"gave back {_kind_of(after)}; it has to be uint8 {tuple(shape)}, as the frame it got"
            )
        np.copyto(frames[slot], after)
        messages.send(setup["replies"], messages.DONE, payload[: messages.FRAME.size])


class WrongResultError(Exception):
    """The code gave back something else than it has to."""


def _kind_of(value: Any) -> str:
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is not None and shape is not None:
        return f"{dtype} {shape}"
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else type(value).__name__


def explain(error: BaseException, source: str) -> str:
    """Return what went wrong, and where in the stranger's code."""
    if isinstance(error, WrongResultError):
        return str(error)
    text = f"{type(error).__name__}: {str(error)[:SHOWN]}"
    if isinstance(error, SyntaxError) and error.filename == "effect.py":
        return text
    line, trace = 0, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == "effect.py":
            line = trace.tb_lineno
        trace = trace.tb_next
    lines: Sequence[str] = source.splitlines()
    if 0 < line <= len(lines):
        text += f" (line {line}: {lines[line - 1].strip()[:SHOWN]})"
    if isinstance(error, PermissionError | BlockingIOError):
        text += "; an effect has no network, starts no process and sees no files but its own"
    return text


def fail(replies: int, reason: str) -> None:
    """Tell why it ends."""
    messages.send(replies, messages.FAILED, reason.encode("utf-8", "replace")[: messages.MOST - messages.HEADER.size])


if __name__ == "__main__":
    main()
