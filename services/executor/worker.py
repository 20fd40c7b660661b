"""What runs inside a media worker process: one step, then the process ends. What it prints goes to the step's log."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import os
import resource
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import parent_process
from pathlib import Path

from artdag_common.isolation import printed
from services.executor.failing import broken_by
from services.executor.memory import return_large_blocks, use_small_pages

TICK_SECONDS = 0.2
CELLS = 4
"""Cells of the encoder from which on a film is long."""
MEMORY_BYTES = 6 * 2**30
"""Address space of a step: a decompression bomb fails its step, not the machine."""
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """A step to run.

    Attributes:
        inputs: local paths.
        folder: where the output goes.
        content: where uploaded effects are.
        divide: do not begin, if the film is :class:`Long`.
    """

    step_type: str
    config: str
    inputs: tuple[str, ...]
    folder: str
    seed: int
    deliver: bool
    content: str = ""
    divide: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Frames done; ``total`` is 0 where it is not known."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The step wrote its output, and it is what it should be."""

    path: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Long:
    """Nothing was done: the film has so many frames, and so many of them are a cell, that it is to be made in parts."""

    frames: int
    cell: int


class WorkerContext:
    """What a running step may use."""

    def __init__(self, order: WorkOrder, pipe: Connection) -> None:
        self.seed = order.seed
        self.deliver = order.deliver
        self._folder = Path(order.folder)
        self._pipe = pipe
        self._next_tick = 0.0

    def output(self, extension: str) -> Path:
        """Return where the output goes."""
        return self._folder / f"output.{extension}"

    def media(self) -> Path:
        """Return where video or sound goes: to people, or on to other steps."""
        return self.output("mp4" if self.deliver else "mov")

    def progress(self, done: int, total: int) -> None:
        """Tell the executor, a few times a second."""
        now = time.monotonic()
        if now >= self._next_tick or (total and done >= total):
            self._next_tick = now + TICK_SECONDS
            self._pipe.send(Progress(done, total))


def die_with_executor() -> None:
    """End this process when its executor ends, however that happens: no step outlives it.

    The kernel tells of the end of our parent, which is the server that forked us; that one lives on for as long as we
    do. The executor itself holds a pipe to us.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    executor = parent_process()
    if os.getppid() == 1 or executor is None:
        os._exit(1)
    threading.Thread(target=_end_after, args=(executor.sentinel,), daemon=True, name="executor").start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def limit_memory() -> None:
    """Bound the address space, unless it is bounded more tightly from outside."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def speak_into(said: Connection) -> None:
    """Have everything that is printed here go to the executor: by Python, by libav, by code of a stranger."""
    import av.logging

    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    said.close()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.WARNING)
    printed.hear = functools.partial(os.write, 2)


def work(order: WorkOrder, pipe: Connection, said: Connection) -> None:
    """Run one step and send what came of it."""
    die_with_executor()
    speak_into(said)
    limit_memory()
    return_large_blocks()
    use_small_pages()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        came: object = _run(order, pipe)
    except Exception as error:
        came = broken_by(error)
    with contextlib.suppress(OSError, ValueError):  # nobody hears it any more
        sys.stdout.flush()
        sys.stderr.flush()
    pipe.send(came)  # the last word: whoever hears it ends this process
    pipe.close()


def _run(order: WorkOrder, pipe: Connection) -> Finished | Long:
    from artdag_common.blobs.local import stored_in
    from artdag_common.effects import past, uploaded
    from artdag_common.media.check import check_output
    from artdag_common.steps.registry import find_step_type

    past.keep_in(Path(order.folder))
    if order.content:
        uploaded.look_in(stored_in(Path(order.content)))
    kind = find_step_type(order.step_type)
    assert kind.run is not None
    params = kind.params.model_validate_json(order.config)
    if order.divide:
        from artdag_common.media.parts import length

        frames, cell = length(Path(order.inputs[0]))
        if frames >= CELLS * cell:
            return Long(frames, cell)
    path = kind.run(WorkerContext(order, pipe), params, *map(Path, order.inputs))
    return Finished(str(path), check_output(path))
