"""Small step types of the tests' own, so that plans are checked against rules that stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from artdag_common.steps import mapping, slices  # noqa: F401
from artdag_common.steps.base import StepContext, StepParams, step_type
from artdag_common.steps.bind import FramewiseParams
from artdag_common.steps.registry import STEP_TYPES


class AnyParams(StepParams):
    seconds: float = 1.0


class TintParams(FramewiseParams):
    amount: float = 1.0


class OverParams(TintParams):
    pictures: ClassVar[int | None] = None


class PairParams(TintParams):
    pictures: ClassVar[int | None] = 2


def first_of(ctx: StepContext, params: AnyParams, *media: Path) -> Path:
    return media[0]


def tint(ctx: StepContext, params: TintParams, *media: Path) -> Path:
    return media[0]


def over(ctx: StepContext, params: OverParams, *media: Path) -> Path:
    return media[0]


def pair(ctx: StepContext, params: PairParams, *media: Path) -> Path:
    return media[0]


def no_stage(*given: Any) -> Any:
    raise AssertionError("plans run nothing")


@pytest.fixture(autouse=True)
def step_types() -> Iterator[None]:
    """Replace the media step types by small ones; analyses stay, since plans know what they are asked for."""
    before = dict(STEP_TYPES)
    plain = {"SEGMENT": (1, 1), "SEQUENCE": (1, None), "BEAT_SYNC": (2, 4), "MUX": (2, 2)}
    for name, inputs in plain.items():
        step_type(name, version=1, inputs=inputs)(first_of)
    step_type("TINT", version=1, inputs=(1, None), stage=no_stage)(tint)
    step_type("OVER", version=1, inputs=(1, None), stage=no_stage)(over)
    step_type("PAIR", version=1, inputs=(2, None), stage=no_stage)(pair)
    step_type("HOLD", version=1, inputs=(1, None), stage=no_stage, frame_wise=lambda params: params.amount == 1)(tint)
    step_type("SAME", version=1, inputs=(1, None), stage=no_stage, passes=lambda params: 0)(tint)
    yield
    STEP_TYPES.clear()
    STEP_TYPES.update(before)
