"""Loads every effect. Neither NumPy nor a media library is loaded with them."""

from __future__ import annotations

import difflib

from artdag_common.cid import is_cid, parse_cid
from artdag_common.effects import (  # noqa: F401
    ascii,  # noqa: A004
    bloom,
    color_map,
    crt,
    dog,
    duotone,
    echo,
    glitch,
    grain,
    halftone,
    identity,
    invert,
    kaleidoscope,
    mirror,
    pixelate,
    posterize,
    rgb_shift,
    shake,
    sketch,
    solarize,
    strobe,
    trails,
    uploaded,
    vignette,
    wave,
    zoom_pulse,
)
from artdag_common.effects.base import EFFECTS, Effect
from artdag_common.errors import UnknownEffectError

__all__ = ["EFFECTS", "Effect", "find_effect"]


def find_effect(name: str) -> Effect:
    """Return the built-in effect of this name, or the one, built-in or uploaded, with this CID.

    Raises:
        UnknownEffectError: there is none; the message names the nearest.
    """
    if name in EFFECTS:
        return EFFECTS[name]
    if is_cid(name):
        cid = parse_cid(name)
        return next((each for each in EFFECTS.values() if each.cid == cid), None) or uploaded.find(cid)
    near = difflib.get_close_matches(name.lower(), EFFECTS, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(EFFECTS))}"
    raise UnknownEffectError(f"unknown effect {name[:80]!r}{hint}", effect=name)
