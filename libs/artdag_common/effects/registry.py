"""Loads every effect. Neither NumPy nor a media library is loaded with them."""

from __future__ import annotations

import difflib

from artdag_common.effects import dog, identity, invert  # noqa: F401
from artdag_common.effects.base import EFFECTS, Effect
from artdag_common.errors import UnknownEffectError

__all__ = ["EFFECTS", "Effect", "find_effect"]


def find_effect(name: str) -> Effect:
    """Return the effect of this name, or with this CID.

    Raises:
        UnknownEffectError: there is none; the message names the nearest.
    """
    if name in EFFECTS:
        return EFFECTS[name]
    for each in EFFECTS.values():
        if each.cid == name:
            return each
    near = difflib.get_close_matches(name.lower(), EFFECTS, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(EFFECTS))}"
    raise UnknownEffectError(f"unknown effect {name[:80]!r}{hint}", effect=name)
