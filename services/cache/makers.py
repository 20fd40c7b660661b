"""From settings and secrets to the adapter of each kind of provider; the only file here that names them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artdag_common.blobs.endpoints import Hosts
from artdag_common.blobs.folder import FolderStore
from artdag_common.blobs.ipfs import IpfsStore
from artdag_common.blobs.pinning import PinningStore
from artdag_common.blobs.remote import RemoteStore
from artdag_common.blobs.s3 import S3Settings, S3Store
from artdag_common.config import Settings
from artdag_common.errors import StorageRefusedError
from services.cache.places import Maker

Texts = Mapping[str, Any]


def makers(settings: Settings) -> dict[str, Maker]:
    """Return what makes a place of each kind."""

    def pinning(given: Texts, secrets: Mapping[str, str], hosts: Hosts) -> RemoteStore:
        if not settings.ipfs_api:
            raise StorageRefusedError(
                "a pinning service fetches content from an IPFS node of this server, and it has none; the operator can"
                " name one (IPFS_API)"
            )
        node = IpfsStore(settings.ipfs_api)
        gateway = given["gateway"]
        return PinningStore(given["endpoint"], secrets["token"], node, closes_node=True, gateway=gateway, hosts=hosts)

    return {"local": _local, "s3": _s3, "ipfs": _ipfs, "pinning": pinning}


def _local(settings: Texts, secrets: Mapping[str, str], hosts: Hosts) -> RemoteStore:
    return FolderStore(Path(settings["path"]))


def _s3(settings: Texts, secrets: Mapping[str, str], hosts: Hosts) -> RemoteStore:
    bucket = S3Settings(
        settings["bucket"],
        settings["access_key_id"],
        secrets["secret_access_key"],
        settings["endpoint"],
        settings["region"],
        settings["prefix"],
        settings["style"] == "path",
    )
    return S3Store(bucket, hosts)


def _ipfs(settings: Texts, secrets: Mapping[str, str], hosts: Hosts) -> RemoteStore:
    return IpfsStore(settings["endpoint"], token=secrets.get("token", ""), hosts=hosts)
