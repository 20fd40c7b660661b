"""identity: the picture as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    from artdag_common.effects.base import Frame


class IdentityParams(EffectParams):
    """Parameters of identity: none."""


@effect(
    "identity",
    version="1.0.0",
    author="Art DAG",
    description="Gives back its input, byte for byte.",
    unchanged=True,
)
def process_frame(frame: Frame, params: IdentityParams, state: Any) -> tuple[Frame, Any]:
    """Return the frame."""
    return frame, state
