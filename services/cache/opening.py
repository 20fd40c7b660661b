"""Open places: one for each provider, with its secrets, made anew when its settings change."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from artdag_common.blobs.remote import RemoteStore
from artdag_common.domain.storage import Storage
from artdag_common.errors import ArtdagError
from artdag_common.sealing import Sealer
from services.cache.places import Places
from services.cache.queue import CopyQueue

MOST_REPLACED = 64


@dataclass(frozen=True, slots=True)
class _Opened:
    settings: str
    sealed: dict[str, bytes]
    place: RemoteStore


class Opening:
    """The only holder of opened secrets: they are in the places' adapters, and nowhere else."""

    def __init__(self, places: Places, queue: CopyQueue, sealer: Sealer) -> None:
        self._places = places
        self._queue = queue
        self._sealer = sealer
        self._opened: dict[str, _Opened] = {}
        self._replaced: list[RemoteStore] = []

    async def of(self, storage: Storage) -> RemoteStore:
        """Return a provider's place.

        Raises:
            StorageRefusedError: its settings name none, or one that is not allowed here.
            ServiceUnavailableError: its folder does not answer.
            ConfigurationError: its secrets cannot be opened.
        """
        sealed = await self._queue.secrets(storage.key)
        known = self._opened.get(storage.key)
        if known and (known.settings, known.sealed) == (storage.settings, sealed):
            return known.place
        secrets = {name: self._sealer.open(storage.key, name, data) for name, data in sealed.items()}
        place = await self._places.open(storage, secrets)
        if known := self._opened.get(storage.key):  # it may be in use: closed much later
            self._replaced.append(known.place)
            if len(self._replaced) > MOST_REPLACED:
                await _close(self._replaced.pop(0))
        self._opened[storage.key] = _Opened(storage.settings, sealed, place)
        return place

    async def forget(self, storage_id: str) -> None:
        """Close the place of a provider that is gone."""
        opened = self._opened.pop(storage_id, None)
        if opened:
            await _close(opened.place)

    async def close(self) -> None:
        """Close all of them."""
        places = [*self._replaced, *(opened.place for opened in self._opened.values())]
        self._replaced.clear()
        self._opened.clear()
        for place in places:
            await _close(place)


async def _close(place: RemoteStore) -> None:
    with contextlib.suppress(ArtdagError, OSError):
        await place.close()
