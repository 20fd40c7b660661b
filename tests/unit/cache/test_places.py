"""Which places users may name, and how long to wait for one that is away."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import orjson
import pytest

from artdag_common.blobs.endpoints import Hosts
from artdag_common.domain.storage import Storage
from artdag_common.errors import StorageRefusedError
from artdag_common.testing.scenario import NOW
from services.cache.places import Places, own_folder
from services.cache.replication import LONGEST_WAIT_SECONDS, wait_seconds


class Place:
    """Remembers what it was made of."""

    def __init__(self, settings: Any, secrets: Any, hosts: Hosts) -> None:
        self.settings, self.secrets = settings, secrets


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    folder = tmp_path / "allowed"
    folder.mkdir()
    return folder


@pytest.fixture
def places(allowed: Path) -> Places:
    return Places({"local": Place, "ipfs": Place}, Hosts(), [allowed])  # type: ignore[dict-item]


def storage(kind: str, owner: str = "ada", **settings: str) -> Storage:
    facts = {"owner": owner, "kind": kind, "name": "n", "secrets": (), "capacity_bytes": 0}
    return Storage.create(Storage.Added, "s1", NOW, settings=orjson.dumps(settings).decode(), **facts)


async def test_a_folder_inside_an_allowed_one_is_a_place(places: Places, allowed: Path) -> None:
    await places.permit("local", {"path": str(allowed)})
    (allowed / "art").mkdir()
    place: Any = await places.open(storage("local", path=str(allowed / "art")), {})
    assert place.settings["path"] == str(allowed / "art" / "ada")
    assert (allowed / "art" / "ada").is_dir()


@pytest.mark.parametrize("wrong", ["/", "/etc", "{0}/../other", "{0}-beside", "{0}/out"])
async def test_a_folder_elsewhere_is_none(places: Places, allowed: Path, wrong: str) -> None:
    (allowed / "out").symlink_to(allowed.parent)
    path = wrong.format(allowed)
    with pytest.raises(StorageRefusedError, match="ARTDAG_STORAGE_DIRS"):
        await places.permit("local", {"path": path})
    with pytest.raises(StorageRefusedError, match="ARTDAG_STORAGE_DIRS"):
        await places.open(storage("local", path=path), {})


async def test_without_allowed_folders_there_is_no_local_storage(allowed: Path) -> None:
    with pytest.raises(StorageRefusedError, match="nowhere on this server"):
        await Places({}, Hosts()).permit("local", {"path": str(allowed)})


async def test_a_folder_that_is_not_there_is_not_made(places: Places, allowed: Path) -> None:
    with pytest.raises(StorageRefusedError, match="no folder can be made"):
        await places.open(storage("local", path=str(allowed / "not-mounted")), {})
    assert not list(allowed.iterdir())


async def test_people_who_name_the_same_folder_do_not_meet(places: Places, allowed: Path) -> None:
    paths = set()
    for owner in ("ada", "bob", "../ada", "..", ".", "@bob@example.org", "a/b"):
        place: Any = await places.open(storage("local", owner, path=str(allowed)), {})
        path = Path(place.settings["path"])
        assert path.parent == allowed
        assert path.name not in (".", "..")
        paths.add(path)
    assert len(paths) == 7
    assert own_folder("@bob@example.org") == "@bob@example.org"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:5001", "http://[::1]:5001", "/ip4/10.0.0.1/tcp/5001"])
async def test_the_servers_own_network_is_no_place(places: Places, endpoint: str) -> None:
    with pytest.raises(StorageRefusedError, match="ARTDAG_STORAGE_HOSTS"):
        await places.permit("ipfs", {"endpoint": endpoint})


async def test_secrets_go_to_the_place_alone(places: Places) -> None:
    place: Any = await places.open(storage("ipfs", endpoint="https://ipfs.example.org"), {"token": "hush"})
    assert place.secrets == {"token": "hush"}
    assert "hush" not in str(place.settings)


def test_waits_double_up_to_an_hour_and_differ() -> None:
    for chance in (0.0, 0.5, 1.0):
        waits = [wait_seconds(failures, chance) for failures in range(1, 200)]
        assert all(later == min(2 * wait, waits[-1]) for wait, later in itertools.pairwise(waits))
        assert waits[-1] == LONGEST_WAIT_SECONDS * (0.5 + chance / 2)
    assert (wait_seconds(1, 0.0), wait_seconds(1, 1.0)) == (0.5, 1.0)
