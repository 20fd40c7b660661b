"""What a node of the cluster is called, and how nodes prove to each other that they belong to it."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

WINDOW_SECONDS = 60
"""For how long a proof holds; clocks may differ by as much."""
SCHEME = "Artdag"
PURPOSE = b"artdag: content between nodes"


def node_id(folder: Path) -> str:
    """Return the name of the node that a content folder makes: 16 hexadecimal digits, the same for all its processes.

    The inode has a part in it, so that a copy of the folder is another node.
    """
    path = folder / "node"
    if not path.exists():
        partial = folder / f"node.{secrets.token_hex(8)}"
        partial.write_text(secrets.token_hex())
        try:
            with contextlib.suppress(FileExistsError):  # another process was first
                os.link(partial, path)
        finally:
            partial.unlink()
    return hashlib.sha256(f"{path.read_text()}/{path.stat().st_ino}".encode()).hexdigest()[:16]


class Membership:
    """What only those know who have the cluster key."""

    def __init__(self, cluster_key: str, clock: Callable[[], float] = time.time) -> None:
        """``cluster_key`` is not empty."""
        self._key = hmac.digest(cluster_key.encode(), PURPOSE, "sha256")
        self._clock = clock
        self._used: OrderedDict[str, int] = OrderedDict()

    @property
    def cluster(self) -> str:
        """A name of the cluster that tells nothing of the key: 16 hexadecimal digits."""
        return hmac.digest(self._key, b"name", "sha256").hex()[:16]

    def prove(self, method: str, path: str) -> str:
        """Return the ``Authorization`` of one request: ``Artdag <unix seconds>.<nonce>.<HMAC-SHA256>``."""
        now, nonce = int(self._clock()), secrets.token_hex(16)
        return f"{SCHEME} {now}.{nonce}.{self._proof(method, path, str(now), nonce)}"

    def check(self, authorization: str, method: str, path: str) -> bool:
        """Return whether a request comes from a member, less than a minute ago, and for the first time."""
        scheme, _, rest = authorization.partition(" ")
        made, _, proof = rest.partition(".")
        nonce, _, proof = proof.partition(".")
        if scheme != SCHEME or not (made.isascii() and made.isdecimal() and len(made) < 12 and nonce):
            return False
        expected = self._proof(method, path, made, nonce).encode()
        if not hmac.compare_digest(expected, proof.encode()):
            return False
        now = self._clock()
        if abs(now - int(made)) > WINDOW_SECONDS or nonce in self._used:
            return False
        self._used[nonce] = int(made)
        while self._used and now - next(iter(self._used.values())) > 2 * WINDOW_SECONDS:
            self._used.popitem(last=False)
        return True

    def _proof(self, method: str, path: str, made: str, nonce: str) -> str:
        return hmac.digest(self._key, f"{method}\n{path}\n{made}\n{nonce}".encode(), "sha256").hex()
