"""What an attempt says: line by line, with the seconds since it began. Its head and its tail are kept."""

from __future__ import annotations

import re
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from artdag_common.eventstore.port import Call

KEPT_BYTES = 64 * 1024
"""Of an attempt's text, in UTF-8: half of it is the beginning, half the end."""

CUT_BYTES = 100
"""Room for the line that says what was left out."""

LINE_CHARACTERS = 1000
PARTIAL_BYTES = 4096
"""Bytes without the end of a line that are taken for one."""

LIVE_CHARACTERS = 8192
"""Sent live at a time: whoever watches sees the newest of what comes faster."""

PROGRESS_SECONDS = 5.0

CONTROLS = dict.fromkeys((*range(9), *range(10, 32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")
"""What no line holds: it would steer the terminals of those who read it."""

FOLDERS = re.compile(r"(?<![\w/.:%-])/(?:[\w@+~.,=-]+/)+(?=[\w@+~.,=-])")
"""All but the last part of an absolute path."""

ADDRESSES = re.compile(r" @ 0x[0-9a-f]+(?=\])")
"""Where in memory something of libav's is, behind its name."""

PACKAGES = re.compile(r".*/(?:(?:site-packages|libs|lib/python[0-9.]+)/|(?=services/))")
"""What comes before the name under which a file is imported."""

Told = Callable[[int, str], object]
"""Is given text, and how many characters were said before it."""


class StepLog:
    """What one attempt says.

    Attributes:
        attempt: its number.
        said: characters so far, those that are not kept included.
    """

    def __init__(
        self,
        cache_id: str,
        attempt: int,
        executor: str,
        began_at: datetime,
        clock: Callable[[], float] = time.monotonic,
        told: Told = lambda offset, text: None,
    ) -> None:
        """``told`` is called with each line, as soon as it is said."""
        self.cache_id = cache_id
        self.attempt = attempt
        self.said = 0
        self._executor = executor
        self._began_at = began_at
        self._clock = clock
        self._told = told
        self._began = clock()
        self._names: dict[str, str] = {}
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._head_bytes = self._tail_bytes = self._left_out = 0
        self._partial = b""
        self._next_progress = PROGRESS_SECONDS

    @property
    def seconds(self) -> float:
        """Seconds since the attempt began."""
        return self._clock() - self._began

    def name(self, paths: Mapping[str, str]) -> None:
        """Have files called otherwise: nobody has to know where they are here."""
        self._names |= paths

    def say(self, text: str) -> None:
        """Add lines."""
        for line in text.splitlines():
            self._add(line)

    def hear(self, data: bytes) -> None:
        """Add what a process prints, as its lines are complete; empty: there is no more."""
        *lines, self._partial = (self._partial + data).replace(b"\r", b"\n").split(b"\n")
        if len(self._partial) > PARTIAL_BYTES or not data:
            lines.append(self._partial)
            self._partial = b""
        for line in lines:
            if text := line.decode("utf-8", "replace").rstrip():
                self._add(text)

    def progress(self, done: int, total: int) -> None:
        """Add how far it is, now and then."""
        if self.seconds >= self._next_progress:
            self._next_progress = self.seconds + PROGRESS_SECONDS
            self.say(f"{done} of {total} frames" if total else f"{done} frames")

    def defect(self, error: Exception) -> None:
        """Add where something broke that nobody thought of."""
        self.say(shown_trace(error))

    @property
    def truncated(self) -> bool:
        """Whether lines were left out."""
        return self._left_out > 0

    @property
    def text(self) -> str:
        """What is kept."""
        cut = [f"… {self._left_out} lines are left out here …\n"] if self._left_out else []
        return "".join([*self._head, *cut, *self._tail])

    def kept(self) -> Call:
        """Return the call that keeps it, together with the event that ends the attempt."""
        return Call(
            "step_log_keep",
            (
                (self.cache_id, "text"),
                (self.attempt, "integer"),
                (self._executor, "text"),
                (self._began_at, "timestamptz"),
                (self.text, "text"),
                (self.truncated, "boolean"),
            ),
        )

    def _add(self, line: str) -> None:
        line = self._shown(line)
        if len(line) > LINE_CHARACTERS:
            line = f"{line[:LINE_CHARACTERS]}…"
        line = f"{self.seconds:9.3f}  {line}\n"
        size = len(line.encode())
        if not self._tail and self._head_bytes + size <= KEPT_BYTES // 2:
            self._head.append(line)
            self._head_bytes += size
        else:
            self._tail.append(line)
            self._tail_bytes += size
            while self._tail_bytes > KEPT_BYTES // 2 - CUT_BYTES:
                self._tail_bytes -= len(self._tail.popleft().encode())
                self._left_out += 1
        self._told(self.said, line)
        self.said += len(line)

    def _shown(self, line: str) -> str:
        """Return a line as people may see it: without what steers terminals, and without places on this machine."""
        line = line.translate(CONTROLS)
        for path, name in self._names.items():
            line = line.replace(path, name)
        return ADDRESSES.sub("", FOLDERS.sub("…/", line))


def shown_trace(error: BaseException) -> str:
    """Return where an error was raised, with files named as they are imported."""
    lines = ["Traceback (most recent call last):"]
    for frame in traceback.extract_tb(error.__traceback__):
        lines.append(f"  {PACKAGES.sub('', frame.filename)}, line {frame.lineno}, in {frame.name}")
        if frame.line:
            lines.append(f"    {frame.line}")
    return "\n".join([*lines, *traceback.format_exception_only(type(error), error)])


def input_names(paths: list[Path], cids: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Return what the files of an attempt are called in its log, by path: inputs by their CIDs."""
    return {str(path): cid for path, cid in zip(paths, cids, strict=True)} | {f"{folder}/": "", str(folder): "."}
