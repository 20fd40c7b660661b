"""What process 1 of a container has to do, where nothing else is that: take in the ends of processes without a parent.

A media worker that is killed leaves the process in which it ran an uploaded effect. That one ends too, and becomes a
child of process 1; if process 1 does not wait for it, it stays in the table of processes for as long as the container
runs.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
AWAITED = (*PASSED_ON, signal.SIGCHLD)


def go_on_in_child() -> None:
    """Go on in a child. This process only waits, passes signals on, and ends when the child does, as it does.

    To be called before there are threads.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, nobody can be waited for
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)  # one that comes is kept until it is asked for
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
        return
    _watch(child)


def _watch(child: int) -> NoReturn:
    while True:
        number = signal.sigwait(AWAITED)
        if number != signal.SIGCHLD:
            os.kill(child, number)  # it is there, or waits to be taken in by us
            continue
        ended, status = os.waitpid(-1, os.WNOHANG)
        while ended:
            if ended == child:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)
            ended, status = os.waitpid(-1, os.WNOHANG)
