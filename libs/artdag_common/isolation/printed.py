"""Who hears what isolated code prints, as it prints it; errors quote the end of it in any case."""

from __future__ import annotations

from collections.abc import Callable

hear: Callable[[bytes], object] = lambda data: None  # noqa: E731
"""Set by a process that wants to hear it."""
