"""Parameters bound to a feature of an analysis: what a recipe may write, and what a planned step carries."""

from __future__ import annotations

import difflib
import math
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from artdag_common.steps.base import StepParams, StepType

BIND = "bind"
"""The key that makes a parameter a bound one, and under which a planned step's config holds all of them."""

EVENTS = {"beats": "beats", "downbeats": "beats", "onsets": "onsets", "scene_changes": "scene_changes"}
LEVELS = {
    "energy": "energy",
    "spectrum.bass": "spectrum",
    "spectrum.mid": "spectrum",
    "spectrum.high": "spectrum",
}
FEATURES = {**EVENTS, **LEVELS}
"""What can be bound, and the feature of ANALYZE that gives it. Events are instants; levels have a value at any time."""

Event = Literal["beats", "downbeats", "onsets", "scene_changes"]


class Shaping(StepParams):
    """How a feature becomes a value for each frame. :func:`artdag_common.media.curves.curve` says it exactly."""

    range: tuple[float, float] = (0.0, 1.0)  # the parameter where the feature is 0, and where it is 1
    smooth: float = Field(0.0, ge=0, le=60, allow_inf_nan=False)  # seconds: width of the mean
    offset: float = Field(0.0, ge=-3600, le=3600, allow_inf_nan=False)  # seconds; above 0: later
    on_event: Event | None = None  # the value is that of the latest of these events
    decay: float = Field(0.25, gt=0, le=60, allow_inf_nan=False)  # seconds in which an event falls to 1/e
    noise: float = Field(0.0, ge=0, le=1)  # at most so much more or less, of the feature's 0 to 1
    seed: int = Field(0, ge=0, lt=2**53)

    @field_validator("range", mode="before")
    @classmethod
    def _two(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise ValueError("range is two numbers: the value where the feature is 0, and where it is 1")
        return value

    @field_validator("range")
    @classmethod
    def _two_ends(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(map(math.isfinite, value)):
            raise ValueError("range is two finite numbers")
        if value[0] == value[1]:
            raise ValueError(f"both ends of range are {value[0]:g}: write that number instead of binding it")
        return value


class Binding(Shaping):
    """A bound parameter as a recipe writes it."""

    bind: str  # <analysis node>.<feature>

    @field_validator("bind")
    @classmethod
    def _known(cls, value: str) -> str:
        node, dot, feature = value.partition(".")
        if not node or not dot:
            raise ValueError("bind is '<analysis node>.<feature>', for example 'music.energy'")
        if feature not in FEATURES:
            near = difflib.get_close_matches(feature.lower(), FEATURES, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"{feature[:40]!r} cannot be bound; {hint}known are {', '.join(FEATURES)}")
        return value

    @model_validator(mode="after")
    def _decays(self) -> Self:
        given = self.decay != type(self).model_fields["decay"].default
        if given and self.on_event is None and self.feature not in EVENTS:
            raise ValueError(f"decay has no meaning for {self.feature!r}, which is no event, without on_event")
        return self

    @property
    def node(self) -> str:
        """The analysis node."""
        return self.bind.partition(".")[0]

    @property
    def feature(self) -> str:
        """What is bound: one of :data:`FEATURES`."""
        return self.bind.partition(".")[2]

    @property
    def analyzed(self) -> frozenset[str]:
        """The features that ANALYZE has to be asked for."""
        return frozenset({FEATURES[self.feature], *([EVENTS[self.on_event]] if self.on_event else ())})

    def bound(self, slot: int) -> dict[str, Any]:
        """Return what the planned step carries: a :class:`Bound` whose analysis is the input ``slot``."""
        written = self.model_dump(mode="json", exclude={BIND})
        return Bound.model_validate({"input": slot, "feature": self.feature, **written}).model_dump(mode="json")


class Bound(Shaping):
    """A bound parameter of a planned step: which of the step's inputs is the analysis, and which feature of it."""

    input: int = Field(ge=1)
    feature: str

    @field_validator("feature")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in FEATURES:
            raise ValueError(f"{value[:40]!r} cannot be bound; known are {', '.join(FEATURES)}")
        return value


class FramewiseParams(StepParams):
    """Base of the parameters of a step that works frame by frame.

    Attributes:
        pictures: how many of its inputs are pictures, the first one included; None: any number. Analyses follow them.
        bind: parameters that change from frame to frame, by their dotted names. They stand in their own places too,
            with the lower end of their range. The planner writes it; recipes write ``{bind: …}`` where a number stands.
    """

    pictures: ClassVar[int | None] = 1

    bind: dict[str, Bound] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _unless_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        if not self.bind:
            del written[BIND]
        return written


def most_inputs(kind: StepType, config: str) -> int | None:
    """Return how many inputs a recipe may give a step with these plain parameters; None: any number.

    Those of a step that works frame by frame are pictures. What stands behind them are analyses, which bindings bring.
    """
    if kind.stage is None or not issubclass(kind.params, FramewiseParams):
        return kind.max_inputs
    params = kind.params.model_validate_json(config)
    return params.pictures if kind.frame_wise(params) else kind.max_inputs
