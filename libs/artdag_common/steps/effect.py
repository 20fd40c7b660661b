"""EFFECT: run an effect over every frame of a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from artdag_common.effects.registry import find_effect
from artdag_common.errors import UnknownEffectError
from artdag_common.steps.base import EffectUsed, StepContext, StepParams, step_type


class EffectStepParams(StepParams):
    """Parameters of EFFECT: an effect's name or CID, and the effect's own parameters."""

    effect: str
    params: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Self:
        """Check the effect's own parameters, and write down all of them, so that one effect is one parameter set."""
        try:
            found = find_effect(self.effect)
        except UnknownEffectError as error:
            raise ValueError(error.message) from error
        try:
            params = found.params.model_validate(self.params)
        except ValidationError as error:
            known = ", ".join(found.params.model_fields) or "none"
            problems = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'params'}={str(e['input'])[:40]!r}: {e['msg']}"
                for e in error.errors()
            )
            raise ValueError(f"params of effect {found.name!r}: {problems} (its parameters: {known})") from error
        object.__setattr__(self, "effect", found.name)
        object.__setattr__(self, "params", params.model_dump(mode="json"))
        return self


def _passes(params: EffectStepParams) -> int | None:
    return 0 if find_effect(params.effect).unchanged else None


def _used(params: EffectStepParams) -> EffectUsed:
    found = find_effect(params.effect)
    return EffectUsed(found.name, found.cid)


@step_type("EFFECT", version=1, passes=_passes, effect=_used)
def effect(ctx: StepContext, params: EffectStepParams, media: Path) -> Path:
    """Write ``media`` with every frame changed by the effect; its sound stays.

    Raises:
        StepInputError: ``media`` is not a video.
    """
    found = find_effect(params.effect)
    if found.unchanged:
        return media
    from artdag_common.media import video

    return video.apply_effect(media, ctx.output("mp4"), found, found.params.model_validate(params.params), ctx.progress)
