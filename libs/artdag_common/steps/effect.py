"""EFFECT: run an effect over every frame of a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationError, model_validator

from artdag_common.effects.registry import find_effect
from artdag_common.errors import UnknownEffectError
from artdag_common.steps.base import EffectUsed, StepContext, find_step_type, step_type
from artdag_common.steps.bind import FramewiseParams
from artdag_common.steps.framewise import run_alone

if TYPE_CHECKING:
    from artdag_common.media.encode import PictureShape
    from artdag_common.media.stage import Stage


class EffectStepParams(FramewiseParams):
    """Parameters of EFFECT: an effect's name or CID, and the effect's own parameters."""

    effect: str = Field(description="Name of a built-in effect, or the CID of one that somebody brought")
    params: dict[str, Any] = Field(default_factory=dict, description="The effect's own parameters")

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
        object.__setattr__(self, "effect", found.reference)
        object.__setattr__(self, "params", params.model_dump(mode="json"))
        return self


def _passes(params: EffectStepParams) -> int | None:
    return 0 if find_effect(params.effect).unchanged else None


def _used(params: EffectStepParams) -> EffectUsed:
    found = find_effect(params.effect)
    return EffectUsed(found.name, found.cid)


def _frame_wise(params: EffectStepParams) -> bool:
    return find_effect(params.effect).kind != "media"


def _divisible(params: EffectStepParams) -> bool:
    found = find_effect(params.effect)
    return found.uploaded is None and found.remembers != "frames"


def _stage(params: EffectStepParams, shape: PictureShape, curves: Mapping[str, Sequence[float]]) -> Stage:
    found = find_effect(params.effect)
    own = found.params.model_validate(params.params)
    if found.uploaded:
        from artdag_common.isolation.frames import isolated_stage

        return isolated_stage(found, own, shape, curves)
    from artdag_common.media.affect import effect_stage

    return effect_stage(found, own, shape, curves)


@step_type(
    "EFFECT",
    version=3,
    inputs=(1, None),
    passes=_passes,
    effect=_used,
    stage=_stage,
    frame_wise=_frame_wise,
    divisible=_divisible,
)
def effect(ctx: StepContext, params: EffectStepParams, media: Path, *analyses: Path) -> Path:
    """Write ``media`` with every frame changed by the effect; its sound stays.

    An uploaded effect of kind ``media`` makes of all the inputs what it likes.

    Raises:
        StepInputError: ``media`` is not a video.
        StepError: the effect gives back something other than a frame of the same size.
        EffectFailedError: an uploaded effect fails or breaks a limit.
        IsolationUnavailableError: nothing here could isolate an uploaded effect.
        CidMismatchError: the file of an uploaded effect is not what it was.
    """
    found = find_effect(params.effect)
    if found.unchanged:
        return media
    if found.kind == "media":
        from artdag_common.isolation.whole import run_whole

        own = found.params.model_validate(params.params)
        inputs = [media, *analyses]
        return run_whole(found, own, inputs, ctx.output("effect.mkv"), ctx.media(), ctx.progress)
    return run_alone(ctx, find_step_type("EFFECT"), params, media, analyses)
