"""MAP: one step for each item of a list. The planner makes them; executors know those steps only."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from artdag_common.steps.base import STEP_TYPES, StepParams, StepType

MAP = "MAP"
SLICED = ("RANDOM_SLICE", "SLICE_ON")
"""Operations that have lists of their own, cut by an analysis: see :mod:`artdag_common.steps.slices`."""


class MapParams(StepParams):
    """Parameters of MAP: the step type, and its parameters, in ``config`` or beside ``operation``."""

    operation: str = Field(description="The step type that each item goes through; it takes one input")
    config: dict[str, Any] = Field(default_factory=dict, description="Its parameters")


STEP_TYPES[MAP] = StepType(
    MAP, 1, MapParams, ("items",), 1, None, None, lambda params: None, lambda params: None, media=True
)
