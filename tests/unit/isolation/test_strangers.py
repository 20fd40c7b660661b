"""What an uploaded effect must not be able to do: each attempt fails the step, says why, and harms nothing."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from artdag_common.effects.base import Effect, EffectParams
from artdag_common.errors import EffectFailedError
from artdag_common.isolation.whole import LIMITS, run_whole
from tests.unit.isolation.conftest import HEADER, TIGHT

Framed = Callable[..., list[Any]]
pytestmark = pytest.mark.usefixtures("mechanism")


def failed(framed: Framed, body: str, reason: str, **more: Any) -> str:
    with pytest.raises(EffectFailedError, match=reason) as refused:
        framed(body, **more)
    assert refused.value.message.startswith("effect 'stranger' ")
    return refused.value.message


@pytest.mark.parametrize("kind", ["AF_INET", "AF_UNIX", "AF_NETLINK"])
def test_it_opens_no_socket(framed: Framed, kind: str) -> None:
    message = failed(framed, f"import _socket\n_socket.socket(_socket.{kind})", "PermissionError")
    assert "(line 13: _socket.socket" in message
    assert "no network" in message


def test_it_reaches_no_server_of_this_machine(framed: Framed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        failed(framed, f"import socket\nsocket.create_connection({server.getsockname()!r})", "PermissionError")
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "/proc/1/environ", "/etc/hostname"])
def test_it_reads_no_file_of_the_machine(framed: Framed, path: str) -> None:
    failed(framed, f"open({path!r}).read()", "PermissionError|FileNotFoundError")


def test_it_reads_no_file_of_ours(framed: Framed, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for path in (secret, Path(__file__), Path(sys.modules["artdag_common.errors"].__file__ or "")):
        failed(framed, f"open({str(path)!r}).read()", "PermissionError|FileNotFoundError")


def test_it_lists_no_folder_of_ours(framed: Framed, tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    failed(framed, f"import os\nassert not os.listdir({str(tmp_path)!r})", "PermissionError|FileNotFoundError")


def test_it_sees_no_environment(framed: Framed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    assert framed("import os\nassert 'secret' not in str(os.environ), 'seen'\nassert os.getenv('DATABASE_URL') is None")


def test_it_inherits_no_open_file(framed: Framed, tmp_path: Path) -> None:
    """What it has: three standard streams, two pipes, and the memory of the frames."""
    count = "import os\nopened = []\nfor n in range(999):\n    try:\n        opened.append(os.fstat(n).st_mode)\n"
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        assert framed(f"{count}    except OSError:\n        pass\nassert len(opened) == 6, [oct(m) for m in opened]")


@pytest.mark.parametrize("path", ["/etc/passwd", "/usr/lib/evil", "{tmp_path}/evil", "{tmp_path}/stranger.py"])
def test_it_writes_nothing_outside_its_folder(framed: Framed, tmp_path: Path, path: str) -> None:
    target = Path(path.format(tmp_path=tmp_path))
    before = target.read_bytes() if target.exists() else None
    failed(framed, f"open({str(target)!r}, 'a').write('evil')", "PermissionError|FileNotFoundError|Read-only")
    assert (target.read_bytes() if target.exists() else None) == before or target.name == "stranger.py"


@pytest.mark.parametrize(
    "call", ["os.truncate({path!r}, 0)", "os.chmod({path!r}, 0)", "os.utime({path!r})", "os.unlink({path!r})",
             "os.rename({path!r}, {path!r} + '2')", "os.chown({path!r}, 1, 1)"]
)  # fmt: skip
def test_it_changes_no_file_of_ours(framed: Framed, tmp_path: Path, call: str) -> None:
    target = tmp_path / "mine"
    target.write_text("mine")
    before = target.stat()
    failed(framed, f"import os\n{call.format(path=str(target))}", "PermissionError|FileNotFoundError|Read-only")
    assert target.read_text() == "mine"
    assert (target.stat().st_mode, target.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_it_has_a_folder_of_its_own_that_goes_with_it(framed: Framed) -> None:
    body = "import os, tempfile\nwith tempfile.NamedTemporaryFile('w+') as f:\n    f.write('a'); f.seek(0)\n"
    assert framed(f"{body}    assert f.read() == 'a'\nassert os.listdir(tempfile.gettempdir()) == []")
    assert framed("import tempfile, os\nopen(os.path.join(tempfile.gettempdir(), 'left'), 'w').write('a')")
    assert framed("import os, tempfile\nassert os.listdir(tempfile.gettempdir()) == []")


def test_its_folder_does_not_fill_the_disk(framed: Framed) -> None:
    body = "import os, tempfile\nfor i in range(200):\n"
    body += "    with open(os.path.join(tempfile.gettempdir(), str(i)), 'wb') as f:\n"
    limits = replace(TIGHT, tmp_bytes=2**20)
    failed(
        framed,
        f"{body}        f.write(b'x' * 2**16)\nimport time\ntime.sleep(60)",
        "No space left|temporary folder",
        limits=limits,
    )


def test_it_starts_no_process(framed: Framed) -> None:
    failed(framed, "import os\nwhile True:\n    os.fork()", "PermissionError.*starts no process")
    failed(framed, "import subprocess\nsubprocess.run(['true'])", "PermissionError|FileNotFoundError")
    failed(framed, "import os, sys\nos.execv('/bin/sh', ['sh'])", "PermissionError|FileNotFoundError")


def test_it_starts_no_thread(framed: Framed) -> None:
    failed(framed, "import threading\nthreading.Thread(target=print).start()", "can't start new thread")


def test_it_uses_no_more_memory_than_it_may(framed: Framed) -> None:
    failed(framed, "kept = bytearray(10 * 2**30)", "out of memory: it may use 1024 MiB")
    failed(framed, "import numpy as np\nkept = np.ones(10 * 2**30, np.uint8)", "out of memory: it may use 1024 MiB")


def test_it_is_not_waited_for_for_ever(framed: Framed) -> None:
    limits = replace(TIGHT, silence_seconds=1.0)
    failed(framed, "import time\ntime.sleep(1e6)", "gave no sign of life for 1 s", limits=limits)


def test_it_uses_no_more_processor_time_than_it_may(framed: Framed) -> None:
    limits = replace(TIGHT, cpu_seconds=1, silence_seconds=300)
    failed(framed, "while True:\n    pass", "used more than 1 s of processor time", limits=limits)


@pytest.mark.parametrize(
    "call",
    ["os.kill(os.getppid(), 9)", "os.kill(1, 9)", "os.kill(-1, 9)", "os.killpg(0, 9)",
     "signal.pthread_kill(threading.main_thread().ident, 9)",
     "ctypes.CDLL(None).tgkill(os.getppid(), os.getppid(), 9) and fail()"],
)  # fmt: skip
def test_it_kills_nobody(framed: Framed, call: str) -> None:
    body = f"import os, signal, threading, ctypes\ndef fail():\n    raise PermissionError\n{call}"
    failed(framed, body, "PermissionError|NameError|AttributeError" if "tgkill" in call else "PermissionError")


def test_it_kills_nobody_by_a_signal_of_its_files(framed: Framed) -> None:
    """A process may ask to be told of what happens to a file, by any signal, and on behalf of another (F_SETSIG)."""
    body = "import fcntl, os\nfcntl.fcntl(0, fcntl.F_SETOWN, {pid})"
    failed(framed, body.format(pid=os.getpid()), "PermissionError")
    failed(framed, f"import fcntl\nfcntl.fcntl(0, fcntl.F_SETSIG, {int(signal.SIGKILL)})", "PermissionError")


def test_it_binds_nobody_else(framed: Framed) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    failed(
        framed,
        f"import resource\nresource.prlimit({os.getpid()}, resource.RLIMIT_NOFILE, (3, 3))",
        "PermissionError|ProcessLookup",
    )
    failed(
        framed, "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40))", "ValueError|PermissionError"
    )
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


@pytest.mark.parametrize("number", [101, 165, 272, 308, 310, 321, 323, 425, 250, 29, 319, 434, 105], ids=str)
def test_calls_that_are_not_on_the_list_fail(framed: Framed, number: int) -> None:
    """ptrace, mount, unshare, setns, process_vm_readv, bpf, userfaultfd, io_uring, keyctl, shmget, memfd, setuid."""
    if os.uname().machine != "x86_64":
        pytest.skip("numbers of x86-64")
    assert framed(
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"assert (libc.syscall({number}, 0, 0, 0, 0, 0), ctypes.get_errno()) == (-1, 1)"
    )


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ("None", "gave back NoneType; it has to be .frame, state."),
        ("frame", r"gave back uint8 \(36, 64, 3\); it has to be .frame, state."),
        ("(frame,)", "gave back a tuple of 1"),
        ("(frame / 2, state)", r"gave back float64 \(36, 64, 3\); it has to be uint8 \(36, 64, 3\)"),
        ("(frame[:2], state)", r"gave back uint8 \(2, 64, 3\)"),
        ("(None, state)", "gave back NoneType"),
        ("1 / 0", r"ZeroDivisionError: division by zero \(line 12: return 1 / 0\)"),
        ("(_ for _ in ()).throw(SystemExit(0))", "SystemExit"),
        ("__import__('os')._exit(3)", "ended with code 3|ended by itself"),
        ("__import__('ctypes').string_at(0)", "crashed: Segmentation fault"),
    ],
)
def test_garbage_is_refused(framed: Framed, result: str, reason: str) -> None:
    failed(framed, f"return {result}", reason)


def test_a_lie_on_the_pipes_is_found(framed: Framed) -> None:
    """It can write what it likes on its pipes: of the kind of a frame, of an unknown kind, of any length."""
    write = (
        "import os\nfor n in range(3, 999):\n    try:\n        os.write(n, {data!r})\n    except OSError:\n        pass"
    )
    for data in (b"D\x01\x00\x00\x00\x02" * 3, b"?\x00\x00\x00\x00", b"D\xff\xff\xff\xff", b"P\x00\x00\x00\x00"):
        failed(framed, write.format(data=data), "sent something that it has not been asked for", count=4)


def test_its_frames_cannot_be_pulled_away(framed: Framed) -> None:
    body = "import os\nfor n in range(3, 999):\n    try:\n        os.ftruncate(n, 0)\n    except OSError:\n        pass"
    assert len(framed(body, count=3)) == 3


def test_what_it_prints_is_bounded_and_shown(framed: Framed) -> None:
    failed(framed, "while True:\n    print('x' * 1000)", "printed more than 1048576 bytes; it printed: …xxx")
    message = failed(framed, "print('hello', flush=True)\n1 / 0", "ZeroDivisionError")
    assert message.endswith("it printed: …hello")


def test_it_ends_with_whoever_started_it(tmp_path: Path, mechanism: str) -> None:
    """Its parent is killed while it sleeps: a pipe that both hold open is closed soon after."""
    program = f"""
import sys
from pathlib import Path
import numpy as np
from artdag_common.effects import uploaded
from artdag_common.isolation import bubblewrap
from artdag_common.isolation.frames import run_frames
if {mechanism!r} == "landlock":
    bubblewrap.program = lambda: None
path = Path({str(tmp_path / "sleeps.py")!r})
effect = uploaded.parse(path.read_bytes(), path)
frames = iter([np.zeros((2, 2, 3), np.uint8)] * 2)
for _ in run_frames(effect, effect.params(), frames, {{}}):
    pass
"""
    code = "import time\ndef process_frame(frame, params, state):\n    time.sleep(1e6)\n"
    (tmp_path / "sleeps.py").write_text(HEADER.format(kind="frame") + code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as parent:
        child = first_child(parent.pid)
        waited = os.pidfd_open(child)
        parent.kill()
        parent.wait()
        assert select.select([waited], [], [], 120)[0], "it outlived its parent"
        os.close(waited)


def first_child(pid: int) -> int:
    """Wait until a process has a child that sleeps in the stranger's code, and return the child."""
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    while True:
        children = listing.read_text().split()
        if children:
            return int(children[0])
        os.sched_yield()


# --- whole files ---


def test_an_effect_of_files_sees_its_inputs_and_its_output_only(
    stranger: Callable[..., Effect], tmp_path: Path
) -> None:
    given, other = tmp_path / "given", tmp_path / "other"
    given.write_bytes(b"given")
    other.write_bytes(b"other")
    code = (
        "def process(inputs, output, params, ctx):\n"
        "    assert inputs[0].read_bytes() == b'given'\n"
        "    for path, mode in (inputs[0], 'ab'), (output.with_name('other'), 'rb'), (output.with_name('x'), 'wb'):\n"
        "        try:\n            open(path, mode)\n        except OSError:\n            continue\n"
        "        raise ValueError(f'opened {path}')\n"
        "    output.write_bytes(b'no media')\n"
    )
    with pytest.raises(EffectFailedError, match="wrote something that is no media"):
        run_whole(stranger(code, "media"), EffectParams(), [given], tmp_path / "raw.mkv", tmp_path / "o.mp4", ignore)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given", "other", "stranger.py"]
    assert given.read_bytes() == b"given"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("pass", "wrote nothing to its output"),
        ("output.write_bytes(b'x' * 2**21)", "File too large|wrote a file"),
        (
            "import threading, time\n    while True:\n        threading.Thread(target=time.sleep, args=(60,)).start()",
            "can't start new thread",
        ),
        ("import os\n    os.fork()", "PermissionError"),
    ],
)
def test_an_effect_of_files_is_bound_as_well(
    stranger: Callable[..., Effect], tmp_path: Path, body: str, reason: str
) -> None:
    effect = stranger(f"def process(inputs, output, params, ctx):\n    {body}\n", "media")
    limits = replace(LIMITS, file_bytes=2**20, memory_bytes=2**30)
    with pytest.raises(EffectFailedError, match=reason):
        run_whole(effect, effect.params(), [], tmp_path / "raw.mkv", tmp_path / "o.mp4", ignore, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["stranger.py"]


def ignore(done: int, total: int) -> None:
    """Progress is of no interest here."""
