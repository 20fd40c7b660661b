"""Kills a piece of work before any of its lines, as a lost process would end it: nothing after that line is done."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any


class Killed(BaseException):
    """The process is gone. Nothing of ours may catch it."""


async def killed_at(line: int, files: tuple[str, ...], work: Callable[[], Awaitable[object]]) -> bool:
    """Do ``work``, but stop before the ``line``-th line that it executes in ``files``. False: it has fewer."""
    left = line

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        # A lock that is not given back would be the dead process's, from which the kernel takes it. Listing files
        # changes nothing, and takes longer with each that there was. Signing out comes at any time.
        if not frame.f_code.co_filename.endswith(files) or frame.f_code.co_name in ("_lock", "files", "_sign_out"):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise Killed
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        await work()
    except Killed:
        return True
    finally:
        sys.settrace(before)
    return False
