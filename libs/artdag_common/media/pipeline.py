"""Work ahead: one part of a chain of generators in a thread of its own, so that it and the rest use a core each.

FFmpeg's calls, and NumPy's on whole pictures, let other threads run meanwhile. So a file is decoded while the pictures
before are changed by stages, and those before them encoded.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")

DEPTH = 2
"""Pictures that may lie ready: enough to even out their different costs; 3 MB at 720p."""


def ahead(items: Iterable[Item], depth: int = DEPTH) -> Generator[Item, None, None]:
    """Give ``items`` in their order, made by a thread of its own, at most ``depth`` of them in advance.

    The thread starts when the first item is asked for. What ``items`` raises is raised here, after everything before
    it. When this generator ends or is closed, the thread is waited for; it closes ``items``, if they are a generator,
    so that nothing is left open and nothing goes on running.
    """
    shelf: _Shelf[Item] = _Shelf(depth)
    thread = threading.Thread(target=_fill, args=(shelf, items), name="ahead", daemon=True)
    thread.start()
    try:
        while (found := shelf.take()) is not None:
            yield found[0]
            del found  # a picture that is done with is not kept while the next one is waited for
        if shelf.error is not None:
            raise shelf.error
    finally:
        shelf.stop()
        thread.join()


def _fill(shelf: _Shelf[Item], items: Iterable[Item]) -> None:
    error: BaseException | None = None
    try:
        try:
            for item in items:
                if not shelf.put(item):
                    break
        finally:
            if isinstance(items, Generator):
                items.close()
    except BaseException as broken:  # raised by whoever takes the items
        error = broken
    shelf.end(error)


class _Shelf(Generic[Item]):
    """Holds what one thread has made and another has not taken yet.

    Attributes:
        error: what ended the items, if anything did; to be read when :meth:`take` gives None.
    """

    def __init__(self, depth: int) -> None:
        self.error: BaseException | None = None
        self._depth = depth
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._ended = False

    def put(self, item: Item) -> bool:
        """Add an item once there is room; False: nobody wants any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._items) < self._depth)
            if not self._stopped:
                self._items.append(item)
                self._changed.notify()
            return not self._stopped

    def take(self) -> tuple[Item] | None:
        """Return the next item once it is there; None: there are no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or bool(self._items))
            if not self._items:
                return None
            self._changed.notify()
            return (self._items.popleft(),)

    def end(self, error: BaseException | None) -> None:
        """Say that there are no more, and why."""
        with self._changed:
            self.error = error
            self._ended = True
            self._changed.notify()

    def stop(self) -> None:
        """Say that nobody wants any more."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify()
