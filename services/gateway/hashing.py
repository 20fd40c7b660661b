"""Uploads that are hashed as they come, so that the last byte need not be followed by reading all of them again."""

from __future__ import annotations

from artdag_common.cid import CidHasher

MOST = 256
"""Uploads whose hashers are kept. One has up to a chunk of bytes, and a link for each chunk before."""


class Hashing:
    """Hashers of uploads between two of their requests.

    One is only good for an upload that came here from its first byte on. Whatever is not here, after a new start, where
    another gateway took some of the bytes or where too many others came meanwhile, is hashed from its file at the end.
    """

    def __init__(self) -> None:
        self._kept: dict[str, CidHasher] = {}

    def take(self, upload_id: str, offset: int) -> CidHasher | None:
        """Return the hasher of an upload's first bytes, which is the caller's from now on; None: there is none.

        Args:
            offset: how many bytes it has to have had.
        """
        hasher = self._kept.pop(upload_id, None) or CidHasher()
        return hasher if hasher.size == offset else None

    def keep(self, upload_id: str, hasher: CidHasher) -> None:
        """Keep a hasher for the upload's next request; where there are too many, the oldest goes."""
        self._kept.pop(upload_id, None)
        self._kept[upload_id] = hasher
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
