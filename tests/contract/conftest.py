"""Adapters by name: a new one joins a port's suite by adding its name here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from artdag_common.blobs.layered import LayeredBlobStore
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.blobs.port import BlobStore
from tests.contract.places import FakePlace, layer


def layered(folder: Path) -> BlobStore:
    """A store with two far places that have nothing."""
    return LayeredBlobStore(LocalBlobStore(folder), [layer("one", FakePlace()), layer("two", FakePlace())])


def primary(folder: Path) -> BlobStore:
    """A store whose content is in a far place before it is seen."""
    first = layer("primary", FakePlace())
    return LayeredBlobStore(LocalBlobStore(folder), [first], first)


BLOB_STORES: dict[str, Callable[[Path], BlobStore]] = {
    "layered": layered,
    "local": LocalBlobStore,
    "primary": primary,
}


@pytest.fixture(params=sorted(BLOB_STORES))
def open_blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], BlobStore]:
    """Open the same store, as often as one likes: each time as another process would."""
    return lambda: BLOB_STORES[request.param](tmp_path / "blobs")


@pytest.fixture
def blobs(open_blobs: Callable[[], BlobStore]) -> BlobStore:
    """An empty store."""
    return open_blobs()
