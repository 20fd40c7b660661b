"""What the steps of a recipe take, for whoever writes one: step types and built-in effects with their parameters."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache

from artdag_common.domain.recipe_forms import SOURCES
from artdag_common.effects.registry import EFFECTS
from artdag_common.steps.base import PLANNED, StepType
from artdag_common.steps.bind import FramewiseParams
from artdag_common.steps.registry import STEP_TYPES
from services.gateway.web.controls import Parameter, parameters, schema_of

NUMBERS = {1: "one", 2: "two"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A step type, or an effect.

    Attributes:
        said: what it does.
        reads: its inputs, in words; empty: as all of its kind.
    """

    name: str
    said: str
    reads: str
    parameters: tuple[Parameter, ...]


@cache
def step_types() -> tuple[Entry, ...]:
    """Return the step types that recipes have in their steps, by name."""
    known = [kind for name, kind in sorted(STEP_TYPES.items()) if name not in (*SOURCES, *PLANNED)]
    return tuple(
        Entry(each.name, _said(each), _reads(each), tuple(parameters(schema_of(each.params)))) for each in known
    )


@cache
def effects() -> tuple[Entry, ...]:
    """Return the built-in effects, by name."""
    found = [EFFECTS[name] for name in sorted(EFFECTS)]
    return tuple(
        Entry(each.name, each.description, "", tuple(parameters(each.params.model_json_schema()))) for each in found
    )


def _said(kind: StepType) -> str:
    """Return what a step type does: the first sentence of the file that holds it, without the name before it."""
    line = (sys.modules[kind.params.__module__].__doc__ or "").partition("\n")[0]
    return (line.partition(": ")[2] or line).partition(". ")[0].rstrip(".")


def _reads(kind: StepType) -> str:
    """Return the inputs a recipe names: ``clip, one or more``; or ``video, analysis; music``, the last optional."""
    least, most = kind.min_inputs, kind.max_inputs
    if issubclass(kind.params, FramewiseParams):  # further ones are analyses that parameters follow
        most = kind.params.pictures
        least = most or least
    if most is None and len(kind.slots) == 1:
        return f"{kind.slots[0]}, {NUMBERS.get(least, str(least))} or more"
    return "; ".join(", ".join(part) for part in (kind.slots[:least], kind.slots[least:]) if part)
