"""How a media worker process takes memory from the system."""

from __future__ import annotations

import ctypes

M_MMAP_THRESHOLD = -3
BLOCK_BYTES = 256 * 1024


def return_large_blocks() -> None:
    """Let the C library give blocks of 256 KiB and more back as soon as they are freed.

    By default it keeps up to 32 MB of such blocks for each of several threads, in case they are asked for again: at
    720p, where every picture is such a block, 10 to 20 MB more. Another C library than glibc is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES)
