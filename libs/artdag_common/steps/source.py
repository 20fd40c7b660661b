"""SOURCE and SOURCE_LIST: content that a recipe or a run names."""

from __future__ import annotations

from artdag_common.steps.base import STEP_TYPES, StepParams, StepType


class SourceParams(StepParams):
    """Parameters of a bound source."""

    cid: str


class SourceListParams(StepParams):
    """Parameters of a bound list of sources."""

    cids: tuple[str, ...]


def _source(name: str, params: type[StepParams]) -> StepType:
    return StepType(name, 1, params, (), 0, 0, None, lambda p: None, lambda p: None, media=False)


STEP_TYPES["SOURCE"] = _source("SOURCE", SourceParams)
STEP_TYPES["SOURCE_LIST"] = _source("SOURCE_LIST", SourceListParams)
