"""Starts code of a stranger in an isolated process, and keeps an eye on it from outside.

The strongest mechanism that this machine has is taken: namespaces (bubblewrap) with Landlock, seccomp and resource
limits inside; where namespaces cannot be had, Landlock, seccomp and resource limits; where those cannot be had either,
nothing runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from artdag_common.errors import EffectFailedError, IsolationUnavailableError
from artdag_common.isolation import bubblewrap, landlock, messages, printed, seccomp
from artdag_common.isolation.limits import Limits
from artdag_common.isolation.view import TMP, interpreter, search_path, view

ENVIRONMENT = {
    "PYTHONHASHSEED": "0",  # sets have the same order each time
    "OPENBLAS_NUM_THREADS": "1",  # and sums the same result
    "OMP_NUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
    "HOME": "/nonexistent",
    "PATH": "/nonexistent",
}
LIBRARIES = Path(__file__).parents[2]
FOLDER = "artdag-effect-"
"""How temporary folders are called; the id of the process that made one follows."""
WATCH_SECONDS = 0.5
PRINTED_TAIL = 1000
NO_ONE = 2_000_000_000
"""User ids from here on belong to nobody."""
SIGNALS = {
    signal.SIGXCPU: "used more than {cpu_seconds} s of processor time",
    signal.SIGXFSZ: "wrote a file of more than {file_bytes} bytes",
    signal.SIGKILL: "was killed, by the machine or because it used more than {cpu_seconds} s of processor time",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """What to run.

    Attributes:
        name: of the effect, for messages.
        source: the code.
        function: what to call in it.
        params: handed to it.
        seed: of its random numbers.
        modules: packages that it needs.
        frames: shared memory: descriptor, and (slots, height, width, 3).
        inputs, output: files, where there are no frames.
    """

    name: str
    source: str
    function: str
    params: Mapping[str, Any]
    seed: int
    modules: tuple[str, ...] = ("numpy",)
    frames: tuple[int, tuple[int, ...]] | None = None
    inputs: tuple[Path, ...] = ()
    output: Path | None = None


class Isolated:
    """A running isolated process. Leaving the block ends it."""

    latest: ClassVar[str] = ""
    """What isolated the last one, for people."""

    def __init__(self, job: Job, limits: Limits) -> None:
        self._job = job
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._buffer = bytearray()
        self._printed = bytearray()
        self._printed_bytes = 0
        self._alive = time.monotonic()
        self._orders = self._replies = self._output = -1

    def __enter__(self) -> Self:
        """Start it, and wait until the code is loaded.

        Raises:
            IsolationUnavailableError: this machine has nothing to isolate it with.
            EffectFailedError: the code cannot be loaded.
        """
        try:
            self._start()
            self._expect(messages.READY, self._limits.start_seconds, "was not loaded within")
            self._alive = time.monotonic()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def order(self, payload: bytes) -> None:
        """Hand it the next piece of work."""
        try:
            messages.send(self._orders, messages.NEXT, payload)
        except BrokenPipeError:
            self._expect(b"", self._limits.silence_seconds, "did not end within")
        self._alive = time.monotonic()

    def reply(self) -> tuple[bytes, bytes]:
        """Wait for its next message: :data:`messages.DONE` or :data:`messages.PROGRESS`, and what it says.

        Raises:
            EffectFailedError: it failed, broke a limit, or was silent for too long.
        """
        kind, payload = self._expect(
            messages.DONE + messages.PROGRESS, self._limits.silence_seconds, "gave no sign of life for"
        )
        self._alive = time.monotonic()
        return kind, payload

    # --- beginning and end ---

    def _start(self) -> None:
        reasons = []
        if not seccomp.available():
            raise IsolationUnavailableError(
                f"effect {self._job.name!r} cannot be run: this machine filters no system calls (seccomp), and without"
                " that uploaded effects are not run"
            )
        if program := bubblewrap.program():
            if self._begin(program):
                return
            said = self._printed.decode("utf-8", "replace").strip()
            reasons.append(said or "bubblewrap did not start")
            self._stop()
        else:
            reasons.append("bubblewrap is not installed")
        abi = landlock.version()
        if abi >= landlock.ALONE:
            if self._begin(None):
                return
            raise IsolationUnavailableError(
                f"effect {self._job.name!r} cannot be run: no isolated process could be started: {self._tail()}"
            )
        reasons.append(f"Landlock has version {abi} here and has to have {landlock.ALONE} (Linux 6.2)")
        raise IsolationUnavailableError(
            f"effect {self._job.name!r} cannot be run, since nothing here could isolate it: {'; '.join(reasons)}"
        )

    def _begin(self, program: Path | None) -> bool:
        """Start the process; False: it could not be isolated this way."""
        job, limits = self._job, self._limits
        self._alive = time.monotonic()
        seen = view(job.inputs, [job.output] if job.output else [])
        if program:
            tmp = TMP
        else:
            _remove_leftovers()
            self._folder = tmp = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-"))
        user = _nobody_else() if os.geteuid() == 0 else None
        if user is not None and program and job.output:
            os.chown(job.output, user, user)
        abi = landlock.version()
        named = ["namespaces" if program else "", f"Landlock {abi}" if abi else "", "seccomp", "limits"]
        Isolated.latest = ", ".join(filter(None, named))
        orders, self._orders = os.pipe()
        self._replies, replies = os.pipe()
        self._output, output = os.pipe()
        inherited = [orders, replies]
        setup: dict[str, Any] = {
            "source": job.source,
            "function": job.function,
            "params": dict(job.params),
            "seed": job.seed,
            "modules": job.modules,
            "package": str(LIBRARIES),
            "search_path": search_path(),
            "limits": dataclasses.asdict(limits),
            "tasks": _tasks(limits, user, program),
            "user": user,
            "keep_files": program is None,
            "parent": os.getpid(),
            "rules": seen.rules(tmp) if abi else [],
            "tmp": str(tmp),
            "orders": orders,
            "replies": replies,
            "frames": None,
            "inputs": [str(path) for path in job.inputs],
            "output": str(job.output),
        }
        if job.frames:
            inherited.append(job.frames[0])
            setup["frames"] = {"descriptor": job.frames[0], "shape": job.frames[1]}
        described = _described(setup)
        inherited.append(described)
        command = [str(interpreter()), "-S", "-s", "-P", "-B", "-m", "artdag_common.isolation.runner", str(described)]
        if program:
            command = bubblewrap.wrapped(command, program, seen.read, seen.write, tmp, limits.tmp_bytes)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=inherited,
                env={**ENVIRONMENT, "PYTHONPATH": str(LIBRARIES), "TMPDIR": str(tmp)},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:  # a program that may not be run
            self._printed += str(error).encode()
            return False
        finally:
            for descriptor in (orders, replies, output, described):
                os.close(descriptor)
        with contextlib.suppress(_EndedError):
            self._wait(limits.start_seconds, "was not started within", messages.STARTED)
            return True
        return False

    def _stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
        for descriptor in (self._orders, self._replies, self._output):
            if descriptor >= 0:
                os.close(descriptor)
        self._orders = self._replies = self._output = -1
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        self._buffer.clear()
        self._printed.clear()

    # --- listening ---

    def _expect(self, kinds: bytes, seconds: float, late: str) -> tuple[bytes, bytes]:
        try:
            kind, payload = self._wait(seconds, late, kinds + messages.FAILED)
        except _EndedError:
            raise self.failure(self._ending()) from None
        if kind == messages.FAILED:
            raise self.failure(payload.decode("utf-8", "replace"))
        return kind, payload

    def _wait(self, seconds: float, late: str, kinds: bytes) -> tuple[bytes, bytes]:
        """Return the next message; take in what it prints meanwhile."""
        deadline = self._alive + seconds
        poll = select.poll()
        poll.register(self._replies, select.POLLIN)
        poll.register(self._output, select.POLLIN)
        while True:
            if message := self._message():
                if message[0] not in kinds:
                    raise self.failure("sent something that it has not been asked for")
                return message
            left = deadline - time.monotonic()
            if left <= 0:
                raise self.failure(f"{late} {seconds:g} s")
            ready = dict(poll.poll(1000 * (min(left, WATCH_SECONDS) if self._folder else left)))
            if self._output in ready and not self._take_printed():
                poll.unregister(self._output)
            if self._replies in ready:
                data = os.read(self._replies, 1 << 16)
                if not data:
                    while self._take_printed():
                        pass
                    raise _EndedError
                self._buffer += data
            if self._folder and _size_of(self._folder) > self._limits.tmp_bytes:
                raise self.failure(f"wrote more than {self._limits.tmp_bytes} bytes into its temporary folder")

    def _message(self) -> tuple[bytes, bytes] | None:
        if len(self._buffer) < messages.HEADER.size:
            return None
        kind, length = messages.HEADER.unpack_from(self._buffer)
        if length > messages.MOST:
            raise self.failure("sent something that it has not been asked for")
        end = messages.HEADER.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[messages.HEADER.size : end])
        del self._buffer[:end]
        return kind, payload

    def _take_printed(self) -> bool:
        data = os.read(self._output, 1 << 16)
        self._printed_bytes += len(data)
        self._printed = (self._printed + data)[-PRINTED_TAIL:]
        printed.hear(data)
        if self._printed_bytes > self._limits.printed_bytes:
            raise self.failure(f"printed more than {self._limits.printed_bytes} bytes")
        return bool(data)

    def _ending(self) -> str:
        """Return how the process ended."""
        assert self._process
        code = self._process.wait()
        number = -code if code < 0 else code - 128 if code > 128 else 0
        if not number:
            return "ended by itself"
        known = SIGNALS.get(number)  # type: ignore[call-overload]
        if known:
            return str(known).format(**dataclasses.asdict(self._limits))
        with contextlib.suppress(ValueError):
            return f"crashed: {signal.strsignal(signal.Signals(number))}"
        return f"ended with code {code}"

    def failure(self, reason: str) -> EffectFailedError:
        """Return the error for ``reason``, with the last of what it printed."""
        printed = self._tail()
        more = f"; it printed: …{printed}" if printed else ""
        return EffectFailedError(f"effect {self._job.name!r} {_joined(reason)}{more}", effect=self._job.name)

    def _tail(self) -> str:
        return self._printed.decode("utf-8", "replace").strip()


class _EndedError(Exception):
    """The process is gone."""


def _joined(reason: str) -> str:
    """Return what fits behind the name: an exception needs a verb."""
    head = reason.partition(":")[0]
    return f"failed: {reason}" if head[:1].isupper() or head.startswith("out of") else reason


def _described(setup: Mapping[str, Any]) -> int:
    """Return a file in memory that holds the setup and cannot be changed any more."""
    descriptor = os.memfd_create("setup", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    data = json.dumps(setup).encode()
    while data:
        data = data[os.write(descriptor, data) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def _nobody_else() -> int:
    """Return the id of a user who is nobody else, as far as this machine has such ids."""
    ranges = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    first, _, count = max(ranges, key=lambda each: each[2])
    top = first + count - 1
    return min(NO_ONE, max(first, top // 2)) + os.getpid() % max(1, min(count // 4, 2**22))


def _tasks(limits: Limits, user: int | None, program: Path | None) -> int | None:
    """Return how many processes and threads the process's user may have.

    As a user of its own, or in a user namespace of its own, only its own count; else all those of whoever starts it.
    """
    own = 1 + limits.threads
    if user is not None:
        return own
    if program:
        return own + 3  # bubblewrap's own
    return own + _tasks_of(os.getuid())


def _tasks_of(user: int) -> int:
    count = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if folder.stat().st_uid == user:
                    count += len(list((folder / "task").iterdir()))
    return count


def _remove_leftovers() -> None:
    """Remove the temporary folders of processes that were killed before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*-*"):
        maker = folder.name.removeprefix(FOLDER).partition("-")[0]
        with contextlib.suppress(OSError):
            if maker.isdigit() and folder.stat().st_uid == os.geteuid() and not Path(f"/proc/{maker}").exists():
                shutil.rmtree(folder, ignore_errors=True)


def _size_of(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_blocks * 512
    return total


def describe() -> Sequence[str]:
    """Return what this machine has to isolate effects with, a line each."""
    program = bubblewrap.program()
    abi = landlock.version()
    return [
        f"bubblewrap: {program or 'not installed'}",
        f"Landlock: {f'version {abi}' if abi else 'none'}",
        f"seccomp: {'yes' if seccomp.available() else 'no'}",
    ]
