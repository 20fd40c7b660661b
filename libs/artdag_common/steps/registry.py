"""Loads every step type: those here, and those that other packages offer by the entry point ``artdag.steps``."""

from __future__ import annotations

from importlib.metadata import entry_points

from artdag_common.steps import (  # noqa: F401
    analysis,
    analyze,
    audio_mix,
    beat_sync,
    blend,
    chain,
    effect,
    layer,
    mapping,
    mux,
    noop,
    part,
    poster,
    probe,
    resize,
    segment,
    sequence,
    slices,
    source,
    spectrogram,
    thumbnail,
    transform,
    waveform,
)
from artdag_common.steps.base import STEP_TYPES, StepType, find_step_type

for _entry in entry_points(group="artdag.steps"):
    _entry.load()

__all__ = ["STEP_TYPES", "StepType", "find_step_type"]
