"""What an effect is: its name, its parameters and the function that changes a frame.

An effect is one file. Its identity is the CID of that file, so everything that shapes its result stands in it.
Importing it loads neither NumPy nor a drawing library: those are imported by the function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from artdag_common.cid import cid_of_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Frame = NDArray[np.uint8]


class EffectParams(BaseModel):
    """Base of the parameters of an effect: named as in recipes, unknown ones refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


ProcessFrame = Callable[["Frame", Any, Any], "tuple[Frame, Any]"]
"""``(frame, params, state) -> (frame, state)``. Frames are uint8, (height, width, 3), RGB; the one given is
the effect's own to change. ``state`` is ``{}`` at the first frame, then whatever was given back."""


Remembers = Literal["nothing", "number", "frames"]
"""What a frame's change depends on beside that frame and the parameters: on nothing, on its number, which the state
holds as ``number``, or on the frames before it. What the state only keeps to save time does not count."""

Kind = Literal["frame", "media"]
"""``frame``: changes one frame after the other; ``media``: makes a file of files."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What is known of an effect that a user brought: the CID of its file, and the packages that it imports."""

    cid: str
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Effect:
    """An effect.

    Attributes:
        name: as recipes name it.
        version: for people; the identity is :attr:`cid`.
        source: the file that holds it.
        unchanged: it gives back what it gets, so that nothing has to be rendered.
        example: parameters that show well what it does, for the documentation.
        remembers: what it has to know to begin in the middle of a film.
        uploaded: set where a user brought it: it is known by its CID only, and runs isolated only.
    """

    name: str
    version: str
    author: str
    description: str
    params: type[EffectParams]
    process_frame: ProcessFrame
    source: Path
    unchanged: bool = False
    example: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = "frame"
    uploaded: Uploaded | None = None
    remembers: Remembers = "frames"

    @cached_property
    def cid(self) -> str:
        """CID of the source file."""
        return self.uploaded.cid if self.uploaded else cid_of_file(self.source)

    @property
    def reference(self) -> str:
        """What recipes call it: built-in effects by name, others by CID, since anybody may take any name."""
        return self.uploaded.cid if self.uploaded else self.name


EFFECTS: dict[str, Effect] = {}
"""Every effect by name. Filled by :mod:`artdag_common.effects.registry`."""

Function = TypeVar("Function", bound=Callable[..., Any])


def effect(
    name: str,
    *,
    version: str,
    author: str,
    description: str,
    unchanged: bool = False,
    example: Mapping[str, Any] | None = None,
    remembers: Remembers = "frames",
) -> Callable[[Function], Function]:
    """Decorator: make a function an effect. Its second argument's annotation is the parameter class."""

    def register(function: Function) -> Function:
        module = sys.modules[function.__module__]
        assert module.__file__ is not None
        params = vars(module)[function.__annotations__["params"]]
        EFFECTS[name] = Effect(
            name,
            version,
            author,
            description,
            params,
            function,
            Path(module.__file__),
            unchanged,
            example or {},
            remembers=remembers,
        )
        return function

    return register
