"""Effects that recipes and steps name are found before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from artdag_common.blobs.layered import LayeredBlobStore
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.cid import cid_of
from artdag_common.domain.plan import canonical_json
from artdag_common.effects.named import effects_named, have_effects
from artdag_common.errors import ServiceUnavailableError
from tests.contract.places import FakePlace, layer

OURS, THEIRS, FILM = map(cid_of, (b"ours", b"theirs", b"a film"))


def config(**values: object) -> str:
    return canonical_json(values).decode()


def test_effects_are_found_wherever_they_stand() -> None:
    alone = config(effect=OURS, params={"amount": 1})
    chain = config(links=[{"type": "EFFECT", "config": {"effect": THEIRS}}, {"type": "RESIZE", "config": {}}])
    assert effects_named([alone, chain]) == {OURS, THEIRS}


def test_nothing_else_is_taken_for_an_effect() -> None:
    assert effects_named([config(effect="invert"), config(asset=FILM), config(name=f"effect {OURS}"), "{}"]) == set()


async def test_they_are_fetched(tmp_path: Path) -> None:
    place = FakePlace(b"ours", b"a film")
    blobs = LayeredBlobStore(LocalBlobStore(tmp_path), [layer("place", place)])
    await have_effects(blobs, [config(effect=OURS), config(effect=THEIRS), config(asset=FILM)])
    assert await blobs.local.present([OURS, THEIRS, FILM]) == {OURS}, "what is nowhere, its reader will name"


async def test_they_may_be_out_of_reach(tmp_path: Path) -> None:
    place = FakePlace()
    place.error = ServiceUnavailableError("nobody answers")
    blobs = LayeredBlobStore(LocalBlobStore(tmp_path), [layer("place", place)])
    with pytest.raises(ServiceUnavailableError):
        await have_effects(blobs, [config(effect=OURS)])
