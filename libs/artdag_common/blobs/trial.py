"""Whether a far place can be used: something small is stored there, read back and removed."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from pathlib import Path

from artdag_common.blobs.remote import RemoteStore
from artdag_common.cid import cid_of
from artdag_common.errors import ContentNotFoundError, StorageRefusedError


async def try_out(store: RemoteStore, name: str) -> None:
    """Store, find, read back and remove a few bytes that nobody else has.

    Raises:
        StorageRefusedError: ``name`` says yes and does not do it.
    """
    data = b"Art DAG tries out this storage: " + secrets.token_hex(16).encode()
    cid = cid_of(data)
    with tempfile.TemporaryDirectory(prefix="artdag-trial-") as folder:
        path = Path(folder) / cid
        await asyncio.to_thread(path.write_bytes, data)
        await store.store(path, cid)
    try:
        found = await store.present([cid])
        back = b"".join([piece async for piece in store.fetch(cid)])
    except ContentNotFoundError as error:
        raise StorageRefusedError(f"{name} took content and does not find it again; look at its settings") from error
    finally:
        await store.remove(cid)
    if found != {cid} or back != data:
        raise StorageRefusedError(f"{name} took content and gives back something else; do not use it")
    if await store.present([cid]):
        raise StorageRefusedError(f"{name} does not remove content; give these credentials the right to delete")
