"""How a media worker process takes memory from the system."""

from __future__ import annotations

import ctypes

M_MMAP_THRESHOLD = -3
BLOCK_BYTES = 256 * 1024
PR_SET_THP_DISABLE = 41


def return_large_blocks() -> None:
    """Let the C library give blocks of 256 KiB and more back as soon as they are freed.

    By default it keeps up to 32 MB of such blocks for each of several threads, in case they are asked for again: at
    720p, where every picture is such a block, 10 to 20 MB more. Another C library than glibc is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES)


def use_small_pages() -> None:
    """Have the kernel give this process, and those it starts, no pages of 2 MB.

    x264 asks for them, for each of its blocks from 1.75 MB on, and so does NumPy from 4 MB on: a block that is used in
    part takes up all of its last page, at 720p 10 to 13 MB more. Another kernel than Linux is left as it is.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
