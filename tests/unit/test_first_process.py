"""Process 1 takes in orphans, passes signals on, and ends as the service does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUBREAPER = 36

# A process whose orphans come to it, as they come to process 1: PR_SET_CHILD_SUBREAPER.
BEGINNING = f"""
import ctypes, os, signal, sys, time
from artdag_common.first_process import go_on_in_child
ctypes.CDLL(None).prctl({SUBREAPER}, 1, 0, 0, 0)
first = os.getpid()
go_on_in_child()
"""

ORPHAN = """
reading, writing = os.pipe()
if not os.fork():  # a worker
    orphan = os.fork()
    if not orphan:
        signal.pause()
    os.write(writing, b"%d\\n" % orphan)
    os._exit(0)
os.wait()
orphan = int(os.read(reading, 20))
assert open(f"/proc/{orphan}/stat").read().rpartition(")")[2].split()[1] == str(first), "it came to process 1"
os.kill(orphan, signal.SIGKILL)
deadline = time.monotonic() + 20
while os.path.exists(f"/proc/{orphan}") and time.monotonic() < deadline:
    time.sleep(0.01)
print("left" if os.path.exists(f"/proc/{orphan}") else "taken in")
"""

SIGNALS = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print(os.getpid(), first, flush=True)
while True:
    time.sleep(0.05)
"""


def begun(code: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'libs'}"}
    command = [sys.executable, "-c", BEGINNING + code]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_an_orphan_is_taken_in() -> None:
    said, _ = begun(ORPHAN).communicate(timeout=60)
    assert said.strip() == "taken in"


def test_a_signal_reaches_the_service_and_its_exit_code_is_ours() -> None:
    with begun(SIGNALS) as process:
        assert process.stdout
        service, first = map(int, process.stdout.readline().split())
        assert service != first == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 7


@pytest.mark.parametrize(("ending", "code"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGKILL)", 137)])
def test_it_ends_as_the_service_does(ending: str, code: int) -> None:
    process = begun(ending)
    process.communicate(timeout=60)
    assert process.returncode == code
