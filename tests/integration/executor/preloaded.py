"""Makes the trial step known in the process that imports this: the server that media workers are forked from."""

from __future__ import annotations

from artdag_common.steps.base import STEP_TYPES
from tests.integration.executor.trial import NAME, TRIAL

STEP_TYPES[NAME] = TRIAL
