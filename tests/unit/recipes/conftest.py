"""Small step types of the tests' own, so that recipes are checked against rules that stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from artdag_common.cid import cid_of
from artdag_common.errors import UnknownEffectError
from artdag_common.steps.base import EffectUsed, StepContext, StepParams, step_type
from artdag_common.steps.registry import STEP_TYPES

EFFECTS = {"dog": cid_of(b"dog"), "identity": cid_of(b"identity")}


class AnalyzeParams(StepParams):
    features: tuple[Literal["beats", "tempo", "energy"], ...] = ("beats",)


class SyncParams(StepParams):
    mode: Literal["stretch", "cut", "loop"] = "stretch"


class Transition(StepParams):
    type: Literal["cut", "crossfade"] = "cut"
    duration: float = Field(0.5, ge=0)


class SequenceParams(StepParams):
    transition: Transition | None = None


class SegmentParams(StepParams):
    offset: float = Field(0.0, ge=0)
    duration: float = Field(gt=0)


class EffectParams(StepParams):
    effect: str
    params: dict[str, float] = Field(default_factory=dict)


def analyze(ctx: StepContext, params: AnalyzeParams, media: Path) -> Path:
    return media


def sync(ctx: StepContext, params: SyncParams, video: Path, analysis: Path) -> Path:
    return video


def sequence(ctx: StepContext, params: SequenceParams, *media: Path) -> Path:
    return media[0]


def segment(ctx: StepContext, params: SegmentParams, media: Path) -> Path:
    return media


def effect(ctx: StepContext, params: EffectParams, media: Path) -> Path:
    return media


def used(params: EffectParams) -> EffectUsed:
    for name, cid in EFFECTS.items():
        if params.effect in (name, cid):
            return EffectUsed(name, cid)
    raise UnknownEffectError(f"unknown effect {params.effect!r}; known are dog, identity", name=params.effect)


@pytest.fixture
def step_types() -> Iterator[None]:
    """Replace the media step types by small ones for one test."""
    before = dict(STEP_TYPES)
    step_type("ANALYZE", version=1)(analyze)
    step_type("BEAT_SYNC", version=1, slots=("video", "analysis"))(sync)
    step_type("SEQUENCE", version=1, slots=("media",), inputs=(1, None))(sequence)
    step_type("SEGMENT", version=1)(segment)
    step_type("EFFECT", version=1, effect=used)(effect)
    yield
    STEP_TYPES.clear()
    STEP_TYPES.update(before)
