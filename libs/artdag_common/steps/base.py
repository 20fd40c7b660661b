"""What a step type is: its name, its parameters, its inputs and the function that does the work.

Importing this package loads neither PyAV nor NumPy: planner and gateway read names and parameters, the executor's
worker processes call the functions.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

from artdag_common.domain.plan import canonical_json
from artdag_common.errors import UnknownStepTypeError

if TYPE_CHECKING:
    from artdag_common.media.stage import Stage

RENDER_PROFILE = "3/av-18.1.0"
"""Encoder settings and the media library they were fixed with: part of the cache id of every media step."""


class StepParams(BaseModel):
    """Base of the parameters of a step type: named as in recipes, unknown ones refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StepContext(Protocol):
    """What a running step may use."""

    seed: int
    deliver: bool

    def output(self, extension: str) -> Path:
        """Return the path that the step has to write its output to."""

    def media(self) -> Path:
        """Return the path for video or sound: an MP4 for people, or a file that loses nothing for other steps."""

    def progress(self, done: int, total: int) -> None:
        """Tell how many of ``total`` frames (0: unknown) are done."""


@dataclass(frozen=True, slots=True)
class EffectUsed:
    """An effect that takes part in a step: its name and the CID of its source."""

    name: str
    cid: str


Stager = Callable[..., "Stage"]


@dataclass(frozen=True, slots=True)
class StepType:
    """A kind of step.

    Attributes:
        version: raised when the output for the same input changes; part of the cache id.
        slots: names of the inputs, in order; the last one repeats where ``max_inputs`` is higher.
        run: ``(ctx, params, *input paths) -> output path``; None: the planner satisfies it.
        stage: ``(params, shape, curves, *pictures) -> Stage`` of a step that makes one frame of each of its first
            input; such steps run in one pass. ``shape``: what the pictures that go in have in common, a
            ``PictureShape``; ``curves``: one value per frame for each parameter that is bound to an analysis, by its
            dotted name; ``pictures``: paths of the further inputs, but for those analyses.
        frame_wise: ``params`` → whether ``stage`` is all that the step does; else it runs by itself.
        passes: ``params`` → index of the input that is the output where there is nothing to do, else None.
        effect: ``params`` → the effect that takes part, or None.
        effects: ``params`` → the effects that take part, of a step that is made of several.
        divisible: ``params`` → whether a frame of the output depends on that frame of the first input and its number
            alone, so that parts of the film can be made by themselves. Only of steps with a ``stage``, and of CHAIN.
    """

    name: str
    version: int
    params: type[StepParams]
    slots: tuple[str, ...]
    min_inputs: int
    max_inputs: int | None
    run: Callable[..., Path] | None
    passes: Callable[[Any], int | None]
    effect: Callable[[Any], EffectUsed | None]
    media: bool
    stage: Stager | None = None
    frame_wise: Callable[[Any], bool] = lambda params: True
    effects: Callable[[Any], tuple[EffectUsed, ...]] | None = None
    divisible: Callable[[Any], bool] = lambda params: False

    def canonical_config(self, config: dict[str, Any]) -> str:
        """Return the parameters as canonical JSON, defaults included.

        Raises:
            pydantic.ValidationError: a parameter breaks a rule.
        """
        return canonical_json(self.params.model_validate(config).model_dump(mode="json")).decode()

    def implementation(self, config: str, deliver: bool = False) -> str:
        """Return what identifies the code that will run, and for whom: part of the cache id."""
        parts = [str(self.version)]
        if self.media:
            parts.append(RENDER_PROFILE)
            if deliver:
                parts.append("deliver")
        if used := self.effect_used(config):
            parts.append(used.cid)
        return "/".join(parts)

    def effects_used(self, config: str) -> tuple[EffectUsed, ...]:
        """Return all effects that take part, in the steps of a chain too."""
        params = self.params.model_validate_json(config)
        if self.effects is not None:
            return self.effects(params)
        used = self.effect(params)
        return (used,) if used else ()

    def effect_used(self, config: str) -> EffectUsed | None:
        """Return the effect that takes part."""
        return self.effect(self.params.model_validate_json(config))

    def work_class(self, config: str) -> str:
        """Return the executor class that the step needs: ``inline`` where there is nothing to compute."""
        return "cpu" if self.passes(self.params.model_validate_json(config)) is None else "inline"


STEP_TYPES: dict[str, StepType] = {}
"""Every step type by name. Filled by :mod:`artdag_common.steps.registry`."""

PLANNED = ("ANALYSIS", "CHAIN", "PART", "JOIN")
"""Step types that planner and executors make; recipes do not."""


def step_type(
    name: str,
    *,
    version: int,
    slots: tuple[str, ...] = ("media",),
    inputs: tuple[int, int | None] | None = None,
    passes: Callable[[Any], int | None] = lambda params: None,
    effect: Callable[[Any], EffectUsed | None] = lambda params: None,
    media: bool = True,
    stage: Stager | None = None,
    frame_wise: Callable[[Any], bool] = lambda params: True,
    effects: Callable[[Any], tuple[EffectUsed, ...]] | None = None,
    divisible: Callable[[Any], bool] = lambda params: False,
) -> Callable[[Callable[..., Path]], Callable[..., Path]]:
    """Decorator: make a function a step type. Its second argument's annotation is the parameter class.

    Args:
        inputs: least and greatest number of inputs (None: any); by default as many as there are slots.
    """

    def register(function: Callable[..., Path]) -> Callable[..., Path]:
        params = function.__globals__[function.__annotations__["params"]]
        low, high = inputs or (len(slots), len(slots))
        STEP_TYPES[name] = StepType(
            name,
            version,
            params,
            slots,
            low,
            high,
            function,
            passes,
            effect,
            media,
            stage,
            frame_wise,
            effects,
            divisible,
        )
        return function

    return register


def find_step_type(name: str) -> StepType:
    """Return the step type of this name.

    Raises:
        UnknownStepTypeError: there is none; the message names the nearest.
    """
    try:
        return STEP_TYPES[name]
    except KeyError:
        near = difflib.get_close_matches(str(name).upper(), STEP_TYPES, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(STEP_TYPES))}"
        raise UnknownStepTypeError(f"unknown step type {name!r}{hint}", type=name) from None
