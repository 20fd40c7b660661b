"""What process 1 of a container has to do, where nothing else is that: take in the ends of processes without a parent.

A media worker that is killed leaves the process in which it ran an uploaded effect. That one ends too, and becomes a
child of process 1; if process 1 does not wait for it, it stays in the table of processes for as long as the container
runs.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def go_on_in_child() -> None:
    """Go on in a child. This process only waits, passes signals on, and ends when the child does, as it does.

    To be called before there are threads.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # until it is known whom to pass them on to
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        return
    _watch(child)


def _watch(child: int) -> NoReturn:
    def pass_on(number: int, _: FrameType | None) -> None:
        os.kill(child, number)  # it is there, or waits to be taken in by us

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
