"""Which content nobody has: asked before something is refused for good."""

from __future__ import annotations

from collections.abc import Collection

from artdag_common.blobs.port import BlobStore
from artdag_common.cid import is_cid
from artdag_common.errors import ContentNotFoundError


async def absent(blobs: BlobStore, cids: Collection[str]) -> set[str]:
    """Return those of ``cids`` that nobody has.

    :meth:`BlobStore.present` leaves out who is slow to answer, or just being replaced. What it does not name is looked
    for once more, with patience, as if it were to be read.

    Raises:
        ServiceUnavailableError: somebody who may have it cannot be asked now.
    """
    found = set()
    for cid in set(cids) - await blobs.present(cids):
        try:
            if is_cid(cid):
                await blobs.path(cid)
                continue
        except ContentNotFoundError:
            pass
        found.add(cid)
    return found
