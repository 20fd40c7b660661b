"""Which uploaded effects a recipe or a step names: their files have to be here before either is read."""

from __future__ import annotations

import re
from collections.abc import Iterable

from artdag_common.blobs.port import BlobStore
from artdag_common.errors import ContentNotFoundError

NAMED = re.compile(r'"effect":"(ba[a-z2-7]{57})"')
"""In canonical JSON."""


def effects_named(configs: Iterable[str]) -> set[str]:
    """Return the CIDs of uploaded effects that canonical JSON names."""
    return {cid for config in configs for cid in NAMED.findall(config)}


async def have_effects(blobs: BlobStore, configs: Iterable[str]) -> None:
    """Have the effects that canonical JSON names on the local disk. What is nowhere, its reader will miss and name.

    Raises:
        ServiceUnavailableError: one is not here, and not everybody who may have it can be asked.
        CidMismatchError: nobody has the right bytes of one.
    """
    for cid in sorted(effects_named(configs)):
        try:
            await blobs.path(cid)
        except ContentNotFoundError:
            continue
