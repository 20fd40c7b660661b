"""CHAIN: frame-wise steps that nobody needs one by one, run in one pass. The planner makes it; recipes do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artdag_common.domain.plan import canonical_json
from artdag_common.steps.base import EffectUsed, StepContext, StepParams, StepType, find_step_type, step_type
from artdag_common.steps.framewise import maker, pictures_of

if TYPE_CHECKING:
    from artdag_common.media.stage import MakeStage


class Link(StepParams):
    """One step of a chain."""

    type: str
    config: dict[str, Any]
    implementation: str  # so that the chain's cache id changes with it
    inputs: tuple[int, ...] = ()  # the chain's inputs that are this step's second, third …: pictures, analyses


class ChainParams(StepParams):
    """Parameters of CHAIN: the steps, first to last."""

    links: tuple[Link, ...]


def makers(params: ChainParams, paths: Sequence[Path]) -> list[MakeStage]:
    """Return what makes the stages of a chain; ``paths``: all its inputs."""
    return [maker(kind, own, others) for kind, own, others in _steps(params, paths)]


def _steps(params: ChainParams, paths: Sequence[Path]) -> Iterator[tuple[StepType, StepParams, list[Path]]]:
    """Give the type, the parameters and the inputs after the first of each step."""
    for link in params.links:
        kind = find_step_type(link.type)
        yield kind, kind.params.model_validate(link.config), [paths[i] for i in link.inputs]


def _effects(params: ChainParams) -> tuple[EffectUsed, ...]:
    return tuple(
        used
        for link in params.links
        for used in find_step_type(link.type).effects_used(canonical_json(link.config).decode())
    )


def _divisible(params: ChainParams) -> bool:
    kinds = [(find_step_type(link.type), link.config) for link in params.links]
    return all(kind.divisible(kind.params.model_validate(config)) for kind, config in kinds)


@step_type("CHAIN", version=1, slots=("media",), inputs=(1, None), effects=_effects, divisible=_divisible)
def chain(ctx: StepContext, params: ChainParams, *paths: Path) -> Path:
    """Write the first input, changed by one step after the other; its sound stays.

    Between two steps a picture stays as the first one made it: nothing is lost, as it would be in a file.

    Raises:
        StepInputError: not a video.
    """
    from artdag_common.media import video

    beside = [path for _, own, others in _steps(params, paths) for path in pictures_of(own, others)]
    return video.through(paths[0], ctx.media(), makers(params, paths), ctx.progress, beside=beside)
