"""NOOP: hand the first input on. Further inputs only have to exist before."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from artdag_common.steps.base import StepContext, StepParams, step_type


class NoopParams(StepParams):
    """Parameters of NOOP."""

    salt: str = Field("", description="Any text: tells apart steps that would otherwise be one")


@step_type("NOOP", version=1, slots=("input",), inputs=(1, None), passes=lambda params: 0, media=False)
def noop(ctx: StepContext, params: NoopParams, first: Path, *others: Path) -> Path:
    """Return the first input. Orders steps, and measures what the engine costs by itself."""
    return first
