"""Adapters by name: a new one joins a port's suite by adding its name here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from artdag_common.blobs.local import LocalBlobStore
from artdag_common.blobs.port import BlobStore

BLOB_STORES: dict[str, Callable[[Path], BlobStore]] = {
    "local": LocalBlobStore,
}


@pytest.fixture(params=sorted(BLOB_STORES))
def open_blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], BlobStore]:
    """Open the same store, as often as one likes: each time as another process would."""
    return lambda: BLOB_STORES[request.param](tmp_path / "blobs")


@pytest.fixture
def blobs(open_blobs: Callable[[], BlobStore]) -> BlobStore:
    """An empty store."""
    return open_blobs()
