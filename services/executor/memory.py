"""How a media worker process takes memory from the system."""

from __future__ import annotations

import ctypes

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
BLOCK_BYTES = 4 * 1024 * 1024
"""More than a picture of 720p takes in numbers of four bytes."""
HEAPS = 2
PR_SET_THP_DISABLE = 41


def share_freed_memory() -> None:
    """Let threads take what others have freed, and give blocks of 4 MiB and more back to the system at once.

    By default the C library keeps what is freed for each of several threads, and of large blocks up to 32 MB: at 720p
    up to 20 MB more. Another C library than glibc is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, HEAPS)
        mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES)


def use_small_pages() -> None:
    """Have the kernel give this process, and those it starts, no pages of 2 MB.

    x264 asks for them, for each of its blocks from 1.75 MB on, and so does NumPy from 4 MB on: a block that is used in
    part takes up all of its last page, at 720p 10 to 13 MB more. Another kernel than Linux is left as it is.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
