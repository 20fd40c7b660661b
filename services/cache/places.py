"""Settings and secrets of storage providers → the places themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from artdag_common.blobs.endpoints import Hosts, parse_endpoint
from artdag_common.blobs.remote import RemoteStore
from artdag_common.domain.storage import Storage
from artdag_common.errors import ServiceUnavailableError, StorageRefusedError

DIRS_SETTING = "ARTDAG_STORAGE_DIRS"
FOLDER_SECONDS = 20.0


Maker = Callable[[Mapping[str, Any], Mapping[str, str], Hosts], RemoteStore]
"""``(settings, secrets, where endpoints may be) → place``; nothing is connected yet."""


class Places:
    """What users may name as a place, and the places that they named."""

    def __init__(self, makers: Mapping[str, Maker], hosts: Hosts, folders: Sequence[Path] = ()) -> None:
        """
        Args:
            makers: by kind of provider, but for ``local``, which has its folder checked before.
            hosts: where endpoints may be.
            folders: inside which local storage may be.
        """
        self._makers = makers
        self._hosts = hosts
        self._folders = folders

    async def permit(self, kind: str, settings: Mapping[str, Any]) -> None:
        """Make sure that a user may name this place.

        Raises:
            StorageRefusedError: its folder or host is not allowed here.
            ServiceUnavailableError: its host cannot be looked up now.
        """
        if kind == "local":
            await asyncio.to_thread(self._folder, settings["path"])
        else:
            for address in filter(None, (settings["endpoint"], settings.get("gateway"))):
                await self._hosts.permit(parse_endpoint(address))

    async def open(self, storage: Storage, secrets: Mapping[str, str]) -> RemoteStore:
        """Return a provider's place.

        Raises:
            StorageRefusedError: the settings name none, or one that is not allowed.
            ServiceUnavailableError: its folder is on a disk that hangs.
        """
        settings = dict(orjson.loads(storage.settings))
        if storage.kind == "local":
            try:
                async with asyncio.timeout(FOLDER_SECONDS):
                    settings["path"] = await asyncio.to_thread(self._own_folder, settings["path"], storage.owner)
            except TimeoutError as error:
                raise ServiceUnavailableError(f"folder {settings['path']} does not answer") from error
        return self._makers[storage.kind](settings, secrets, self._hosts)

    def _own_folder(self, path: str, owner: str) -> str:
        """Make a user's folder where it is missing, but not the one that it is in: its disk may not be mounted."""
        folder = self._folder(path) / own_folder(owner)
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StorageRefusedError(
                f"path: in {path!r} no folder can be made: {error.strerror or error}", path=path
            ) from error
        return str(folder)

    def _folder(self, path: str) -> Path:
        """Return a folder without links in its path; it lies inside one that is allowed."""
        allowed = [folder.resolve() for folder in self._folders]
        found = Path(path).resolve()
        if not any(found.is_relative_to(folder) for folder in allowed):
            where = f"inside {', '.join(map(str, self._folders))}" if allowed else "nowhere on this server"
            raise StorageRefusedError(
                f"path: {path!r} is not allowed: local storage may be {where}; the operator decides ({DIRS_SETTING})",
                path=path,
            )
        return found


def own_folder(owner: str) -> str:
    """Return the name of a user's folder: people who name the same place do not reach each other's copies."""
    name = quote(owner, safe="@ ")
    return name if name.strip(". ") else f"%{name}"
