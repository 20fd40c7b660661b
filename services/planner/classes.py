"""Which class of executors a step goes to: as its type says, or as the operator says (``ARTDAG_STEP_CLASSES``)."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import orjson

from artdag_common.cid import is_cid, parse_cid
from artdag_common.effects.registry import find_effect
from artdag_common.errors import ConfigurationError, UnknownEffectError
from artdag_common.steps.registry import STEP_TYPES, find_step_type
from services.planner.fusion import CHAIN
from services.planner.hands import AT_ONCE

SETTING = "ARTDAG_STEP_CLASSES"
OF_EFFECT = "EFFECT:"
"""Begins the name of an effect, as opposed to that of a step type."""

MADE = ("PART", "JOIN")
"""Step types that executors make, and keep among themselves."""


class Classes:
    """The operator's choice of classes. Where there is nothing to compute it does not matter: that is ``inline``."""

    def __init__(self, chosen: Mapping[str, str] | None = None) -> None:
        """``chosen``: work class by step type, or by effect as ``EFFECT:name`` or ``EFFECT:CID``.

        Raises:
            ConfigurationError: there is no such step type, no such effect, or it has no class to choose.
        """
        self._types: dict[str, str] = {}
        self._effects: dict[str, str] = {}  # CID of the effect → class
        for name, work_class in (chosen or {}).items():
            if work_class == AT_ONCE:
                raise ConfigurationError(f"{SETTING}: {name} cannot be {AT_ONCE}: that is what takes no time")
            if name.startswith(OF_EFFECT):
                self._effects[_effect(name)] = work_class
            else:
                self._types[_step_type(name)] = work_class

    def of(self, step_type: str, config: str) -> str:
        """Return the class of a step. Of an effect's and its step type's that of the effect counts, the first's of
        several; a chain has the step types of its links."""
        kind = find_step_type(step_type)
        usual = kind.work_class(config)
        if usual == AT_ONCE:
            return usual
        if self._effects:
            for used in kind.effects_used(config):
                if work_class := self._effects.get(used.cid):
                    return work_class
        if self._types and step_type == CHAIN:
            for link in orjson.loads(config)["links"]:
                if work_class := self._types.get(link["type"]):
                    return work_class
        return self._types.get(step_type, usual)


def _step_type(name: str) -> str:
    known = [each for each, kind in STEP_TYPES.items() if each not in MADE and kind.run is not None]
    if name in known:
        return name
    near = get_close_matches(name.upper(), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
    raise ConfigurationError(f"{SETTING}: no step type {name!r} has a class to choose; {hint}")


def _effect(name: str) -> str:
    effect = name.removeprefix(OF_EFFECT)
    if is_cid(effect):  # it may be uploaded later
        return parse_cid(effect)
    try:
        return find_effect(effect).cid
    except UnknownEffectError as error:
        raise ConfigurationError(f"{SETTING}: {name}: {error.message}") from error
