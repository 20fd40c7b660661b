"""Small step types of the tests' own, so that plans are checked against rules that stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artdag_common.steps.base import StepContext, StepParams, step_type
from artdag_common.steps.registry import STEP_TYPES


class AnyParams(StepParams):
    seconds: float = 1.0


def first_of(ctx: StepContext, params: AnyParams, *media: Path) -> Path:
    return media[0]


@pytest.fixture(autouse=True)
def step_types() -> Iterator[None]:
    """Replace the media step types by small ones."""
    before = dict(STEP_TYPES)
    for name, inputs in {"ANALYZE": (1, 1), "SEGMENT": (1, 1), "SEQUENCE": (1, None), "BEAT_SYNC": (2, 3)}.items():
        step_type(name, version=1, inputs=inputs)(first_of)
    yield
    STEP_TYPES.clear()
    STEP_TYPES.update(before)
