"""Builds the content store of a service from its settings."""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from artdag_common import metrics
from artdag_common.blobs.layered import Layer, LayeredBlobStore, Place
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.blobs.node import Membership, node_id
from artdag_common.config import Settings
from artdag_common.errors import ConfigurationError, StorageRefusedError
from artdag_common.messaging.bus import Bus

USUAL_IPFS_API = "/dns/localhost/tcp/5001"


async def layered_blobs(
    settings: Settings, bus: Bus, close: Callable[[Callable[[], Awaitable[object]]], object]
) -> LayeredBlobStore:
    """Return the content store that the settings describe: the local disk, other nodes, S3, IPFS.

    Args:
        close: takes what has to be closed at the end.

    Raises:
        ConfigurationError: ARTDAG_S3_URL or IPFS_API names nothing.
    """
    # Clients of far places take a quarter of a second to load: who does not need them does without.
    local = LocalBlobStore(settings.cache_dir)
    metrics.DISK_FREE.of().set_function(lambda: _disk(local.folder, "f_bavail"))
    metrics.DISK_SIZE.of().set_function(lambda: _disk(local.folder, "f_blocks"))
    layers: list[Layer] = []
    if settings.cluster_key:
        from artdag_common.blobs.peer import Peers

        peers = Peers(bus, node_id(local.folder), Membership(settings.cluster_key))
        close(peers.close)
        await peers.start()
        layers.append(peers)
    places = far_places(settings)
    layers += places
    blobs = LayeredBlobStore(local, layers, places[-1] if settings.ipfs_primary else None)
    close(blobs.close)
    return blobs


def far_places(settings: Settings) -> list[Place]:
    """Return the operator's S3 and IPFS, in this order, where they are set up."""
    places = []
    try:
        if settings.s3_url:
            from artdag_common.blobs.s3 import S3Settings, S3Store

            s3 = S3Store(S3Settings.from_url(settings.s3_url))
            places.append(Place(s3.name, s3, complete=True, kind="s3"))
        if settings.ipfs_api or settings.ipfs_primary:
            from artdag_common.blobs.ipfs import IpfsStore

            ipfs = IpfsStore(settings.ipfs_api or USUAL_IPFS_API)
            # Primary, it has everything anyway, but for what was stored before it was.
            places.append(Place(ipfs.name, ipfs, complete=settings.ipfs_primary, kind="ipfs"))
    except StorageRefusedError as error:
        raise ConfigurationError(f"ARTDAG_S3_URL or IPFS_API: {error.message}") from error
    return places


def _disk(folder: Path, field: str) -> float:
    """Return a figure of the disk that a folder is on, in bytes; not a number where it cannot be read."""
    try:
        facts = os.statvfs(folder)
    except OSError:
        return math.nan
    return float(getattr(facts, field) * facts.f_frsize)
