"""Files that are damaged or lie, and a child process in which they are read: a crash there is a failed test here."""

from __future__ import annotations

import multiprocessing
import random
import resource
import struct
import traceback
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from artdag_common.errors import ArtdagError

MEMORY_BYTES = 4 * 2**30
CPU_SECONDS = 100
MUTATION_BYTES = (0x00, 0xFF, 0x7F, 0x80)


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """Make a PNG of 8-bit grey whose header says so many pixels, whatever its data hold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(rows or bytes(min((width + 1) * height, 1 << 20)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gif(width: int, height: int) -> bytes:
    """Make a GIF of one pixel on a canvas of that size."""
    pixel = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + pixel + b"\x3b"


def flipped(whole: bytes, seed: int) -> bytes:
    """Return a file with a few bytes changed, or a piece left out or doubled; the same for the same seed."""
    chance = random.Random(seed)
    data = bytearray(whole)
    for _ in range(chance.choice((1, 2, 4, 16))):
        # half of them in front, where headers lie
        at = chance.randrange(min(len(data), 256) if chance.random() < 0.5 else len(data))
        data[at] = chance.choice((*MUTATION_BYTES, data[at] ^ (1 << chance.randrange(8)), chance.randrange(256)))
    if chance.random() < 0.2:
        begin, length = chance.randrange(len(data)), chance.randrange(1, 64)
        if chance.random() < 0.5:
            del data[begin : begin + length]
        else:
            data[begin:begin] = data[begin : begin + length]
    return bytes(data)


def _work(read: Callable[[Path], object], paths: Sequence[Path], pipe: multiprocessing.connection.Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    for path in paths:
        try:
            read(path)
            pipe.send((path.name, "result", ""))
        except ArtdagError as error:
            pipe.send((path.name, "refused", error.message))
        except BaseException:
            pipe.send((path.name, "broke", traceback.format_exc()))
    pipe.close()


def outcomes(read: Callable[[Path], object], paths: Iterable[Path]) -> dict[str, tuple[str, str]]:
    """Read files in one child process with bounded memory and time.

    Returns:
        By name: ``result``, ``refused`` with the message of our error, ``broke`` with the trace of any other, and for
        what the process left undone when it died ``lost``.
    """
    listed = list(paths)
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(read, listed, sender), daemon=True)
    process.start()
    sender.close()
    found: dict[str, tuple[str, str]] = {}
    try:
        while True:
            name, kind, text = receiver.recv()
            found[name] = (kind, text)
    except EOFError:
        pass
    process.join()
    for path in listed:
        found.setdefault(path.name, ("lost", f"the process ended with exit code {process.exitcode}"))
    return found
